/* SPDX-License-Identifier: Apache-2.0 */

/* The socket stays unconnected, so that a service that was restarted is found again by its name. The
 * calls of libsystemd and syslog(3) wait for a full socket, which is why neither is used. */

#include "base/unixgram.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"

static int unixgram_open(struct unixgram *unixgram, int type)
{
	if (unixgram->fd >= 0)
		return 0;
	unixgram->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (unixgram->fd < 0)
		return -errno;
	unixgram->is_stream = type == SOCK_STREAM;
	return 0;
}

static void unixgram_done(struct unixgram *unixgram)
{
	if (unixgram->fd >= 0)
		close(take_fd(&unixgram->fd));
	unixgram->is_stream = false;
}

static int unixgram_connect(struct unixgram *unixgram, const struct addr *to)
{
	int r;

	unixgram_done(unixgram);
	r = unixgram_open(unixgram, SOCK_STREAM);
	if (r < 0)
		return r;
	if (connect(unixgram->fd, &to->sa, to->len) == 0)
		return 0;
	r = -errno;
	unixgram_done(unixgram);
	return r;
}

static int send_once(struct unixgram *unixgram, const struct addr *to, const void *data, size_t len)
{
	struct iovec pieces[] = {
		{(void *)(uintptr_t)data, len},
		{(void *)(uintptr_t) "", unixgram->is_stream},
	};
	const struct msghdr message = {
		.msg_name = unixgram->is_stream ? NULL : (void *)(uintptr_t)&to->sa,
		.msg_namelen = unixgram->is_stream ? 0 : to->len,
		.msg_iov = pieces,
		.msg_iovlen = 2,
	};
	ssize_t n = sendmsg(unixgram->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	/* The rest of a message that a stream took in part would begin the next one. */
	return (size_t)n == len + unixgram->is_stream ? 0 : -EIO;
}

int unixgram_send(struct unixgram *unixgram, const char *to, const void *data, size_t len)
{
	struct addr addr;
	int r;

	if (addr_parse_unix(to, &addr) != 0)
		return -EINVAL;
	r = unixgram_open(unixgram, SOCK_DGRAM);
	if (r == 0)
		r = send_once(unixgram, &addr, data, len);
	if (r == -EPROTOTYPE) {
		r = unixgram_connect(unixgram, &addr);
		if (r == 0)
			r = send_once(unixgram, &addr, data, len);
	}
	if (r < 0 && r != -EAGAIN)
		unixgram_done(unixgram);
	return r;
}
