/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sockets that were open before this program ran: the service manager's, or those from before an upgrade. Both
 * come as LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say, from descriptor 3 on. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sockets/socket_file.h"

#define INHERIT_FIRST_FD 3

struct inherited {
	int fd;     /* owned */
	char *name; /* owned; empty when it came without one */
	char *key;  /* owned; of a socket that was ours before an upgrade; NULL: the manager's */
	struct socket_file file; /* of such a socket */
	bool knows_drops;        /* the same */
	uint32_t drops;          /* that were counted */
};

struct inheritance {
	struct inherited *list;
	size_t n;
};

#define INHERITANCE_EMPTY ((struct inheritance){0})

/* Takes what is meant for this process, and clears the variables, so that no child takes it again.
 * Nothing to inherit is no failure; variables that make no sense are -EINVAL. */
int inheritance_take(struct inheritance *ret_inheritance);
/* Clears the variables alone. */
void inheritance_forget(void);
void inheritance_done(struct inheritance *inheritance);
#define _cleanup_inheritance_ __attribute__((cleanup(inheritance_done)))
