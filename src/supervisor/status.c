/* SPDX-License-Identifier: Apache-2.0 */

/* The line that `systemctl status` shows; it is sent when it has changed, once a second at most. */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "supervisor/manager.h"
#include "supervisor/supervisor.h"

#define NUMBER_TEXT 32
#define DAY         86400

/* "999", "1.2k", "34M": no more digits than anybody reads. */
static const char *number_text(uint64_t number, char text[static NUMBER_TEXT])
{
	static const char units[] = " kMGTPE";
	double rest = (double)number;
	int unit = 0;

	while (rest >= 999.5) {
		rest /= 1000;
		unit++;
	}
	if (unit == 0)
		snprintf(text, NUMBER_TEXT, "%" PRIu64, number);
	else
		snprintf(text, NUMBER_TEXT, "%.*f%c", rest < 9.95 ? 1 : 0, rest, units[unit]);
	return text;
}

static void supervisor_count(struct supervisor *s)
{
	_cleanup_totals_ struct totals totals = TOTALS_EMPTY;
	uint64_t messages = 0;

	supervisor_totals(s, &totals);
	for (size_t i = 0; i < totals.n; i++)
		messages += totals.list[i].counters.counted[COUNT_messages];
	/* Less than before: a generation that could not be read any more is gone. */
	s->rate = messages > s->messages ? messages - s->messages : 0;
	s->messages = messages;
}

static const char *plural(uint64_t number)
{
	return number == 1 ? "" : "s";
}

/* ", certificate 61 d"; nothing when there is none. */
static const char *certificate_text(const struct supervisor *s, char text[static NUMBER_TEXT])
{
	int64_t expires = generation_expires(s->serving);
	int64_t left = expires > 0 ? expires - time(NULL) : 0;

	text[0] = '\0';
	if (left > 0)
		snprintf(text, NUMBER_TEXT, ", certificate %" PRId64 " d", left / DAY);
	else if (expires > 0)
		snprintf(text, NUMBER_TEXT, ", certificate expired");
	return text;
}

void supervisor_say_status(struct supervisor *s)
{
	uint64_t open = atomic_load(&s->shared->open);
	char status[sizeof(s->status)], connections[NUMBER_TEXT], rate[NUMBER_TEXT];
	char certificate[NUMBER_TEXT], of[NUMBER_TEXT] = "";
	unsigned workers, up;
	char trouble[256];

	supervisor_count(s);
	number_text(open, connections);
	if (s->serving) {
		workers = generation_workers(s->serving);
		up = generation_workers_up(s->serving);
		generation_trouble(s->serving, trouble);
		if (up < workers)
			snprintf(of, sizeof(of), "%u of ", up);
		snprintf(status, sizeof(status),
			"%s%s%s%u worker%s, %s connection%s, %s message%s/s%s%s", trouble,
			trouble[0] ? "; " : "", of, workers, plural(workers), connections,
			plural(open), number_text(s->rate, rate), plural(s->rate),
			certificate_text(s, certificate),
			s->reload_failed ? "; the last reload failed" : "");
	} else {
		snprintf(status, sizeof(status), "Finishing, %s connection%s left", connections,
			plural(open));
	}
	if (strcmp(status, s->status) != 0)
		manager_notify("STATUS=%s", status);
	memcpy(s->status, status, sizeof(status));
}
