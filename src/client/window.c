/* SPDX-License-Identifier: Apache-2.0 */
/* Questions are numbered, so that an answer finds its question in any order. A ring remembers the last
 * ones, also after their end: an answer that comes again is then known for what it is. */

#include "client/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_BITS 40

int window_init(struct window *window, size_t size, uint64_t base)
{
	size_t whole = 16;

	while (whole < size)
		whole *= 2;
	*window = (struct window){.size = whole, .base = base};
	window->ring = calloc(whole, sizeof(*window->ring));
	return window->ring ? 0 : -ENOMEM;
}

void window_done(struct window *window)
{
	free(window->ring);
	window->ring = NULL;
}

/* NULL when the question has never been, or is forgotten. */
static struct asked *asked_find(const struct window *window, uint64_t index)
{
	if (index >= window->next || index + window->size < window->next)
		return NULL;
	return asked_at(window, index);
}

static uint64_t index_of_number(const struct window *window, uint64_t number)
{
	const uint64_t mask = (UINT64_C(1) << INDEX_BITS) - 1;

	return (number & ~mask) == window->base ? number & mask : UINT64_MAX;
}

/* The first question that still waits, or `next`. */
static uint64_t first_waiting(struct window *window)
{
	while (window->oldest < window->next &&
		asked_at(window, window->oldest)->state != ASKED_WAITING)
		window->oldest++;
	return window->oldest;
}

/* The question whose answer a stream brings next, or `next`. */
static uint64_t first_in_order(const struct window *window)
{
	uint64_t index = window->newest_answered;

	while (index < window->next && !asked_is_open(window, asked_at(window, index)))
		index++;
	return index;
}

/* An answer so corrupted that its number is gone belongs to the question whose answer it resembles most. */
static uint64_t index_alike(const struct window *window, const uint8_t *answer, size_t len)
{
	uint64_t best = UINT64_MAX,
		 index = window->next > window->size ? window->next - window->size : 0;
	size_t least = len / 2;

	for (; index < window->next; index++) {
		size_t distance;

		if (asked_at(window, index)->state == ASKED_ANSWERED)
			continue;
		distance = texts_distance(window->texts, window->base | index, answer, len);
		if (distance < least) {
			least = distance;
			best = index;
		}
	}
	return best;
}

static uint64_t *counter_of(struct tally *tally, enum fate fate)
{
	switch (fate) {
	case FATE_RIGHT:
		return &tally->right;
	case FATE_LATE:
		return &tally->late;
	case FATE_DOUBLED:
		return &tally->doubled;
	case FATE_CORRUPTED:
		return &tally->corrupted;
	case FATE_UNCHANGED:
		return &tally->unchanged;
	case FATE_UNKNOWN:
		break;
	}
	return &tally->unknown;
}

static enum fate fate_of(
	const struct window *window, uint64_t number, const uint8_t *answer, size_t len)
{
	if (texts_is_right(window->texts, number, answer, len))
		return FATE_RIGHT;
	return texts_is_unchanged(window->texts, number, answer, len) ? FATE_UNCHANGED
								      : FATE_CORRUPTED;
}

/* For the question that `sorted` names. */
static enum fate sort_known(
	struct window *window, struct sorted *sorted, const uint8_t *answer, size_t len)
{
	uint64_t index = sorted->question;
	struct asked *asked = asked_find(window, index);
	enum fate fate;

	if (!asked || asked->state == ASKED_ANSWERED)
		return FATE_DOUBLED;
	fate = fate_of(window, window->base | index, answer, len);
	if (fate == FATE_RIGHT && asked->state != ASKED_WAITING)
		fate = FATE_LATE;
	if (asked->state == ASKED_WAITING && index + 1 < window->newest_answered) {
		sorted->is_reordered = true;
		window->tally->reordered++;
	}
	if (asked_is_open(window, asked))
		window->n_waiting--;
	asked->state = ASKED_ANSWERED;
	if (index + 1 > window->newest_answered)
		window->newest_answered = index + 1;
	return fate;
}

struct sorted window_take(struct window *window, const uint8_t *answer, size_t len, uint64_t now_us)
{
	uint64_t index = window->is_ordered ? first_in_order(window)
					    : index_of_number(window, question_number(answer, len));
	struct sorted sorted = {FATE_UNKNOWN, .question = UINT64_MAX};

	if (!window->is_ordered && index >= window->next)
		index = index_alike(window, answer, len);
	if (index < window->next) {
		sorted.question = index;
		sorted.fate = sort_known(window, &sorted, answer, len);
	}
	if (sorted.fate != FATE_UNKNOWN && sorted.fate != FATE_DOUBLED)
		sorted.us = now_us - asked_at(window, index)->due_us;
	++*counter_of(window->tally, sorted.fate);
	return sorted;
}

/* Questions become overdue in the order in which they were sent. A stream waits for the answers to those
 * as well, since they come before the others. */
uint64_t window_expire(struct window *window, uint64_t now_us, uint64_t timeout_us)
{
	uint64_t index = first_waiting(window);
	struct asked *asked = asked_at(window, index);

	if (!timeout_us || index == window->next || now_us < asked->sent_us + timeout_us)
		return UINT64_MAX;
	asked->state = ASKED_OVERDUE;
	if (!window->is_ordered)
		window->n_waiting--;
	window->tally->overdue++;
	return index;
}

uint64_t window_expires_us(const struct window *window, uint64_t timeout_us)
{
	for (uint64_t index = window->oldest; timeout_us && index < window->next; index++)
		if (asked_at(window, index)->state == ASKED_WAITING)
			return asked_at(window, index)->sent_us + timeout_us;
	return UINT64_MAX;
}

/* Answers on a stream are told apart by their length. */
static size_t next_len(const struct window *window)
{
	uint64_t index = first_in_order(window);

	return index < window->next ? texts_answer_len(window->texts, window->base | index)
				    : window->texts->longest;
}

bool window_cut(const struct window *window, struct part *part, const uint8_t **at,
	const uint8_t *end, struct expect *ret_answer)
{
	size_t wanted = next_len(window), left = (size_t)(end - *at), len;

	wanted = wanted > part->len ? wanted : part->len + 1;
	len = wanted - part->len;
	if (part->len == 0 && left >= wanted) {
		*ret_answer = (struct expect){(uint8_t *)(uintptr_t)*at, wanted};
		*at += wanted;
		return true;
	}
	len = len < left ? len : left;
	memcpy(part->room + part->len, *at, len);
	part->len += len;
	*at += len;
	if (part->len < wanted)
		return false;
	*ret_answer = (struct expect){part->room, part->len};
	part->len = 0;
	return true;
}

uint64_t window_waiting(const struct window *window, uint64_t index)
{
	if (index < window->oldest)
		index = window->oldest;
	while (index < window->next && asked_at(window, index)->state != ASKED_WAITING)
		index++;
	return index < window->next ? index : UINT64_MAX;
}

size_t window_abandon(struct window *window)
{
	size_t n = window->n_waiting;

	for (uint64_t index = window->is_ordered ? window->newest_answered : window->oldest;
		index < window->next; index++)
		if (asked_is_open(window, asked_at(window, index)))
			asked_at(window, index)->state = ASKED_FREE;
	window->n_waiting = 0;
	window->oldest = window->next;
	return n;
}

uint64_t tally_lost(const struct tally *tally)
{
	return tally->sent - tally->right - tally->late - tally->corrupted - tally->unchanged;
}
