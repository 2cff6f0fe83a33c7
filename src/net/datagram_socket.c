/* SPDX-License-Identifier: Apache-2.0 */

/* A call that fails for want of memory fails again at once, and a socket that has been shut down stays so:
 * neither may make the loop spin. */

#include "net/datagram_socket.h"

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define RETRY_MS 100

static void datagram_socket_on_retry(struct timer *timer, uint64_t now_ms)
{
	struct datagram_socket *socket = container_of(timer, struct datagram_socket, retry);

	if (datagram_socket_watch(socket) < 0)
		loop_set_timer(socket->loop, timer, now_ms + RETRY_MS);
}

static void datagram_socket_on_event(struct source *source, uint32_t events)
{
	struct datagram_socket *socket = container_of(source, struct datagram_socket, source);
	int r;

	r = socket->receive_batch(socket);
	if (r == -EAGAIN && events & (EPOLLRDHUP | EPOLLHUP))
		r = -ESHUTDOWN;
	if (r >= 0 || r == -EAGAIN || r == -EINTR)
		return;
	log_event(EVENT_SYSTEM_REFUSED, ABOUT(.listener = socket->name, .error = r),
		"cannot receive; trying again in %d ms", RETRY_MS);
	loop_unwatch(socket->loop, &socket->source);
	loop_set_timer(socket->loop, &socket->retry, socket->loop->now_ms + RETRY_MS);
}

void datagram_socket_init(
	struct datagram_socket *socket, int (*receive_batch)(struct datagram_socket *socket))
{
	socket->source =
		(struct source){.on_event = datagram_socket_on_event, .fd = -1, .dead = true};
	socket->retry.on_time = datagram_socket_on_retry;
	socket->receive_batch = receive_batch;
}

int datagram_socket_watch(struct datagram_socket *socket)
{
	if (!socket->source.dead)
		return 0;
	return loop_watch(socket->loop, &socket->source, socket->fd, EPOLLIN | EPOLLRDHUP);
}

void datagram_socket_unwatch(struct datagram_socket *socket)
{
	loop_clear_timer(&socket->retry);
	loop_unwatch(socket->loop, &socket->source);
}

void datagram_socket_close(struct datagram_socket *socket)
{
	loop_clear_timer(&socket->retry);
	if (socket->fd >= 0)
		close(take_fd(&socket->fd));
}
