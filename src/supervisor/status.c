/* SPDX-License-Identifier: Apache-2.0 */

#include "supervisor/status.h"

#include <inttypes.h>
#include <unistd.h>

#include "config.h"

void status_print(const struct stats *stats, const struct moment *moment, FILE *out)
{
	if (moment->trouble[0] != '\0')
		fprintf(out, "not well: %s\n", moment->trouble);
	fprintf(out, "upperd %s, pid %d, up %" PRIu64 " s\n", UPPERD_VERSION, (int)getpid(),
		moment->uptime);
	fprintf(out,
		"%" PRIu64 " workers, %" PRIu64 " connections of %" PRIu64 ", %" PRIu64
		" messages/s\n",
		moment->workers, moment->open, moment->open_limit, stats->rate);
	if (moment->draining > 0)
		fprintf(out, "%" PRIu64 " older configurations are draining\n", moment->draining);
	fprintf(out, "\n%-24s %12s %12s %12s %12s\n", "listener", "connections", "messages",
		"replies", "bytes in");
	for (size_t i = 0; i < moment->sums.n; i++) {
		const struct sum *sum = &moment->sums.list[i];
		const uint64_t *c = sum->counters.counted;

		fprintf(out, "%-24s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n",
			sum->name, c[COUNT_connections], c[COUNT_messages], c[COUNT_replies],
			c[COUNT_bytes_in]);
	}
}

static void print_listener_counters(const struct sum *sum, FILE *out)
{
	fprintf(out, "{\"name\":\"%s\"", sum->name);
	for (int i = 0; i < N_COUNTERS; i++)
		fprintf(out, ",\"%s\":%" PRIu64, counter_name(i), sum->counters.counted[i]);
	fprintf(out, ",\"reasons\":{");
	for (int i = 0; i < N_REASONS; i++)
		fprintf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", reason_name(i),
			sum->counters.reasons[i]);
	fprintf(out, "}}");
}

void status_print_json(const struct stats *stats, const struct moment *moment, FILE *out)
{
	fprintf(out,
		"{\"well\":%s,\"version\":\"%s\",\"pid\":%d,\"uptime\":%" PRIu64
		",\"workers\":%" PRIu64 ","
		"\"connections\":%" PRIu64 ",\"connections_limit\":%" PRIu64
		",\"messages_per_second\":%" PRIu64 ",\"draining\":%" PRIu64 ",\"listeners\":[",
		moment->trouble[0] != '\0' ? "false" : "true", UPPERD_VERSION, (int)getpid(),
		moment->uptime, moment->workers, moment->open, moment->open_limit, stats->rate,
		moment->draining);
	for (size_t i = 0; i < moment->sums.n; i++) {
		fprintf(out, "%s", i > 0 ? "," : "");
		print_listener_counters(&moment->sums.list[i], out);
	}
	fprintf(out, "]}\n");
}
