/* SPDX-License-Identifier: Apache-2.0 */

#include "base/fd.h"
#include "client/messages.h"

int messages_receive(int fd, struct mmsghdr *messages, unsigned n)
{
	return recvmmsg(fd, messages, n, MSG_DONTWAIT, NULL);
}

int messages_send(int fd, struct mmsghdr *messages, unsigned n)
{
	return sendmmsg(fd, messages, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void messages_drop_errors(int fd)
{
	char data[256], control[512];
	struct iovec part = {data, sizeof(data)};
	struct msghdr msg = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	while (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		msg.msg_controllen = sizeof(control);
}
