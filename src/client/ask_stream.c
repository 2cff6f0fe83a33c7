/* SPDX-License-Identifier: Apache-2.0 */
/* A question on a stream that stays open. Nothing in the protocol ends an answer, so it is over
 * when it is the one expected; or when the server closes; or when it is something else, from
 * another kind of server, and has gone quiet. */

#include <string.h>

#include "base/clock.h"
#include "client/ask.h"
#include "client/options.h"

/* How long an answer that is not the expected one may pause. */
#define QUIET_MS 250

/* Beside CLIENT_E_*, which come from waiting. */
enum {
	STREAM_E_MORE = 100, /* the answer is not over */
	STREAM_E_GONE,       /* the connection ended before any answer */
};

struct exchange {
	struct asker *asker;
	const struct question *question;
	size_t sent;
	uint64_t deadline_ms, quiet_ms; /* 0: none */
};

/* Whether the connection that is left from the last question can carry another. */
static bool is_alive(struct asker *asker)
{
	struct answer *answer = &asker->answer;
	int r;

	if (asker->link.fd < 0)
		return false;
	do
		r = link_read(&asker->link, answer->text, answer->size, &answer->len);
	while (r == 0);
	answer->len = 0;
	return r == LINK_E_AGAIN;
}

static int send_some(struct exchange *exchange)
{
	const struct question *question = exchange->question;
	size_t n = 0;
	int r;

	if (exchange->sent == question->len)
		return 0;
	r = link_write(&exchange->asker->link, (const char *)question->text + exchange->sent,
		question->len - exchange->sent, &n);
	if (r < 0)
		return r;
	/* A peer that takes no more may have answered before it closed: go on and read. */
	exchange->sent = r == LINK_E_RESET ? question->len : exchange->sent + n;
	return 0;
}

static bool is_expected_so_far(const struct exchange *exchange)
{
	const struct expect *expect = &exchange->question->expect;
	const struct answer *answer = &exchange->asker->answer;

	return answer->len <= expect->len && memcmp(answer->text, expect->text, answer->len) == 0;
}

static int receive_some(struct exchange *exchange)
{
	struct answer *answer = &exchange->asker->answer;
	size_t n;
	int r;

	r = link_read(
		&exchange->asker->link, answer->text + answer->len, answer->size - answer->len, &n);
	if (r < 0)
		return r;
	if (r == LINK_E_AGAIN)
		return STREAM_E_MORE;
	if (r) {
		link_close(&exchange->asker->link);
		return answer->len ? 0 : STREAM_E_GONE;
	}
	answer->len += n;
	exchange->quiet_ms = is_expected_so_far(exchange) ? 0 : clock_ms() + QUIET_MS;
	if (answer->len == answer->size)
		return 0;
	return expect_is(&exchange->question->expect, answer->text, answer->len) ? 0
										 : STREAM_E_MORE;
}

/* Sleeps until the link is ready; CLIENT_E_LOST when time is up. */
static int wait_some(struct exchange *exchange)
{
	struct link *link = &exchange->asker->link;
	bool is_sending = exchange->sent < exchange->question->len;
	uint64_t until = exchange->quiet_ms ? exchange->quiet_ms : exchange->deadline_ms;

	return link_wait(
		link, (short)(link->read_wants | (is_sending ? link->write_wants : 0)), until);
}

static int run(struct exchange *exchange)
{
	int r;

	for (;;) {
		r = send_some(exchange);
		if (r)
			return r;
		r = receive_some(exchange);
		if (r != STREAM_E_MORE)
			return r;
		r = wait_some(exchange);
		if (r == CLIENT_E_LOST && exchange->quiet_ms)
			return 0;
		if (r)
			return r;
	}
}

static int exchange_once(struct asker *asker, const struct question *question)
{
	uint64_t timeout_ms = asker->server->options->timeout_ms, begun = clock_us();
	struct exchange exchange = {
		.asker = asker,
		.question = question,
		.deadline_ms = timeout_ms ? clock_ms() + timeout_ms : 0,
	};
	int r;

	asker->tries++;
	r = run(&exchange);
	asker->us = clock_us() - begun;
	return r;
}

static int explain(struct asker *asker, int outcome, struct why *why)
{
	link_close(&asker->link);
	if (outcome == STREAM_E_GONE)
		return why_set(why, CLIENT_E_LOST, "the server closed the connection unanswered");
	if (outcome == CLIENT_E_LOST && asker->answer.len)
		return why_set(why, CLIENT_E_LOST, "only part of the answer came in time");
	if (outcome == CLIENT_E_LOST)
		return why_set(why, CLIENT_E_LOST, "no answer within %.3g s; see --timeout",
			(double)asker->server->options->timeout_ms / 1000);
	return outcome;
}

int ask_stream(struct asker *asker, const struct question *question, struct why *why)
{
	bool is_used = asker->tries > 0, is_old = is_alive(asker);
	int r;

	asker->tries = 0;
	if (is_old) {
		r = exchange_once(asker, question);
		if (r != STREAM_E_GONE)
			return r ? explain(asker, r, why) : 0;
	}

	link_close(&asker->link);
	asker->is_again = is_used;
	r = link_open(&asker->link, asker->server, why);
	if (r)
		return r;
	r = exchange_once(asker, question);
	return r ? explain(asker, r, why) : 0;
}
