/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a run of `upper` ends, and the words for it: sentences for people on stderr, JSON for programs on
 * stdout. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/why.h"

struct options;

/* 0, one of these, or a negative errno. The numbers are the exit codes of upper(1), and never change. */
enum {
	CLIENT_E_WRONG = 1,   /* an answer that is not the question in upper case */
	CLIENT_E_USAGE,       /* the command line */
	CLIENT_E_NO_NAME,     /* the host has no address */
	CLIENT_E_UNREACHABLE, /* nothing listens there, or the server refuses */
	CLIENT_E_LOST,        /* no answer in time, or not all of it */
	CLIENT_E_UNTRUSTED,   /* the server's certificate */
	CLIENT_E_TLS,         /* TLS itself */
	CLIENT_E_LOCAL,       /* our own input or output; any negative errno ends as this */
};

/* A fault of our own input or output. Returns CLIENT_E_LOCAL. */
int why_no_input(struct why *why, int error);
int why_no_output(struct why *why, int error);

/* One sentence on stderr, after the name of the program. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* The same, without the colour of an error: nothing is wrong. */
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

/* Reports why talking to `server` failed, in the form that the options ask for. Returns `outcome`.
 * NULL: there is no server yet. */
int report_failure(
	const struct options *options, const char *server, int outcome, const struct why *why);

/* Flushes stdout. CLIENT_E_LOCAL, with a message unless the reader went away, when a write failed. */
int report_flush(void);

/* The phases of an exchange, in microseconds. One that did not take place is 0. */
struct phases {
	uint64_t name, connect, tls, first, rest; /* first: until the first byte of the answer */
	uint64_t whole;                           /* all of them */
};

/* Times in the order of struct phases, with the name of each. */
#define N_PHASES 6
extern const char *const phase_names[N_PHASES];
uint64_t phases_get(const struct phases *phases, size_t which);
/* Two members, "ms" and "phases". */
struct json;
void phases_print_json(const struct phases *phases, struct json *json);

/* An errno as a lower-case phrase, and a hint; NULL when there is none. */
const char *errno_phrase(int error);
const char *errno_advice(int error);

/* Escape sequences for a stream; "" where NO_COLOR is set or the stream is no terminal. */
const char *colour_bad(FILE *stream);
const char *colour_good(FILE *stream);
const char *colour_dim(FILE *stream);
const char *colour_off(FILE *stream);
