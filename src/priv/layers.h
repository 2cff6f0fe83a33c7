/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The layers that have a file of their own. Each returns 0 or a negative errno. */

#include <stdbool.h>

#include "priv/policy.h"

/* An empty folder that does not exist any more is the root from now on. Needs CAP_SYS_CHROOT. */
int root_enter(void);
/* Removes the folders of those that were killed on the way. */
void root_sweep(void);

/* No file, no TCP port to bind or connect to, no process outside to signal: as far as this kernel's
 * Landlock goes. Needs no_new_privs. */
int landlock_enter(void);
/* The version of Landlock's interface, or a negative errno. */
int landlock_version(void);

/* Only the calls of the policy. Any other gets ENOSYS or EPERM, or kills the process; with
 * `strict` it is always killed. Needs no_new_privs. */
int seccomp_enter(const struct policy *policy, bool strict);
/* Whether the system has it, and this build. */
int seccomp_probe(void);
