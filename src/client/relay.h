/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Copies bytes both ways at once between our own input and output and a stream. A slow end blocks only its
 * own direction. Memory is bounded, however much passes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/link.h"

/* Bytes on their way: from `at` up to `end` they are there. */
struct chunk {
	uint8_t *data;
	size_t size, at, end;
};

struct relay {
	struct link *link;
	int in;  /* -1: all that is to be sent is in `up` */
	int out; /* -1: answers are kept in `down`, which grows */
	struct chunk up, down;
	size_t out_max;   /* the most that a write to `out` takes without waiting */
	bool in_ended;    /* our input is over */
	bool is_finished; /* and the peer knows */
	bool is_deaf;     /* the peer takes no more */
	bool link_ended, is_reset;
	uint64_t sent, received;
	uint64_t first_us, last_us; /* when the first byte and the last one came */
};

/* A relay between descriptors, which stay the caller's. */
int relay_init(struct relay *relay, struct link *link, int in, int out);
/* A relay that sends `text` and keeps the answer. */
int relay_init_text(struct relay *relay, struct link *link, const void *text, size_t len);
void relay_done(struct relay *relay);

/* Runs until the peer has ended and all it said is written. CLIENT_E_LOST when it ended early or
 * does nothing for `timeout_ms`; CLIENT_E_LOCAL, without a message when our output was closed. */
int relay_run(struct relay *relay, uint64_t timeout_ms, struct why *why);

#define _cleanup_relay_ __attribute__((cleanup(relay_done)))
