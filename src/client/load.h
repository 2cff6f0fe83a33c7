/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many questions at once, on many links, each with some under way; one thread, one loop. */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/histogram.h"
#include "client/transport.h"

/* A link and what is under way on it. Question k of a lane is in slot k modulo the depth, and a
 * lane waits when that slot is taken. */
struct lane {
	struct link link;
	uint64_t *sent_us; /* when the question in each slot went out; 0: the slot is free */
	uint64_t next;     /* the question to send, or being sent */
	size_t n_busy;
	uint8_t *out, *in; /* one question and one answer; on a stream, parts of them */
	size_t out_at, in_at;
	uint64_t out_us;   /* when the first byte of the question being sent went out */
	bool has_answered; /* the link has brought an answer */
};

struct load {
	const struct server *server;
	struct lane *lanes;
	struct pollfd *polls;
	size_t n_lanes, depth, size;
	uint8_t *expected;
	uint64_t limit, sent; /* limit 0: none */
	uint64_t right, wrong, lost;
	struct histogram times; /* of right answers, in microseconds */
};

/* Connects all links, as many and as deep as the server's options say. */
int load_init(struct load *load, const struct server *server, struct why *why);
void load_done(struct load *load);

/* Waits at most `timeout_ms` for something to do, and does it. */
int load_step(struct load *load, int timeout_ms, struct why *why);
bool load_is_over(const struct load *load);

#define _cleanup_load_ __attribute__((cleanup(load_done)))
