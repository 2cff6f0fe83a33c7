/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files that a configuration names: found, opened, and told apart by who may have them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

enum file_kind {
	FILE_CERTIFICATE,
	FILE_KEY, /* for the keeper, and nobody else */
	FILE_OCSP,
	FILE_CLIENT_CA,
	FILE_CRL,
	FILE_TICKET_KEYS,
	FILE_NONE, /* none of them, in words about all of a tls group */
};

/* Which file it is; also what a child is told about it. */
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

#define FILES_EMPTY ((struct files){0})
#define FILE_WHY    512

/* Lists them; `conf` must outlive the list. */
int files_list(struct files *files, const struct conf *conf);
void files_done(struct files *files);

enum {
	FILE_E_FAULT = 1, /* and `why` says what is wrong with the file */
};

/* Takes a copy of one, which later writes to the file do not reach, and looks at who else may read it. */
int file_open(struct file *file, char why[static FILE_WHY]);
/* Tells one file from another, and from itself after a change; 0: there is none. */
uint64_t file_fingerprint(const char *path);
/* "listeners.NAME.tls.certificates[0].key" */
const char *file_key(
	const struct file_place *place, const struct conf *conf, char key[static FILE_WHY]);
/* What a certificate, a key or another file is called in the configuration, for words about it. */
const char *file_name(const struct conf *conf, const struct file_place *place);
