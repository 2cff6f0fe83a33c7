/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

bool cgroup_read(const char *path, char text[static CGROUP_TEXT])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, CGROUP_TEXT);

	if (n < 0 || n == CGROUP_TEXT)
		return false;
	text[n] = '\0';
	return true;
}

const char *cgroup_own(char text[static CGROUP_TEXT])
{
	char *line;

	if (!cgroup_read("/proc/self/cgroup", text))
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
