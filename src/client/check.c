/* SPDX-License-Identifier: Apache-2.0 */
/* A monitoring plugin: one line, one of four words, performance data after the bar. Its exit codes
 * are those that monitoring systems agree on, not those of the other forms. */

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "client/ask.h"
#include "client/options.h"
#include "client/question.h"
#include "client/report.h"

enum state { STATE_OK, STATE_WARNING, STATE_CRITICAL, STATE_UNKNOWN };

static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

static void print_seconds(uint64_t ms)
{
	if (ms)
		printf("%.3f", (double)ms / 1000);
	putchar(';');
}

/* time=VALUE;WARNING;CRITICAL;MINIMUM, as the plugin guidelines have it. */
static void print_plain(const struct asker *asker, enum state state, const char *text)
{
	const struct options *options = asker->server->options;

	printf("UPPER %s - %s: %s", words[state], asker->server->name, text);
	if (asker->us && asker->answer.len) {
		printf(" | time=%.6fs;", (double)asker->us / 1e6);
		print_seconds(options->warning_ms);
		print_seconds(options->critical_ms);
		putchar('0');
	}
	putchar('\n');
}

static void print_json(const struct asker *asker, enum state state, const char *text)
{
	struct json json = JSON_TO(stdout);

	json_object(&json, NULL);
	json_string(&json, "status", words[state]);
	json_string(&json, "server", asker->server->name);
	json_string(&json, "message", text);
	if (asker->answer.len)
		json_decimal(&json, "ms", (double)asker->us / 1000, 3);
	json_end(&json);
}

static int print_state(const struct asker *asker, enum state state, const char *text)
{
	if (asker->server->options->json)
		print_json(asker, state, text);
	else
		print_plain(asker, state, text);
	return (int)state;
}

static int judge_answer(const struct asker *asker, struct why *why)
{
	const struct options *options = asker->server->options;
	double ms = (double)asker->us / 1000;

	if (!asker->answer.is_right)
		return print_state(
			asker, STATE_CRITICAL, "the answer is not the question in upper case");
	why_set(why, 0, "right answer in %.3f ms", ms);
	if (options->critical_ms && ms > (double)options->critical_ms)
		return print_state(asker, STATE_CRITICAL, why->text);
	if (options->warning_ms && ms > (double)options->warning_ms)
		return print_state(asker, STATE_WARNING, why->text);
	return print_state(asker, STATE_OK, why->text);
}

static int check_server(struct asker *asker, struct why *why)
{
	size_t size = asker->server->options->size;
	_cleanup_free_ uint8_t *question = malloc(size);
	int r;

	if (!question)
		return print_state(asker, STATE_UNKNOWN, "out of memory");
	question_write(question, size, (uint64_t)getpid());
	r = ask(asker, question, size, why);
	if (r < 0)
		return print_state(asker, STATE_UNKNOWN, errno_phrase(-r));
	if (r == CLIENT_E_USAGE)
		return print_state(asker, STATE_UNKNOWN, why->text);
	if (r)
		return print_state(asker, STATE_CRITICAL, why->text);
	return judge_answer(asker, why);
}

int check_run(const struct options *options)
{
	_cleanup_server_ struct server server = {0};
	_cleanup_asker_ struct asker asker;
	struct why why = {0};
	int r;

	r = server_find(options->url, options, &server, &why);
	asker_init(&asker, &server);
	if (r)
		return print_state(&asker, STATE_UNKNOWN, r < 0 ? errno_phrase(-r) : why.text);
	return check_server(&asker, &why);
}

/* Monitoring systems read the standard output of a plugin, and nothing else. */
int check_refuse(const struct options *options, const char *text)
{
	struct json json = JSON_TO(stdout);

	if (options->json) {
		json_object(&json, NULL);
		json_string(&json, "status", words[STATE_UNKNOWN]);
		json_string(&json, "message", text);
		json_end(&json);
	} else {
		printf("UPPER %s - %s\n", words[STATE_UNKNOWN], text);
	}
	return STATE_UNKNOWN;
}
