/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a run of `upper` ends: 0, one of these, or a negative errno. The numbers are the exit codes
 * of upper(1), and never change. */

enum {
	CLIENT_E_WRONG = 1,   /* an answer that is not the question in upper case */
	CLIENT_E_USAGE,       /* the command line */
	CLIENT_E_NO_NAME,     /* the host has no address */
	CLIENT_E_UNREACHABLE, /* nobody there, or nobody who wants to talk */
	CLIENT_E_LOST,        /* no answer in time, or not all of it */
	CLIENT_E_UNTRUSTED,   /* the server's certificate */
	CLIENT_E_TLS,         /* TLS itself */
	CLIENT_E_LOCAL,       /* our own input or output; any negative errno ends as this */
};

/* The reason for an outcome, in words that name what was tried. Empty: nothing is to be said. */
struct why {
	char text[512];
};

/* Sets the words and returns `outcome`, so that a failure is one statement. */
__attribute__((format(printf, 3, 4))) int why_set(
	struct why *why, int outcome, const char *format, ...);
