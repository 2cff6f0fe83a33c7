/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets of one listener share its address by SO_REUSEPORT, and the kernel spreads the peers over
 * them. Since that would let a second daemon of the same user creep in unseen, the first socket of an
 * address is preceded by a probe that does not share.
 *
 * Runs in the supervisor, as root if it is started as root. */

#include "sockets/listen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define RECEIVE_BUFFER (1 << 20)

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static bool is_path(const struct listen_spec *spec)
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
static int listen_options_datagram(int fd, bool six)
{
	int r = 0;

	if (six)
		r = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (r >= 0)
		r = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (r >= 0)
		r = set_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	set_option(fd, IPPROTO_UDP, UDP_GRO, 1); /* from Linux 5.0 on */
	return r;
}

/* What serving needs, whoever made the socket. */
static int listen_options_serving(const struct listen_spec *spec, int fd)
{
	return spec->type == SOCK_STREAM
		? set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1)
		: listen_options_datagram(fd, spec->address.sa.sa_family == AF_INET6);
}

static int listen_options_inet(const struct listen_spec *spec, int fd)
{
	bool six = spec->address.sa.sa_family == AF_INET6;
	int r;

	r = set_option(fd, SOL_SOCKET, SO_REUSEADDR, spec->type == SOCK_STREAM);
	if (r >= 0 && spec->shared)
		r = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r >= 0 && six)
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

/* A file that a daemon left behind when it was killed is taken away; one that answers is not. */
static int listen_clear_path(const struct listen_spec *spec)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(spec->address.un.sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;

	fd = socket(AF_UNIX, spec->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &spec->address.sa, spec->address.len) == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(spec->address.un.sun_path) < 0 ? -errno : 0;
}

static int listen_own_path(const struct listen_spec *spec)
{
	const char *path = spec->address.un.sun_path;

	if (chmod(path, spec->mode) < 0)
		return -errno;
	if (spec->owner == (uid_t)-1 && spec->group == (gid_t)-1)
		return 0;
	return chown(path, spec->owner, spec->group) < 0 ? -errno : 0;
}

/* Nobody may reach the socket before its mode is set: it is made closed to all. */
static int listen_bind(const struct listen_spec *spec, int fd)
{
	mode_t mask;
	int r;

	if (!is_path(spec))
		return bind(fd, &spec->address.sa, spec->address.len) < 0 ? -errno : 0;

	r = listen_clear_path(spec);
	if (r < 0)
		return r;
	mask = umask(0777);
	r = bind(fd, &spec->address.sa, spec->address.len) < 0 ? -errno : 0;
	umask(mask);
	return r < 0 ? r : listen_own_path(spec);
}

/* On a system without IPv6, `::` means all that there is. */
static struct listen_spec listen_fall_back(const struct listen_spec *spec)
{
	struct listen_spec four = *spec;

	four.address.len = sizeof(four.address.in);
	four.address.in = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(addr_port(&spec->address)),
	};
	return four;
}

static int listen_open_bound(const struct listen_spec *spec, int *ret_fd)
{
	int family = spec->address.sa.sa_family;
	_cleanup_close_ int fd = -1;
	int r = 0;

	fd = socket(family, spec->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && family == AF_INET6 && !spec->v6only &&
		IN6_IS_ADDR_UNSPECIFIED(&spec->address.in6.sin6_addr)) {
		struct listen_spec four = listen_fall_back(spec);

		return listen_open_bound(&four, ret_fd);
	}
	if (fd < 0)
		return -errno;

	if (family != AF_UNIX)
		r = listen_options_inet(spec, fd);
	if (r >= 0)
		r = listen_bind(spec, fd);
	if (r < 0)
		return r;

	*ret_fd = take_fd(&fd);
	return 0;
}

int listen_probe(const struct listen_spec *spec)
{
	struct listen_spec alone = *spec;
	_cleanup_close_ int fd = -1;

	alone.shared = false;
	return is_path(spec) ? 0 : listen_open_bound(&alone, &fd);
}

int listen_open(const struct listen_spec *spec, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = listen_open_bound(spec, &fd);
	if (r < 0)
		return r;
	if (spec->type != SOCK_DGRAM && listen(fd, (int)spec->backlog) < 0)
		return -errno;

	*ret_fd = take_fd(&fd);
	return 0;
}

int listen_adjust(const struct listen_spec *spec, int fd)
{
	if (spec->type != SOCK_DGRAM && listen(fd, (int)spec->backlog) < 0)
		return -errno;
	return is_path(spec) ? listen_own_path(spec) : 0;
}

static int get_option(int fd, int level, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) < 0 ? -errno : value;
}

/* What the socket is, as far as it can be asked. */
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

bool listen_is_gone(const struct listen_spec *spec)
{
	return is_path(spec) && access(spec->address.un.sun_path, F_OK) < 0 && errno == ENOENT;
}

void listen_remove(const struct listen_spec *spec)
{
	if (is_path(spec))
		unlink(spec->address.un.sun_path);
}
