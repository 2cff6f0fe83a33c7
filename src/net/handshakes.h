/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The handshakes that a process has in flight, of all its listeners together, TLS and DTLS. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct handshakes {
	uint64_t n, limit;
	struct list queue;                      /* the oldest first */
	const _Atomic(uint64_t) *wait_until_ms; /* none begins before */
};

/* One of them; embedded in its connection. */
struct handshake {
	struct list node;
	uint64_t since_ms;
	uint64_t start;    /* of a stopwatch */
	uint64_t grace_ms; /* it is left alone for so long: an honest peer is done by then */
	void (*evict)(struct handshake *handshake);
};

void handshakes_init(
	struct handshakes *all, uint64_t limit, const _Atomic(uint64_t) *wait_until_ms);
void handshakes_add(struct handshakes *all, struct handshake *handshake);
void handshakes_remove(struct handshakes *all, struct handshake *handshake);
/* Whether one more may begin. When there are as many as may be, the oldest that has had its grace is
 * evicted, whatever its listener. */
bool handshakes_make_room(struct handshakes *all, uint64_t now_ms);
