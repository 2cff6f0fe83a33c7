/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A new binary in the place of this one: the same process, the same sockets, the same connections. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"

struct supervisor;

/* How a trial ends that went well: no other program ends like this by accident. */
#define TRIAL_PASSED 85

/* The new binary on trial, while there is one. */
struct upgrade {
	struct source ended, stderr_source;
	struct timer limit;
	pid_t pid; /* 0: there is none */
	int pidfd, stderr_fd;
	bool late; /* it took too long, and was ended */
	char words[2048];
	size_t len;
};

/* Begins; the outcome goes to the log and to whoever waits for "upgrade". */
void supervisor_upgrade(struct supervisor *supervisor);
/* Ends a trial, if one is going on. */
void upgrade_abandon(struct supervisor *supervisor);
