/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips, a question an interval to each server in turn. Every answer is compared with the
 * right one: a server that answers nonsense in no time is not well. */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "client/ask.h"
#include "client/histogram.h"
#include "client/options.h"
#include "client/question.h"
#include "client/report.h"

struct target {
	struct server server;
	struct asker asker;
	struct histogram times; /* of right answers, in microseconds */
	uint64_t sent, answered, wrong;
	int last; /* what became of the last question */
};

struct ping {
	struct options options; /* whose time-out shrinks as the end of the run comes near */
	uint64_t timeout_ms;    /* what it was */
	struct target *targets;
	size_t n_targets;
	uint64_t begun_ms;
};

static volatile sig_atomic_t is_interrupted;

static void interrupt(int signal)
{
	is_interrupted = 1;
}

static void ping_done(struct ping *ping)
{
	for (size_t i = 0; i < ping->n_targets; i++) {
		asker_done(&ping->targets[i].asker);
		server_done(&ping->targets[i].server);
	}
	free(ping->targets);
}

/* All names first: a slip in the last is found before the first is sent anything. */
static int ping_init(struct ping *ping, const struct options *options)
{
	size_t n = options->n_rest + 1;
	int r;

	*ping = (struct ping){
		.options = *options, .timeout_ms = options->timeout_ms, .begun_ms = clock_ms()};
	ping->targets = calloc(n, sizeof(*ping->targets));
	if (!ping->targets)
		return -ENOMEM;
	for (; ping->n_targets < n; ping->n_targets++) {
		const char *url =
			ping->n_targets ? options->rest[ping->n_targets - 1] : options->url;
		struct target *target = &ping->targets[ping->n_targets];
		struct why why = {0};

		r = server_find(url, &ping->options, &target->server, &why);
		if (r)
			return report_failure(options, target->server.name, r, &why);
		asker_init(&target->asker, &target->server);
	}
	return 0;
}

static const char *address_of(const struct target *target, char text[static ADDR_TEXT])
{
	return addr_format(&target->server.addresses[target->asker.link.at], text);
}

static void print_answer_json(const struct target *target)
{
	struct json json = JSON_TO(stdout);
	char address[ADDR_TEXT];

	json_object(&json, NULL);
	json_string(&json, "server", target->server.name);
	json_string(&json, "address", address_of(target, address));
	json_number(&json, "seq", target->sent);
	json_bool(&json, "correct", target->asker.answer.is_right);
	json_decimal(&json, "ms", (double)target->asker.us / 1000, 3);
	json_end(&json);
}

static void print_answer(const struct target *target)
{
	const struct asker *asker = &target->asker;
	bool is_right = asker->answer.is_right;
	char address[ADDR_TEXT];

	if (target->server.options->quiet)
		return;
	if (target->server.options->json) {
		print_answer_json(target);
		return;
	}
	printf("%s%zu bytes from %s: seq=%" PRIu64 " time=%.3f ms%s%s\n",
		is_right ? "" : colour_bad(stdout), asker->answer.len, address_of(target, address),
		target->sent, (double)asker->us / 1000,
		is_right ? "" : " WRONG: not the question in upper case",
		is_right ? "" : colour_off(stdout));
}

static int ping_once(struct target *target, const uint8_t *question, size_t size)
{
	const struct options *options = target->server.options;
	struct why why = {0};
	int r;

	target->sent++;
	r = ask(&target->asker, question, size, &why);
	if (r < 0)
		return r;
	target->last = r;
	if (r == CLIENT_E_USAGE)
		return report_failure(options, target->server.name, r, &why);
	if (r) {
		if (!options->quiet)
			report_failure(options, target->server.name, r, &why);
		return 0;
	}

	target->answered++;
	if (target->asker.answer.is_right)
		histogram_add(&target->times, target->asker.us);
	else
		target->wrong++;
	print_answer(target);
	return report_flush();
}

/* When to stop, by the clock. */
static uint64_t end_of(const struct ping *ping)
{
	return ping->options.deadline_ms ? ping->begun_ms + ping->options.deadline_ms : UINT64_MAX;
}

/* No question outlasts the run. */
static uint64_t patience_ms(const struct ping *ping)
{
	uint64_t end = end_of(ping), now = clock_ms(), left = now < end ? end - now : 1;

	if (end == UINT64_MAX || (ping->timeout_ms && ping->timeout_ms < left))
		return ping->timeout_ms;
	return left;
}

static int ping_round(struct ping *ping, uint64_t number)
{
	size_t size = ping->options.size;
	_cleanup_free_ uint8_t *question = malloc(size);
	int r;

	if (!question)
		return -ENOMEM;
	for (size_t i = 0; i < ping->n_targets && !is_interrupted; i++) {
		if (number > 0 && clock_ms() >= end_of(ping))
			break;
		ping->options.timeout_ms = patience_ms(ping);
		question_write(question, size, number * ping->n_targets + i);
		r = ping_once(&ping->targets[i], question, size);
		if (r)
			return r;
	}
	fflush(stdout);
	return 0;
}

/* False when it is time to stop. */
static bool sleep_until(const struct ping *ping, uint64_t until_ms)
{
	uint64_t now = clock_ms(), end = end_of(ping);
	uint64_t wait = until_ms > now ? until_ms - now : 0;

	if (now + wait >= end)
		wait = end > now ? end - now : 0;
	nanosleep(&(struct timespec){(time_t)(wait / 1000), (long)(wait % 1000) * 1000000}, NULL);
	return !is_interrupted && clock_ms() < end;
}

static void print_summary_json(const struct target *target)
{
	const struct histogram *times = &target->times;
	struct json json = JSON_TO(stdout);

	json_object(&json, NULL);
	json_string(&json, "server", target->server.name);
	json_number(&json, "sent", target->sent);
	json_number(&json, "answered", target->answered);
	json_number(&json, "wrong", target->wrong);
	json_decimal(&json, "min_ms", (double)times->min / 1000, 3);
	json_decimal(&json, "avg_ms", histogram_mean(times) / 1000, 3);
	json_decimal(&json, "max_ms", (double)times->max / 1000, 3);
	json_decimal(&json, "p99_ms", (double)histogram_quantile(times, 0.99) / 1000, 3);
	json_end(&json);
}

static void print_summary(const struct target *target)
{
	const struct histogram *times = &target->times;
	uint64_t lost = target->sent - target->answered;

	if (target->server.options->json) {
		print_summary_json(target);
		return;
	}
	printf("\n--- %s ---\n%" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64
	       " wrong, %.3g%% lost\n",
		target->server.name, target->sent, target->answered, target->wrong,
		target->sent ? 100.0 * (double)lost / (double)target->sent : 0.0);
	if (times->n)
		printf("round trip min/avg/max/p99 = %.3f/%.3f/%.3f/%.3f ms\n",
			(double)times->min / 1000, histogram_mean(times) / 1000,
			(double)times->max / 1000, (double)histogram_quantile(times, 0.99) / 1000);
}

static int verdict(const struct ping *ping)
{
	int verdict = 0;

	for (size_t i = 0; i < ping->n_targets; i++) {
		const struct target *target = &ping->targets[i];

		print_summary(target);
		if (target->wrong)
			verdict = CLIENT_E_WRONG;
		else if (target->answered < target->sent && verdict != CLIENT_E_WRONG)
			verdict = target->answered || !target->last ? CLIENT_E_LOST : target->last;
	}
	return verdict;
}

int ping_run(const struct options *options)
{
	__attribute__((cleanup(ping_done))) struct ping ping = {0};
	/* The second Ctrl-C does not wait for an answer. */
	struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
	uint64_t number = 0;
	int r;

	r = ping_init(&ping, options);
	if (r)
		return r;
	sigaction(SIGINT, &action, NULL);

	do {
		r = ping_round(&ping, number++);
		if (r)
			return r;
		if (options->count && number == options->count)
			break;
	} while (sleep_until(&ping, ping.begun_ms + number * options->interval_ms));
	return verdict(&ping);
}
