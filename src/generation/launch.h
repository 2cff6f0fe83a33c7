/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The birth of a child: this same program, forked and executed again, so that it has an address layout of its
 * own. A file by itself, which the unit tests of the supervisor's side put another in the place of. */

#include <sys/types.h>

#include "process/role.h"

/* Its channel becomes descriptor 3, its stderr the pipe, and all other descriptors are closed. A child that
 * cannot be executed says why there and exits with 71. Returns -errno, or the process in `ret_pid`. */
int launch(enum role role, int channel_fd, int stderr_fd, pid_t *ret_pid);
