/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line of upperctl: one table of verbs and one of options make the parser, the help and the
 * completions. */

#include <stdbool.h>

#include "process/ctl.h"

#define ATTACH "attach"

struct request {
	const char *path;            /* of the control socket */
	const char *verb, *argument; /* NULL: it has none */
	bool json, watch;
	int passed; /* the socket to attach; 0: there is none */
	char text[CONTROL_QUESTION];
};

enum { REQUEST_E_SHOWN = 256 }; /* --help and the like: all is done */

/* 0, REQUEST_E_SHOWN, or the exit code after stderr has been told what is wrong. */
int request_parse(int argc, char *argv[], struct request *ret_request);
/* The text that asks for `verb`, which is too long for a request only with an argument. */
int request_compose(struct request *request, const char *verb, const char *argument);
