/* SPDX-License-Identifier: Apache-2.0 */

/* A datagram travels behind a head that says where it came from and where it was sent to, in a socket that
 * keeps messages apart and tells when the other end is gone. */

#include "net/siblings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LONGEST       65536
#define OFFERS_A_TIME 64

/* Between processes of one build on one machine. */
struct head {
	uint32_t is_returned;
	socklen_t len;
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
	struct in_pktinfo four;
	struct in6_pktinfo six;
};

static void sibling_close(struct sibling *sibling)
{
	if (sibling->fd < 0)
		return;
	loop_unwatch(sibling->all->loop, &sibling->source);
	close(take_fd(&sibling->fd));
}

static void sibling_lose(struct sibling *sibling)
{
	sibling_close(sibling);
	sibling->all->on_gone(sibling->all);
}

static bool head_is_sound(const struct head *head)
{
	return (head->peer.in.sin_family == AF_INET && head->len == sizeof(head->peer.in)) ||
		(head->peer.in.sin_family == AF_INET6 && head->len == sizeof(head->peer.in6));
}

static struct udp_arrival arrival_of(const struct head *head, uint8_t *data, size_t len)
{
	struct udp_arrival arrival = {
		.data = data,
		.len = len,
		.segment = len,
		.peer.len = head->len,
		.four = head->four,
		.six = head->six,
	};

	memcpy(&arrival.peer.in6, &head->peer, sizeof(head->peer));
	return arrival;
}

/* A datagram, 0 when there is none, or -1 when the sibling is gone or talks nonsense. */
static ssize_t sibling_hear(struct sibling *sibling, struct head *head)
{
	struct iovec span[] = {{head, sizeof(*head)}, {sibling->all->buffer, LONGEST}};
	struct msghdr message = {.msg_iov = span, .msg_iovlen = 2};
	ssize_t n;

	n = recvmsg(sibling->fd, &message, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= (ssize_t)sizeof(*head) || message.msg_flags & MSG_TRUNC || !head_is_sound(head))
		return -1;
	return n - (ssize_t)sizeof(*head);
}

static void sibling_on_event(struct source *source, uint32_t events)
{
	struct sibling *sibling = container_of(source, struct sibling, source);
	struct siblings *all = sibling->all;
	unsigned number = (unsigned)(sibling - all->list);

	for (int i = 0; i < OFFERS_A_TIME && !sibling->source.dead; i++) {
		struct udp_arrival arrival;
		struct head head;
		ssize_t n = sibling_hear(sibling, &head);

		if (n == 0)
			return;
		if (n < 0) {
			sibling_lose(sibling);
			return;
		}
		arrival = arrival_of(&head, all->buffer, (size_t)n);
		(head.is_returned ? all->on_return : all->on_offer)(all, number, &arrival);
	}
}

void siblings_init(struct siblings *siblings, struct loop *loop)
{
	siblings->loop = loop;
	for (unsigned i = 0; i < SIBLINGS_MAX; i++)
		siblings->list[i] = (struct sibling){
			.source = {.on_event = sibling_on_event, .fd = -1, .dead = true},
			.all = siblings,
			.fd = -1,
		};
}

void siblings_done(struct siblings *siblings)
{
	for (unsigned i = 0; i < SIBLINGS_MAX && siblings->loop; i++)
		sibling_close(&siblings->list[i]);
	free(siblings->buffer);
	siblings->buffer = NULL;
}

static struct sibling *siblings_make_room(struct siblings *siblings)
{
	struct sibling *first;

	for (unsigned i = 0; i < SIBLINGS_MAX; i++)
		if (siblings->list[i].fd < 0)
			return &siblings->list[i];
	first = &siblings->list[siblings->turn++ % SIBLINGS_MAX];
	sibling_close(first);
	return first;
}

int siblings_add(struct siblings *siblings, int fd, bool is_newer)
{
	_cleanup_close_ int owned = fd;
	struct sibling *sibling;
	int r;

	if (!siblings->buffer)
		siblings->buffer = malloc(LONGEST);
	if (!siblings->buffer)
		return -ENOMEM;
	sibling = siblings_make_room(siblings);
	r = loop_watch(siblings->loop, &sibling->source, fd, EPOLLIN);
	if (r < 0)
		return r;
	sibling->fd = take_fd(&owned);
	sibling->is_newer = is_newer;
	return 0;
}

bool siblings_any_newer(const struct siblings *siblings)
{
	for (unsigned i = 0; i < SIBLINGS_MAX; i++)
		if (siblings->list[i].fd >= 0 && siblings->list[i].is_newer)
			return true;
	return false;
}

/* Whether the sibling has it, or would have if it were not too busy to take it. */
static bool sibling_send(
	struct sibling *sibling, struct head *head, const uint8_t *data, size_t len)
{
	struct iovec span[] = {{head, sizeof(*head)}, {(void *)(uintptr_t)data, len}};

	/* The socket does not block, and SIGPIPE is ignored. */
	if (writev(sibling->fd, span, 2) >= 0)
		return true;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
}

static struct head head_of(const struct udp_arrival *arrival, bool is_returned)
{
	struct head head = {
		.is_returned = is_returned,
		.len = arrival->peer.len,
		.four = arrival->four,
		.six = arrival->six,
	};

	memcpy(&head.peer, &arrival->peer.in6, sizeof(head.peer));
	return head;
}

bool siblings_offer(struct siblings *siblings, unsigned first, const struct udp_arrival *to,
	const uint8_t *data, size_t len)
{
	struct head head = head_of(to, false);

	for (unsigned i = first; i < SIBLINGS_MAX; i++)
		if (siblings->list[i].fd >= 0 && sibling_send(&siblings->list[i], &head, data, len))
			return true;
	return false;
}

void siblings_return(struct siblings *siblings, unsigned to, const struct udp_arrival *arrival)
{
	struct head head = head_of(arrival, true);

	if (siblings->list[to].fd >= 0)
		sibling_send(&siblings->list[to], &head, arrival->data, arrival->len);
}
