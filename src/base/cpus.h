/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How many processors this process may use. */

/* As many as its affinity mask has, or fewer when its control groups limit its share of time; at least 1. */
unsigned cpus_usable(void);

/* The least quota (cpu.max) of `group` and of the groups around it, in whole processors, rounded up;
 * UINT_MAX: there is no limit. `root` is where the unified hierarchy is mounted. */
unsigned cpus_of_group(const char *root, const char *group);
