/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The questions of a lane that are under way, and the sorting of answers: right, late, doubled, reordered,
 * corrupted or unchanged. Every question ends in exactly one of `right`, `late`, `corrupted`, `unchanged`
 * and lost; lost are those that are in none of the others. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/question.h"

enum fate {
	FATE_RIGHT,
	FATE_LATE,      /* right, after its time-out */
	FATE_DOUBLED,   /* an answer to a question that was answered before */
	FATE_CORRUPTED, /* some bytes are not the right ones */
	FATE_UNCHANGED, /* the question itself */
	FATE_UNKNOWN,   /* no answer to anything */
};

struct tally {
	uint64_t sent, right, late, corrupted, unchanged; /* questions */
	uint64_t
		overdue; /* questions that waited until their time-out; some may be late instead of lost */
	uint64_t doubled, reordered, unknown, strange; /* answers; strange: from another address */
};

enum asked_state { ASKED_FREE, ASKED_WAITING, ASKED_OVERDUE, ASKED_ANSWERED };

struct asked {
	uint64_t due_us;  /* when it should have been sent; its latency counts from then */
	uint64_t sent_us; /* its time-out counts from then */
	enum asked_state state;
};

struct window {
	const struct texts *texts;
	struct tally *tally;
	struct asked *ring; /* of the last `size` questions; a power of two */
	size_t size;
	uint64_t base;            /* the numbers of other windows differ in its bits */
	uint64_t next, oldest;    /* the next question, and the first that may still be waiting */
	uint64_t newest_answered; /* one more than the newest question that has an answer */
	size_t n_waiting;
	bool is_ordered; /* a stream: answers come in the order of the questions */
};

/* An answer that was sorted. */
struct sorted {
	enum fate fate;
	uint64_t question; /* its index, from 0; UINT64_MAX: none */
	uint64_t us;       /* since it was due */
	bool is_reordered;
};

/* `base` has its low 40 bits free. */
int window_init(struct window *window, size_t size, uint64_t base);
void window_done(struct window *window);

static inline struct asked *asked_at(const struct window *window, uint64_t index)
{
	return &window->ring[index & (window->size - 1)];
}

/* On a stream the answer to an overdue question still comes before all others. */
static inline bool asked_is_open(const struct window *window, const struct asked *asked)
{
	return asked->state == ASKED_WAITING ||
		(window->is_ordered && asked->state == ASKED_OVERDUE);
}

/* No room for another question until some have ended. */
static inline bool window_is_full(const struct window *window)
{
	return asked_is_open(window, asked_at(window, window->next));
}

/* The number of the next question. */
static inline uint64_t window_number(const struct window *window)
{
	return window->base | window->next;
}

/* It is under way. */
static inline void window_ask(struct window *window, uint64_t due_us, uint64_t now_us)
{
	*asked_at(window, window->next++) = (struct asked){due_us, now_us, ASKED_WAITING};
	if (window->oldest + window->size < window->next)
		window->oldest = window->next - window->size;
	window->n_waiting++;
	window->tally->sent++;
}

/* Sorts and counts an answer. */
struct sorted window_take(
	struct window *window, const uint8_t *answer, size_t len, uint64_t now_us);

/* The index of a question that has just become overdue, or UINT64_MAX. */
uint64_t window_expire(struct window *window, uint64_t now_us, uint64_t timeout_us);
/* When the next one becomes overdue; UINT64_MAX: none. */
uint64_t window_expires_us(const struct window *window, uint64_t timeout_us);

/* For streams: the beginning of an answer whose rest has not come yet. */
struct part {
	uint8_t *room; /* texts->longest bytes */
	size_t len;
};

/* The next whole answer in the bytes from `*at` up to `end`, in place or in `part`. False when there is
 * none; all bytes are in `part` then. */
bool window_cut(const struct window *window, struct part *part, const uint8_t **at,
	const uint8_t *end, struct expect *ret_answer);
/* The index of the first question from `index` on that still waits for its answer; UINT64_MAX: none. */
uint64_t window_waiting(const struct window *window, uint64_t index);
/* All questions that wait for an answer will have none. Returns how many. */
size_t window_abandon(struct window *window);

uint64_t tally_lost(const struct tally *tally);
/* For many windows whose tallies add up. */
