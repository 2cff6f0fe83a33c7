/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Listening sockets that somebody who had them has shut down. A shutdown is for the socket and not for the
 * descriptor: what a child does with its own, it does to all who have the same. */

#include <stdbool.h>

#include "sockets/listen.h"

/* Asks a datagram socket by sending an empty datagram to this host's port 9 (discard). */
bool mend_is_needed(const struct listen_spec *spec, int fd);
/* Has it listen again, or puts another in its place, which takes that it is `ours` to make. -ESHUTDOWN:
 * it is not, and there is no other way. */
int mend(const struct listen_spec *spec, int *fd, bool ours);
