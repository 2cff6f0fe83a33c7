/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cpus.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/cleanup.h"

#define LONGEST CGROUP_TEXT

/* "QUOTA PERIOD" in microseconds, or "max PERIOD". */
static unsigned cpus_of_quota(const char *text)
{
	unsigned long long quota, period, whole;
	char *end;

	quota = strtoull(text, &end, 10);
	period = end == text ? 0 : strtoull(end, NULL, 10);
	if (period == 0)
		return UINT_MAX;
	whole = quota / period + (quota % period > 0);
	return whole < 1 ? 1 : whole > UINT_MAX ? UINT_MAX : (unsigned)whole;
}

unsigned cpus_of_group(const char *root, const char *group)
{
	char path[LONGEST], text[LONGEST];
	unsigned least = UINT_MAX;
	size_t len = strlen(group);

	for (;;) {
		while (len > 0 && group[len - 1] == '/')
			len--;
		if (snprintf(path, sizeof(path), "%s%.*s/cpu.max", root, (int)len, group) <
				(int)sizeof(path) &&
			cgroup_read(path, text) && cpus_of_quota(text) < least)
			least = cpus_of_quota(text);
		if (len == 0)
			return least;
		while (len > 0 && group[len - 1] != '/')
			len--;
	}
}

unsigned cpus_usable(void)
{
	char text[LONGEST];
	unsigned quota = cpus_of_group(CGROUP_ROOT, cgroup_own(text)), n = 1;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = (unsigned)CPU_COUNT(&set);
	return quota < n ? quota : n;
}
