/* SPDX-License-Identifier: Apache-2.0 */

/* A stream socket without anything around it. What a peer can cause is an outcome; only what points
 * to a bug of ours, such as a bad descriptor, comes back as an errno. */

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/transport.h"

static int plain_outcome(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
		return TRANSPORT_E_WAIT;
	case EBADF:
	case EFAULT:
	case EINVAL:
	case ENOTSOCK:
		return -error;
	default:
		return TRANSPORT_E_GONE;
	}
}

static int plain_read(struct transport *transport, void *data, size_t size, size_t *ret_n)
{
	ssize_t n;

	n = recv(transport->fd, data, size, 0);
	if (n < 0)
		return plain_outcome(errno);
	if (n == 0)
		return TRANSPORT_E_END;

	transport->drained = (size_t)n < size;
	*ret_n = (size_t)n;
	return 0;
}

static int plain_write(struct transport *transport, const void *data, size_t n, size_t *ret_n)
{
	ssize_t sent;

	sent = send(transport->fd, data, n, MSG_NOSIGNAL);
	if (sent < 0)
		return plain_outcome(errno);

	*ret_n = (size_t)sent;
	return 0;
}

static int plain_finish(struct transport *transport)
{
	if (shutdown(transport->fd, SHUT_WR) < 0)
		return TRANSPORT_E_GONE;
	return 0;
}

static void plain_close(struct transport *transport)
{
	if (transport->fd >= 0)
		close(transport->fd);
	transport->fd = -1;
}

const struct transport_ops transport_plain = {
	.read = plain_read,
	.write = plain_write,
	.finish = plain_finish,
	.ends_by_closing = true,
	.close = plain_close,
};
