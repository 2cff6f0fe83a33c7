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

#include "base/cleanup.h"

#define HIERARCHY "/sys/fs/cgroup"
#define LONGEST   4096

/* The first bytes of a file; false when it cannot be read, or is longer. */
static bool read_small_file(const char *path, char text[static LONGEST])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, LONGEST);

	if (n < 0 || n == LONGEST)
		return false;
	text[n] = '\0';
	return true;
}

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
			read_small_file(path, text) && cpus_of_quota(text) < least)
			least = cpus_of_quota(text);
		if (len == 0)
			return least;
		while (len > 0 && group[len - 1] != '/')
			len--;
	}
}

/* The path of our group as it is seen from here. One outside of what is seen begins with "/..": then only
 * the root tells of it. */
static const char *own_group(char text[static LONGEST])
{
	char *line;

	if (!read_small_file("/proc/self/cgroup", text))
		return "";
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line)
		return "";
	line = strchr(line, '/');
	if (!line || strncmp(line, "/..", 3) == 0)
		return "";
	line[strcspn(line, "\n")] = '\0';
	return line;
}

unsigned cpus_usable(void)
{
	char text[LONGEST];
	unsigned quota = cpus_of_group(HIERARCHY, own_group(text)), n = 1;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = (unsigned)CPU_COUNT(&set);
	return quota < n ? quota : n;
}
