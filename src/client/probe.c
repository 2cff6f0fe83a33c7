/* SPDX-License-Identifier: Apache-2.0 */
/* All servers are asked at once, each over a new connection, and what came of it is printed as OpenMetrics.
 * Names that blackbox_exporter has too mean the same here. */

#include "client/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "client/options.h"
#include "client/report.h"

static const char *const reasons[] = {"none", "wrong_answer", "usage", "no_such_name",
	"unreachable", "no_answer", "untrusted", "tls", "local"};

static const char *failure_reason(int outcome)
{
	return outcome < 0 || outcome > CLIENT_E_LOCAL ? "local" : reasons[outcome];
}

/* Of one digit; -1: it is none. */
static int hex_value(char digit)
{
	const char *digits = "0123456789abcdef";
	const char *at = digit ? strchr(digits, digit | (digit >= 'A' ? 0x20 : 0)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Of two digits; -1: they are none. */
static int hex_byte(const char *digits)
{
	int high = hex_value(digits[0]), low = high < 0 ? -1 : hex_value(digits[1]);

	return low < 0 ? -1 : 16 * high + low;
}

/* \n, \r, \t, \0, \\ and \xNN, in place. Returns the length; -1: there is another escape. */
static ssize_t unescape(char *text)
{
	static const char letters[] = "nrt0\\", values[] = "\n\r\t\0\\";
	char *to = text;

	for (const char *at = text; *at; at++) {
		const char *known;

		if (*at != '\\') {
			*to++ = *at;
			continue;
		}
		known = *++at ? strchr(letters, *at) : NULL;
		if (known) {
			*to++ = values[known - letters];
		} else if (*at == 'x' && hex_byte(at + 1) >= 0) {
			*to++ = (char)hex_byte(at + 1);
			at += 2;
		} else {
			return -1;
		}
	}
	return to - text;
}

/* The numbered question of the other forms, and its right answer. */
static int ask_usual(struct probing *probing, struct why *why)
{
	struct inquiry *inquiry = &probing->inquiry;
	int r;

	r = texts_init(&probing->texts, NULL, probing->options->size, why);
	if (r)
		return r;
	probing->question = malloc(probing->texts.longest);
	if (!probing->question)
		return -ENOMEM;
	inquiry->len = texts_write(&probing->texts, (uint64_t)getpid(), probing->question);
	inquiry->question = probing->question;
	return expect_upper(&inquiry->answer, probing->question, inquiry->len);
}

static int ask_given(struct probing *probing, struct why *why)
{
	const char *text = probing->options->send ? probing->options->send : "";
	char *copy = strdup(text);
	ssize_t len;

	if (!copy)
		return -ENOMEM;
	probing->question = (uint8_t *)copy;
	len = unescape(copy);
	if (len < 0)
		return why_set(why, CLIENT_E_USAGE,
			"--send \"%s\": a backslash goes before n, r, t, 0, xNN or another "
			"backslash",
			text);
	probing->inquiry.question = copy;
	probing->inquiry.len = (size_t)len;
	return 0;
}

int probing_init(struct probing *probing, const struct options *options, struct why *why)
{
	char text[128];
	int r;

	*probing = (struct probing){.options = options};
	probing->inquiry.tries = (unsigned)options->retries + 1;
	if (options->expect) {
		r = regcomp(&probing->pattern, options->expect, REG_EXTENDED | REG_NEWLINE);
		if (r) {
			regerror(r, &probing->pattern, text, sizeof(text));
			return why_set(
				why, CLIENT_E_USAGE, "--expect \"%s\": %s", options->expect, text);
		}
		probing->has_pattern = true;
		probing->inquiry.pattern = &probing->pattern;
	}
	return options->send || options->expect ? ask_given(probing, why) : ask_usual(probing, why);
}

void probing_done(struct probing *probing)
{
	if (probing->has_pattern)
		regfree(&probing->pattern);
	expect_done(&probing->inquiry.answer);
	texts_done(&probing->texts);
	free(probing->question);
}

void probed_done(struct probed *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		exchange_done(&all[i].exchange);
		server_done(&all[i].server);
	}
}

/* How many are under way in one loop. */
struct round {
	struct lanes lanes;
	size_t n_open;
};

static void probe_on_done(struct exchange *exchange)
{
	struct probed *probed = container_of(exchange, struct probed, exchange);
	struct round *round = container_of(exchange->lane.lanes, struct round, lanes);

	probed->outcome = exchange->outcome;
	probed->why = exchange->why;
	if (--round->n_open == 0)
		loop_stop(&round->lanes.loop, 0);
}

static void round_done(struct round *round)
{
	lanes_done(&round->lanes);
}

static int find_all(const struct probing *probing, char *const *urls, struct probed *all, size_t n)
{
	_cleanup_free_ struct lookup *lookups = calloc(n, sizeof(*lookups));

	if (!lookups)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		lookups[i] = (struct lookup){.url = urls[i], .server = &all[i].server};
	servers_find(lookups, n, probing->options);
	for (size_t i = 0; i < n; i++) {
		all[i].outcome = lookups[i].outcome;
		all[i].why = lookups[i].why;
	}
	return 0;
}

int probe_all(const struct probing *probing, char *const *urls, struct probed *all, size_t n)
{
	__attribute__((cleanup(round_done))) struct round round = {
		.lanes = LANES_INIT, .n_open = 1};
	int r;

	r = lanes_init(&round.lanes);
	for (size_t i = 0; !r && i < n; i++) {
		r = exchange_init(&all[i].exchange, &round.lanes, &probing->inquiry);
		all[i].exchange.on_done = probe_on_done;
	}
	if (!r)
		r = find_all(probing, urls, all, n);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (all[i].outcome)
			continue;
		round.n_open++;
		exchange_start(&all[i].exchange, &all[i].server);
	}
	if (--round.n_open > 0)
		r = loop_run(&round.lanes.loop);
	for (size_t i = 0; i < n; i++)
		lane_close(&all[i].exchange.lane);
	return r;
}

/* A label's value, escaped as the format wants it. */
static void print_label(FILE *to, const char *name, const char *value)
{
	fprintf(to, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', to);
		if (*value == '\n')
			fputs("\\n", to);
		else
			fputc(*value, to);
	}
	fputc('"', to);
}

/* One sample for each server; further labels are given as pairs. */
struct metric {
	const char *name, *help;
	/* False: this server has no such value. */
	bool (*value)(const struct probed *probed, double *ret_value);
	void (*labels)(FILE *to, const struct probed *probed); /* NULL: none */
};

static bool value_success(const struct probed *probed, double *ret_value)
{
	*ret_value = probed->outcome == 0;
	return true;
}

static bool value_duration(const struct probed *probed, double *ret_value)
{
	*ret_value = (double)probed->exchange.phases.whole / 1e6;
	return probed->exchange.is_done;
}

static bool value_failure(const struct probed *probed, double *ret_value)
{
	*ret_value = 1;
	return probed->outcome != 0;
}

static bool value_bytes(const struct probed *probed, double *ret_value)
{
	*ret_value = (double)probed->exchange.len;
	return probed->exchange.is_done;
}

static bool value_tries(const struct probed *probed, double *ret_value)
{
	*ret_value = probed->exchange.tries;
	return probed->exchange.is_done;
}

static bool value_ttl(const struct probed *probed, double *ret_value)
{
	*ret_value = probed->exchange.ttl;
	return probed->exchange.is_done && probed->exchange.ttl >= 0;
}

static bool value_tls(const struct probed *probed, double *ret_value)
{
	*ret_value = 1;
	return probed->exchange.has_facts;
}

static bool value_trusted(const struct probed *probed, double *ret_value)
{
	*ret_value = probed->exchange.facts.is_trusted;
	return probed->exchange.has_facts;
}

static bool value_expiry(const struct probed *probed, double *ret_value)
{
	*ret_value = (double)probed->exchange.facts.expires;
	return probed->exchange.has_facts && probed->exchange.facts.expires;
}

static void labels_failure(FILE *to, const struct probed *probed)
{
	print_label(to, "reason", failure_reason(probed->outcome));
	fputc(',', to);
	print_label(to, "text",
		probed->outcome < 0 ? errno_phrase(-probed->outcome) : probed->why.text);
}

static void labels_tls(FILE *to, const struct probed *probed)
{
	const struct session_facts *facts = &probed->exchange.facts;

	print_label(to, "version", facts->version);
	fputc(',', to);
	print_label(to, "cipher", facts->cipher);
	fputc(',', to);
	print_label(to, "group", facts->group);
}

static const struct metric metrics[] = {
	{"probe_success", "Whether the right answer came.", value_success, NULL},
	{"probe_failure_info", "Why it did not.", value_failure, labels_failure},
	{"probe_duration_seconds", "From the name to the whole answer.", value_duration, NULL},
	{"probe_answer_bytes", "Length of the answer.", value_bytes, NULL},
	{"probe_tries", "Datagrams that the question took.", value_tries, NULL},
	{"probe_ip_ttl", "Time to live of the answer as it came.", value_ttl, NULL},
	{"probe_tls_info", "The session.", value_tls, labels_tls},
	{"probe_tls_trusted", "Whether the certificate was verified.", value_trusted, NULL},
	{"probe_ssl_earliest_cert_expiry", "When the chain expires, in seconds since 1970.",
		value_expiry, NULL},
};

#define N_METRICS (sizeof(metrics) / sizeof(*metrics))

static void print_metric_head(FILE *to, const char *name, const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void print_metric(
	FILE *to, const struct metric *metric, const struct probed *all, size_t n, bool has_label)
{
	double value;

	print_metric_head(to, metric->name, metric->help);
	for (size_t i = 0; i < n; i++) {
		if (!metric->value(&all[i], &value))
			continue;
		fputs(metric->name, to);
		if (has_label || metric->labels)
			fputc('{', to);
		if (has_label)
			print_label(to, "target", all[i].server.name);
		if (has_label && metric->labels)
			fputc(',', to);
		if (metric->labels)
			metric->labels(to, &all[i]);
		if (has_label || metric->labels)
			fputc('}', to);
		fprintf(to, " %.15g\n", value);
	}
}

static void print_phases(FILE *to, const struct probed *all, size_t n, bool has_label)
{
	print_metric_head(to, "probe_phase_seconds", "The phases of the duration.");
	for (size_t i = 0; i < n; i++) {
		for (size_t phase = 0; all[i].exchange.is_done && phase < N_PHASES - 1; phase++) {
			fputs("probe_phase_seconds{", to);
			if (has_label) {
				print_label(to, "target", all[i].server.name);
				fputc(',', to);
			}
			print_label(to, "phase", phase_names[phase]);
			fprintf(to, "} %.6f\n",
				(double)phases_get(&all[i].exchange.phases, phase) / 1e6);
		}
	}
}

void probe_print(FILE *to, const struct probed *all, size_t n, bool has_label)
{
	for (size_t i = 0; i < N_METRICS; i++)
		print_metric(to, &metrics[i], all, n, has_label);
	print_phases(to, all, n, has_label);
	fputs("# EOF\n", to);
}

static void probed_print_json(const struct probed *probed)
{
	const struct exchange *exchange = &probed->exchange;
	struct json json = JSON_TO(stdout);

	json_object(&json, NULL);
	json_string(&json, "target", probed->server.name);
	json_bool(&json, "success", probed->outcome == 0);
	if (probed->outcome) {
		json_string(&json, "reason", failure_reason(probed->outcome));
		json_string(&json, "error",
			probed->outcome < 0 ? errno_phrase(-probed->outcome) : probed->why.text);
		json_number(&json, "exit",
			probed->outcome < 0 ? CLIENT_E_LOCAL : (uint64_t)probed->outcome);
	}
	if (exchange->is_done) {
		phases_print_json(&exchange->phases, &json);
		json_bytes(&json, "answer", exchange->answer, exchange->len, SIZE_MAX);
		json_number(&json, "tries", exchange->tries);
	}
	if (exchange->has_facts)
		facts_print_json(&exchange->facts, &json);
	json_end(&json);
}

/* A reader of the file sees the old samples or the new ones, and never a part. */
static int write_textfile(const char *path, const struct probed *all, size_t n, struct why *why)
{
	char other[4096];
	FILE *file;
	bool is_written;
	int fd;

	if (snprintf(other, sizeof(other), "%s.%d", path, (int)getpid()) >= (int)sizeof(other))
		return why_set(why, CLIENT_E_LOCAL, "--textfile: the name is too long");
	fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!file)
		return why_set(why, CLIENT_E_LOCAL, "--textfile %s: %s", other, strerror(errno));
	probe_print(file, all, n, true);
	is_written = fflush(file) == 0 && !ferror(file) && fsync(fd) == 0;
	is_written = fclose(file) == 0 && is_written;
	if (is_written && rename(other, path) == 0)
		return 0;
	why_set(why, 0, "--textfile %s: %s", path, strerror(errno));
	unlink(other);
	return CLIENT_E_LOCAL;
}

static int probe_report(const struct options *options, const struct probed *all, size_t n)
{
	struct why why = {0};
	int r = 0;

	if (options->textfile)
		r = write_textfile(options->textfile, all, n, &why);
	else if (!options->json)
		probe_print(stdout, all, n, true);
	for (size_t i = 0; options->json && i < n; i++)
		probed_print_json(&all[i]);
	if (r)
		return report_failure(options, NULL, r, &why);
	for (size_t i = 0; i < n; i++)
		if (all[i].outcome)
			return all[i].outcome < 0 ? CLIENT_E_LOCAL : all[i].outcome;
	return 0;
}

int probe_once(const struct probing *probing, char *const *urls, size_t n)
{
	struct probed *all = calloc(n, sizeof(*all));
	int r;

	if (!all)
		return -ENOMEM;
	r = probe_all(probing, urls, all, n);
	if (!r)
		r = probe_report(probing->options, all, n);
	probed_done(all, n);
	free(all);
	return r;
}
