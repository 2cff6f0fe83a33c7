/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Another program in the place of this one: the same process, the same sockets, the same connections. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"
#include "upgrade/handover.h"

/* How a trial ends that went well: no other program ends like this by accident. */
#define TRIAL_PASSED 85

struct upgrade;

struct upgrade_owner {
	/* Writes what the new program is given: on trial, copies of the sockets and nothing that changes. */
	int (*on_describe)(struct upgrade *upgrade, struct handover *handover);
	/* The new program has proved itself; upgrade_become() makes the change. */
	void (*on_passed)(struct upgrade *upgrade);
	/* It has not, or could not be executed. Everything stays as it was. */
	void (*on_failed)(struct upgrade *upgrade, int exit_code, const char *why);
};

struct upgrade {
	struct loop *loop;
	const struct upgrade_owner *owner;
	char *path;        /* owned; of this program, and of the one that is to be */
	char *const *argv; /* borrowed */

	/* The trial, while there is one. */
	struct source ended;
	struct timer limit;
	pid_t pid;             /* 0: there is none */
	int pidfd, stderr_fd;  /* owned */
	bool late;             /* it took too long, and was ended */
	char last_words[2048]; /* what it wrote to stderr */
	size_t len;
};

#define UPGRADE_EMPTY ((struct upgrade){.pidfd = -1, .stderr_fd = -1})

/* Finds the path of this program, whose file need not be the one that runs any more. */
int upgrade_init(struct upgrade *upgrade, struct loop *loop, const struct upgrade_owner *owner,
	char *const argv[]);
void upgrade_done(struct upgrade *upgrade);

bool upgrade_is_trying(const struct upgrade *upgrade);
/* Tries the program at the path, in a child; the owner is told what came of it. */
int upgrade_try(struct upgrade *upgrade);
/* Ends a trial, if there is one; the owner is told nothing. */
void upgrade_abandon(struct upgrade *upgrade);
/* Becomes that program. Returns only when it could not be, and the owner was told. */
void upgrade_become(struct upgrade *upgrade);
