/* SPDX-License-Identifier: Apache-2.0 */

/* Prints upperd-metrics(7) from the table of metrics and the reasons. */

#include <stdio.h>

#include "core/counters.h"
#include "supervisor/metrics.h"

static void print_row(const struct metric *m)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	printf(".It Va upperd_%s%s\n%s.\n", m->name, m->type == METRIC_COUNTER ? "_total" : "",
		m->help);
	printf("A %s", types[m->type]);
	if (m->unit[0])
		printf(" in %s", m->unit);
	for (int i = 0; i < 3 && m->labels[i]; i++)
		printf("%s\n.Va %s", i == 0 ? ", with the label" : "\nand", m->labels[i]);
	printf(m->labels[0] ? " .\n" : ".\n");
}

int main(void)
{
	const struct metric *m;

	puts(".\\\" SPDX-License-Identifier: Apache-2.0\n"
	     ".\\\" Made by tests/unit/metrics-manual from the table in src/supervisor/metrics.c.\n"
	     ".Dd November 30, 2026\n.Dt UPPERD-METRICS 7\n.Os\n"
	     ".Sh NAME\n.Nm upperd-metrics\n.Nd what upperd counts\n"
	     ".Sh DESCRIPTION\n"
	     "These are served over HTTP where\n.Ic metrics.address\nor\n.Ic metrics.path\n"
	     "of\n.Xr upperd.conf 5\nsays, and printed by\n.Ql upperctl metrics :\n"
	     "in the text format of Prometheus.\n"
	     "An Accept that prefers OpenMetrics or protobuf gets that over HTTP, and\n"
	     ".Ql upperctl --json metrics\nprints JSON.\n"
	     "They are at most a second old.\n"
	     "Counters go on growing over reloads, crashes of workers and upgrades in place.\n"
	     ".Pp\n"
	     "The buckets of a histogram end at the powers of two from a microsecond to half a "
	     "minute.\n"
	     "Protobuf has native histograms of schema 2 besides: four buckets for each of these.\n"
	     ".Bl -tag -width Ds");
	for (size_t i = 0; (m = metrics_row(i)); i++)
		print_row(m);
	puts(".El\n.Ss Reasons\nThe values of\n.Va reason ,\nwhich records in the log name too; a\n"
	     "listener has only those that its transport can have.\n.Bl -tag -width dtls_replayed");
	for (enum reason r = 0; r < N_REASONS; r++)
		printf(".It Ql %s\n%s\n", reason_name(r), reason_sentence(r));
	puts(".El\n.Sh SEE ALSO\n.Xr upperd.conf 5 ,\n.Xr upperctl 8 ,\n.Xr upperd 8");
	return 0;
}
