/* SPDX-License-Identifier: Apache-2.0 */

/* Workers that pass datagrams of DTLS to each other over a reload: the sessions stay with the old worker, and
 * the new one reads the socket.
 *
 * A datagram travels behind a head that says where it came from and where it was sent to, in a socket that
 * keeps messages apart and tells when the other end is gone. The newer worker offers a record without a session
 * to the older ones, one after the other; the one that has the session takes it and answers. A worker that does
 * not have it sends it back (`is_returned`), and what all have sent back is counted and dropped.
 *
 * The other end is a process that may have been taken over, so a head is checked like anything from outside. A
 * datagram that finds no room in the socket is dropped: peers never wait for each other. */

#include "net/dtls_peers.h"

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
struct peer_head {
	uint32_t is_returned;
	socklen_t len;
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
	struct in_pktinfo info4;
	struct in6_pktinfo info6;
};

static void dtls_peer_close(struct dtls_peer *peer)
{
	if (peer->fd < 0)
		return;
	loop_unwatch(peer->all->loop, &peer->source);
	close(take_fd(&peer->fd));
}

static void dtls_peer_lose(struct dtls_peer *peer)
{
	dtls_peer_close(peer);
	peer->all->on_gone(peer->all);
}

static bool head_is_sound(const struct peer_head *head)
{
	return (head->peer.in.sin_family == AF_INET && head->len == sizeof(head->peer.in)) ||
		(head->peer.in.sin_family == AF_INET6 && head->len == sizeof(head->peer.in6));
}

static struct udp_arrival arrival_of(const struct peer_head *head, uint8_t *data, size_t len)
{
	struct udp_arrival arrival = {
		.data = data,
		.len = len,
		.segment = len,
		.peer.len = head->len,
		.info4 = head->info4,
		.info6 = head->info6,
	};

	memcpy(&arrival.peer.in6, &head->peer, sizeof(head->peer));
	return arrival;
}

/* A datagram, 0 when there is none, or -1 when the peer is gone or its message is malformed. */
static ssize_t dtls_peer_receive(struct dtls_peer *peer, struct peer_head *head)
{
	struct iovec span[] = {{head, sizeof(*head)}, {peer->all->buffer, LONGEST}};
	struct msghdr message = {.msg_iov = span, .msg_iovlen = 2};
	ssize_t n;

	n = recvmsg(peer->fd, &message, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= (ssize_t)sizeof(*head) || message.msg_flags & MSG_TRUNC || !head_is_sound(head))
		return -1;
	return n - (ssize_t)sizeof(*head);
}

static void dtls_peer_on_event(struct source *source, uint32_t events)
{
	struct dtls_peer *peer = container_of(source, struct dtls_peer, source);
	struct dtls_peers *all = peer->all;
	unsigned number = (unsigned)(peer - all->list);

	for (int i = 0; i < OFFERS_A_TIME && !peer->source.dead; i++) {
		struct udp_arrival arrival;
		struct peer_head head;
		ssize_t n = dtls_peer_receive(peer, &head);

		if (n == 0)
			return;
		if (n < 0) {
			dtls_peer_lose(peer);
			return;
		}
		arrival = arrival_of(&head, all->buffer, (size_t)n);
		(head.is_returned ? all->on_return : all->on_offer)(all, number, &arrival);
	}
}

void dtls_peers_init(struct dtls_peers *peers, struct loop *loop)
{
	peers->loop = loop;
	for (unsigned i = 0; i < DTLS_PEERS_MAX; i++)
		peers->list[i] = (struct dtls_peer){
			.source = {.on_event = dtls_peer_on_event, .fd = -1, .dead = true},
			.all = peers,
			.fd = -1,
		};
}

void dtls_peers_done(struct dtls_peers *peers)
{
	for (unsigned i = 0; i < DTLS_PEERS_MAX && peers->loop; i++)
		dtls_peer_close(&peers->list[i]);
	free(peers->buffer);
	peers->buffer = NULL;
}

static struct dtls_peer *dtls_peers_make_room(struct dtls_peers *peers)
{
	struct dtls_peer *first;

	for (unsigned i = 0; i < DTLS_PEERS_MAX; i++)
		if (peers->list[i].fd < 0)
			return &peers->list[i];
	first = &peers->list[peers->turn++ % DTLS_PEERS_MAX];
	dtls_peer_close(first);
	return first;
}

int dtls_peers_add(struct dtls_peers *peers, int fd, bool is_newer)
{
	_cleanup_close_ int owned = fd;
	struct dtls_peer *peer;
	int r;

	if (!peers->buffer)
		peers->buffer = malloc(LONGEST);
	if (!peers->buffer)
		return -ENOMEM;
	peer = dtls_peers_make_room(peers);
	r = loop_watch(peers->loop, &peer->source, fd, EPOLLIN);
	if (r < 0)
		return r;
	peer->fd = take_fd(&owned);
	peer->is_newer = is_newer;
	return 0;
}

bool dtls_peers_any_newer(const struct dtls_peers *peers)
{
	for (unsigned i = 0; i < DTLS_PEERS_MAX; i++)
		if (peers->list[i].fd >= 0 && peers->list[i].is_newer)
			return true;
	return false;
}

/* Whether the peer has it, or would have it if it were not too busy. */
static bool dtls_peer_pass(
	struct dtls_peer *peer, struct peer_head *head, const uint8_t *data, size_t len)
{
	struct iovec span[] = {{head, sizeof(*head)}, {(void *)(uintptr_t)data, len}};

	/* The socket does not block, and SIGPIPE is ignored. */
	if (writev(peer->fd, span, 2) >= 0)
		return true;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
}

static struct peer_head head_of(const struct udp_arrival *arrival, bool is_returned)
{
	struct peer_head head = {
		.is_returned = is_returned,
		.len = arrival->peer.len,
		.info4 = arrival->info4,
		.info6 = arrival->info6,
	};

	memcpy(&head.peer, &arrival->peer.in6, sizeof(head.peer));
	return head;
}

bool dtls_peers_offer(struct dtls_peers *peers, unsigned first, const struct udp_arrival *to,
	const uint8_t *data, size_t len)
{
	struct peer_head head = head_of(to, false);

	for (unsigned i = first; i < DTLS_PEERS_MAX; i++)
		if (peers->list[i].fd >= 0 && dtls_peer_pass(&peers->list[i], &head, data, len))
			return true;
	return false;
}

void dtls_peers_return(struct dtls_peers *peers, unsigned to, const struct udp_arrival *arrival)
{
	struct peer_head head = head_of(arrival, true);

	if (peers->list[to].fd >= 0)
		dtls_peer_pass(&peers->list[to], &head, arrival->data, arrival->len);
}
