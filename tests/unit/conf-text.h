/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Configurations from memory: a table of files, and what conf_load() says of the first. */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/fault.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* A table ends with a name of NULL. */
struct conf_file {
	const char *name, *text;
	size_t len; /* 0: up to the NUL */
	int error;  /* what reading it fails with */
};

static inline int read_from_table(
	void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	for (const struct conf_file *file = userdata; file->name; file++) {
		size_t len = file->len ? file->len : strlen(file->text ? file->text : "");

		if (strcmp(file->name, path) != 0)
			continue;
		if (file->error)
			return file->error;
		/* Exactly as long as it is, so that reading on shows. */
		*ret_text = malloc(len ? len : 1);
		assert_non_null(*ret_text);
		memcpy(*ret_text, file->text, len);
		*ret_len = len;
		return 0;
	}
	return -ENOENT;
}

/* What one load came to. */
struct outcome {
	int result;
	struct conf *conf;
	char *faults; /* as printed */
};

static inline struct outcome load_files(const struct conf_file *files, const char *const *sets)
{
	struct faults faults = FAULTS_EMPTY;
	struct outcome outcome = {0};
	struct conf_source source = {
		.file = files[0].name,
		.read = read_from_table,
		.userdata = (void *)(uintptr_t)files,
		.sets = sets,
	};
	size_t size;
	FILE *to = open_memstream(&outcome.faults, &size);

	assert_non_null(to);
	outcome.result = conf_load(&source, &faults, &outcome.conf);
	faults_print(&faults, to);
	assert_int_equal(fclose(to), 0);
	assert_int_equal(outcome.result == 0, outcome.conf != NULL);
	assert_int_equal(outcome.result == CONF_E_FAULTS, faults_any_errors(&faults));
	faults_done(&faults);
	return outcome;
}

static inline struct outcome load_text(const char *text, const char *const *sets)
{
	const struct conf_file files[] = {{"a.conf", text}, {NULL}};

	return load_files(files, sets);
}

/* With no fault at all. */
static inline struct conf *load_fine(const char *text, const char *const *sets)
{
	struct outcome outcome = load_text(text, sets);

	assert_string_equal(outcome.faults, "");
	assert_int_equal(outcome.result, 0);
	free(outcome.faults);
	return outcome.conf;
}

static inline void outcome_done(struct outcome *outcome)
{
	conf_free(outcome->conf);
	free(outcome->faults);
}

/* Fails with what was said when `part` is not in it. */
static inline void assert_says(const char *faults, const char *part)
{
	assert_non_null(faults);
	if (!strstr(faults, part))
		fail_msg("\"%s\" is not in:\n%s", part, faults);
}

static inline void assert_faults(const char *text, const char *part)
{
	struct outcome outcome = load_text(text, NULL);

	assert_says(outcome.faults, part);
	assert_int_equal(outcome.result, CONF_E_FAULTS);
	outcome_done(&outcome);
}

#define UDP            "listeners = ( { transport = \"udp\"; port = 12000; } );\n"
/* One listener with `keys`, in one line. */
#define LISTENER(keys) "listeners = ( { " keys " } );\n"
