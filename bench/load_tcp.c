/* SPDX-License-Identifier: Apache-2.0 */

/* Connections: each sends `depth` messages in one piece and waits for all answers (tcp), one sends
 * without end and takes what comes (bulk), one after the other opens, asks and closes (connect), or
 * all are only there (idle). */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

struct connections {
	int epoll_fd;
	uint64_t sent, got; /* of bulk */
	unsigned opened;
	uint8_t room[1 << 18];
	struct connection {
		int fd;
		size_t got;
	} each[];
};

int open_connection(const struct order *order, unsigned number)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	must(fd >= 0, "socket");
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number % 200);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	must(bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0, "bind");
	must(connect(fd, (const struct sockaddr *)&order->server, sizeof(order->server)) == 0,
		"connect");
	return fd;
}

static void ask(int fd, const struct order *order)
{
	size_t size = order->depth * order->size;

	must(send(fd, asked(0), size, MSG_NOSIGNAL) == (ssize_t)size, "send");
}

static void *idle_begin(const struct order *order)
{
	struct connections *all =
		calloc(1, sizeof(*all) + order->flows * sizeof(struct connection));

	if (!all)
		abort();
	all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < order->flows; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all->each[i]};

		all->each[i].fd = open_connection(order, i);
		epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, all->each[i].fd, &event);
	}
	return all;
}

static void *tcp_begin(const struct order *order)
{
	struct connections *all = idle_begin(order);

	for (unsigned i = 0; i < order->flows; i++)
		ask(all->each[i].fd, order);
	return all;
}

static void *bulk_begin(const struct order *order)
{
	struct connections *all = idle_begin(order);

	fcntl(all->each[0].fd, F_SETFL, O_NONBLOCK);
	return all;
}

bool is_right(const uint8_t *data, size_t len, size_t place)
{
	return memcmp(data, wanted(place), len) == 0;
}

static void tcp_collect(struct connections *all, struct connection *one, const struct order *order,
	struct tally *tally)
{
	ssize_t n = recv(one->fd, all->room, sizeof(all->room), MSG_DONTWAIT);

	must(n > 0 || (n < 0 && errno == EAGAIN), "the server closed, or recv");
	if (n < 0)
		return;
	tally->wrong += !is_right(all->room, (size_t)n, one->got);
	one->got += (size_t)n;
	if (one->got == order->depth * order->size) {
		tally->messages += order->depth;
		tally->bytes += one->got;
		one->got = 0;
		ask(one->fd, order);
	}
}

static void tcp_round(void *state, const struct order *order, struct tally *tally)
{
	struct connections *all = state;
	struct epoll_event events[256];
	int n = epoll_wait(all->epoll_fd, events, 256, 1000);

	if (n == 0)
		tally->lost++;
	for (int i = 0; i < n; i++)
		tcp_collect(all, events[i].data.ptr, order, tally);
}

static void bulk_send(struct connections *all, int fd)
{
	ssize_t n = send(fd, asked(all->sent), 1 << 18, MSG_NOSIGNAL);

	must(n > 0 || errno == EAGAIN, "send");
	if (n > 0)
		all->sent += (uint64_t)n;
}

static void bulk_receive(struct connections *all, int fd, struct tally *tally)
{
	ssize_t n = recv(fd, all->room, sizeof(all->room), 0);

	must(n > 0 || (n < 0 && errno == EAGAIN), "the server closed, or recv");
	if (n < 0)
		return;
	tally->wrong += !is_right(all->room, (size_t)n, all->got);
	tally->bytes += (uint64_t)n;
	tally->messages = tally->bytes / 4096;
	all->got += (uint64_t)n;
}

static void bulk_round(void *state, const struct order *order, struct tally *tally)
{
	struct connections *all = state;
	struct pollfd ready = {.fd = all->each[0].fd, .events = POLLIN | POLLOUT};

	if (poll(&ready, 1, 1000) == 0)
		tally->lost++;
	if (ready.revents & POLLIN)
		bulk_receive(all, ready.fd, tally);
	if (ready.revents & POLLOUT)
		bulk_send(all, ready.fd);
}

static void connect_round(void *state, const struct order *order, struct tally *tally)
{
	struct connections *all = state;
	int fd = open_connection(order, all->opened++);
	size_t got = 0, due = order->depth * order->size;
	ssize_t n = 1;

	for (ask(fd, order); got < due && n > 0; got += n > 0 ? (size_t)n : 0)
		n = recv(fd, all->room + got, due - got, 0);
	if (got == due && is_right(all->room, due, 0)) {
		tally->messages++;
		tally->bytes += due;
	} else {
		tally->wrong++;
	}
	close(fd);
}

static void idle_round(void *state, const struct order *order, struct tally *tally)
{
	usleep(10000);
}

static void tcp_end(void *state, const struct order *order)
{
	struct connections *all = state;

	for (unsigned i = 0; i < order->flows; i++)
		if (all->each[i].fd > 0)
			close(all->each[i].fd);
	close(all->epoll_fd);
	free(all);
}

static void *connect_begin(const struct order *order)
{
	struct order none = *order;

	none.flows = 0;
	return idle_begin(&none);
}

static void connect_end(void *state, const struct order *order)
{
	free(state);
}

const struct way way_tcp = {"tcp", tcp_begin, tcp_round, tcp_end};
const struct way way_bulk = {"bulk", bulk_begin, bulk_round, tcp_end};
const struct way way_connect = {"connect", connect_begin, connect_round, connect_end};
const struct way way_idle = {"idle", idle_begin, idle_round, tcp_end};
