/* SPDX-License-Identifier: Apache-2.0 */
/* A question that was sent twice may be answered twice. So the one after it is asked from a fresh
 * port, where a late answer cannot arrive; and a datagram that the network doubled is known by
 * being the answer before, when it is not the answer now. A port with a session is dearer, and gives
 * away who is on it: there it is counted how many late answers may come, and what is not the answer
 * now is taken for one of them. If it was not, the question is sent again, and answered again. */

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

static bool is_doubled(const struct asker *asker)
{
	const struct answer *answer = &asker->answer, *before = &asker->before;

	return before->is_right && before->len == answer->len &&
		memcmp(before->text, answer->text, answer->len) == 0;
}

/* Whether what has come answers a question before this one. */
static bool is_late(struct asker *asker, const struct question *question)
{
	if (expect_is(&question->expect, asker->answer.text, asker->answer.len))
		return false;
	if (asker->owed == 0)
		return is_doubled(asker);
	asker->owed--;
	return true;
}

/* LINK_E_AGAIN when the deadline comes first. */
static int await_answer(struct asker *asker, const struct question *question, uint64_t deadline)
{
	struct answer *answer = &asker->answer;
	int r;

	for (;;) {
		r = link_read(&asker->link, answer->text, answer->size, &answer->len);
		if (r == 0 && is_late(asker, question))
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
		if (asker->owed)
			asker->owed--;
}

static bool has_session(const struct asker *asker)
{
	return asker->server->url.transport->has_session;
}

static int open_again(struct asker *asker, struct why *why)
{
	link_close(&asker->link);
	asker->owed = 0;
	asker->is_proven = false;
	return link_open(&asker->link, asker->server, why);
}

static int prepare(struct asker *asker, struct why *why)
{
	unsigned late = asker->tries > 1 ? asker->tries - 1 : 0;

	asker->tries = 0;
	if (asker->link.fd < 0 || (late && !(has_session(asker) && asker->before.is_right)))
		return open_again(asker, why);
	asker->owed += late;
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

static int explain_loss(struct asker *asker, const struct question *question, struct why *why)
{
	size_t longest = asker->server->url.transport->longest;
	const char *plural = asker->tries == 1 ? "try" : "tries";

	if (question->expect.len > longest)
		return why_set(why, CLIENT_E_LOST,
			"no answer; it would have %zu bytes, and a datagram holds at most %zu",
			question->expect.len, longest);
	if (has_session(asker))
		return why_set(why, CLIENT_E_LOST,
			"no answer to %u %s; the datagram or its answer was lost", asker->tries,
			plural);
	return why_set(why, CLIENT_E_LOST,
		"no answer to %u %s; is the server running, and is UDP let through?", asker->tries,
		plural);
}

static int explain(
	struct asker *asker, const struct question *question, int outcome, struct why *why)
{
	link_close(&asker->link);
	switch (outcome) {
	case LINK_E_AGAIN:
		return explain_loss(asker, question, why);
	case LINK_E_TOO_LONG:
		return why_set(why, CLIENT_E_USAGE,
			"the text is longer than a datagram can be: %zu bytes",
			asker->server->url.transport->longest);
	case LINK_E_END:
	case LINK_E_RESET:
		return why_set(why, CLIENT_E_LOST, "the server ended the session unanswered");
	default:
		return outcome;
	}
}

/* A server that was started anew knows nothing of its sessions, and is silent: so the last of several
 * tries brings a new one. */
static int renew(struct asker *asker, struct why *why)
{
	bool is_last = asker->tries && asker->tries == asker->server->options->retries;

	return is_last && asker->is_proven && has_session(asker) ? open_again(asker, why) : 0;
}

/* Whether another link may do better: the next address, or once more the server that hung up. */
static bool is_mendable(const struct asker *asker, int outcome)
{
	return outcome == LINK_E_REFUSED ||
		((outcome == LINK_E_END || outcome == LINK_E_RESET) && !asker->is_again);
}

static int mend(struct asker *asker, int outcome, struct why *why)
{
	asker->tries = 0;
	asker->owed = 0;
	if (outcome == LINK_E_REFUSED)
		return link_advance(&asker->link, why);
	asker->is_again = true;
	return open_again(asker, why);
}

int ask_datagram(struct asker *asker, const struct question *question, struct why *why)
{
	int r, mended;

	r = prepare(asker, why);
	if (r)
		return r;

	do {
		r = renew(asker, why);
		if (r)
			return r;
		r = try_once(asker, question);
		if (!is_mendable(asker, r))
			continue;
		mended = mend(asker, r, why);
		if (mended)
			return mended;
		r = LINK_E_AGAIN;
	} while (r == LINK_E_AGAIN && asker->tries <= asker->server->options->retries);

	asker->is_proven = r == 0;
	return r ? explain(asker, question, r, why) : 0;
}
