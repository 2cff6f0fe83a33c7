/* SPDX-License-Identifier: Apache-2.0 */

#include "client/bench_cost.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/report.h"

#define DEPTH_MOST 8 /* generations of processes */

/* Of all its threads, also of those that have ended; 0 when there is no such process. */
static double threads_seconds(pid_t pid)
{
	struct timespec spent;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) < 0)
		return 0;
	return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

/* Of children that ended and were waited for: two numbers of ticks, 14 and 15 words behind the name, which may
 * have blanks and ends with the last bracket. */
static double waited_seconds(pid_t pid)
{
	char path[64], line[1024], *word;
	_cleanup_fclose_ FILE *file = NULL;
	unsigned long ticks;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	word = file && fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	for (int i = 0; word && i < 14; i++)
		word = strchr(word + 1, ' ');
	if (!word)
		return 0;
	ticks = strtoul(word, &word, 10);
	ticks += strtoul(word, NULL, 10);
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double family_seconds(pid_t pid, unsigned depth)
{
	double seconds = threads_seconds(pid) + waited_seconds(pid);
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *child = NULL;
	size_t size = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	file = depth < DEPTH_MOST ? fopen(path, "re") : NULL;
	while (file && getdelim(&child, &size, ' ', file) > 0)
		seconds += family_seconds((pid_t)strtol(child, NULL, 10), depth + 1);
	return seconds;
}

int costs_init(struct costs *costs, const char *list, struct why *why)
{
	*costs = (struct costs){0};
	for (const char *at = list; at; at = *at == ',' ? at + 1 : NULL) {
		char *end;
		long pid = strtol(at, &end, 10);
		clockid_t clock;

		if (*at < '1' || *at > '9' || pid > INT32_MAX || (*end && *end != ','))
			return why_set(why, CLIENT_E_USAGE,
				"--pid wants numbers of processes, such as 1234 or 1234,1240, not "
				"\"%s\"",
				list);
		if (clock_getcpuclockid((pid_t)pid, &clock) != 0)
			return why_set(why, CLIENT_E_USAGE, "--pid %ld: no such process here", pid);
		if (costs->n == BENCH_PROCESSES)
			return why_set(why, CLIENT_E_USAGE, "--pid takes at most %d processes",
				BENCH_PROCESSES);
		costs->each[costs->n++].pid = (pid_t)pid;
		at = end;
	}
	return 0;
}

void costs_mark(struct costs *costs)
{
	for (size_t i = 0; i < costs->n; i++)
		costs->each[i].begun = family_seconds(costs->each[i].pid, 0);
}

void costs_read(struct costs *costs)
{
	for (size_t i = 0; i < costs->n; i++)
		costs->each[i].seconds =
			family_seconds(costs->each[i].pid, 0) - costs->each[i].begun;
}
