/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client/ask.h"
#include "client/options.h"

/* No datagram is longer; on a stream, the excess over the expected answer that is still read. */
#define ANSWER_ROOM 65536

void asker_init(struct asker *asker, struct server *server)
{
	*asker = (struct asker){.server = server, .link = LINK_INIT};
}

void asker_done(struct asker *asker)
{
	link_close(&asker->link);
	free(asker->answer.text);
}

static int answer_reserve(struct answer *answer, size_t size)
{
	uint8_t *text;

	if (answer->size >= size)
		return 0;
	text = realloc(answer->text, size);
	if (!text)
		return -ENOMEM;
	answer->text = text;
	answer->size = size;
	return 0;
}

/* Sets the last answer aside, and makes room for the next. */
static int ask_prepare(struct asker *asker, size_t expected_len)
{
	asker->was_right = asker->answer.is_right;
	asker->answer.len = 0;
	asker->answer.is_right = false;
	asker->is_again = false;
	return answer_reserve(&asker->answer, expected_len + ANSWER_ROOM);
}

/* The first wait without a time-out; each try after it waits twice as long. */
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

static int datagram_send(struct asker *asker, const struct question *question, uint64_t deadline)
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

/* FNV-1a. */
static uint64_t hash_of(const struct answer *answer)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < answer->len; i++)
		hash = (hash ^ answer->text[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static bool is_doubled(const struct asker *asker)
{
	uint64_t hash = hash_of(&asker->answer);

	for (size_t i = 0; i < ASK_RECENT && i < asker->n_recent; i++)
		if (asker->recent[i] == hash)
			return true;
	return false;
}

/* Whether the datagram answers an earlier question. */
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
static int datagram_await(struct asker *asker, const struct question *question, uint64_t deadline)
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

/* Datagrams that arrived between two questions answer neither. */
static void datagram_drain(struct asker *asker)
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

static int datagram_prepare(struct asker *asker, struct why *why)
{
	unsigned late = asker->tries > 1 ? asker->tries - 1 : 0;

	asker->tries = 0;
	if (asker->link.fd < 0 || (late && !(has_session(asker) && asker->was_right)))
		return open_again(asker, why);
	asker->owed += late;
	datagram_drain(asker);
	return 0;
}

static int datagram_try(struct asker *asker, const struct question *question)
{
	uint64_t deadline = try_deadline(asker), begun = clock_us();
	int r;

	asker->tries++;
	r = datagram_send(asker, question, deadline);
	if (!r)
		r = datagram_await(asker, question, deadline);
	asker->first_us = asker->last_us = clock_us();
	asker->us = asker->last_us - begun;
	return r;
}

/* upperd takes unchanged text for the sign of a loop between servers, and answers little of it. */
static int datagram_explain_loss(
	struct asker *asker, const struct question *question, struct why *why)
{
	size_t longest = asker->server->url.transport->longest;
	const char *plural = asker->tries == 1 ? "try" : "tries";

	if (expect_is(&question->expect, question->text, question->len) && !has_session(asker))
		return why_set(why, CLIENT_E_LOST,
			"no answer to %u %s; the text is in upper case already, and a server may "
			"take such datagrams for a loop and drop them (limits.unchanged); "
			"tcp:// and tls:// have no such limit",
			asker->tries, plural);
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

static int datagram_explain(
	struct asker *asker, const struct question *question, int outcome, struct why *why)
{
	link_close(&asker->link);
	switch (outcome) {
	case LINK_E_AGAIN:
		return datagram_explain_loss(asker, question, why);
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
static int datagram_renew(struct asker *asker, struct why *why)
{
	bool is_last = asker->tries && asker->tries == asker->server->options->retries;

	return is_last && asker->is_proven && has_session(asker) ? open_again(asker, why) : 0;
}

/* Whether another link may do better: the next address, or once more the server that hung up. */
static bool datagram_may_reopen(const struct asker *asker, int outcome)
{
	return outcome == LINK_E_REFUSED ||
		((outcome == LINK_E_END || outcome == LINK_E_RESET) && !asker->is_again);
}

static int datagram_reopen(struct asker *asker, int outcome, struct why *why)
{
	asker->tries = 0;
	asker->owed = 0;
	if (outcome == LINK_E_REFUSED)
		return link_advance(&asker->link, why);
	asker->is_again = true;
	return open_again(asker, why);
}

static int datagram_ask(struct asker *asker, const struct question *question, struct why *why)
{
	int r, mended;

	r = datagram_prepare(asker, why);
	if (r)
		return r;

	do {
		r = datagram_renew(asker, why);
		if (r)
			return r;
		r = datagram_try(asker, question);
		if (!datagram_may_reopen(asker, r))
			continue;
		mended = datagram_reopen(asker, r, why);
		if (mended)
			return mended;
		r = LINK_E_AGAIN;
	} while (r == LINK_E_AGAIN && asker->tries <= asker->server->options->retries);

	asker->is_proven = r == 0;
	return r ? datagram_explain(asker, question, r, why) : 0;
}

/* How long an answer that is not the expected one may pause. */
#define QUIET_MS 250

/* Beside CLIENT_E_*, which come from waiting. */
enum {
	STREAM_E_MORE = 200, /* the answer is not over */
	STREAM_E_GONE,       /* the connection ended before any answer */
};

struct exchange {
	struct asker *asker;
	const struct question *question;
	size_t sent;
	uint64_t deadline_ms, quiet_ms; /* 0: none */
};

/* Whether the connection that is left from the last question can carry another. */
static bool stream_is_alive(struct asker *asker)
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

static int stream_send_some(struct exchange *exchange)
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

static int stream_receive(struct exchange *exchange)
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
	exchange->asker->last_us = clock_us();
	if (!answer->len)
		exchange->asker->first_us = exchange->asker->last_us;
	answer->len += n;
	exchange->quiet_ms = is_expected_so_far(exchange) ? 0 : clock_ms() + QUIET_MS;
	if (answer->len == answer->size)
		return 0;
	return expect_is(&exchange->question->expect, answer->text, answer->len) ? 0
										 : STREAM_E_MORE;
}

/* Sleeps until the link is ready; CLIENT_E_LOST when time is up. */
static int stream_wait(struct exchange *exchange)
{
	struct link *link = &exchange->asker->link;
	bool is_sending = exchange->sent < exchange->question->len;
	uint64_t until = exchange->quiet_ms ? exchange->quiet_ms : exchange->deadline_ms;

	return link_wait(
		link, (short)(link->read_wants | (is_sending ? link->write_wants : 0)), until);
}

static int stream_run(struct exchange *exchange)
{
	int r;

	for (;;) {
		r = stream_send_some(exchange);
		if (r)
			return r;
		r = stream_receive(exchange);
		if (r != STREAM_E_MORE)
			return r;
		r = stream_wait(exchange);
		if (r == CLIENT_E_LOST && exchange->quiet_ms)
			return 0;
		if (r)
			return r;
	}
}

static int stream_try(struct asker *asker, const struct question *question)
{
	uint64_t timeout_ms = asker->server->options->timeout_ms, begun = clock_us();
	struct exchange exchange = {
		.asker = asker,
		.question = question,
		.deadline_ms = timeout_ms ? clock_ms() + timeout_ms : 0,
	};
	int r;

	asker->tries++;
	r = stream_run(&exchange);
	asker->us = clock_us() - begun;
	return r;
}

static int stream_explain(struct asker *asker, int outcome, struct why *why)
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

static int stream_ask(struct asker *asker, const struct question *question, struct why *why)
{
	bool is_used = asker->tries > 0, is_old = stream_is_alive(asker);
	int r;

	asker->tries = 0;
	if (is_old) {
		r = stream_try(asker, question);
		if (r != STREAM_E_GONE)
			return r ? stream_explain(asker, r, why) : 0;
	}

	link_close(&asker->link);
	asker->is_again = is_used;
	r = link_open(&asker->link, asker->server, why);
	if (r)
		return r;
	r = stream_try(asker, question);
	return r ? stream_explain(asker, r, why) : 0;
}

int ask(struct asker *asker, const void *text, size_t len, struct why *why)
{
	_cleanup_expect_ struct expect expect = {0};
	struct question question = {.text = text, .len = len};
	int r;

	r = expect_upper(&expect, text, len);
	if (r)
		return r;
	question.expect = expect;
	r = ask_prepare(asker, expect.len);
	if (r)
		return r;

	r = asker->server->url.transport->is_datagram ? datagram_ask(asker, &question, why)
						      : stream_ask(asker, &question, why);
	asker->answer.is_right = !r && expect_is(&expect, asker->answer.text, asker->answer.len);
	if (asker->answer.is_right && asker->server->url.transport->is_datagram)
		asker->recent[asker->n_recent++ % ASK_RECENT] = hash_of(&asker->answer);
	return r;
}
