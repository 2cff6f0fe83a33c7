/* SPDX-License-Identifier: Apache-2.0 */

/* A stream socket without anything around it. Anything that a peer can cause is an outcome; only what points
 * to a bug of ours, such as a bad descriptor, comes back as an errno. */

#include <assert.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/transport.h"

/* The kernel says that a peer has read a piece when it has read all of it, so a slow one must have small
 * pieces to be seen to go on. With its overhead this is two pages. */
#define LOCAL_PIECE 7680

static int plain_socket_outcome(int error)
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

static int plain_socket_read(struct transport *transport, void *data, size_t size, size_t *ret_n)
{
	ssize_t n;

	assert(transport->held == 0);
	n = recv(transport->fd, data, size, transport->is_local ? MSG_PEEK : 0);
	if (n < 0)
		return plain_socket_outcome(errno);
	if (n == 0)
		return TRANSPORT_E_END;

	transport->held = transport->is_local ? (size_t)n : 0;
	transport->drained = (size_t)n < size;
	*ret_n = (size_t)n;
	return 0;
}

static int plain_socket_write(
	struct transport *transport, const void *data, size_t n, size_t *ret_n)
{
	ssize_t sent;

	if (transport->is_local && n > LOCAL_PIECE)
		n = LOCAL_PIECE;
	sent = send(transport->fd, data, n, MSG_NOSIGNAL);
	if (sent < 0)
		return plain_socket_outcome(errno);

	*ret_n = (size_t)sent;
	return 0;
}

static int plain_socket_finish(struct transport *transport)
{
	if (shutdown(transport->fd, SHUT_WR) < 0)
		return TRANSPORT_E_GONE;
	return 0;
}

static void plain_socket_close(struct transport *transport)
{
	if (transport->fd >= 0)
		close(transport->fd);
	transport->fd = -1;
}

uint64_t transport_progress(const struct transport *transport)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(transport->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		return info.tcpi_bytes_acked;
	len = sizeof(memory);
	if (getsockopt(transport->fd, SOL_SOCKET, SO_MEMINFO, memory, &len) < 0)
		return 0;
	return memory[SK_MEMINFO_WMEM_ALLOC];
}

void transport_release(struct transport *transport, void *buffer, size_t size)
{
	while (transport->held > 0) {
		size_t most = transport->held < size ? transport->held : size;
		ssize_t n = recv(transport->fd, buffer, most, 0);

		transport->held -= n > 0 ? (size_t)n : transport->held;
	}
}

void transport_set_reset(const struct transport *transport, bool resets)
{
	const struct linger linger = {.l_onoff = resets};

	setsockopt(transport->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

const struct transport_ops transport_plain = {
	.read = plain_socket_read,
	.write = plain_socket_write,
	.finish = plain_socket_finish,
	.ends_by_closing = true,
	.close = plain_socket_close,
};
