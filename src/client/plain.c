/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets without anything around them. A datagram socket is connected as well: only then does
 * the kernel tell us of an ICMP refusal, and keep strangers' datagrams away. */

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/plain.h"
#include "client/race.h"

static int datagram_connect(const struct addr *addr, int *ret_fd)
{
	_cleanup_close_ int fd = -1;

	fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, &addr->sa, addr->len) < 0)
		return errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int datagram_open(struct link *link, struct why *why)
{
	const struct server *server = link->server;

	for (; link->at < server->n_addresses; link->at++) {
		int *error = &link->errors[link->at];

		*error = datagram_connect(&server->addresses[link->at], &link->fd);
		if (!*error)
			return 0;
	}
	return link_explain(link, why);
}

int datagram_finish(struct link *link)
{
	return 0;
}

int stream_open(struct link *link, struct why *why)
{
	int on = 1, r;

	r = race_connect(link, why);
	if (r)
		return r;
	/* A question is sent at once, whole; a unix socket has no such option. */
	setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return 0;
}

int stream_finish(struct link *link)
{
	/* A peer that is gone already is found out by reading. */
	if (shutdown(link->fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return -errno;
	return 0;
}

/* What the other end or the way there did is an outcome; the rest is the system's. */
int plain_outcome(struct link *link, int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
		return LINK_E_AGAIN;
	case ECONNRESET:
	case EPIPE:
	case ETIMEDOUT:
		return LINK_E_RESET;
	case EMSGSIZE:
		return LINK_E_TOO_LONG;
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EACCES:
	case EPERM:
		link->errors[link->at] = error;
		return link->server->url.transport->is_datagram ? LINK_E_REFUSED : LINK_E_RESET;
	default:
		return -error;
	}
}

int plain_read(struct link *link, void *data, size_t size, size_t *ret_len)
{
	ssize_t n = recv(link->fd, data, size, 0);

	if (n < 0)
		return plain_outcome(link, errno);
	if (n == 0 && !link->server->url.transport->is_datagram)
		return LINK_E_END;
	*ret_len = (size_t)n;
	return 0;
}

int plain_write(struct link *link, const void *data, size_t len, size_t *ret_len)
{
	ssize_t n = send(link->fd, data, len, MSG_NOSIGNAL);

	if (n < 0)
		return plain_outcome(link, errno);
	*ret_len = (size_t)n;
	return 0;
}

void plain_close(struct link *link)
{
	close(take_fd(&link->fd));
}
