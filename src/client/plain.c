/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets without anything around them. A datagram socket is connected as well: only then does
 * the kernel report an ICMP refusal, and drop datagrams of other addresses. */

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "client/options.h"
#include "client/transport.h"
#include "config.h"

#if WITH_LINUX
#include <sys/epoll.h>
#endif

static void ask_for_errors(int fd, bool is_v6)
{
#if WITH_LINUX
	int on = 1;

	setsockopt(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_RECVERR : IP_RECVERR, &on,
		sizeof(on));
#endif
}

/* A peer that may be any is not connected to; the kernel then reports refusals only when asked to, if at all. */
static int datagram_connect(const struct server *server, const struct addr *addr, int *ret_fd)
{
	_cleanup_close_ int fd = -1;

	fd = fd_socket(addr->sa.sa_family, SOCK_DGRAM);
	if (fd < 0)
		return errno;
	if (server->has_any_peer)
		ask_for_errors(fd, addr->sa.sa_family == AF_INET6);
	else if (connect(fd, &addr->sa, addr->len) < 0)
		return errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int datagram_open(struct link *link, struct why *why)
{
	const struct server *server = link->server;

	for (; link->at < server->n_addresses; link->at++) {
		int *error = &link->errors[link->at];

		*error = datagram_connect(server, &server->addresses[link->at], &link->fd);
		if (!*error) {
			link->times.connected_us = clock_us();
			return 0;
		}
	}
	return link_explain(link, why);
}

int datagram_finish(struct link *link)
{
	return 0;
}

/* Happy Eyeballs (RFC 8305): the addresses of a server are tried side by side. An attempt starts when the
 * one before it has failed, or after 250 ms; the first to connect wins, and the others are closed. */
#define STAGGER_MS 250

struct race {
	int tries[SERVER_ADDRESSES]; /* -1: not begun, or over */
	size_t begun, open;
	uint64_t next_ms; /* when to begin the next */
};

/* One descriptor for all attempts, to wait for: an epoll descriptor has an event when one of them has. Elsewhere it
 * is the attempt that was begun last, and the others are looked at every few milliseconds. */
#define GLANCE_MS 10
#if WITH_LINUX
#define ATTEMPTS_EVENT POLLIN

static int attempts_open(int *set)
{
	*set = epoll_create1(EPOLL_CLOEXEC);
	return *set;
}

static int attempts_add(int *set, int fd)
{
	return epoll_ctl(*set, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLOUT});
}

static void attempts_close(int *set)
{
	close_fdp(set);
	*set = -1;
}
#else
#define ATTEMPTS_EVENT POLLOUT

static int attempts_open(int *set)
{
	return 0;
}

static int attempts_add(int *set, int fd)
{
	*set = fd;
	return 0;
}

/* It is closed as the attempt that it is. */
static void attempts_close(int *set)
{
	*set = -1;
}
#endif

static void race_free(struct race *race)
{
	if (!race)
		return;
	for (size_t i = 0; i < race->begun; i++)
		close_fdp(&race->tries[i]);
	free(race);
}

/* The errno of an attempt that failed at once, or 0. */
static int race_begin(struct link *link, size_t at)
{
	const struct addr *addr = &link->server->addresses[at];
	struct race *race = link->opening;
	_cleanup_close_ int fd = -1;

	fd = fd_socket(addr->sa.sa_family, SOCK_STREAM);
	if (fd < 0)
		return errno;
	if (connect(fd, &addr->sa, addr->len) < 0 && errno != EINPROGRESS)
		return errno;
	if (attempts_add(&link->fd, fd) < 0)
		return errno;
	race->tries[at] = take_fd(&fd);
	return 0;
}

static void race_begin_due(struct link *link)
{
	struct race *race = link->opening;

	while (race->begun < link->server->n_addresses &&
		(!race->open || clock_ms() >= race->next_ms)) {
		size_t at = race->begun++;

		race->tries[at] = -1;
		link->errors[at] = race_begin(link, at);
		if (link->errors[at])
			continue;
		race->open++;
		race->next_ms = clock_ms() + STAGGER_MS;
	}
}

/* Sorts out the attempts that have an outcome; true when one of them is connected, and is the link now. */
static bool race_find_winner(struct link *link)
{
	struct race *race = link->opening;

	for (size_t at = 0; at < race->begun; at++) {
		struct pollfd attempt = {.fd = race->tries[at], .events = POLLOUT};
		socklen_t len = sizeof(link->errors[at]);

		if (attempt.fd < 0 || poll(&attempt, 1, 0) <= 0)
			continue;
		getsockopt(race->tries[at], SOL_SOCKET, SO_ERROR, &link->errors[at], &len);
		if (!link->errors[at]) {
			attempts_close(&link->fd);
			link->at = at;
			link->fd = take_fd(&race->tries[at]);
			return true;
		}
		close(take_fd(&race->tries[at]));
		race->open--;
		race->next_ms = 0;
	}
	return false;
}

static int race_start(struct link *link)
{
	uint64_t timeout_ms = link->server->options->timeout_ms;
	struct race *race = calloc(1, sizeof(*race));

	if (!race)
		return -ENOMEM;
	if (attempts_open(&link->fd) < 0) {
		free(race);
		return -errno;
	}
	link->opening = race;
	link->stage = LINK_CONNECTING;
	link->deadline_ms = timeout_ms ? clock_ms() + timeout_ms : 0;
	link->read_wants = ATTEMPTS_EVENT;
	return 0;
}

static int race_lose(struct link *link, struct why *why)
{
	struct race *race = link->opening;

	for (size_t i = 0; i < race->begun; i++)
		if (race->tries[i] >= 0)
			link->errors[i] = ETIMEDOUT;
	link_plain_close(link);
	return link_explain(link, why);
}

static int race_win(struct link *link)
{
	int on = 1;

	race_free(link->opening);
	link->opening = NULL;
	link->times.connected_us = clock_us();
	/* A question is sent at once, whole; a unix socket has no such option. */
	setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return 0;
}

int link_stream_open(struct link *link, struct why *why)
{
	struct race *race;
	int r;

	r = link->stage == LINK_CONNECTING ? 0 : race_start(link);
	if (r)
		return r;
	race = link->opening;
	if (race_find_winner(link))
		return race_win(link);
	race_begin_due(link);
	if (!race->open || (link->deadline_ms && clock_ms() >= link->deadline_ms))
		return race_lose(link, why);

	link->due_ms = link->deadline_ms;
	if (race->begun < link->server->n_addresses &&
		(!link->due_ms || race->next_ms < link->due_ms))
		link->due_ms = race->next_ms;
	if (!WITH_LINUX && race->open > 1)
		link->due_ms = clock_ms() + GLANCE_MS;
	return LINK_E_AGAIN;
}

int link_stream_finish(struct link *link)
{
	/* The next read reports a peer that is gone already. */
	if (shutdown(link->fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return -errno;
	return 0;
}

/* Errors caused by the peer or the path are outcomes; the others are the system's. */
int link_plain_outcome(struct link *link, int error)
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

int link_plain_read(struct link *link, void *data, size_t size, size_t *ret_len)
{
	ssize_t n = recv(link->fd, data, size, 0);

	if (n < 0)
		return link_plain_outcome(link, errno);
	if (n == 0 && !link->server->url.transport->is_datagram)
		return LINK_E_END;
	*ret_len = (size_t)n;
	return 0;
}

int link_plain_write(struct link *link, const void *data, size_t len, size_t *ret_len)
{
	ssize_t n = send(link->fd, data, len, MSG_NOSIGNAL);

	if (n < 0)
		return link_plain_outcome(link, errno);
	*ret_len = (size_t)n;
	return 0;
}

void link_plain_close(struct link *link)
{
	if (link->stage == LINK_CONNECTING) {
		attempts_close(&link->fd);
		race_free(link->opening);
	}
	link->opening = NULL;
	if (link->fd >= 0)
		close(take_fd(&link->fd));
}
