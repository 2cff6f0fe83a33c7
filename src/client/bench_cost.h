/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The processor time that processes of this machine spend under a load: each of --pid with all that descend from
 * it, since a server has workers. */

#include <stddef.h>
#include <sys/types.h>

#define BENCH_PROCESSES 8

struct why;

struct costs {
	size_t n;
	struct cost {
		pid_t pid;
		double begun, seconds; /* of processor time: until the mark, and since then */
	} each[BENCH_PROCESSES];
};

/* Reads "PID,PID..."; NULL is none. CLIENT_E_USAGE and why, also when a process is not there. */
int costs_init(struct costs *costs, const char *list, struct why *why);
/* The measured time begins here. */
void costs_mark(struct costs *costs);
/* And ends here. */
void costs_read(struct costs *costs);
