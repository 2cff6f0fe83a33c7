/* SPDX-License-Identifier: Apache-2.0 */

/* "upperctl status": for a person, as tables, and for a program, as JSON. Both show a struct
 * moment and the statistics, and neither changes any of them.
 *
 * The words: connections are *open* now; they were *accepted*, and messages *received* and
 * *answered*, since the start. A table or a line without anything to say is left out, so that a
 * healthy daemon is a short page. The first line is the verdict of stats_judge(), which is also
 * the exit status of --check: text, metrics and the verdict never disagree. */

#include "supervisor/status.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <upper/upper.h>

#include "base/json.h"
#include "base/text.h"
#include "config.h"
#include "priv/policy.h"

#define WHEN 64
#define DAY  86400

static const char *const limits[] = {"limits.connections", "limits.per_client", "limits.handshakes",
	"limits.datagrams", "limits.unchanged"};

#define N_LIMITS (sizeof(limits) / sizeof(limits[0]))

static uint64_t limit_value(const struct conf *conf, size_t limit)
{
	const uint64_t values[N_LIMITS] = {conf->limits.connections, conf->limits.per_client,
		conf->limits.handshakes, conf->limits.datagrams, conf->limits.unchanged};

	return values[limit];
}

/* "3 d 4 h", "12 min", "8 s": two parts at most. */
static const char *duration_text(int64_t seconds, char text[static WHEN])
{
	if (seconds >= DAY)
		snprintf(text, WHEN, "%" PRId64 " d %" PRId64 " h", seconds / DAY,
			seconds % DAY / 3600);
	else if (seconds >= 3600)
		snprintf(text, WHEN, "%" PRId64 " h %" PRId64 " min", seconds / 3600,
			seconds % 3600 / 60);
	else if (seconds >= 60)
		snprintf(text, WHEN, "%" PRId64 " min", seconds / 60);
	else
		snprintf(text, WHEN, "%" PRId64 " s", seconds > 0 ? seconds : 0);
	return text;
}

static const char *date_text(int64_t at, char text[static WHEN])
{
	time_t seconds = at;
	struct tm tm;

	text[0] = '\0';
	if (gmtime_r(&seconds, &tm))
		strftime(text, WHEN, "%Y-%m-%d %H:%M:%S UTC", &tm);
	return text;
}

static const char *ago_text(int64_t at, char text[static 2 * WHEN])
{
	char date[WHEN], ago[WHEN];

	snprintf(text, 2 * WHEN, "%s, %s ago", date_text(at, date),
		duration_text(time(NULL) - at, ago));
	return text;
}

static uint64_t grown(
	const struct sum *sum, const struct listener_counters *before, enum counter which)
{
	uint64_t now = sum->counters.counted[which], then = before ? before->counted[which] : now;

	return now > then ? now - then : 0;
}

static uint64_t open_at(const struct sum *sum)
{
	const uint64_t *c = sum->counters.counted;

	return c[COUNT_connections] > c[COUNT_closed] ? c[COUNT_connections] - c[COUNT_closed] : 0;
}

static void show_daemon(const struct stats *stats, const struct moment *moment, FILE *out)
{
	const struct lasting *lasting = &stats->lasting;
	char text[2 * WHEN];

	fprintf(out, "upperd %s (%s), pid %d, Unicode %s\n", UPPERD_VERSION, UPPERD_BUILD,
		(int)getpid(), upper_unicode_version());
	fprintf(out, "started %s\n", ago_text(lasting->started, text));
	if (lasting->generation > 0)
		fprintf(out, "configuration %" PRIu64 ", by %s %s\n", lasting->generation,
			build_cause_name(lasting->cause), ago_text(lasting->generation_at, text));
	if (moment->draining > 0)
		fprintf(out, "older configurations that drain: %" PRIu64 "\n", moment->draining);
	if (lasting->failed_reloads > 0)
		fprintf(out, "failed reloads since the start: %" PRIu64 " of %" PRIu64 "\n",
			lasting->failed_reloads, lasting->failed_reloads + lasting->reloads);
}

/* Of one processor, on average since it was started. */
static double load_of(const struct child_view *child)
{
	return child->uptime_ms > 0 ? (double)child->cpu_us / 10 / (double)child->uptime_ms : 0;
}

static void show_children(const struct moment *moment, FILE *out)
{
	fprintf(out, "\n%-12s %8s %-8s %6s %8s %10s\n", "process", "pid", "", "load", "open",
		"heartbeat");
	for (size_t i = 0; i < moment->n_children; i++) {
		const struct child_view *child = &moment->children[i];
		char name[WHEN];

		snprintf(name, sizeof(name), "%s %u", role_word(child->role), child->index);
		fprintf(out, "%-12s %8d %-8s %4.1f %% %8" PRIu64 " %6.1f s\n", name, child->pid,
			child->is_up ? "serves" : "missing", load_of(child), child->open,
			(double)child->heartbeat_ms / 1000);
	}
}

static void show_listeners(const struct stats *stats, const struct moment *moment, FILE *out)
{
	fprintf(out, "\n%-20s %6s %9s %9s %9s %12s %12s\n", "listener", "open", "in/s", "out/s",
		"accepted", "received", "answered");
	for (size_t i = 0; i < moment->sums.n; i++) {
		const struct sum *sum = &moment->sums.list[i];
		const struct listener_counters *before = stats_before(stats, sum->name);
		const uint64_t *c = sum->counters.counted;

		fprintf(out,
			"%-20s %6" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %12" PRIu64
			" %12" PRIu64 "\n",
			sum->name, open_at(sum), grown(sum, before, COUNT_messages),
			grown(sum, before, COUNT_replies), c[COUNT_connections], c[COUNT_messages],
			c[COUNT_replies]);
	}
}

static void show_reasons(const struct moment *moment, FILE *out)
{
	bool is_first = true;

	for (size_t i = 0; i < moment->sums.n; i++) {
		const struct sum *sum = &moment->sums.list[i];

		for (int r = 0; r < N_REASONS; r++) {
			if (sum->counters.reasons[r] == 0 || r == REASON_done)
				continue;
			if (is_first)
				fprintf(out, "\nrefused and ended since the start\n");
			is_first = false;
			fprintf(out, "%-20s %9" PRIu64 " %s: %s\n", sum->name,
				sum->counters.reasons[r], reason_name(r), reason_sentence(r));
		}
	}
}

static void show_limits(const struct moment *moment, FILE *out)
{
	const struct conf *conf = moment->conf;
	struct rlimit files = {0};

	getrlimit(RLIMIT_NOFILE, &files);
	fprintf(out, "\nlimit\n%-20s %9" PRIu64 " open of %" PRIu64, "connections",
		moment->open - moment->open_before, moment->open_limit);
	if (moment->open_before > 0)
		fprintf(out, ", and %" PRIu64 " in workers of before the upgrade",
			moment->open_before);
	if (conf->limits.connections == 0)
		fprintf(out, "; from RLIMIT_NOFILE, %llu", (unsigned long long)files.rlim_cur);
	fprintf(out, "\n");
	for (size_t i = 0; i < N_LIMITS; i++)
		fprintf(out, "%-20s %9" PRIu64 " %s\n", limits[i], limit_value(conf, i),
			conf_origin(conf, limits[i]));
	if (conf->limits.dry_run)
		fprintf(out, "%-20s %9s %s\n", "limits.dry_run", "true",
			conf_origin(conf, "limits.dry_run"));
	if (moment->turned_away > 0)
		fprintf(out, "%-20s %9" PRIu64 " (see upperctl clients)\n", "turned away now",
			moment->turned_away);
}

/* A worker wrote it. */
static const char *certificate_name(const struct certificate_entry *c, char name[static 256])
{
	text_escape(c->name, strnlen(c->name, sizeof(c->name)), name, 256);
	return name;
}

static const char *listener_name(const struct moment *moment, uint32_t listener)
{
	const struct conf *conf = moment->conf;

	return conf && listener < conf->n_listeners ? conf->listeners[listener].name : "";
}

static void show_certificates(const struct moment *moment, FILE *out)
{
	int64_t now = time(NULL);

	if (moment->n_certificates > 0)
		fprintf(out, "\ncertificate\n");
	for (size_t i = 0; i < moment->n_certificates; i++) {
		const struct certificate_entry *c = &moment->certificates[i];
		char name[256], date[WHEN];

		fprintf(out, "%-20s %5" PRId64 " days left, until %s: %s\n",
			listener_name(moment, c->listener),
			c->ends > now ? (c->ends - now) / DAY : 0, date_text(c->ends, date),
			certificate_name(c, name));
	}
}

static void show_sandbox(const struct moment *moment, FILE *out)
{
	fprintf(out, "\nsandbox\n");
	for (size_t i = 0; i < moment->n_children; i++) {
		const struct child_view *child = &moment->children[i];
		const struct policy *policy = policy_find(role_word(child->role));
		unsigned missing = policy ? policy->layers & ~child->layers : 0;

		if (child->index > 0 || !child->is_up)
			continue;
		fprintf(out, "%-20s %s", role_word(child->role),
			missing == 0 ? "all layers hold" : "without");
		for (enum layer layer = 0; layer < N_LAYERS; layer++)
			if (missing & 1U << layer)
				fprintf(out, " [%s]", layer_words(layer));
		fprintf(out, "\n");
	}
}

static void show_log(const struct stats *stats, const struct moment *moment, FILE *out)
{
	const struct crash *crash = &stats->lasting.crash;
	const struct log_memory *log = &moment->log;
	char text[2 * WHEN], safe[512];

	if (crash->at > 0) {
		fprintf(out, "\nlast crash: %s %u, ", role_word(crash->role), crash->index);
		if (crash->signal)
			fprintf(out, "SIG%s",
				sigabbrev_np(crash->signal) ? sigabbrev_np(crash->signal) : "?");
		else
			fprintf(out, "exit code %d", crash->exit_code);
		fprintf(out, ", %s\n", ago_text(crash->at, text));
	}
	if (log->n_errors > 0)
		fprintf(out, "\nlast errors\n");
	for (unsigned i = 0; i < log->n_errors; i++) {
		text_escape(log->errors[i].text, strlen(log->errors[i].text), safe, sizeof(safe));
		fprintf(out, "%s  %s\n", date_text(log->errors[i].at, text), safe);
	}
	if (log->lost + moment->sums.common.records_lost > 0)
		fprintf(out, "\nlog records lost since the start: %" PRIu64 "\n",
			log->lost + moment->sums.common.records_lost);
}

/* Eighths of a line, the newest second at the right. */
static void show_plot(const struct stats *stats, const char *name, const uint32_t *values,
	unsigned columns, FILE *out)
{
	static const char *const bars[] = {
		"\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
	unsigned room = columns - 32,
		 n = stats->n_seconds < PLOT_SECONDS ? stats->n_seconds : PLOT_SECONDS;
	uint32_t most = 0;

	n = n < room ? n : room;
	for (unsigned i = 0; i < n; i++) {
		uint32_t value = values[(stats->n_seconds - n + i) % PLOT_SECONDS];

		most = value > most ? value : most;
	}
	fprintf(out, "%-14s ", name);
	for (unsigned i = 0; i < n; i++)
		fputs(bars[(uint64_t)values[(stats->n_seconds - n + i) % PLOT_SECONDS] * 7 /
			      (most > 0 ? most : 1)],
			out);
	fprintf(out, " %" PRIu32 " (most %" PRIu32 ")\n",
		n > 0 ? values[(stats->n_seconds - 1) % PLOT_SECONDS] : 0, most);
}

void status_print(
	const struct stats *stats, const struct moment *moment, unsigned columns, FILE *out)
{
	char trouble[512];

	stats_judge(stats, moment, trouble);
	fprintf(out, trouble[0] ? "not well: %s\n" : "well\n", trouble);
	if (columns >= 40) {
		show_plot(stats, "messages/s", stats->rates, columns, out);
		show_plot(stats, "latency us", stats->latencies, columns, out);
	}
	show_daemon(stats, moment, out);
	show_children(moment, out);
	show_listeners(stats, moment, out);
	show_reasons(moment, out);
	if (moment->conf)
		show_limits(moment, out);
	show_certificates(moment, out);
	show_sandbox(moment, out);
	show_log(stats, moment, out);
}

/* A counter of zero is left out. */
static void json_count(struct json *json, const char *key, uint64_t value)
{
	if (value > 0)
		json_number(json, key, value);
}

/* Empty buckets are left out. */
static void json_timing_of(struct json *json, const struct timing *timing)
{
	json_object(json, "service");
	json_number(json, "count", timing_count(timing));
	json_decimal(json, "p50", timing_quantile(timing, 0.5), 9);
	json_decimal(json, "p99", timing_quantile(timing, 0.99), 9);
	json_list(json, "buckets");
	for (unsigned i = 0; i < TIMING_BUCKETS - 1; i++) {
		if (timing->counts[i] == 0)
			continue;
		json_object(json, NULL);
		json_decimal(json, "end", timing_end(i), 9);
		json_number(json, "count", timing->counts[i]);
		json_end(json);
	}
	json_end(json);
	json_end(json);
}

static void json_listener(struct json *json, const struct stats *stats, const struct sum *sum)
{
	const struct listener_counters *before = stats_before(stats, sum->name);

	json_object(json, NULL);
	json_string(json, "name", sum->name);
	json_count(json, "open", open_at(sum));
	json_count(json, "messages_per_second", grown(sum, before, COUNT_messages));
	json_count(json, "replies_per_second", grown(sum, before, COUNT_replies));
	json_count(json, "bytes_in_per_second", grown(sum, before, COUNT_bytes_in));
	json_count(json, "bytes_out_per_second", grown(sum, before, COUNT_bytes_out));
	for (int i = 0; i < N_COUNTERS; i++)
		json_count(json, counter_name(i), sum->counters.counted[i]);
	if (stats_latency(stats, sum->name) > 0)
		json_decimal(json, "latency", stats_latency(stats, sum->name) / 1e6, 6);
	if (timing_count(&sum->counters.service) > 0)
		json_timing_of(json, &sum->counters.service);
	json_object(json, "reasons");
	for (int i = 0; i < N_REASONS; i++)
		json_count(json, reason_name(i), sum->counters.reasons[i]);
	json_end(json);
	json_end(json);
}

static void json_children(struct json *json, const struct moment *moment)
{
	json_list(json, "processes");
	for (size_t i = 0; i < moment->n_children; i++) {
		const struct child_view *child = &moment->children[i];
		const struct policy *policy = policy_find(role_word(child->role));

		json_object(json, NULL);
		json_string(json, "role", role_word(child->role));
		json_number(json, "index", child->index);
		json_count(json, "pid", (uint64_t)child->pid);
		json_bool(json, "serves", child->is_up);
		json_decimal(json, "load", load_of(child) / 100, 3);
		json_count(json, "open", child->open);
		json_decimal(json, "heartbeat_age", (double)child->heartbeat_ms / 1000, 1);
		json_list(json, "layers_missing");
		for (enum layer layer = 0; policy && child->is_up && layer < N_LAYERS; layer++)
			if (policy->layers & ~child->layers & 1U << layer)
				json_string(json, NULL, layer_words(layer));
		json_end(json);
		json_end(json);
	}
	json_end(json);
}

static void json_certificates(struct json *json, const struct moment *moment)
{
	json_list(json, "certificates");
	for (size_t i = 0; i < moment->n_certificates; i++) {
		const struct certificate_entry *c = &moment->certificates[i];

		json_object(json, NULL);
		json_string(json, "listener", listener_name(moment, c->listener));
		json_bytes(json, "name", c->name, strnlen(c->name, sizeof(c->name)), 256);
		json_number(json, "not_before", (uint64_t)(c->begins > 0 ? c->begins : 0));
		json_number(json, "not_after", (uint64_t)(c->ends > 0 ? c->ends : 0));
		json_end(json);
	}
	json_end(json);
}

static void json_limits(struct json *json, const struct moment *moment)
{
	json_list(json, "limits");
	for (size_t i = 0; moment->conf && i < N_LIMITS; i++) {
		json_object(json, NULL);
		json_string(json, "key", limits[i]);
		json_number(json, "value", limit_value(moment->conf, i));
		json_string(json, "origin", conf_origin(moment->conf, limits[i]));
		json_end(json);
	}
	json_end(json);
}

static void json_log(struct json *json, const struct stats *stats, const struct moment *moment)
{
	const struct crash *crash = &stats->lasting.crash;
	const struct log_memory *log = &moment->log;

	if (crash->at > 0) {
		json_object(json, "last_crash");
		json_number(json, "at", (uint64_t)crash->at);
		json_string(json, "role", role_word(crash->role));
		json_number(json, "index", crash->index);
		json_string(json, "signal", crash->signal ? sigabbrev_np(crash->signal) : NULL);
		json_count(json, "exit_code", crash->signal ? 0 : (uint64_t)crash->exit_code);
		json_end(json);
	}
	json_list(json, "errors");
	for (unsigned i = 0; i < log->n_errors; i++) {
		json_object(json, NULL);
		json_number(json, "at", (uint64_t)log->errors[i].at);
		json_bytes(json, "text", log->errors[i].text, strlen(log->errors[i].text), 1024);
		json_end(json);
	}
	json_end(json);
	json_count(json, "records_lost", log->lost + moment->sums.common.records_lost);
}

static void json_plot(
	struct json *json, const struct stats *stats, const char *key, const uint32_t *values)
{
	unsigned n = stats->n_seconds < PLOT_SECONDS ? stats->n_seconds : PLOT_SECONDS;

	json_list(json, key);
	for (unsigned i = 0; i < n; i++)
		json_number(json, NULL, values[(stats->n_seconds - n + i) % PLOT_SECONDS]);
	json_end(json);
}

static void json_daemon(struct json *json, const struct stats *stats, const struct moment *moment)
{
	const struct lasting *lasting = &stats->lasting;

	json_string(json, "version", UPPERD_VERSION);
	json_string(json, "build", UPPERD_BUILD);
	json_number(json, "pid", (uint64_t)getpid());
	json_number(json, "uptime", moment->uptime);
	json_number(json, "started", (uint64_t)lasting->started);
	json_number(json, "generation", lasting->generation);
	json_string(json, "cause", build_cause_name(lasting->cause));
	json_number(json, "generation_started", (uint64_t)lasting->generation_at);
	json_count(json, "reloads", lasting->reloads);
	json_count(json, "failed_reloads", lasting->failed_reloads);
	json_number(json, "workers", moment->workers);
	json_number(json, "workers_serving", moment->workers_up);
	json_number(json, "connections", moment->open);
	json_number(json, "connections_limit", moment->open_limit);
	json_number(json, "messages_per_second", stats->rate);
	json_count(json, "draining", moment->draining);
	json_count(json, "turned_away", moment->turned_away);
}

void status_print_json(const struct stats *stats, const struct moment *moment, FILE *out)
{
	struct json json = JSON_TO(out);
	char trouble[512];

	stats_judge(stats, moment, trouble);
	json_object(&json, NULL);
	json_bool(&json, "well", trouble[0] == '\0');
	json_string(&json, "trouble", trouble[0] ? trouble : NULL);
	json_daemon(&json, stats, moment);
	json_list(&json, "listeners");
	for (size_t i = 0; i < moment->sums.n; i++)
		json_listener(&json, stats, &moment->sums.list[i]);
	json_end(&json);
	json_children(&json, moment);
	json_certificates(&json, moment);
	json_limits(&json, moment);
	json_log(&json, stats, moment);
	json_plot(&json, stats, "rates", stats->rates);
	json_plot(&json, stats, "latencies", stats->latencies);
	json_end(&json);
}
