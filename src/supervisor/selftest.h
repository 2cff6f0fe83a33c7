/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "upperctl sandbox": a child tries to break the sandbox of every role and answers the client itself.
 * The supervisor starts it, limits its time, and answers in its place when it dies. */

#include "base/list.h"
#include "base/loop.h"
#include "conf/conf.h"
#include "supervisor/control.h"

#define SELFTESTS_MAX 4 /* at once */

struct selftests {
	struct loop *loop;
	struct list list;
	unsigned n;
};

void selftests_init(struct selftests *selftests, struct loop *loop);
/* Ends all that run, and tells their clients `why`. */
void selftests_abandon(struct selftests *selftests, const char *why);

/* Returns CONTROL_TAKEN, or the exit code when it cannot begin, with the reason in the answer. */
int selftests_begin(struct selftests *selftests, const struct conf *conf,
	const struct control_question *question);
