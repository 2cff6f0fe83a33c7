/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Faults of a configuration: their list, and its form for people and for programs. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum fault_level { FAULT_ERROR, FAULT_WARNING };

/* More than these are not kept: the rest show up once these are mended. */
#define FAULTS_MAX 100

struct fault {
	enum fault_level level;
	char *file;                   /* NULL: no place, as in a fault of the whole */
	unsigned line, column, width; /* from 1, in characters; 0: unknown */
	char *key;                    /* such as listeners.tls.port; NULL: none */
	char *message;                /* what was found, and what would do */
	char *source;                 /* the line itself, for the caret; NULL: none */
};

/* Ordered by file, line and column. */
struct faults {
	struct fault *list;
	size_t n;
	bool cut; /* memory ran out, or there were too many: more faults than the list shows */
	bool errors;
};

#define FAULTS_EMPTY ((struct faults){0})

/* Where a fault is: the fields of struct fault, borrowed. */
struct fault_place {
	enum fault_level level;
	const char *file;
	unsigned line, column, width;
	const char *key;
};

/* Adds one fault; strings are copied. Never fails: see `cut`. */
__attribute__((format(printf, 3, 4))) void faults_add(
	struct faults *faults, const struct fault_place *place, const char *format, ...);
__attribute__((format(printf, 3, 0))) void faults_vadd(
	struct faults *faults, const struct fault_place *place, const char *format, va_list args);
/* From here on, warnings are errors. */
void faults_harden(struct faults *faults);
bool faults_any_errors(const struct faults *faults);
void faults_print(const struct faults *faults, FILE *to);
void faults_print_json(const struct faults *faults, FILE *to);
void faults_done(struct faults *faults);

#define _cleanup_faults_ __attribute__((cleanup(faults_done)))
