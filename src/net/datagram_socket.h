/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A datagram socket in a loop: each event is a batch, and when the system refuses to receive, the socket is
 * left alone for a moment. */

#include <stdbool.h>

#include "base/loop.h"

struct datagram_socket {
	int fd; /* owned */
	const char *name;
	struct loop *loop;
	struct source source;
	struct pause pause;
	/* Receives and answers one batch: how many arrivals it had, or a negative errno. */
	int (*receive_batch)(struct datagram_socket *socket);
};

/* The descriptor, the name and the loop are filled in. It is not watched yet. */
void datagram_socket_init(
	struct datagram_socket *socket, int (*receive_batch)(struct datagram_socket *socket));
int datagram_socket_watch(struct datagram_socket *socket);
void datagram_socket_unwatch(struct datagram_socket *socket);
void datagram_socket_close(struct datagram_socket *socket);
