/* SPDX-License-Identifier: Apache-2.0 */
/* A question that was sent twice may be answered twice. So the one after it is asked from a fresh
 * port, where a late answer cannot arrive; and a datagram that the network doubled is known by
 * being the answer before, when it is not the answer now. */

#include <string.h>

#include "base/clock.h"
#include "client/ask.h"
#include "client/options.h"

/* What an unlimited wait begins with; each try after it waits twice as long. */
#define FIRST_TRY_MS 1000

/* The tries share the time-out: with three of them, one seventh, two sevenths and four. */
static uint64_t try_deadline(const struct asker *asker)
{
	const struct options *options = asker->server->options;
	uint64_t tries = options->retries + 1;
	unsigned try = asker->tries;

	if (options->timeout_ms)
		return clock_ms() + ((options->timeout_ms << try) / ((1U << tries) - 1)) + 1;
	return try + 1 < tries ? clock_ms() + (FIRST_TRY_MS << try) : 0;
}

static int send_question(struct asker *asker, const struct question *question, uint64_t deadline)
{
	size_t sent;
	int r;

	for (;;) {
		r = link_write(&asker->link, question->text, question->len, &sent);
		if (r != LINK_E_AGAIN)
			return r;
		r = link_wait(&asker->link, asker->link.write_wants, deadline);
		if (r)
			return r < 0 ? r : LINK_E_AGAIN;
	}
}

static bool is_doubled(const struct asker *asker, const struct question *question)
{
	const struct answer *answer = &asker->answer, *before = &asker->before;

	return before->is_right && before->len == answer->len &&
		memcmp(before->text, answer->text, answer->len) == 0 &&
		!expect_is(&question->expect, answer->text, answer->len);
}

/* LINK_E_AGAIN when the deadline comes first. */
static int await_answer(struct asker *asker, const struct question *question, uint64_t deadline)
{
	struct answer *answer = &asker->answer;
	int r;

	for (;;) {
		r = link_read(&asker->link, answer->text, answer->size, &answer->len);
		if (r == 0 && is_doubled(asker, question))
			continue;
		if (r != LINK_E_AGAIN)
			return r;
		r = link_wait(&asker->link, asker->link.read_wants, deadline);
		if (r)
			return r < 0 ? r : LINK_E_AGAIN;
	}
}

/* What came while nothing was asked answers nothing. */
static void drain(struct asker *asker)
{
	struct answer *answer = &asker->answer;

	while (link_read(&asker->link, answer->text, answer->size, &answer->len) == 0)
		;
}

static int prepare(struct asker *asker, struct why *why)
{
	if (asker->tries > 1)
		link_close(&asker->link);
	asker->tries = 0;
	if (asker->link.fd < 0)
		return link_open(&asker->link, asker->server, why);
	drain(asker);
	return 0;
}

static int try_once(struct asker *asker, const struct question *question)
{
	uint64_t deadline = try_deadline(asker), begun = clock_us();
	int r;

	asker->tries++;
	r = send_question(asker, question, deadline);
	if (!r)
		r = await_answer(asker, question, deadline);
	asker->us = clock_us() - begun;
	return r;
}

static int explain(struct asker *asker, int outcome, struct why *why)
{
	unsigned tries = asker->tries;

	link_close(&asker->link);
	if (outcome == LINK_E_TOO_LONG)
		return why_set(why, CLIENT_E_USAGE, "the text is longer than a datagram can be");
	if (outcome < 0)
		return outcome;
	return why_set(why, CLIENT_E_LOST,
		"no answer to %u %s; is the server running, and is UDP let through?", tries,
		tries == 1 ? "try" : "tries");
}

int ask_datagram(struct asker *asker, const struct question *question, struct why *why)
{
	int r;

	r = prepare(asker, why);
	if (r)
		return r;

	do {
		r = try_once(asker, question);
		if (r == LINK_E_REFUSED) {
			r = link_advance(&asker->link, why);
			if (r)
				return r;
			asker->tries = 0;
			r = LINK_E_AGAIN;
		}
	} while (r == LINK_E_AGAIN && asker->tries <= asker->server->options->retries);

	return r ? explain(asker, r, why) : 0;
}
