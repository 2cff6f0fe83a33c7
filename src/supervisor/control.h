/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The control socket, where upperctl asks. Root and the daemon's own user may ask anything; members of the
 * control group, to which the socket's file is open when there is one, may look and change nothing. */

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/loop.h"
#include "conf/fault.h"
#include "process/ctl.h"
#include "sockets/socket_file.h"
#include "upgrade/handover.h"

/* Instead of an exit code. */
enum {
	CONTROL_LATER = -1, /* control_answer() will follow, or control_answer_build() */
	CONTROL_TAKEN = -2, /* another process has a copy of the descriptor, and answers */
};

struct control_question {
	const char *verb;
	const char *argument; /* what follows the verb; empty when nothing does */
	bool json;
	bool may_change; /* of root, or the daemon's own user */
	int fd;          /* the client's */
	int *passed;     /* a descriptor that came along, for the verb to take; or -1 */
	FILE *out;       /* the text of the answer, unless it comes later */
	uint64_t *
		build; /* for CONTROL_LATER: the number of the build that it waits for, if it does */
};

/* Verbs are a table of the owner's, ended by a NULL name. */
struct control_verb {
	const char *name;
	bool changes; /* not for those who may only look */
	/* Returns the exit code, or one of the above. */
	int (*run)(void *userdata, const struct control_question *question);
};

struct control {
	struct loop *loop;
	const struct control_verb *verbs;
	void *userdata;
	struct source source;
	struct pause pause; /* in which it is not listened to */
	struct list clients;
	unsigned n_clients;
	int fd;                  /* owned */
	char path[ADDR_TEXT];    /* as it is bound */
	gid_t group;             /* that may look; -1: there is none */
	struct socket_file file; /* at the path */
};

#define CONTROL_EMPTY ((struct control){.fd = -1, .group = (gid_t)-1})

/* Makes the socket, for its owner and `group` (-1: for its owner alone). A path at which another process listens
 * is -EADDRINUSE. */
int control_open(struct control *control, struct loop *loop, const char *path, gid_t group);
/* Another path or group; clients that wait are answered all the same. Nothing changes when it cannot be had. */
int control_move(struct control *control, const char *path, gid_t group);
void control_done(struct control *control);

/* For the supervisor after an upgrade: the socket, and clients that wait. There, both are taken up again. */
void control_describe(const struct control *control, struct handover *handover);
int control_take(struct control *control, struct loop *loop, char *line);
/* It waits for that build from then on. */
int control_take_client(struct control *control, char *line, uint64_t build);

/* For a verb that changes things by its argument alone: says so, and returns the exit code. */
int control_deny(const struct control_question *question);

/* As text, or as JSON for clients that asked for that: a list of faults, or {"stopped":true}. */
struct control_answer {
	int exit_code;
	const char *text;
	const struct faults *faults; /* NULL: there are none */
	const char *done;            /* "stopped", instead of the faults; NULL: the faults */
};

/* Answers the clients that asked `verb` and wait for no build. */
void control_answer(struct control *control, const char *verb, const struct control_answer *answer);
/* Answers those that wait for the build of this number, or an earlier one. */
void control_answer_build(
	struct control *control, uint64_t number, const struct control_answer *answer);
