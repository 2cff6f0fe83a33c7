/* SPDX-License-Identifier: Apache-2.0 */

#include "base/fd.h"
#include "client/messages.h"

int messages_receive(int fd, struct mmsghdr *messages, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		ssize_t len = recvmsg(fd, &messages[i].msg_hdr, 0);

		if (len < 0)
			return i > 0 ? (int)i : -1;
		messages[i].msg_len = (unsigned)len;
	}
	return (int)n;
}

int messages_send(int fd, struct mmsghdr *messages, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (sendmsg(fd, &messages[i].msg_hdr, MSG_NOSIGNAL) < 0)
			return i > 0 ? (int)i : -1;
	return (int)n;
}

/* Errors of other addresses are not asked for. */
void messages_drop_errors(int fd)
{
}
