/* SPDX-License-Identifier: Apache-2.0 */
/* The race of connections. An attempt starts when the one before it has failed, or after 250 ms;
 * the losers are closed. Refusal is an errno here, since words are made of all of them at the end. */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/options.h"
#include "client/race.h"

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
static int begin(const struct addr *addr, struct pollfd *ret_try)
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

static void begin_due(struct race *race)
{
	const struct server *server = race->link->server;

	while (race->begun < server->n_addresses && (!race->open || clock_ms() >= race->next_ms)) {
		struct pollfd *try = &race->tries[race->begun];
		int error;

		*try = (struct pollfd){.fd = -1, .events = POLLOUT};
		error = begin(&server->addresses[race->begun], try);
		race->link->errors[race->begun++] = error;
		if (error)
			continue;
		race->open++;
		race->next_ms = clock_ms() + STAGGER_MS;
	}
}

/* How long to sleep: until the next attempt or the end; -1: until something happens. */
static int patience_ms(const struct race *race)
{
	uint64_t now = clock_ms(), until = race->deadline_ms;

	if (race->begun < race->link->server->n_addresses && (!until || race->next_ms < until))
		until = race->next_ms;
	if (!until)
		return -1;
	return until > now ? (int)(until - now) : 0;
}

/* Takes stock of the attempts that have an outcome; true when one of them is connected. */
static bool has_winner(struct race *race)
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

static void give_up(struct race *race)
{
	for (size_t i = 0; i < race->begun; i++)
		if (race->tries[i].fd >= 0)
			race->link->errors[i] = ETIMEDOUT;
}

int race_connect(struct link *link, struct why *why)
{
	uint64_t timeout_ms = link->server->options->timeout_ms;
	__attribute__((cleanup(race_done))) struct race race = {
		.link = link,
		.deadline_ms = timeout_ms ? clock_ms() + timeout_ms : 0,
	};

	for (;;) {
		begin_due(&race);
		if (!race.open)
			break;
		if (poll(race.tries, race.begun, patience_ms(&race)) < 0 && errno != EINTR)
			return -errno;
		if (has_winner(&race))
			return 0;
		if (race.deadline_ms && clock_ms() >= race.deadline_ms) {
			give_up(&race);
			break;
		}
	}
	return link_explain(link, why);
}
