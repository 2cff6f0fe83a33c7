/* SPDX-License-Identifier: Apache-2.0 */
/* A monitoring plugin, after the guidelines of monitoring-plugins.org: one line, one of four words,
 * performance data after the bar. Its exit codes are those that monitoring systems agree on, not those of
 * the other forms. Each question has a connection of its own, so that a time is that of a new client. */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "client/exchange.h"
#include "client/options.h"
#include "client/report.h"
#include "client/soundness.h"

#define DAY_S 86400.0

enum state { STATE_OK, STATE_WARNING, STATE_CRITICAL, STATE_UNKNOWN };

static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

static const char *const soundness_names[] = {"sound", "unsound", "unknown"};

struct plugin {
	const struct options *options;
	struct server server;
	struct lanes lanes;
	struct inquiry inquiry;
	uint8_t *question;
	struct exchange *exchanges;
	size_t n, n_open;
	char url[URL_TEXT]; /* made of --host, --port and --scheme */

	/* The verdict. */
	enum state state;
	struct why why;
	size_t n_answered;
	struct phases mean;           /* of the right answers */
	const struct exchange *shown; /* one of them; or one without */
	struct finding findings[FINDINGS];
	size_t n_findings;
};

static void check_done(struct plugin *check)
{
	for (size_t i = 0; check->exchanges && i < check->n; i++)
		exchange_done(&check->exchanges[i]);
	free(check->exchanges);
	free(check->question);
	expect_done(&check->inquiry.answer);
	lanes_done(&check->lanes);
	server_done(&check->server);
}

static void print_range(const struct range *range, double scale)
{
	if (!range->is_set)
		return;
	fputs(range->is_inverted ? "@" : "", stdout);
	if (isinf(range->start))
		fputs("~:", stdout);
	else if (range->start != 0)
		printf("%.7g:", range->start / scale);
	else if (isinf(range->end))
		fputs("0:", stdout);
	if (!isinf(range->end))
		printf("%.7g", range->end / scale);
}

static size_t count_unsound(const struct plugin *check)
{
	size_t n = 0;

	for (size_t i = 0; i < check->n_findings; i++)
		n += check->findings[i].soundness == IS_UNSOUND;
	return n;
}

/* 'label'=VALUE[UNIT];[WARNING];[CRITICAL];[MINIMUM];[MAXIMUM] */
static void print_performance(const struct plugin *check)
{
	static const struct range none;
	const struct options *options = check->options;
	const struct exchange *shown = check->shown;
	double lost = 100.0 * (double)(check->n - check->n_answered) / (double)check->n;
	const char *sign = " | ";

	for (size_t i = 0; check->n_answered && i < N_PHASES; i++) {
		size_t phase = N_PHASES - 1 - i; /* the whole comes first */
		bool is_limited = strcmp(phase_names[phase], options->phase) == 0;

		printf("%s%s=%.6fs;", sign, i == 0 ? "time" : phase_names[phase],
			(double)phases_get(&check->mean, phase) / 1e6);
		print_range(is_limited ? &options->warning : &none, 1000);
		putchar(';');
		print_range(is_limited ? &options->critical : &none, 1000);
		fputs(";0", stdout);
		sign = " ";
	}
	printf("%sloss=%.4g%%;", sign, lost);
	print_range(&options->loss_warning, 1);
	putchar(';');
	print_range(&options->loss_critical, 1);
	fputs(";0;100", stdout);
	if (check->n_findings)
		printf(" unsound=%zu;0;;0;%zu", count_unsound(check), check->n_findings);
	if (shown->has_facts && shown->facts.expires) {
		printf(" days=%.1f;", ((double)shown->facts.expires - (double)time(NULL)) / DAY_S);
		print_range(&options->days_warning, 1);
		putchar(';');
		print_range(&options->days_critical, 1);
	}
}

static void print_verbose(const struct plugin *check)
{
	const struct exchange *shown = check->shown;
	const struct session_facts *facts = &shown->facts;
	char address[ADDR_TEXT];

	if (shown->lane.link.at < check->server.n_addresses)
		printf("address %s\n",
			addr_format(&check->server.addresses[shown->lane.link.at], address));
	for (size_t i = 0; i < N_PHASES; i++)
		printf("%s %.3f ms\n", phase_names[i], (double)phases_get(&check->mean, i) / 1000);
	for (size_t i = 0; i < check->n_findings; i++)
		printf("%s: %s\n", soundness_names[check->findings[i].soundness],
			check->findings[i].name);
	if (!shown->has_facts)
		return;
	printf("%s, %s, %s, %s session\n", facts->version, facts->cipher,
		*facts->group ? facts->group : "no group", facts->is_resumed ? "resumed" : "new");
	printf("certificate for %s, %s%s\n", *facts->names ? facts->names : "no name",
		facts->is_trusted ? "trusted" : "not trusted: ", facts->distrust);
}

/* "|" begins performance data. */
static void check_print_plain(const struct plugin *check)
{
	char text[sizeof(check->why.text)];

	snprintf(text, sizeof(text), "%s", check->why.text);
	for (char *at = text; *at; at++)
		*at = *at == '|' ? '/' : *at;
	printf("UPPER %s - %s: %s", words[check->state], check->server.name, text);
	if (check->shown)
		print_performance(check);
	putchar('\n');
	if (check->shown && check->options->verbose)
		print_verbose(check);
}

static void check_print_json(const struct plugin *check)
{
	const struct exchange *shown = check->shown;
	struct json json = JSON_TO(stdout);

	json_object(&json, NULL);
	json_string(&json, "status", words[check->state]);
	json_string(&json, "server", check->server.name);
	json_string(&json, "message", check->why.text);
	if (shown) {
		json_number(&json, "asked", check->n);
		json_number(&json, "answered", check->n_answered);
	}
	if (check->n_answered)
		phases_print_json(&check->mean, &json);
	if (check->n_findings)
		json_object(&json, "probes");
	for (size_t i = 0; i < check->n_findings; i++)
		json_string(&json, check->findings[i].name,
			soundness_names[check->findings[i].soundness]);
	if (check->n_findings)
		json_end(&json);
	if (shown && shown->has_facts)
		facts_print_json(&shown->facts, &json);
	json_end(&json);
}

static int conclude(struct plugin *check)
{
	if (check->options->json)
		check_print_json(check);
	else
		check_print_plain(check);
	return (int)check->state;
}

static int conclude_unknown(struct plugin *check, int outcome)
{
	check->state = STATE_UNKNOWN;
	if (outcome < 0)
		why_set(&check->why, 0, "%s", errno_phrase(-outcome));
	return conclude(check);
}

/* The worst fault decides, and of faults that are equally bad the first is shown. */
__attribute__((format(printf, 3, 4))) static void find_fault(
	struct plugin *check, enum state state, const char *format, ...)
{
	va_list list;

	if (state <= check->state)
		return;
	check->state = state;
	va_start(list, format);
	vsnprintf(check->why.text, sizeof(check->why.text), format, list);
	va_end(list);
}

static void judge_range(
	struct plugin *check, const struct range limits[static 2], double value, const char *text)
{
	if (range_alerts(&limits[1], value))
		find_fault(check, STATE_CRITICAL, "%s", text);
	if (range_alerts(&limits[0], value))
		find_fault(check, STATE_WARNING, "%s", text);
}

static void judge_session(struct plugin *check)
{
	const struct options *options = check->options;
	const struct session_facts *facts = &check->shown->facts;
	double days = ((double)facts->expires - (double)time(NULL)) / DAY_S;
	char text[64];

	if (!check->shown->has_facts) {
		if (options->group || options->days_warning.is_set || options->days_critical.is_set)
			find_fault(check, STATE_UNKNOWN,
				"there is no TLS on this transport, and so no certificate or "
				"group");
		return;
	}
	if (strstr(facts->version, "v1.3") == NULL && strcmp(options->min_version, "1.3") == 0)
		find_fault(check, STATE_CRITICAL, "the server speaks %s", facts->version);
	if (options->group && strcasecmp(facts->group, options->group) != 0)
		find_fault(check, STATE_CRITICAL, "keys are exchanged with %s",
			*facts->group ? facts->group : "no group");
	snprintf(text, sizeof(text), "the certificate lasts %.1f days", days);
	judge_range(check, (const struct range[]){options->days_warning, options->days_critical},
		days, text);
}

static void judge_time(struct plugin *check)
{
	const struct options *options = check->options;
	size_t which = 0;
	double ms;

	while (strcmp(phase_names[which], options->phase) != 0)
		which++;
	ms = (double)phases_get(&check->mean, which) / 1000;
	judge_range(check, (const struct range[]){options->warning, options->critical}, ms,
		"right answer, but too slow");
}

static void judge_answers(struct plugin *check)
{
	const struct options *options = check->options;
	double lost = 100.0 * (double)(check->n - check->n_answered) / (double)check->n;
	char text[64];

	for (size_t i = 0; i < check->n; i++) {
		const struct exchange *exchange = &check->exchanges[i];
		int outcome = exchange->outcome;

		if (outcome && (!check->shown || !check->shown->outcome) && !check->n_answered)
			check->shown = exchange;
		if (outcome < 0)
			find_fault(check, STATE_UNKNOWN, "%s", errno_phrase(-outcome));
		else if (outcome == CLIENT_E_USAGE)
			find_fault(check, STATE_UNKNOWN, "%s", exchange->why.text);
		else if (outcome && (outcome != CLIENT_E_LOST || check->n == 1))
			find_fault(check, STATE_CRITICAL, "%s", exchange->why.text);
	}
	snprintf(text, sizeof(text), "%zu of %zu questions were not answered",
		check->n - check->n_answered, check->n);
	judge_range(check, (const struct range[]){options->loss_warning, options->loss_critical},
		lost, text);
}

/* All faults in one sentence. */
static void judge_soundness(struct plugin *check)
{
	char text[400] = "";
	size_t len = 0;

	check->n_findings = soundness_find(&check->server, check->findings);
	for (size_t i = 0; i < check->n_findings && len < sizeof(text); i++)
		if (check->findings[i].soundness == IS_UNSOUND)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
				len ? ", and it " : "the server ", check->findings[i].text);
	if (len)
		find_fault(check, STATE_WARNING, "%s", text);
}

static void judge(struct plugin *check)
{
	const struct phases *mean = &check->mean;

	judge_answers(check);
	if (check->n_answered) {
		judge_session(check);
		judge_time(check);
	}
	if (check->n_answered && check->options->soundness)
		judge_soundness(check);
	if (check->state == STATE_OK)
		why_set(&check->why, 0, "right answer");
	if (check->n_answered && check->state <= STATE_CRITICAL) {
		size_t len = strlen(check->why.text);

		snprintf(check->why.text + len, sizeof(check->why.text) - len,
			"%s in %.3f ms (name %.3f, connect %.3f, TLS %.3f, first byte %.3f, rest "
			"%.3f)",
			check->state == STATE_OK ? "" : "; answer", (double)mean->whole / 1000,
			(double)mean->name / 1000, (double)mean->connect / 1000,
			(double)mean->tls / 1000, (double)mean->first / 1000,
			(double)mean->rest / 1000);
	}
}

static void check_sum_up(struct plugin *check)
{
	struct phases *mean = &check->mean;
	uint64_t n = 0;

	for (size_t i = 0; i < check->n; i++) {
		const struct phases *one = &check->exchanges[i].phases;

		if (check->exchanges[i].outcome)
			continue;
		check->shown = &check->exchanges[i];
		n++;
		mean->name += one->name;
		mean->connect += one->connect;
		mean->tls += one->tls;
		mean->first += one->first;
		mean->rest += one->rest;
		mean->whole += one->whole;
	}
	check->n_answered = n;
	if (n)
		*mean = (struct phases){mean->name / n, mean->connect / n, mean->tls / n,
			mean->first / n, mean->rest / n, mean->whole / n};
}

static void on_done(struct exchange *exchange)
{
	struct loop *loop = &exchange->lane.lanes->loop;
	struct plugin *check = container_of(exchange->lane.lanes, struct plugin, lanes);

	if (--check->n_open == 0)
		loop_stop(loop, 0);
}

static int check_ask(struct plugin *check)
{
	struct texts texts = {0};
	int r;

	r = texts_init(&texts, NULL, check->options->size, &check->why);
	if (r)
		return r;
	check->question = malloc(texts.longest);
	if (check->question)
		check->inquiry.len = texts_write(&texts, (uint64_t)getpid(), check->question);
	texts_done(&texts);
	if (!check->question)
		return -ENOMEM;
	check->inquiry.question = check->question;
	check->inquiry.tries = check->n == 1 ? (unsigned)check->options->retries + 1 : 1;
	r = expect_upper(&check->inquiry.answer, check->question, check->inquiry.len);
	if (r)
		return r;

	check->exchanges = calloc(check->n, sizeof(*check->exchanges));
	if (!check->exchanges)
		return -ENOMEM;
	for (size_t i = 0; i < check->n; i++) {
		r = exchange_init(&check->exchanges[i], &check->lanes, &check->inquiry);
		if (r)
			return r;
		check->exchanges[i].on_done = on_done;
	}
	check->n_open = check->n;
	for (size_t i = 0; i < check->n; i++)
		exchange_start(&check->exchanges[i], &check->server);
	return loop_run(&check->lanes.loop);
}

static const char *url_of(struct plugin *check)
{
	const struct options *options = check->options;
	const char *host = options->host;
	bool has_colon = host && strchr(host, ':');
	int len;

	if (!host)
		return options->url;
	len = snprintf(check->url, sizeof(check->url), "%s://%s%s%s",
		options->scheme ? options->scheme : "udp", has_colon ? "[" : "", host,
		has_colon ? "]" : "");
	if (options->port && len > 0 && (size_t)len < sizeof(check->url))
		snprintf(check->url + len, sizeof(check->url) - (size_t)len, ":%" PRIu64,
			options->port);
	return check->url;
}

int check_run(const struct options *options)
{
	__attribute__((cleanup(check_done))) struct plugin check = {
		.options = options, .n = (size_t)options->count, .lanes = LANES_INIT};
	int r;

	r = server_find(url_of(&check), options, &check.server, &check.why);
	if (!r)
		r = lanes_init(&check.lanes);
	if (!r)
		r = check_ask(&check);
	if (r)
		return conclude_unknown(&check, r);
	check_sum_up(&check);
	judge(&check);
	return conclude(&check);
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
