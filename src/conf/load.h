/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The state that the steps of conf_load() share. Each step is a file: text, sets, section with listener,
 * resolve, check. Each adds to the faults, and none calls a step behind it. */

#include <libconfig.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "conf/fault.h"
#include "conf/schema.h"
#include "conf/text.h"

/* No scope has more rows. */
#define LOAD_MAX_ROWS 32
/* Room for a key with its groups. */
#define LOAD_MAX_KEY  (4 * CONF_NAME + 64)

/* A group of the file on its way into the struct of its scope. */
struct section {
	enum conf_scope scope;
	size_t listener;            /* from 1; 0: it is of none */
	const char *path;           /* goes before its keys in faults, such as "listeners.web." */
	const config_setting_t *at; /* what a missing key is missing from; NULL: the whole file */
	void *object;
	char ***origins;
	const struct section *under; /* counts where this one says nothing; may be NULL */
	const config_setting_t *settings[LOAD_MAX_ROWS]; /* by row; NULL: not set here */
	/* An unknown key looks like it: do not call it missing as well. */
	bool meant[LOAD_MAX_ROWS];
};

/* A --set that could be read. */
struct load_set {
	char *origin;    /* "--set KEY=VALUE", also the hook of its settings */
	char *group;     /* of its key, such as "limits."; NULL: it counts for nothing */
	size_t listener; /* whose key it is, as in struct section */
	bool is_tls;     /* a key of the tls group there */
	config_t tree;   /* the last name of the key, with the value */
};

struct load {
	const struct conf_source *source;
	struct faults *faults;
	struct conf_text text;
	config_t tree, presets;
	config_setting_t *listeners; /* NULL: missing or no list */
	char **labels;               /* what each listener is called in keys, from the raw file */
	size_t n_labels;
	struct load_set *sets;
	size_t n_sets;
	struct section top, tls;
	struct section *sections; /* of the listeners, in their order */
	struct conf *conf;
};

/* Adds a fault about a setting of the file or of a --set; NULL: about the whole file. */
__attribute__((format(printf, 5, 6))) void load_fault(const struct load *load,
	const config_setting_t *at, const char *path, const char *key, const char *format, ...);

/* conf/sets.c: 0 or -ENOMEM. */
int sets_read(struct load *load);
void sets_done(struct load *load);

/* conf/section.c. Both return 0 or -ENOMEM; what is wrong is in the faults. */
/* Takes the settings of a group of the file, NULL: none, and over them what --set says of the section. */
void section_collect(
	const struct load *load, struct section *section, const config_setting_t *group);
int section_read(const struct load *load, const struct section *section);
/* The setting of a key in this section, or NULL when it is not set. */
const config_setting_t *section_has(const struct section *section, const char *key);
bool section_meant(const struct section *section, const char *key);

/* conf/listener.c */
int listeners_name(struct load *load);
int listeners_read(struct load *load);

/* conf/resolve.c: what follows from several keys: addresses with their ports, names. 0 or -ENOMEM. */
int resolve(const struct load *load);
/* conf/check.c: keys that exclude or need each other, and listeners that get in each other's way. */
void check(const struct load *load);
