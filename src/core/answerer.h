/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Frame and service together: what has arrived in, the answers to its whole messages out. */

#include <upper/frame.h>
#include <upper/upper.h>

#include "core/service.h"

struct answerer {
	const struct service *service;
	struct upper_rule rule;
	struct upper_frame frame;
};

enum {
	ANSWERER_E_ROOM = 1, /* `out` is full; call again with an empty one */
	ANSWERER_E_OVER,     /* the one message of a datagram has been answered */
	ANSWERER_E_TOO_LONG, /* a line is longer than max_line */
	ANSWERER_E_INVALID, /* not UTF-8, which the rule rejects; what came before it is answered */
};

/* Answers message after message and advances both spans; 0 when nothing more can be answered.
 * The rest of `in` then waits for its rest, and the next call has it in front of what has arrived
 * since; `seen` says how long it is. `messages` grows by each message whose end was answered. */
int answerer_answer(const struct answerer *answerer, bool last, size_t seen, struct upper_in *in,
	struct upper_out *out, uint64_t *messages);
