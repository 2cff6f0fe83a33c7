/* SPDX-License-Identifier: Apache-2.0 */

/* A TCP socket that was shut down keeps its address, and can listen again. Unix and datagram sockets stay
 * as they are for good, so that another has to take their place. */

#include "sockets/mend.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PORT_DISCARD 9

/* The host's own address, as the socket itself would send from. */
static struct addr self_of(const struct addr *bound)
{
	struct addr self = *bound;

	if (self.sa.sa_family == AF_INET6) {
		self.in6.sin6_port = htons(PORT_DISCARD);
		if (IN6_IS_ADDR_UNSPECIFIED(&self.in6.sin6_addr))
			self.in6.sin6_addr = in6addr_loopback;
	} else {
		self.in.sin_port = htons(PORT_DISCARD);
		if (self.in.sin_addr.s_addr == INADDR_ANY)
			self.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	return self;
}

static bool cannot_receive(int fd)
{
	struct pollfd in = {.fd = fd, .events = POLLRDHUP};

	return poll(&in, 1, 0) == 1 && (in.revents & (POLLRDHUP | POLLHUP)) != 0;
}

static bool is_multicast(const struct addr *address)
{
	return address->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_MULTICAST(&address->in6.sin6_addr)
						 : IN_MULTICAST(ntohl(address->in.sin_addr.s_addr));
}

/* Nothing but sending tells; what is sent must not leave this host, as it would from a socket that is
 * bound to a device or a group. */
static bool cannot_send(const struct listen_spec *spec, int fd)
{
	struct addr bound = {.len = sizeof(bound) - offsetof(struct addr, sa)}, self;

	if (spec->type != SOCK_DGRAM || spec->interface ||
		getsockname(fd, &bound.sa, &bound.len) < 0 || bound.sa.sa_family == AF_UNIX ||
		is_multicast(&bound))
		return false;
	self = self_of(&bound);
	return sendto(fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, &self.sa, self.len) < 0 &&
		errno == EPIPE;
}

bool mend_is_needed(const struct listen_spec *spec, int fd)
{
	return cannot_receive(fd) || cannot_send(spec, fd);
}

int mend(const struct listen_spec *spec, int *fd, bool ours)
{
	int backlog = spec->backlog > 0 ? (int)spec->backlog : SOMAXCONN, fresh, r;

	if (spec->type == SOCK_STREAM && listen(*fd, backlog) == 0 && !mend_is_needed(spec, *fd))
		return 0;
	if (!ours)
		return -ESHUTDOWN;
	r = listen_open(spec, &fresh);
	if (r < 0)
		return r;
	close(*fd);
	*fd = fresh;
	return 0;
}
