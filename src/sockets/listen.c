/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets of one listener share its address by SO_REUSEPORT, and the kernel spreads the peers over
 * them. A second daemon of the same user could share it as well, and take its part unseen: so the first
 * socket of an address is preceded by a probe that does not share.
 *
 * Runs in the supervisor, as root if it is started as root. */

#include "sockets/listen.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define RECEIVE_BUFFER (1 << 20)
#define PORT_DISCARD   9

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int get_option(int fd, int level, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) < 0 ? -errno : value;
}

bool listen_has_file(const struct listen_spec *spec)
{
	return spec->address.sa.sa_family == AF_UNIX && spec->address.un.sun_path[0] != '\0';
}

const char *listen_key(const struct listen_spec *spec, char key[static LISTEN_KEY])
{
	char text[ADDR_TEXT];

	snprintf(key, LISTEN_KEY, "%s %s%s%s%s", spec->type == SOCK_DGRAM ? "udp" : "tcp",
		addr_format(&spec->address, text), spec->v6only ? " v6only" : "",
		spec->interface ? " on " : "", spec->interface ? spec->interface : "");
	return key;
}

/* Each datagram tells where it was sent to, and how many before it were lost, and what came in one
 * piece may be received in one. An IPv6 socket that serves IPv4 too tells of IPv4 twice, since only
 * IP_PKTINFO shows a broadcast for what it is. */
static int listen_options_datagram(int fd, bool is_v6)
{
	int r = 0;

	if (is_v6)
		r = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (r >= 0)
		r = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
	set_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1); /* systems that are emulated may lack it */
	set_option(fd, IPPROTO_UDP, UDP_GRO, 1);    /* from Linux 5.0 on */
	return r;
}

/* The options that serving needs, whichever program made the socket. */
static int listen_options_serving(const struct listen_spec *spec, int fd)
{
	return spec->type == SOCK_STREAM
		? set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1)
		: listen_options_datagram(fd, spec->address.sa.sa_family == AF_INET6);
}

static int listen_options_inet(const struct listen_spec *spec, int fd)
{
	bool is_v6 = spec->address.sa.sa_family == AF_INET6;
	int r;

	r = set_option(fd, SOL_SOCKET, SO_REUSEADDR, spec->type == SOCK_STREAM);
	if (r >= 0 && spec->shared)
		r = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r >= 0 && is_v6)
		r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, spec->v6only);
	if (r >= 0)
		r = listen_options_serving(spec, fd);
	if (spec->type == SOCK_DGRAM)
		set_option(fd, SOL_SOCKET, SO_RCVBUF,
			RECEIVE_BUFFER); /* as far as the system lets us */
	if (r >= 0 && spec->interface)
		r = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, spec->interface,
			    (socklen_t)strlen(spec->interface) + 1) < 0
			? -errno
			: 0;
	return r;
}

/* On a system without IPv6, `::` means all that there is. */
static struct listen_spec listen_fall_back(const struct listen_spec *spec)
{
	struct listen_spec v4 = *spec;

	v4.address.len = sizeof(v4.address.in);
	v4.address.in = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(addr_port(&spec->address)),
	};
	return v4;
}

/* Whether the first is bound to all addresses that the second has. */
static bool spec_covers(const struct listen_spec *wide, const struct listen_spec *narrow)
{
	bool is_v6 = wide->address.sa.sa_family == AF_INET6;

	if (!addr_is_wildcard(&wide->address))
		return false;
	if (narrow->address.sa.sa_family == AF_INET ||
		IN6_IS_ADDR_V4MAPPED(&narrow->address.in6.sin6_addr))
		return !is_v6 || !wide->v6only;
	return is_v6;
}

int listen_make(const struct listen_spec *spec, int *ret_fd)
{
	int family = spec->address.sa.sa_family;
	_cleanup_close_ int fd = -1;
	int r = 0;

	fd = socket(family, spec->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && family == AF_INET6 && !spec->v6only &&
		IN6_IS_ADDR_UNSPECIFIED(&spec->address.in6.sin6_addr)) {
		struct listen_spec v4 = listen_fall_back(spec);

		return listen_make(&v4, ret_fd);
	}
	if (fd < 0)
		return -errno;

	if (family != AF_UNIX)
		r = listen_options_inet(spec, fd);
	if (r < 0)
		return r;

	*ret_fd = take_fd(&fd);
	return 0;
}

static int listen_bind_inet(const struct listen_spec *spec, int fd)
{
	struct listen_spec v4 = listen_fall_back(spec);
	const struct addr *address = &spec->address;

	if (address->sa.sa_family == AF_INET6 && get_option(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET)
		address = &v4.address;
	return bind(fd, &address->sa, address->len) < 0 ? -errno : 0;
}

int listen_bind(const struct listen_spec *spec, int fd, struct socket_file *ret_file)
{
	struct socket_file file = SOCKET_FILE_NONE;
	int r;

	r = listen_has_file(spec) ? socket_file_bind(spec, fd, &file) : listen_bind_inet(spec, fd);
	if (r >= 0 && spec->type != SOCK_DGRAM && listen(fd, (int)spec->backlog) < 0)
		r = -errno;
	if (r < 0)
		return r;

	*ret_file = file;
	return 0;
}

bool listen_overlaps(const struct listen_spec *a, const struct listen_spec *b)
{
	if (a->type != b->type || a->address.sa.sa_family == AF_UNIX ||
		b->address.sa.sa_family == AF_UNIX ||
		addr_port(&a->address) != addr_port(&b->address))
		return false;
	if (a->interface && b->interface && strcmp(a->interface, b->interface) != 0)
		return false;
	return addr_equal(&a->address, &b->address) || spec_covers(a, b) || spec_covers(b, a);
}

int listen_probe(const struct listen_spec *spec)
{
	struct listen_spec alone = *spec;
	_cleanup_close_ int fd = -1;
	int r;

	if (listen_has_file(spec))
		return 0;
	alone.shared = false;
	r = listen_make(&alone, &fd);
	return r < 0 ? r : listen_bind_inet(&alone, fd);
}

int listen_open(const struct listen_spec *spec, int *ret_fd, struct socket_file *ret_file)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = listen_make(spec, &fd);
	if (r >= 0)
		r = listen_bind(spec, fd, ret_file);
	if (r < 0)
		return r;

	*ret_fd = take_fd(&fd);
	return 0;
}

int listen_adjust(const struct listen_spec *spec, int fd, const struct socket_file *file)
{
	if (spec->type != SOCK_DGRAM && listen(fd, (int)spec->backlog) < 0)
		return -errno;
	return listen_has_file(spec) ? socket_file_adjust(spec, file) : 0;
}

/* The kind of the socket, as far as it can be asked. */
static int listen_describe(
	int fd, struct listen_spec *ret_spec, char interface[static LISTEN_INTERFACE])
{
	struct listen_spec spec = {
		.type = get_option(fd, SOL_SOCKET, SO_TYPE),
		.address.len = sizeof(spec.address) - offsetof(struct addr, sa),
		.v6only = get_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1,
	};
	socklen_t len = LISTEN_INTERFACE;

	if (spec.type < 0 || getsockname(fd, &spec.address.sa, &spec.address.len) < 0)
		return -EINVAL;
	if (spec.type != SOCK_DGRAM && get_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return -EINVAL;
	memset(interface, 0, LISTEN_INTERFACE);
	getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, &len);
	if (interface[0] != '\0')
		spec.interface = interface;

	*ret_spec = spec;
	return 0;
}

int listen_take(int fd, struct listen_spec *ret_spec, char interface[static LISTEN_INTERFACE])
{
	int r;

	r = listen_describe(fd, ret_spec, interface);
	if (r >= 0)
		r = fd_nonblock(fd);
	if (r >= 0 && ret_spec->address.sa.sa_family != AF_UNIX)
		r = listen_options_serving(ret_spec, fd);
	return r;
}

/* An address of this host, at a port where no program listens, as the socket itself would reach it. */
static struct addr discard_of(const struct addr *bound)
{
	struct addr discard = *bound;

	if (discard.sa.sa_family == AF_INET6) {
		discard.in6.sin6_port = htons(PORT_DISCARD);
		if (IN6_IS_ADDR_UNSPECIFIED(&discard.in6.sin6_addr))
			discard.in6.sin6_addr = in6addr_loopback;
	} else {
		discard.in.sin_port = htons(PORT_DISCARD);
		if (discard.in.sin_addr.s_addr == INADDR_ANY)
			discard.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	return discard;
}

static bool is_multicast(const struct addr *address)
{
	return address->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_MULTICAST(&address->in6.sin6_addr)
						 : IN_MULTICAST(ntohl(address->in.sin_addr.s_addr));
}

/* For datagrams, the kernel prefers another socket of the port to one that has a peer, which this one gets. A
 * stream socket has no such way: it drops what comes, and the client tries again a second later. */
void listen_divert(const struct listen_spec *spec, int fd)
{
	struct addr discard = discard_of(&spec->address);
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {.len = 1, .filter = &drop};

	if (spec->type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	else if (!is_multicast(&spec->address))
		(void)connect(fd, &discard.sa, discard.len);
}

static bool cannot_receive(int fd)
{
	struct pollfd in = {.fd = fd, .events = POLLRDHUP};

	return poll(&in, 1, 0) == 1 && (in.revents & (POLLRDHUP | POLLHUP)) != 0;
}

/* A datagram socket tells only when it sends. The datagram must not leave this host, as it would from a
 * socket that is bound to a device or a group. */
static bool cannot_send(const struct listen_spec *spec, int fd)
{
	struct addr bound = {.len = sizeof(bound) - offsetof(struct addr, sa)}, discard;

	if (spec->type != SOCK_DGRAM || spec->interface ||
		getsockname(fd, &bound.sa, &bound.len) < 0 || bound.sa.sa_family == AF_UNIX ||
		is_multicast(&bound))
		return false;
	discard = discard_of(&bound);
	return sendto(fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, &discard.sa, discard.len) < 0 &&
		errno == EPIPE;
}

int listen_probe_shutdown(const struct listen_spec *spec, int fd)
{
	return cannot_receive(fd) || cannot_send(spec, fd) ? LISTEN_E_SHUT : 0;
}

/* A TCP socket that was shut down keeps its address, and can listen again. Unix and datagram sockets stay
 * as they are for good, so that another has to take their place. */
int listen_reopen(const struct listen_spec *spec, int *fd, struct socket_file *file)
{
	int backlog = spec->backlog > 0 ? (int)spec->backlog : SOMAXCONN, fresh, r;

	if (spec->type == SOCK_STREAM && listen(*fd, backlog) == 0 &&
		listen_probe_shutdown(spec, *fd) == 0)
		return 0;
	if (!file)
		return -ESHUTDOWN;
	r = listen_open(spec, &fresh, file);
	if (r < 0)
		return r;
	close(*fd);
	*fd = fresh;
	return 0;
}
