/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips to any number of servers side by side, in one thread: each has its own lane and timer, so a
 * silent one delays no other. Every answer is compared with the right one: a server that answers nonsense
 * in no time is not well.
 *
 * A time counts from the moment when a question was due until its answer was whole. So it has the
 * connection and the handshake in it when the question had to wait for them, and the look-up of the name
 * when it is the first. */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "client/histogram.h"
#include "client/lane.h"
#include "client/options.h"
#include "client/report.h"
#include "client/window.h"

#define REMEMBERED      4096 /* questions to each server */
#define FLOOD_MS        10   /* a flood waits for an answer this long */
#define STREAM_QUIET_MS 250  /* how long a part of an answer on a stream may pause */

struct ping;

struct target {
	struct ping *ping;
	struct server server;
	struct lane lane;
	struct window window;
	struct tally tally;
	struct histogram times; /* of right answers in time, in microseconds */
	double jitter;          /* RFC 3550, of the same */
	uint64_t last_us;
	struct timer timer;
	uint64_t next_ms;    /* when to ask next */
	bool has_answered;   /* on this connection */
	unsigned seen_epoch; /* of the lane, when its opening was last shown */
	uint64_t quiet_ms;   /* when a part of an answer is given up; 0: there is none */
	struct part part;    /* of an answer on a stream */
	int last;            /* outcome of the connection */
	bool is_over;
};

struct ping {
	const struct options *options;
	struct lanes lanes;
	struct texts texts;
	uint8_t *question;
	struct target *targets;
	size_t n_targets, n_over;
	struct timer deadline;
	uint64_t end_ms; /* UINT64_MAX: none */
};

static void ping_done(struct ping *ping)
{
	for (size_t i = 0; i < ping->n_targets; i++) {
		struct target *target = &ping->targets[i];

		loop_clear_timer(&target->timer);
		lane_done(&target->lane);
		window_done(&target->window);
		server_done(&target->server);
		free(target->part.room);
	}
	loop_clear_timer(&ping->deadline);
	free(ping->targets);
	free(ping->question);
	texts_done(&ping->texts);
	lanes_done(&ping->lanes);
}

/* An answer that cannot be shown ends the run. */
static void ping_show(struct ping *ping)
{
	if (report_flush())
		loop_stop(&ping->lanes.loop, CLIENT_E_LOCAL);
}

static bool shows_lines(const struct ping *ping)
{
	return !ping->options->quiet && (ping->options->json || !ping->options->flood);
}

static double time_of_day(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_stamp(const struct ping *ping)
{
	if (ping->options->stamps)
		printf("[%.6f] ", time_of_day());
}

/* The members that all objects begin with. */
static void begin_json(
	struct json *json, const struct target *target, const char *type, uint64_t index)
{
	json_object(json, NULL);
	if (target->ping->options->stamps)
		json_decimal(json, "time", time_of_day(), 6);
	json_string(json, "type", type);
	json_string(json, "server", target->server.name);
	if (index != UINT64_MAX)
		json_number(json, "seq", index + 1);
}

static const char *address_of(const struct target *target, char text[static ADDR_TEXT])
{
	const struct server *server = &target->server;
	size_t at = target->lane.link.at;

	return addr_format(&server->addresses[at < server->n_addresses ? at : 0], text);
}

static const struct {
	const char *name, *remark;
} fates[] = {
	[FATE_RIGHT] = {"right", ""},
	[FATE_LATE] = {"late", " LATE: after its time-out"},
	[FATE_DOUBLED] = {"doubled", " DUP"},
	[FATE_CORRUPTED] = {"corrupted", " WRONG: not the question in upper case"},
	[FATE_UNCHANGED] = {"unchanged", " WRONG: the question came back unchanged"},
	[FATE_UNKNOWN] = {"unknown", " WRONG: an answer to no question"},
};

/* The opening of the connection, which an answer was the first to use. */
static struct phases opening_of(const struct target *target, uint64_t index)
{
	struct phases phases = link_phases(&target->lane.link, 0, 0);

	if (index != 0)
		phases.name = 0;
	return phases;
}

static void print_answer_json(
	struct target *target, const struct arrival *arrival, const struct sorted *sorted)
{
	bool is_right = sorted->fate == FATE_RIGHT || sorted->fate == FATE_LATE ||
		sorted->fate == FATE_DOUBLED;
	struct phases opening = opening_of(target, sorted->question);
	struct json json = JSON_TO(stdout);
	char address[ADDR_TEXT];

	begin_json(&json, target, "reply", sorted->question);
	json_string(&json, "address", address_of(target, address));
	json_string(&json, "fate", fates[sorted->fate].name);
	json_bool(&json, "correct", is_right);
	json_bool(&json, "reordered", sorted->is_reordered);
	if (sorted->us)
		json_decimal(&json, "ms", (double)sorted->us / 1000, 3);
	if (arrival->ttl >= 0)
		json_number(&json, "ttl", (uint64_t)arrival->ttl);
	if (arrival->tos >= 0) {
		json_number(&json, "dscp", (uint64_t)arrival->tos >> 2);
		json_number(&json, "ecn", (uint64_t)arrival->tos & 3);
	}
	if (target->seen_epoch != target->lane.epoch) {
		json_decimal(&json, "name_ms", (double)opening.name / 1000, 3);
		json_decimal(&json, "connect_ms", (double)opening.connect / 1000, 3);
		json_decimal(&json, "tls_ms", (double)opening.tls / 1000, 3);
	}
	json_end(&json);
}

static void print_answer_plain(struct target *target, const struct arrival *arrival, size_t len,
	const struct sorted *sorted)
{
	struct phases opening = opening_of(target, sorted->question);
	const char *remark = fates[sorted->fate].remark;
	char address[ADDR_TEXT];

	print_stamp(target->ping);
	printf("%s%zu bytes from %s (%s):", *remark ? colour_bad(stdout) : "", len,
		target->server.name, address_of(target, address));
	if (sorted->question != UINT64_MAX)
		printf(" seq=%" PRIu64, sorted->question + 1);
	if (arrival->ttl >= 0)
		printf(" ttl=%d", arrival->ttl);
	if (arrival->tos > 0)
		printf(" dscp=%d ecn=%d", arrival->tos >> 2, arrival->tos & 3);
	if (sorted->us)
		printf(" time=%.3f ms", (double)sorted->us / 1000);
	printf("%s%s", remark, sorted->is_reordered ? " REORDERED" : "");
	if (target->seen_epoch != target->lane.epoch &&
		(!target->server.url.transport->is_datagram || target->lane.link.session))
		printf(" (name %.3f, connect %.3f, TLS %.3f)", (double)opening.name / 1000,
			(double)opening.connect / 1000, (double)opening.tls / 1000);
	printf("%s\n", *remark ? colour_off(stdout) : "");
}

static void show_answer(struct target *target, const struct arrival *arrival, size_t len,
	const struct sorted *sorted)
{
	struct ping *ping = target->ping;

	if (ping->options->flood && !ping->options->quiet && !ping->options->json) {
		fputs("\b \b", stdout);
		return;
	}
	if (!shows_lines(ping))
		return;
	if (ping->options->json)
		print_answer_json(target, arrival, sorted);
	else
		print_answer_plain(target, arrival, len, sorted);
	target->seen_epoch = target->lane.epoch;
}

static void show_loss(struct target *target, uint64_t index, int outcome, const char *text)
{
	struct json json = JSON_TO(stdout);

	if (!shows_lines(target->ping))
		return;
	if (target->ping->options->json) {
		begin_json(&json, target, outcome ? "loss" : "outstanding", index);
		json_string(&json, "error", text);
		if (outcome)
			json_number(&json, "exit", (uint64_t)outcome);
		json_end(&json);
		return;
	}
	print_stamp(target->ping);
	printf("%s%s: seq=%" PRIu64 " %s%s\n", colour_bad(stdout), target->server.name, index + 1,
		text, colour_off(stdout));
}

/* All is asked, and all is answered or given up. */
static void target_look_for_end(struct target *target)
{
	struct ping *ping = target->ping;
	uint64_t count = ping->options->count;

	if (target->is_over || !count || target->window.next < count || target->window.n_waiting)
		return;
	target->is_over = true;
	loop_clear_timer(&target->timer);
	if (++ping->n_over == ping->n_targets)
		loop_stop(&ping->lanes.loop, 0);
}

static uint64_t timeout_us(const struct target *target)
{
	assert(target->ping);
	return target->ping->options->timeout_ms * 1000;
}

static bool may_ask(const struct target *target)
{
	uint64_t count = target->ping->options->count;

	return !target->is_over && (!count || target->window.next < count) &&
		target->next_ms < target->ping->end_ms && !window_is_full(&target->window);
}

static void target_set_timer(struct target *target)
{
	uint64_t expires_us = window_expires_us(&target->window, timeout_us(target));
	uint64_t at_ms = may_ask(target) ? target->next_ms : UINT64_MAX;

	if (expires_us != UINT64_MAX && expires_us / 1000 + 1 < at_ms)
		at_ms = expires_us / 1000 + 1;
	if (target->quiet_ms && target->quiet_ms < at_ms)
		at_ms = target->quiet_ms;
	if (at_ms == UINT64_MAX)
		loop_clear_timer(&target->timer);
	else
		loop_set_timer(&target->ping->lanes.loop, &target->timer, at_ms);
}

static void target_send(struct target *target, uint64_t index)
{
	struct ping *ping = target->ping;
	size_t len = texts_write(&ping->texts, target->window.base | index, ping->question);

	if (lane_send(&target->lane, ping->question, len) == 0)
		lane_flush(&target->lane);
}

static void report_outstanding(struct target *target)
{
	uint64_t last = target->window.next - 1;

	if (target->window.next && target->ping->options->outstanding &&
		window_waiting(&target->window, last) == last)
		show_loss(target, last, 0, "no answer yet");
}

static void target_ask(struct target *target)
{
	struct ping *ping = target->ping;
	uint64_t now = clock_us(), index = target->window.next;
	uint64_t due = index == 0 ? now - target->server.name_us : now;

	report_outstanding(target);
	window_ask(&target->window, due, now);
	target->next_ms += ping->options->flood ? FLOOD_MS : ping->options->interval_ms;
	if (target->next_ms <= now / 1000)
		target->next_ms = now / 1000 + 1;
	if (ping->options->flood && !ping->options->quiet && !ping->options->json)
		putchar('.');
	if (lane_is_open(&target->lane))
		target_send(target, index);
	else if (target->lane.link.stage == LINK_CLOSED)
		lane_open(&target->lane, &target->server);
}

static void target_expire(struct target *target)
{
	char text[64];
	uint64_t index;

	snprintf(text, sizeof(text), "no answer within %.3g s",
		(double)target->ping->options->timeout_ms / 1000);
	while ((index = window_expire(&target->window, clock_us(), timeout_us(target))) !=
		UINT64_MAX) {
		target->last = CLIENT_E_LOST;
		show_loss(target, index, CLIENT_E_LOST, text);
	}
}

static void target_take(
	struct target *target, const struct arrival *arrival, const uint8_t *data, size_t len)
{
	struct sorted sorted = window_take(&target->window, data, len, arrival->at_us);

	target->has_answered = true;
	target->last = 0;
	if (sorted.fate == FATE_RIGHT) {
		double change = fabs((double)sorted.us - (double)target->last_us);

		if (target->times.n)
			target->jitter += (change - target->jitter) / 16;
		target->last_us = sorted.us;
		histogram_add(&target->times, sorted.us);
	}
	show_answer(target, arrival, len, &sorted);
	if (target->ping->options->flood)
		target->next_ms = 0;
}

static void take_stream(struct target *target, const struct arrival *arrival)
{
	const uint8_t *at = arrival->data, *end = at + arrival->len;
	struct expect answer;

	while (at < end && window_cut(&target->window, &target->part, &at, end, &answer))
		target_take(target, arrival, answer.text, answer.len);
	target->quiet_ms = target->part.len ? clock_ms() + STREAM_QUIET_MS : 0;
}

/* A part that has no rest is an answer, and a wrong one. */
static void drop_part(struct target *target)
{
	struct arrival arrival = {.ttl = -1, .tos = -1, .at_us = clock_us()};
	size_t len = target->part.len;

	target->quiet_ms = 0;
	target->part.len = 0;
	if (len)
		target_take(target, &arrival, target->part.room, len);
}

static void settle(struct target *target)
{
	target_look_for_end(target);
	if (!target->is_over)
		target_set_timer(target);
	ping_show(target->ping);
}

static void target_on_time(struct timer *timer, uint64_t now_ms)
{
	struct target *target = container_of(timer, struct target, timer);

	target_expire(target);
	if (target->quiet_ms && target->quiet_ms <= now_ms)
		drop_part(target);
	if (may_ask(target) && target->next_ms <= now_ms)
		target_ask(target);
	settle(target);
}

static void target_on_open(struct lane *lane)
{
	struct target *target = container_of(lane, struct target, lane);
	uint64_t index = 0;

	target->has_answered = false;
	while ((index = window_waiting(&target->window, index)) != UINT64_MAX && lane_is_open(lane))
		target_send(target, index++);
}

static void target_on_arrival(struct lane *lane, const struct arrival *arrival)
{
	struct target *target = container_of(lane, struct target, lane);

	if (arrival->from && !addr_equal(arrival->from, &target->server.addresses[lane->link.at])) {
		char address[ADDR_TEXT];

		target->tally.strange++;
		if (shows_lines(target->ping) && !target->ping->options->json)
			printf("%s%s: %zu bytes from another address, %s%s\n", colour_bad(stdout),
				target->server.name, arrival->len,
				addr_format(arrival->from, address), colour_off(stdout));
	} else if (target->server.url.transport->is_datagram) {
		target_take(target, arrival, arrival->data, arrival->len);
	} else {
		take_stream(target, arrival);
	}
	settle(target);
}

/* A server that closes after an answer has lost no question that it never saw: those are asked again. */
static void target_on_end(struct lane *lane, int outcome, const struct why *why)
{
	struct target *target = container_of(lane, struct target, lane);
	uint64_t index = 0;
	const char *text = outcome < 0 ? errno_phrase(-outcome) : why->text;

	drop_part(target);
	if (target->window.n_waiting && outcome == CLIENT_E_LOST && target->has_answered) {
		target->has_answered = false;
		lane_open(lane, &target->server);
		return;
	}
	if (outcome == CLIENT_E_UNREACHABLE && target->server.url.transport->is_datagram &&
		lane_advance(lane))
		return;
	if (target->window.n_waiting)
		target->last = outcome < 0 ? CLIENT_E_LOCAL : outcome;
	for (; (index = window_waiting(&target->window, index)) != UINT64_MAX; index++)
		show_loss(target, index, target->last, text);
	window_abandon(&target->window);
	if (target->last == CLIENT_E_USAGE || outcome < 0)
		loop_stop(&target->ping->lanes.loop, target->last);
	settle(target);
}

static double share(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

static double target_quantile_ms(const struct target *target, double quantile)
{
	return (double)histogram_quantile(&target->times, quantile) / 1000;
}

static void print_round_trips(const struct target *target, struct json *json)
{
	const struct histogram *times = &target->times;

	json_decimal(json, "min_ms", (double)times->min / 1000, 3);
	json_decimal(json, "avg_ms", histogram_mean(times) / 1000, 3);
	json_decimal(json, "p50_ms", target_quantile_ms(target, 0.5), 3);
	json_decimal(json, "p90_ms", target_quantile_ms(target, 0.9), 3);
	json_decimal(json, "p99_ms", target_quantile_ms(target, 0.99), 3);
	json_decimal(json, "max_ms", (double)times->max / 1000, 3);
	json_decimal(json, "mdev_ms", histogram_deviation(times) / 1000, 3);
	json_decimal(json, "jitter_ms", target->jitter / 1000, 3);
}

static void print_summary_json(const struct target *target, const struct tally *tally)
{
	struct json json = JSON_TO(stdout);

	begin_json(&json, target, "summary", UINT64_MAX);
	json_number(&json, "sent", tally->sent);
	json_number(&json, "answered", tally->sent - tally_lost(tally));
	json_number(&json, "wrong", tally->corrupted + tally->unchanged);
	json_number(&json, "lost", tally_lost(tally));
	json_number(&json, "late", tally->late);
	json_number(&json, "doubled", tally->doubled);
	json_number(&json, "reordered", tally->reordered);
	json_number(&json, "corrupted", tally->corrupted);
	json_number(&json, "unchanged", tally->unchanged);
	json_number(&json, "unknown", tally->unknown);
	json_number(&json, "wrong_address", tally->strange);
	if (target->times.n)
		print_round_trips(target, &json);
	json_end(&json);
}

static void print_count(uint64_t n, const char *name)
{
	if (n)
		printf(", %" PRIu64 " %s", n, name);
}

static void print_summary(const struct target *target, const struct tally *tally)
{
	const struct histogram *times = &target->times;

	printf("\n--- %s ---\n%" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64
	       " wrong, %.3g%% lost",
		target->server.name, tally->sent, tally->sent - tally_lost(tally),
		tally->corrupted + tally->unchanged, share(tally_lost(tally), tally->sent));
	print_count(tally->late, "late");
	print_count(tally->doubled, "doubled");
	print_count(tally->reordered, "reordered");
	print_count(tally->corrupted, "corrupted");
	print_count(tally->unchanged, "unchanged");
	print_count(tally->unknown, "unknown");
	print_count(tally->strange, "from another address");
	putchar('\n');
	if (times->n)
		printf("round trip min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms, "
		       "p50/p90/p99 = %.3f/%.3f/%.3f ms, jitter %.3f ms\n",
			(double)times->min / 1000, histogram_mean(times) / 1000,
			(double)times->max / 1000, histogram_deviation(times) / 1000,
			target_quantile_ms(target, 0.5), target_quantile_ms(target, 0.9),
			target_quantile_ms(target, 0.99), target->jitter / 1000);
}

/* A question that still has time is neither answered nor lost: it is left out of the account. */
static struct tally account(const struct target *target)
{
	struct tally tally = target->tally;

	if (clock_ms() < target->ping->end_ms)
		tally.sent -= target->window.n_waiting;
	return tally;
}

static void print_summaries(const struct ping *ping)
{
	for (size_t i = 0; i < ping->n_targets; i++) {
		struct tally tally = account(&ping->targets[i]);

		if (ping->options->json)
			print_summary_json(&ping->targets[i], &tally);
		else
			print_summary(&ping->targets[i], &tally);
	}
}

static int ping_verdict(const struct ping *ping)
{
	int verdict = 0;

	for (size_t i = 0; i < ping->n_targets; i++) {
		const struct target *target = &ping->targets[i];
		struct tally tally = account(target);
		uint64_t lost = tally_lost(&tally);

		if (tally.corrupted || tally.unchanged || tally.unknown)
			return CLIENT_E_WRONG;
		if (lost || tally.late)
			verdict = lost < tally.sent || !target->last ? CLIENT_E_LOST : target->last;
	}
	return verdict;
}

static void ping_on_signal(struct lanes *lanes, int signal)
{
	struct ping *ping = container_of(lanes, struct ping, lanes);

	if (signal == SIGQUIT) {
		print_summaries(ping);
		ping_show(ping);
	} else if (signal == SIGINT) {
		loop_stop(&lanes->loop, 0);
	}
}

static void on_deadline(struct timer *timer, uint64_t now_ms)
{
	struct ping *ping = container_of(timer, struct ping, deadline);

	loop_stop(&ping->lanes.loop, 0);
}

static int target_init(struct ping *ping, struct target *target, const struct lookup *lookup)
{
	static const struct lane_owner owner = {.on_open = target_on_open,
		.on_arrival = target_on_arrival,
		.on_end = target_on_end,
		.wants_hops = true};
	int r = lookup->outcome;

	target->ping = ping;
	if (r)
		return report_failure(ping->options, target->server.name, r, &lookup->why);
	target->server.has_any_peer = !target->server.url.transport->has_session;
	target->timer.on_time = target_on_time;
	target->part.room = malloc(ping->texts.longest);
	r = target->part.room ? window_init(&target->window, REMEMBERED, 0) : -ENOMEM;
	if (r)
		return r;
	target->window.texts = &ping->texts;
	target->window.tally = &target->tally;
	target->window.is_ordered = !target->server.url.transport->is_datagram;
	lane_init(&target->lane, &ping->lanes, &owner);
	return 0;
}

/* All names first: a slip in the last is found before the first is sent anything. */
static int ping_init_targets(struct ping *ping, size_t n)
{
	const struct options *options = ping->options;
	_cleanup_free_ struct lookup *lookups = calloc(n, sizeof(*lookups));
	int r = 0;

	if (!lookups)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		lane_init(&ping->targets[i].lane, &ping->lanes, NULL);
		lookups[i].url = i ? options->rest[i - 1] : options->url;
		lookups[i].server = &ping->targets[i].server;
	}
	servers_find(lookups, n, options);
	ping->n_targets = n;
	for (size_t i = 0; !r && i < n; i++)
		r = target_init(ping, &ping->targets[i], &lookups[i]);
	return r;
}

/* Ctrl-C ends the look-up of names as it ends any program: nothing has been counted yet. */
static int ping_init(struct ping *ping, const struct options *options)
{
	size_t n = options->n_rest + 1;
	struct why why = {0};
	int r;

	*ping = (struct ping){.options = options, .lanes = LANES_INIT};
	r = lanes_init(&ping->lanes);
	if (!r)
		r = texts_init(&ping->texts, NULL, options->size, &why);
	if (r)
		return r;
	ping->targets = calloc(n, sizeof(*ping->targets));
	ping->question = malloc(ping->texts.longest);
	if (!ping->targets || !ping->question)
		return -ENOMEM;
	r = ping_init_targets(ping, n);
	return r ? r : lanes_catch_signals(&ping->lanes, ping_on_signal);
}

static void ping_start(struct ping *ping)
{
	uint64_t now = clock_ms(), deadline_ms = ping->options->deadline_ms;

	ping->end_ms = deadline_ms ? now + deadline_ms : UINT64_MAX;
	ping->deadline.on_time = on_deadline;
	if (deadline_ms)
		loop_set_timer(&ping->lanes.loop, &ping->deadline, ping->end_ms);
	for (size_t i = 0; i < ping->n_targets; i++) {
		ping->targets[i].next_ms = now;
		target_set_timer(&ping->targets[i]);
	}
}

int ping_run(const struct options *options)
{
	__attribute__((cleanup(ping_done))) struct ping ping;
	int r;

	r = ping_init(&ping, options);
	if (r)
		return r;
	ping_start(&ping);
	r = loop_run(&ping.lanes.loop);
	if (r)
		return r;
	if (options->flood && !options->quiet && !options->json)
		putchar('\n');
	print_summaries(&ping);
	return ping_verdict(&ping);
}
