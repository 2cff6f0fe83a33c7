/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Several datagrams by one call of the system, where it has one: messages_linux.c, or messages_posix.c. */

#include <sys/socket.h>

#include "config.h"

#if !WITH_LINUX
struct mmsghdr {
	struct msghdr msg_hdr;
	unsigned msg_len;
};
#endif

/* How many, or -1 and errno. Neither waits, on a socket that does not block. */
int messages_receive(int fd, struct mmsghdr *messages, unsigned n);
int messages_send(int fd, struct mmsghdr *messages, unsigned n);
/* The error queue repeats an error that the receiving call has returned. */
void messages_drop_errors(int fd);
