/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One who sends a message a few bytes at a time, so that it never ends and never falls silent either. A
 * message that has been on its way for longer than the grace must have come at TRICKLE_RATE or faster. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRICKLE_MS   60000 /* the grace, or the idle time-out where that is shorter */
#define TRICKLE_RATE 100   /* bytes a second, over all of the message so far */

struct trickle {
	uint64_t since_ms; /* the unfinished message began to come; 0: there is none */
};

/* To be asked whenever something has come: how much waits for its end now, and whether something that
 * came before was answered. */
static inline bool trickle_is_too_slow(
	struct trickle *trickle, size_t waits, bool answered, uint64_t grace_ms, uint64_t now_ms)
{
	uint64_t took_ms;

	if (waits == 0 || answered || trickle->since_ms == 0) {
		trickle->since_ms = waits > 0 ? now_ms : 0;
		return false;
	}
	took_ms = now_ms - trickle->since_ms;
	return took_ms > grace_ms && waits * 1000 / took_ms < TRICKLE_RATE;
}
