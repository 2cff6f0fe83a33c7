/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files that a configuration names: found, opened, and told apart by the children that get them; and
 * the places in the configuration of what is wrong with them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "conf/conf.h"
#include "conf/fault.h"
#include "conf/schema.h"

enum file_kind {
	FILE_CERTIFICATE,
	FILE_KEY, /* for the keeper alone */
	FILE_OCSP,
	FILE_CLIENT_CA,
	FILE_CRL,
	FILE_TICKET_KEYS,
	/* No files, but lists that the library of TLS judges as well. */
	FILE_CIPHERS,
	FILE_CIPHERSUITES,
	FILE_GROUPS,
	N_FILE_KINDS
};

/* A file, or another value of a tls group. A child gets it with the file, and reports it with a fault. */
struct file_place {
	uint32_t kind;
	uint32_t listener; /* its place in the configuration */
	uint32_t index;    /* of the certificate in its list */
	uint32_t key_id;   /* of a certificate and its key: how the keeper counts them */
};

struct file {
	struct file_place place;
	const char *name; /* as the configuration has it */
	char *path;
	int fd;               /* a sealed copy; -1: not open */
	uint64_t fingerprint; /* of the file when it was copied; 0: not known */
};

struct files {
	struct file *list;
	size_t n;
	uint32_t n_keys;
};

#define FILES_EMPTY   ((struct files){0})
#define FILE_KEY_TEXT 512

/* Lists them; `conf` must outlive the list. */
int files_list(struct files *files, const struct conf *conf);
void files_done(struct files *files);

enum {
	FILE_E_FAULT = 1, /* and `why` says what is wrong with the file */
};

/* Takes a copy of one, which later writes to the file do not reach, and looks at who else may read it. */
int file_open(struct file *file, struct why *why);
/* Tells one file from another, and from itself after a change; 0: there is none. */
uint64_t file_fingerprint(const char *path);
/* "listeners.NAME.tls.certificates[0].key" */
const char *file_key(
	const struct file_place *place, const struct conf *conf, char key[static FILE_KEY_TEXT]);
/* The name of the file in the configuration; NULL for other values. */
const char *file_name(const struct conf *conf, const struct file_place *place);

/* Whether the configuration has such a place. */
bool file_place_exists(const struct conf *conf, const struct file_place *place);

/* Where a key was set; NULL: nowhere, so that it has its default. */
const char *origin_of(char **origins, enum conf_scope scope, const char *key);
/* Adds a fault that no parser sees at the origin of the value. */
void fault_at_origin(const char *origin, enum fault_level level, const char *key,
	const char *message, struct faults *faults);
/* The same for a file. Several children report the same: it is added once. */
void fault_at_file(const struct conf *conf, const struct file_place *place, enum fault_level level,
	const char *message, struct faults *faults);
