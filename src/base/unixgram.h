/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Short messages to a service of this machine that listens on a unix socket: the journal, syslog, the
 * service manager. A service that does not read its socket costs messages, and never time. */

#include <stdbool.h>
#include <stddef.h>

/* One for each service: messages that are not read yet fill the send buffer of their socket. */
struct unixgram {
	int fd;
	bool is_stream;
};

#define UNIXGRAM_EMPTY   \
	{                \
		.fd = -1 \
	}

/* Sends a message to a path or, with a leading '@', to an abstract name: 0, -EAGAIN when it finds no
 * room now, or another negative errno. A service that listens for connections gets it with a NUL
 * behind it, as syslog does it. */
int unixgram_send(struct unixgram *unixgram, const char *to, const void *data, size_t len);
