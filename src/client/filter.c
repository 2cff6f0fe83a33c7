/* SPDX-License-Identifier: Apache-2.0 */
/* stdin to the server, its answers to stdout, and not a byte more. A stream runs both ways at
 * once; datagrams go one at a time, so that answers come in order and a lost one is sent again. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <upper/upper.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/ask.h"
#include "client/options.h"
#include "client/relay.h"
#include "client/report.h"

static bool is_continuation(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

/* Steps back over the beginning of a character, unless it is too long to be one. */
static size_t before_character(const uint8_t *text, size_t len)
{
	for (size_t back = 0; back <= UPPER_UNFINISHED; back++)
		if (!is_continuation(text[len - back]))
			return len - back;
	return len;
}

size_t filter_cut(const uint8_t *text, size_t len, bool is_end)
{
	size_t most = len < CUT_MAX ? len : CUT_MAX;
	size_t end = most;

	if (len == 0)
		return 0;
	while (end > 0 && text[end - 1] != '\n')
		end--;
	if (end > 0)
		return end;
	if (len > CUT_MAX)
		return before_character(text, CUT_MAX);
	return is_end ? len : 0;
}

struct totals {
	uint64_t sent, received, us;
};

static void print_totals(const struct server *server, const struct totals *totals, int outcome,
	const struct why *why)
{
	const char *text = outcome < 0 ? errno_phrase(-outcome) : why->text;
	struct json json = JSON_TO(stderr);

	json_object(&json, NULL);
	json_string(&json, "server", server->name);
	json_number(&json, "sent", totals->sent);
	json_number(&json, "received", totals->received);
	json_decimal(&json, "seconds", (double)totals->us / 1e6, 3);
	json_string(&json, "error", *text ? text : NULL);
	if (outcome)
		json_number(&json, "exit", outcome < 0 ? CLIENT_E_LOCAL : (uint64_t)outcome);
	json_end(&json);
}

static int filter_stream(struct server *server, struct totals *totals, struct why *why)
{
	_cleanup_link_ struct link link = LINK_INIT;
	_cleanup_relay_ struct relay relay = {0};
	int r;

	r = link_open(&link, server, why);
	if (r)
		return r;
	r = relay_init(&relay, &link, STDIN_FILENO, STDOUT_FILENO);
	if (r)
		return r;
	r = relay_run(&relay, server->options->timeout_ms, why);
	totals->sent = relay.sent;
	totals->received = relay.received;
	return r;
}

/* Another program that shares the descriptor may have set O_NONBLOCK. */
static bool may_try_again(int fd, short wants)
{
	struct pollfd wait = {.fd = fd, .events = wants};

	if (errno == EAGAIN)
		return poll(&wait, 1, -1) > 0 || errno == EINTR;
	return errno == EINTR;
}

static int filter_write(const uint8_t *data, size_t len, struct why *why)
{
	ssize_t n;

	for (; len; data += n, len -= (size_t)n) {
		n = write(STDOUT_FILENO, data, len);
		if (n < 0 && !may_try_again(STDOUT_FILENO, POLLOUT))
			return why_no_output(why, errno);
		if (n < 0)
			n = 0;
	}
	return 0;
}

static int read_some(uint8_t *data, size_t size, size_t *ret_len, struct why *why)
{
	ssize_t n;

	do
		n = read(STDIN_FILENO, data, size);
	while (n < 0 && may_try_again(STDIN_FILENO, POLLIN));
	if (n < 0)
		return why_no_input(why, errno);
	*ret_len = (size_t)n;
	return 0;
}

struct pieces {
	struct asker asker;
	struct totals *totals;
	uint8_t text[16 * CUT_MAX];
	size_t len;
};

/* Asks a question for each datagram's worth of the buffer; an incomplete line stays in it. */
static int ask_pieces(struct pieces *pieces, bool is_end, struct why *why)
{
	const struct answer *answer = &pieces->asker.answer;
	size_t at = 0, len;
	int r;

	while ((len = filter_cut(pieces->text + at, pieces->len - at, is_end)) > 0) {
		r = ask(&pieces->asker, pieces->text + at, len, why);
		if (r)
			return r;
		r = filter_write(answer->text, answer->len, why);
		if (r)
			return r;
		at += len;
		pieces->totals->sent += len;
		pieces->totals->received += answer->len;
	}
	pieces->len -= at;
	memmove(pieces->text, pieces->text + at, pieces->len);
	return 0;
}

static void pieces_done(struct pieces *pieces)
{
	asker_done(&pieces->asker);
}

static int filter_datagrams(struct server *server, struct totals *totals, struct why *why)
{
	__attribute__((cleanup(pieces_done))) struct pieces pieces = {.totals = totals};
	size_t n = 0;
	int r;

	asker_init(&pieces.asker, server);
	do {
		r = read_some(pieces.text + pieces.len, sizeof(pieces.text) - pieces.len, &n, why);
		if (r)
			return r;
		pieces.len += n;
		r = ask_pieces(&pieces, n == 0, why);
		if (r)
			return r;
	} while (n);
	return 0;
}

/* Beside the data, on stderr: stdout is the filter's. */
static int filter_report(const struct server *server, const struct totals *totals, int outcome,
	const struct why *why)
{
	if (!server->options->json) {
		if (*why->text && outcome == CLIENT_E_LOCAL)
			say("%s", why->text);
		else if (*why->text)
			say("%s: %s", server->name, why->text);
		return outcome;
	}
	print_totals(server, totals, outcome, why);
	return outcome < 0 ? CLIENT_E_LOCAL : outcome;
}

int filter_refuse(const struct server *server, int outcome, const struct why *why)
{
	return filter_report(server, &(struct totals){0}, outcome, why);
}

int filter_run(struct server *server)
{
	uint64_t begun = clock_us();
	struct totals totals = {0};
	struct why why = {0};
	int r;

	r = server->url.transport->is_datagram ? filter_datagrams(server, &totals, &why)
					       : filter_stream(server, &totals, &why);
	totals.us = clock_us() - begun;
	return filter_report(server, &totals, r, &why);
}
