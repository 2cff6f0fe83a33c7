/* SPDX-License-Identifier: Apache-2.0 */

/* The page of an exporter, once a second: every text that it serves is rendered here, by the
 * process that may read all counters, and stands in memory that the exporter can only read. So
 * the process that faces the network parses nothing and computes nothing, and a scrape costs the
 * supervisor nothing. */

#include "supervisor/publish.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "supervisor/metrics.h"
#include "supervisor/status.h"

static void render(
	const struct stats *stats, const struct moment *moment, enum page_text which, FILE *out)
{
	static const enum exposition_format formats[N_PAGE_TEXTS] = {
		[PAGE_OPENMETRICS] = EXPOSITION_OPENMETRICS,
		[PAGE_TEXT] = EXPOSITION_TEXT,
		[PAGE_PROTOBUF] = EXPOSITION_PROTOBUF,
	};

	if (which == PAGE_STATUS)
		status_print_json(stats, moment, out);
	else
		metrics_print(stats, moment, formats[which], out);
}

void stats_publish(struct stats *stats, const struct moment *moment)
{
	metrics_page_begin(&stats->page);
	for (enum page_text which = 0; which < N_PAGE_TEXTS; which++) {
		_cleanup_free_ char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		if (!out)
			continue;
		render(stats, moment, which, out);
		if (fclose(out) == 0)
			metrics_page_put(&stats->page, which, text, len);
	}
	metrics_page_show(&stats->page, moment->is_serving && moment->workers_up > 0);
}
