/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The control group that this process is in, of the unified hierarchy, and its files. */

#include <stdbool.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_TEXT 4096

/* Its path below the root as it is seen from here, in `text`; "" where it is outside of what is seen: then
 * only the root tells of it. */
const char *cgroup_own(char text[static CGROUP_TEXT]);
/* A small file, as text; false when it cannot be read, or is longer. */
bool cgroup_read(const char *path, char text[static CGROUP_TEXT]);
