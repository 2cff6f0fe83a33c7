/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A view of the children of a generation, for status and metrics. All of it is read from
 * pages that they write: a child that was taken over can lie about itself, and about nothing else. */

#include "generation/generation.h"

struct child_view {
	enum role role;
	unsigned index;
	int pid;
	bool is_up;
	uint64_t open; /* connections; of a worker */
	uint64_t cpu_us, uptime_ms;
	uint64_t heartbeat_ms; /* since the last one was seen */
	unsigned layers;       /* of the sandbox, as bits */
};

/* The child at that place, of those that run or are to be replaced; false behind the last. */
bool generation_view(
	const struct generation *generation, unsigned place, struct child_view *ret_view);
/* The certificates that are in use, as the first worker lists them. */
const struct certificate_entry *generation_certificates(
	const struct generation *generation, size_t *ret_n);
