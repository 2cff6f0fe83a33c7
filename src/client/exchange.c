/* SPDX-License-Identifier: Apache-2.0 */
/* On a stream nothing ends an answer but its being the right one, or the end of the connection, or, when
 * it is another one, a pause. A lost datagram is sent again on the same socket: an answer to any of the
 * tries is an answer, and its time counts from the first. */

#include "client/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "client/options.h"

#define QUIET_MS 250 /* how long an answer that is not the right one may pause */

void facts_print_json(const struct session_facts *facts, struct json *json)
{
	json_object(json, "tls");
	json_string(json, "version", facts->version);
	json_string(json, "cipher", facts->cipher);
	json_string(json, "group", facts->group);
	json_bool(json, "resumed", facts->is_resumed);
	json_bool(json, "trusted", facts->is_trusted);
	json_string(json, "distrust", *facts->distrust ? facts->distrust : NULL);
	json_number(json, "expires", (uint64_t)facts->expires);
	json_string(json, "names", facts->names);
	json_string(json, "key_sha256", facts->fingerprint);
	json_end(json);
}

static bool exchange_is_datagram(const struct exchange *exchange)
{
	return exchange->server->url.transport->is_datagram;
}

static void finish(struct exchange *exchange, int outcome)
{
	if (exchange->is_done)
		return;
	exchange->is_done = true;
	exchange->outcome = outcome;
	exchange->phases = link_phases(&exchange->lane.link, exchange->first_us, exchange->last_us);
	loop_clear_timer(&exchange->timer);
	lane_close(&exchange->lane);
	exchange->on_done(exchange);
}

static bool matches(const struct exchange *exchange)
{
	const char *answer = (const char *)exchange->answer;
#ifdef REG_STARTEND
	regmatch_t whole = {.rm_so = 0, .rm_eo = (regoff_t)exchange->len};

	return regexec(exchange->inquiry->pattern, answer, 1, &whole, REG_STARTEND) == 0;
#else /* an answer with a NUL in it is looked at up to there */
	_cleanup_free_ char *text = strndup(answer, exchange->len);

	return text && regexec(exchange->inquiry->pattern, text, 0, NULL, 0) == 0;
#endif
}

/* Whether the answer is the right one, as far as it has come. */
static bool is_right(const struct exchange *exchange)
{
	const struct inquiry *inquiry = exchange->inquiry;

	if (inquiry->pattern)
		return matches(exchange);
	if (inquiry->answer.text)
		return expect_is(&inquiry->answer, exchange->answer, exchange->len);
	return exchange->len > 0;
}

static bool is_beginning(const struct exchange *exchange)
{
	const struct expect *right = &exchange->inquiry->answer;

	if (exchange->inquiry->pattern || !right->text)
		return true; /* more may come */
	return exchange->len <= right->len &&
		memcmp(exchange->answer, right->text, exchange->len) == 0;
}

static int say_wrong(struct exchange *exchange)
{
	const struct inquiry *inquiry = exchange->inquiry;
	bool is_unchanged = exchange->len == inquiry->len &&
		memcmp(exchange->answer, inquiry->question, exchange->len) == 0;

	if (inquiry->pattern)
		return why_set(
			&exchange->why, CLIENT_E_WRONG, "the answer does not match the pattern");
	if (is_unchanged)
		return why_set(
			&exchange->why, CLIENT_E_WRONG, "the answer is the question, unchanged");
	return why_set(
		&exchange->why, CLIENT_E_WRONG, "the answer is not the question in upper case");
}

static void finish_answer(struct exchange *exchange)
{
	finish(exchange, is_right(exchange) ? 0 : say_wrong(exchange));
}

static void exchange_set_timer(struct exchange *exchange, uint64_t at_ms)
{
	loop_set_timer(&exchange->lane.lanes->loop, &exchange->timer, at_ms);
}

/* The tries share the time-out, each twice as long as the one before. */
static void set_try(struct exchange *exchange)
{
	uint64_t timeout_ms = exchange->server->options->timeout_ms;
	unsigned tries = exchange_is_datagram(exchange) ? exchange->inquiry->tries : 1;

	exchange->tries++;
	if (timeout_ms)
		exchange_set_timer(exchange,
			clock_ms() + 1 +
				(timeout_ms << (exchange->tries - 1)) /
					((UINT64_C(1) << tries) - 1));
}

static void exchange_send(struct exchange *exchange)
{
	const struct inquiry *inquiry = exchange->inquiry;

	set_try(exchange);
	if (inquiry->len && lane_send(&exchange->lane, inquiry->question, inquiry->len) == 0)
		lane_flush(&exchange->lane);
}

static void exchange_on_open(struct lane *lane)
{
	struct exchange *exchange = container_of(lane, struct exchange, lane);

	exchange->has_facts = link_describe(&lane->link, &exchange->facts);
	exchange_send(exchange);
}

static void exchange_on_arrival(struct lane *lane, const struct arrival *arrival)
{
	struct exchange *exchange = container_of(lane, struct exchange, lane);
	size_t room = exchange->room - exchange->len;
	size_t len = arrival->len < room ? arrival->len : room;

	if (!exchange->first_us)
		exchange->first_us = arrival->at_us;
	exchange->last_us = arrival->at_us;
	exchange->ttl = arrival->ttl;
	exchange->tos = arrival->tos;
	memcpy(exchange->answer + exchange->len, arrival->data, len);
	exchange->len += len;
	if (exchange_is_datagram(exchange) || is_right(exchange) ||
		exchange->len == exchange->room) {
		finish_answer(exchange);
	} else if (!is_beginning(exchange)) {
		exchange->is_quiet = true;
		exchange_set_timer(exchange, clock_ms() + QUIET_MS);
	}
}

static void exchange_on_end(struct lane *lane, int outcome, const struct why *why)
{
	struct exchange *exchange = container_of(lane, struct exchange, lane);

	if (exchange->len > 0) {
		finish_answer(exchange);
		return;
	}
	if (outcome == CLIENT_E_UNREACHABLE && exchange_is_datagram(exchange) && lane_advance(lane))
		return;
	exchange->why = *why;
	finish(exchange, outcome);
}

static int say_lost(struct exchange *exchange)
{
	if (exchange->len)
		return why_set(
			&exchange->why, CLIENT_E_LOST, "only part of the answer came in time");
	if (exchange_is_datagram(exchange))
		return why_set(&exchange->why, CLIENT_E_LOST,
			"no answer to %u %s; is the server running, and is UDP let through?",
			exchange->tries, exchange->tries == 1 ? "try" : "tries");
	return why_set(&exchange->why, CLIENT_E_LOST, "no answer within %.3g s; see --timeout",
		(double)exchange->server->options->timeout_ms / 1000);
}

static void exchange_on_time(struct timer *timer, uint64_t now_ms)
{
	struct exchange *exchange = container_of(timer, struct exchange, timer);

	if (exchange->is_quiet || (exchange->len > 0 && exchange->inquiry->pattern))
		finish_answer(exchange);
	else if (exchange_is_datagram(exchange) && exchange->tries < exchange->inquiry->tries)
		exchange_send(exchange);
	else
		finish(exchange, say_lost(exchange));
}

int exchange_init(struct exchange *exchange, struct lanes *lanes, const struct inquiry *inquiry)
{
	static const struct lane_owner owner = {.on_open = exchange_on_open,
		.on_arrival = exchange_on_arrival,
		.on_end = exchange_on_end,
		.wants_hops = true};

	*exchange = (struct exchange){.inquiry = inquiry, .ttl = -1, .tos = -1};
	exchange->timer.on_time = exchange_on_time;
	/* With one byte more than is right, a longer answer is seen to be wrong. */
	exchange->room =
		inquiry->answer.len < EXCHANGE_ANSWER ? EXCHANGE_ANSWER : inquiry->answer.len + 1;
	exchange->answer = malloc(exchange->room);
	lane_init(&exchange->lane, lanes, &owner);
	return exchange->answer ? 0 : -ENOMEM;
}

void exchange_done(struct exchange *exchange)
{
	loop_clear_timer(&exchange->timer);
	lane_done(&exchange->lane);
	free(exchange->answer);
	exchange->answer = NULL;
}

void exchange_start(struct exchange *exchange, struct server *server)
{
	exchange->server = server;
	lane_open(&exchange->lane, server);
}
