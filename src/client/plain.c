/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets without anything around them. A datagram socket is connected as well: only then does
 * the kernel report an ICMP refusal, and drop datagrams of other addresses. */

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/options.h"
#include "client/transport.h"

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

#define STAGGER_MS 250

struct race {
	struct link *link;
	struct pollfd tries[SERVER_ADDRESSES]; /* fd -1: not begun, or over */
	size_t begun, open;
	uint64_t next_ms;     /* when to begin the next */
	uint64_t deadline_ms; /* 0: none */
};

static void race_done(struct race *race)
{
	for (size_t i = 0; i < race->begun; i++)
		close_fdp(&race->tries[i].fd);
}

/* The errno of an attempt that failed at once, or 0. */
static int race_begin(const struct addr *addr, struct pollfd *ret_try)
{
	_cleanup_close_ int fd = -1;

	fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, &addr->sa, addr->len) < 0 && errno != EINPROGRESS)
		return errno;
	ret_try->fd = take_fd(&fd);
	return 0;
}

static void race_begin_due(struct race *race)
{
	const struct server *server = race->link->server;

	while (race->begun < server->n_addresses && (!race->open || clock_ms() >= race->next_ms)) {
		struct pollfd *try = &race->tries[race->begun];
		int error;

		*try = (struct pollfd){.fd = -1, .events = POLLOUT};
		error = race_begin(&server->addresses[race->begun], try);
		race->link->errors[race->begun++] = error;
		if (error)
			continue;
		race->open++;
		race->next_ms = clock_ms() + STAGGER_MS;
	}
}

/* How long to sleep: until the next attempt or the end; -1: until something happens. */
static int race_patience_ms(const struct race *race)
{
	uint64_t now = clock_ms(), until = race->deadline_ms;

	if (race->begun < race->link->server->n_addresses && (!until || race->next_ms < until))
		until = race->next_ms;
	if (!until)
		return -1;
	return until > now ? (int)(until - now) : 0;
}

/* Takes stock of the attempts that have an outcome; true when one of them is connected. */
static bool race_find_winner(struct race *race)
{
	for (size_t i = 0; i < race->begun; i++) {
		int error = 0;
		socklen_t len = sizeof(error);

		if (race->tries[i].fd < 0 || !race->tries[i].revents)
			continue;
		getsockopt(race->tries[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (!error) {
			race->link->at = i;
			race->link->fd = take_fd(&race->tries[i].fd);
			return true;
		}
		race->link->errors[i] = error;
		close(take_fd(&race->tries[i].fd));
		race->open--;
		race->next_ms = 0;
	}
	return false;
}

static void race_give_up(struct race *race)
{
	for (size_t i = 0; i < race->begun; i++)
		if (race->tries[i].fd >= 0)
			race->link->errors[i] = ETIMEDOUT;
}

static int race_connect(struct link *link, struct why *why)
{
	uint64_t timeout_ms = link->server->options->timeout_ms;
	__attribute__((cleanup(race_done))) struct race race = {
		.link = link,
		.deadline_ms = timeout_ms ? clock_ms() + timeout_ms : 0,
	};

	for (;;) {
		race_begin_due(&race);
		if (!race.open)
			break;
		if (poll(race.tries, race.begun, race_patience_ms(&race)) < 0 && errno != EINTR)
			return -errno;
		if (race_find_winner(&race))
			return 0;
		if (race.deadline_ms && clock_ms() >= race.deadline_ms) {
			race_give_up(&race);
			break;
		}
	}
	return link_explain(link, why);
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

/* Errors caused by the peer or the path are outcomes; the others are the system's. */
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
