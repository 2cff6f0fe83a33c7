/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One file on its way into the joined text: finds strings, comments, brackets and includes. */

#include "conf/source.h"

struct scan_word {
	const char *at; /* NULL: the last thing was no word */
	size_t len;
	const char *line;
	unsigned number;
};

struct scan {
	struct conf_text *text;
	struct faults *faults;
	const char *file;
	const char *at, *end;
	const char *line;   /* where the current line begins */
	const char *copied; /* what is before this is in the joined text */
	unsigned number;
	const char *key; /* that faults are about; NULL: none */
	char last;       /* what the last thing began with that was no comment */
	struct scan_word word;

	/* Is called with `at` behind the path of an include, which is not terminated. */
	int (*include)(struct scan *scan, const char *path, size_t len);
	void *userdata;
};

/* Reads all of the file and appends it to the joined text: 0, CONF_E_FAULTS or -ENOMEM. */
int scan_file(struct scan *scan);

/* Adds a fault about `len` bytes of the current line; returns CONF_E_FAULTS. */
__attribute__((format(printf, 4, 5))) int scan_fault(
	const struct scan *scan, const char *at, size_t len, const char *format, ...);

/* Characters, as opposed to bytes, between two places. */
unsigned scan_characters(const char *from, const char *to);
