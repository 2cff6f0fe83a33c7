/* SPDX-License-Identifier: Apache-2.0 */

/* All metrics, as one table. A row is a metric and the function that collects its samples; the
 * four formats (exposition.c), upperd-metrics(7) and --json are made from it. The counters of
 * listeners are rows that core/counters.h has already, so that a counter which is added there is
 * a metric without a change here.
 *
 * A name is for ever, since dashboards and alerts are built on it. Labels have few values, and
 * none that a peer can make up: a metric by client would let any peer fill the memory of
 * whatever scrapes. */

#include "supervisor/metrics.h"

#include <string.h>
#include <time.h>

#include <upper/upper.h>

#include "base/text.h"
#include "config.h"
#include "priv/policy.h"

struct collection {
	struct exposition *e;
	const struct stats *stats;
	const struct moment *moment;
	unsigned which; /* of several that one function collects */
};

#define LABELS(...) ((const char *const[]){__VA_ARGS__})
#define NO_LABELS   NULL

static void collect_build(const struct collection *c)
{
	sample(c->e, LABELS(UPPERD_VERSION, upper_unicode_version(), UPPERD_BUILD), 1);
}

static void collect_start(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->stats->lasting.started);
}

static void collect_well(const struct collection *c)
{
	char trouble[512];

	stats_judge(c->stats, c->moment, trouble);
	sample(c->e, NO_LABELS, trouble[0] == '\0');
}

static void collect_generation(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->stats->lasting.generation);
}

static void collect_generation_start(const struct collection *c)
{
	sample(c->e, LABELS(build_cause_name(c->stats->lasting.cause)),
		(double)c->stats->lasting.generation_at);
}

static void collect_draining(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->moment->draining);
}

static void collect_reloads(const struct collection *c)
{
	sample(c->e, LABELS("done"), (double)c->stats->lasting.reloads);
	sample(c->e, LABELS("failed"), (double)c->stats->lasting.failed_reloads);
}

static void collect_memory_short(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->stats->lasting.memory_short);
}

static void collect_workers(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->moment->workers);
}

static void collect_workers_serving(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->moment->workers_up);
}

static void collect_replaced(const struct collection *c)
{
	for (enum role role = 0; role < N_ROLES; role++)
		if (role != ROLE_SELFTEST)
			sample(c->e, LABELS(role_word(role)),
				(double)c->stats->lasting.replaced[role]);
}

static void collect_deaths(const struct collection *c)
{
	for (enum role role = 0; role < N_ROLES; role++)
		for (enum death death = 0; role != ROLE_SELFTEST && death < N_DEATHS; death++)
			sample(c->e, LABELS(role_word(role), death_name(death)),
				(double)c->stats->lasting.deaths[role][death]);
}

enum { PROCESS_CPU, PROCESS_HEARTBEAT, PROCESS_OPEN };

static void collect_processes(const struct collection *c)
{
	for (size_t i = 0; i < c->moment->n_children; i++) {
		const struct child_view *child = &c->moment->children[i];
		const uint64_t heartbeat_s = child->heartbeat_ms / 1000;
		const double values[] = {
			[PROCESS_CPU] = (double)child->cpu_us / 1e6,
			[PROCESS_HEARTBEAT] = (double)heartbeat_s,
			[PROCESS_OPEN] = (double)child->open,
		};
		char index[16];

		if (c->which == PROCESS_OPEN && child->role != ROLE_WORKER)
			continue;
		snprintf(index, sizeof(index), "%u", child->index);
		sample(c->e, LABELS(role_word(child->role), index), values[c->which]);
	}
}

static void collect_layers(const struct collection *c)
{
	for (size_t i = 0; i < c->moment->n_children; i++) {
		const struct child_view *child = &c->moment->children[i];
		const struct policy *policy = policy_find(role_word(child->role));

		if (child->index > 0 || !child->is_up || !policy)
			continue;
		for (enum layer layer = 0; layer < N_LAYERS; layer++)
			if (policy->layers & 1U << layer)
				sample(c->e, LABELS(role_word(child->role), layer_words(layer)),
					child->layers >> layer & 1);
	}
}

static void collect_counter(const struct collection *c)
{
	const struct sums *sums = &c->moment->sums;

	for (size_t i = 0; i < sums->n; i++)
		sample(c->e, LABELS(sums->list[i].name),
			(double)sums->list[i].counters.counted[c->which]);
}

/* Of those that the transport can have; a count that is there all the same is never hidden. */
static void collect_reasons(const struct collection *c)
{
	const struct sums *sums = &c->moment->sums;

	for (size_t i = 0; i < sums->n; i++)
		for (int r = 0; r < N_REASONS; r++)
			if (reason_is_of(r, sums->list[i].transport) ||
				sums->list[i].counters.reasons[r] > 0)
				sample(c->e, LABELS(sums->list[i].name, reason_name(r)),
					(double)sums->list[i].counters.reasons[r]);
}

static void collect_drops(const struct collection *c)
{
	const struct sums *sums = &c->moment->sums;

	for (size_t i = 0; i < sums->n; i++)
		if (reason_is_of((enum reason)c->which, sums->list[i].transport))
			sample(c->e, LABELS(sums->list[i].name),
				(double)sums->list[i].counters.reasons[c->which]);
}

static bool shakes_hands(const struct sum *sum)
{
	return sum->transport == CONF_TLS || sum->transport == CONF_DTLS;
}

/* DTLS has a version of its own, and the others are not its. */
static bool version_is_of(unsigned version, const struct sum *sum)
{
	bool is_dtls = strncmp(agreed_word(AGREED_VERSION, version), "DTLS", 4) == 0;

	return is_dtls == (sum->transport == CONF_DTLS) && version < N_VERSIONS - 1;
}

static void collect_handshakes(const struct collection *c)
{
	const struct sums *sums = &c->moment->sums;

	for (size_t i = 0; i < sums->n; i++)
		for (unsigned v = 0; shakes_hands(&sums->list[i]) && v < N_VERSIONS; v++)
			for (unsigned resumed = 0; resumed < 2 && version_is_of(v, &sums->list[i]);
				resumed++)
				sample(c->e,
					LABELS(sums->list[i].name, agreed_word(AGREED_VERSION, v),
						resumed ? "yes" : "no"),
					(double)sums->list[i].counters.handshakes[v][resumed]);
}

static void collect_agreed(const struct collection *c)
{
	const struct sums *sums = &c->moment->sums;
	const char *word;

	for (size_t i = 0; i < sums->n; i++)
		for (unsigned p = 0;
			shakes_hands(&sums->list[i]) && (word = agreed_word(c->which, p)); p++)
			sample(c->e, LABELS(sums->list[i].name, word),
				(double)(c->which == AGREED_GROUP
						? sums->list[i].counters.groups
						: sums->list[i].counters.ciphers)[p]);
}

static void collect_service(const struct collection *c)
{
	const struct sums *sums = &c->moment->sums;

	for (size_t i = 0; i < sums->n; i++)
		sample_timing(c->e, LABELS(sums->list[i].name), &sums->list[i].counters.service);
}

static void collect_agreement(const struct collection *c)
{
	const struct sums *sums = &c->moment->sums;

	for (size_t i = 0; i < sums->n; i++)
		if (shakes_hands(&sums->list[i]))
			sample_timing(c->e, LABELS(sums->list[i].name),
				&sums->list[i].counters.agreement);
}

static void collect_keeper(const struct collection *c)
{
	sample_timing(c->e, NO_LABELS, &c->moment->sums.common.keeper);
}

static void collect_open(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->moment->open);
}

static void collect_open_limit(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->moment->open_limit);
}

static void collect_turned_away(const struct collection *c)
{
	sample(c->e, NO_LABELS, (double)c->moment->turned_away);
}

static void collect_lost(const struct collection *c)
{
	sample(c->e, NO_LABELS,
		(double)(c->moment->sums.common.records_lost + c->moment->log.lost));
}

static void collect_expiry(const struct collection *c)
{
	if (c->moment->expires > 0)
		sample(c->e, NO_LABELS, (double)c->moment->expires);
}

/* A worker wrote the name, and two certificates may have the same: the number tells them apart. */
static void collect_certificates(const struct collection *c)
{
	const struct moment *m = c->moment;

	for (size_t i = 0; i < m->n_certificates && m->conf; i++) {
		const struct certificate_entry *entry = &m->certificates[i];
		char name[256], number[24];

		if (entry->listener >= m->conf->n_listeners)
			continue;
		text_escape(
			entry->name, strnlen(entry->name, sizeof(entry->name)), name, sizeof(name));
		snprintf(number, sizeof(number), "%zu", i);
		sample(c->e, LABELS(m->conf->listeners[entry->listener].name, name, number),
			(double)(c->which ? entry->ends : entry->begins));
	}
}

// clang-format off
static const struct metric_row {
	struct metric metric;
	void (*collect)(const struct collection *collection);
	unsigned which;
} rows[] = {
	{{"build_info", METRIC_GAUGE, "", "Always 1; its labels are about the program", {"version", "unicode", "build"}}, collect_build},
	{{"start_time_seconds", METRIC_GAUGE, "seconds", "When the daemon was started, since 1970; an upgrade in place does not change it", {NULL}}, collect_start},
	{{"well", METRIC_GAUGE, "", "Whether all is well, as upperctl status says in its first line", {NULL}}, collect_well},
	{{"generation", METRIC_GAUGE, "", "Which configuration serves, of those since the start", {NULL}}, collect_generation},
	{{"generation_start_seconds", METRIC_GAUGE, "seconds", "Since when it serves, since 1970, and why it was taken up", {"cause"}}, collect_generation_start},
	{{"draining", METRIC_GAUGE, "", "Older configurations that finish what they have open", {NULL}}, collect_draining},
	{{"reloads", METRIC_COUNTER, "", "Reloads, asked for or for a new certificate", {"outcome"}}, collect_reloads},
	{{"memory_short", METRIC_COUNTER, "", "Times that memory became short: idle buffers were given back, and handshakes waited", {NULL}}, collect_memory_short},
	{{"workers", METRIC_GAUGE, "", "Worker processes that there are to be", {NULL}}, collect_workers},
	{{"workers_serving", METRIC_GAUGE, "", "Worker processes that serve", {NULL}}, collect_workers_serving},
	{{"replaced", METRIC_COUNTER, "", "Children that died and were replaced", {"role"}}, collect_replaced},
	{{"deaths", METRIC_COUNTER, "", "Children that died, by the signal, or by an exit that they were not told to make", {"role", "cause"}}, collect_deaths},
	{{"process_cpu_seconds", METRIC_COUNTER, "seconds", "Processor time of a child", {"role", "index"}}, collect_processes, PROCESS_CPU},
	{{"process_heartbeat_age_seconds", METRIC_GAUGE, "seconds", "Whole seconds since the loop of a child was last seen to turn", {"role", "index"}}, collect_processes, PROCESS_HEARTBEAT},
	{{"process_open", METRIC_GAUGE, "", "Connections open in a worker", {"role", "index"}}, collect_processes, PROCESS_OPEN},
	{{"sandbox_layer", METRIC_GAUGE, "", "Whether a layer of the sandbox of a role holds", {"role", "layer"}}, collect_layers},
#define COUNTER(name, help) {{#name, METRIC_COUNTER, "", help, {"listener"}}, collect_counter, COUNT_##name},
	COUNTERS(COUNTER)
#undef COUNTER
	{{"ended", METRIC_COUNTER, "", "Connections ended and datagrams not answered", {"listener", "reason"}}, collect_reasons},
	{{"kernel_drops", METRIC_COUNTER, "", "Datagrams for which the system had no room in the receive buffer", {"listener"}}, collect_drops, REASON_overflow},
	{{"accept_drops", METRIC_COUNTER, "", "Attempts to connect that the system dropped, since too many connections waited to be accepted", {"listener"}}, collect_drops, REASON_queue},
	{{"service_seconds", METRIC_HISTOGRAM, "seconds", "From a message that was read to its answer that was written", {"listener"}}, collect_service},
	{{"handshakes", METRIC_COUNTER, "", "Handshakes that succeeded", {"listener", "version", "resumed"}}, collect_handshakes},
	{{"handshake_groups", METRIC_COUNTER, "", "Handshakes that succeeded, by the group of the key exchange", {"listener", "group"}}, collect_agreed, AGREED_GROUP},
	{{"handshake_ciphers", METRIC_COUNTER, "", "Handshakes that succeeded, by the cipher suite", {"listener", "cipher"}}, collect_agreed, AGREED_CIPHER},
	{{"handshake_seconds", METRIC_HISTOGRAM, "seconds", "From the first byte of a handshake to its end", {"listener"}}, collect_agreement},
	{{"keeper_seconds", METRIC_HISTOGRAM, "seconds", "From a worker's request for a signature to the answer", {NULL}}, collect_keeper},
	{{"open", METRIC_GAUGE, "", "Connections open now", {NULL}}, collect_open},
	{{"open_limit", METRIC_GAUGE, "", "Connections that may be open at once", {NULL}}, collect_open_limit},
	{{"turned_away", METRIC_GAUGE, "", "Clients that are turned away now, for breaking the rules", {NULL}}, collect_turned_away},
	{{"records_lost", METRIC_COUNTER, "", "Log records that there was no room for", {NULL}}, collect_lost},
	{{"certificate_expires_seconds", METRIC_GAUGE, "seconds", "When the first certificate expires, since 1970", {NULL}}, collect_expiry},
	{{"certificate_not_before_seconds", METRIC_GAUGE, "seconds", "When a certificate becomes valid, since 1970", {"listener", "name", "number"}}, collect_certificates, 0},
	{{"certificate_not_after_seconds", METRIC_GAUGE, "seconds", "When a certificate expires, since 1970", {"listener", "name", "number"}}, collect_certificates, 1},
};
// clang-format on

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

const struct metric *metrics_row(size_t place)
{
	return place < N_ROWS ? &rows[place].metric : NULL;
}

void metrics_print(const struct stats *stats, const struct moment *moment,
	enum exposition_format format, FILE *out)
{
	struct exposition e;

	exposition_begin(&e, format, out);
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct collection c = {&e, stats, moment, rows[i].which};

		family_begin(&e, &rows[i].metric);
		rows[i].collect(&c);
		family_end(&e);
	}
	exposition_end(&e);
}
