/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the steps of conf_load() share: the text, its tree, and the configuration that grows. */

#include <libconfig.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "conf/fault.h"
#include "conf/schema.h"
#include "conf/source.h"

/* No scope has more rows. */
#define LOAD_MAX_ROWS 32
/* Room for a key with its groups: brackets nest no deeper than keys do in the table. */
#define LOAD_MAX_KEY  (4 * CONF_MAX_WORD)

/* A group of the file on its way into the struct of its scope. */
struct section {
	enum conf_scope scope;
	const char *path;     /* goes before its keys in faults, such as "listeners.web." */
	config_setting_t *at; /* what a missing key is missing from; NULL: the whole file */
	void *object;
	char ***origins;
	const struct section *under; /* counts where this one says nothing; may be NULL */
	const config_setting_t *settings[LOAD_MAX_ROWS]; /* by row; NULL: not set here */
	bool meant
		[LOAD_MAX_ROWS]; /* an unknown key looks like it: do not call it missing as well */
};

/* One --set. It keeps its place: the setting points to its `config`. */
struct conf_set {
	char *name; /* "--set KEY=VALUE" */
	const struct conf_row *row;
	enum conf_scope scope;
	size_t listener; /* SIZE_MAX: none */
	config_t config;
	config_setting_t *setting;
};

struct load {
	const struct conf_source *source;
	struct faults *faults;
	struct conf_text text;
	config_t tree, presets;
	config_setting_t *listeners; /* NULL: missing or no list */
	char **labels;               /* what each listener is called in keys, from the raw file */
	size_t n_labels;
	struct conf_set *sets;
	size_t n_sets;
	struct section tls; /* of the top */
	struct conf *conf;
};

/* Adds a fault about a setting of the file or of a --set; NULL: about the whole file. */
__attribute__((format(printf, 5, 6))) void load_fault(const struct load *load,
	const config_setting_t *at, const char *path, const char *key, const char *format, ...);

/* conf/section.c. Both return 0 or -ENOMEM; what is wrong is in the faults. */
void section_collect(const struct load *load, struct section *section, config_setting_t *group);
void section_override(const struct load *load, struct section *section, size_t listener);
int section_read(const struct load *load, const struct section *section);
/* The setting of a key in this section, or NULL when it is not set. */
const config_setting_t *section_has(const struct section *section, const char *key);
bool section_meant(const struct section *section, const char *key);

/* conf/sets.c */
int sets_read(struct load *load);
const struct conf_set *sets_of(const struct load *load, const config_setting_t *setting);
void sets_done(struct load *load);

/* conf/listener.c */
int listeners_name(struct load *load);
int listeners_read(struct load *load);

/* conf/check.c: what no key alone can show. */
void check_top(const struct load *load, const struct section *top);
void check_listener(
	const struct load *load, const struct section *section, struct conf_listener *listener);
void check_names_and_addresses(const struct load *load);
void check_metrics(const struct load *load, const struct section *top);
