/* SPDX-License-Identifier: Apache-2.0 */
/* TEXT there, the answer back. On a stream the end of our side ends the question, so that servers
 * which answer lines, pieces or once all answer; nothing is added to what was typed. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "client/ask.h"
#include "client/exchange.h"
#include "client/options.h"
#include "client/relay.h"
#include "client/report.h"

struct shown_reply {
	const uint8_t *text;
	size_t len;
	bool is_right;
	unsigned tries;
	uint64_t first_us, last_us;
};

static int join(const struct options *options, char **ret_text)
{
	size_t size = 1;
	char *text, *at;

	for (size_t i = 0; i < options->n_rest; i++)
		size += strlen(options->rest[i]) + 1;
	text = malloc(size);
	if (!text)
		return -ENOMEM;
	at = text;
	for (size_t i = 0; i < options->n_rest; i++) {
		if (i)
			*at++ = ' ';
		at = stpcpy(at, options->rest[i]);
	}
	*at = '\0';
	*ret_text = text;
	return 0;
}

static void reply_print_json(
	struct server *server, const struct link *link, const struct shown_reply *reply)
{
	struct phases phases = link_phases(link, reply->first_us, reply->last_us);
	struct json json = JSON_TO(stdout);
	struct session_facts facts;
	char address[ADDR_TEXT];

	json_object(&json, NULL);
	json_string(&json, "server", server->name);
	json_string(&json, "address", addr_format(&server->addresses[link->at], address));
	json_bytes(&json, "reply", reply->text, reply->len, SIZE_MAX);
	json_bool(&json, "correct", reply->is_right);
	json_number(&json, "tries", reply->tries);
	phases_print_json(&phases, &json);
	if (link_describe(link, &facts))
		facts_print_json(&facts, &json);
	json_end(&json);
}

static void reply_print_plain(const struct shown_reply *reply)
{
	fwrite(reply->text, 1, reply->len, stdout);
	if (reply->len == 0 || reply->text[reply->len - 1] != '\n')
		putchar('\n');
}

static int print_reply(
	struct server *server, const struct link *link, const struct shown_reply *reply)
{
	if (server->options->json)
		reply_print_json(server, link, reply);
	else
		reply_print_plain(reply);
	return report_flush();
}

/* The answer is printed in any case; the exit code tells a script that it was wrong. The fixed reply of an
 * acknowledging service counts as right. */
static int reply_verdict(const struct shown_reply *reply, bool is_json, struct why *why)
{
	static const char acknowledged[] = "Message received.";
	bool acknowledges = reply->len == strlen(acknowledged) &&
		memcmp(reply->text, acknowledged, reply->len) == 0;

	if (reply->is_right || acknowledges)
		return 0;
	if (is_json) /* which has said so */
		return CLIENT_E_WRONG;
	return why_set(why, CLIENT_E_WRONG, "the answer is not the text in upper case");
}

static int by_datagram(struct server *server, const char *text, struct why *why)
{
	_cleanup_asker_ struct asker asker;
	struct shown_reply reply;
	int r;

	asker_init(&asker, server);
	r = ask(&asker, text, strlen(text), why);
	if (r)
		return r;
	reply = (struct shown_reply){asker.answer.text, asker.answer.len, asker.answer.is_right,
		asker.tries, asker.first_us, asker.last_us};
	r = print_reply(server, &asker.link, &reply);
	return r ? r : reply_verdict(&reply, server->options->json, why);
}

static int answer_stream(struct link *link, const char *text, struct why *why)
{
	struct server *server = link->server;
	_cleanup_expect_ struct expect expect = {0};
	_cleanup_relay_ struct relay relay = {0};
	struct shown_reply reply;
	int r, lost;

	r = expect_upper(&expect, text, strlen(text));
	if (r)
		return r;
	r = relay_init_text(&relay, link, text, strlen(text));
	if (r)
		return r;

	lost = relay_run(&relay, server->options->timeout_ms, why);
	reply = (struct shown_reply){relay.down.data, relay.down.end, .tries = 1,
		.first_us = relay.first_us, .last_us = relay.last_us};
	reply.is_right = expect_is(&expect, reply.text, reply.len);
	if (lost && (server->options->json || reply.len == 0))
		return lost;
	if (reply.len == 0)
		return why_set(why, CLIENT_E_LOST, "the server closed the connection unanswered");
	r = print_reply(server, link, &reply);
	if (lost || r)
		return lost ? lost : r;
	return reply_verdict(&reply, server->options->json, why);
}

static int by_stream(struct server *server, const char *text, struct why *why)
{
	_cleanup_link_ struct link link = LINK_INIT;
	int r;

	r = link_open(&link, server, why);
	if (r)
		return r;
	return answer_stream(&link, text, why);
}

int oneshot_run(struct server *server)
{
	_cleanup_free_ char *text = NULL;
	struct why why = {0};
	int r;

	r = join(server->options, &text);
	if (r)
		return r;
	if (!*text)
		r = why_set(&why, CLIENT_E_USAGE, "the text is empty; there is nothing to send");
	else if (server->url.transport->is_datagram)
		r = by_datagram(server, text, &why);
	else
		r = by_stream(server, text, &why);
	return r ? report_failure(server->options, server->name, r, &why) : 0;
}
