/* SPDX-License-Identifier: Apache-2.0 */

/* A call that fails for want of memory fails again at once, and a socket that has been shut down stays so:
 * neither may make the loop spin. */

#include "net/datagram_socket.h"

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define EVENTS (EPOLLIN | EPOLLRDHUP)

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
		"cannot receive; trying again in %d ms", LOOP_PAUSE_MS);
	loop_pause(socket->loop, &socket->pause, &socket->source, EVENTS);
}

void datagram_socket_init(
	struct datagram_socket *socket, int (*receive_batch)(struct datagram_socket *socket))
{
	socket->source =
		(struct source){.on_event = datagram_socket_on_event, .fd = -1, .dead = true};
	socket->receive_batch = receive_batch;
}

int datagram_socket_watch(struct datagram_socket *socket)
{
	if (!socket->source.dead)
		return 0;
	return loop_watch(socket->loop, &socket->source, socket->fd, EVENTS);
}

void datagram_socket_unwatch(struct datagram_socket *socket)
{
	pause_clear(&socket->pause);
	loop_unwatch(socket->loop, &socket->source);
}

void datagram_socket_close(struct datagram_socket *socket)
{
	pause_clear(&socket->pause);
	if (socket->fd >= 0)
		close(take_fd(&socket->fd));
}
