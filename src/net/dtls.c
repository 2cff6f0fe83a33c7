/* SPDX-License-Identifier: Apache-2.0 */

/* DTLS over one socket for all clients. Each datagram is looked up by both of its ends in a table of
 * sessions (core/flows.h), and core/flows.c decides from its first bytes what becomes of it:
 *
 *     FEED          it goes to its session, dtls_session.c
 *     CHECK_COOKIE  a ClientHello: with a good cookie it begins a session, else it gets a HelloVerifyRequest
 *     STRAY         a record without a session: another worker may have it, see dtls_peers.h
 *     REPLAYED, PIECE, GARBAGE  are counted and dropped
 *
 * Until a cookie has shown that a client is where it seems to be, no memory is taken for it, no public-key
 * operation is done, and its only answer is shorter than its hello and goes out only if the guard would have
 * answered it over UDP. From then on the limits are those of connections. The guard has no say over a
 * session: a peer that holds its keys is no reflector, and a record that comes twice is recognised.
 *
 * A cookie is a MAC over both ends, the parts of the hello that RFC 6347 names, and the minute. Its secret is
 * the same in all processes, so that a handshake may begin with one worker and go on with the next.
 *
 * A reload does not end sessions. The new worker reads the socket, and offers each datagram that it has no
 * session for to the workers that had the socket before; the one that has the session answers it with its own
 * copy of the socket.
 *
 * Read from dtls_receive_batch() down to dtls_take() and dtls_greet(). */

#include "net/dtls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "net/dtls_session.h"

#define COOKIE_MS 60000 /* this minute's are good, and those of the one before */

_Static_assert(DATAGRAM_MAC == HELLO_COOKIE, "all but one byte of a MAC goes into a cookie");

/* Its first byte says which minute it is of, so that one MAC is enough to try it. */
static int cookie_make(struct dtls *dtls, const struct dtls_datagram *d, const struct hello *hello,
	uint64_t minute, uint8_t cookie[static HELLO_COOKIE])
{
	const struct iovec pieces[] = {
		{&minute, sizeof(minute)},
		{(void *)(uintptr_t)&d->key, sizeof(d->key)},
		{(void *)(uintptr_t)hello->before.data, hello->before.len},
		{(void *)(uintptr_t)hello->after.data, hello->after.len},
	};
	int r;

	r = dtls->maker.mac(
		dtls->maker.userdata, pieces, sizeof(pieces) / sizeof(pieces[0]), cookie);
	cookie[0] = (uint8_t)minute;
	return r;
}

/* Whether the hello shows one of ours. */
static bool cookie_is_good(
	struct dtls *dtls, const struct dtls_datagram *d, const struct hello *hello)
{
	uint64_t minute = dtls->socket.loop->now_ms / COOKIE_MS;
	uint8_t cookie[HELLO_COOKIE];

	if (!hello_answers(hello))
		return false;
	if (hello->cookie.data[0] != (uint8_t)minute)
		minute--;
	return cookie_make(dtls, d, hello, minute, cookie) == 0 && hello_has_cookie(hello, cookie);
}

/* Counts what stands in the way of an answer; whether anything does. */
static bool dtls_refuses(struct dtls *dtls, int reason, const struct dtls_datagram *d)
{
	if (reason == GUARD_ANSWER)
		return false;
	refuse(&dtls->refusals, (enum reason)reason, &d->arrival->peer);
	return !(dtls->refusals.guard->limits.dry_run && reason_is_limit((enum reason)reason));
}

/* The source of this hello may be forged. */
static void dtls_verify(struct dtls *dtls, const struct dtls_datagram *d, const struct hello *hello,
	struct udp_sent *sent)
{
	const struct guard *guard = dtls->acceptor->guard;
	uint64_t now_ms = dtls->socket.loop->now_ms;
	struct guard_sender sender = guard_sender(guard, &d->ends, now_ms);
	uint8_t cookie[HELLO_COOKIE], *room;
	size_t length;

	if (hello->cookie.len > 0)
		dtls->counters->reasons[REASON_dtls_cookie]++;
	if (dtls_refuses(dtls, guard_judge(guard, &sender, d->len, now_ms), d))
		return;
	if (cookie_make(dtls, d, hello, now_ms / COOKIE_MS, cookie) < 0)
		return;
	dtls->counters->counted[COUNT_cookies]++;
	room = udp_batch_make_room(dtls->batch, dtls->socket.fd, sent);
	length = hello_verify(hello, cookie, room);
	udp_batch_reply(dtls->batch, d->arrival, room, length, length);
}

/* Whether another worker may still have the session of this datagram, and was asked. */
static bool dtls_passes_on(struct dtls *dtls, const struct dtls_datagram *d)
{
	unsigned first = d->came == CAME_BACK ? d->via + 1 : 0;

	if (d->came != CAME_AS_OFFER)
		return dtls_peers_offer(&dtls->peers, first, d->arrival, d->data, d->len);
	dtls_peers_return(&dtls->peers, d->via, d->arrival);
	return true;
}

/* A new ClientHello with a good cookie replaces the session of that address, once no other worker claims it
 * as a retransmission. */
static void dtls_greet(struct dtls *dtls, const struct dtls_datagram *d, const struct hello *hello,
	struct udp_sent *sent)
{
	struct dtls_session *before = session_of(flows_find(&dtls->flows, &d->key));

	if (!cookie_is_good(dtls, d, hello)) {
		if (d->came == CAME_BY_SOCKET && !dtls->is_stopped)
			dtls_verify(dtls, d, hello, sent);
		return;
	}
	if (before)
		session_end(before, REASON_dtls_replaced);
	if ((!before || d->came == CAME_AS_OFFER) && dtls_passes_on(dtls, d))
		return;
	if (!dtls->is_stopped)
		session_begin(dtls, d, hello);
}

static enum flow_state state_of(const struct dtls_session *s)
{
	if (!s)
		return FLOW_NONE;
	return s->is_agreed ? FLOW_TALKING : FLOW_SHAKING;
}

static void dtls_take(struct dtls *dtls, const struct dtls_datagram *d, struct udp_sent *sent)
{
	struct dtls_session *s = session_of(flows_find(&dtls->flows, &d->key));
	struct hello hello;
	int parsed = hello_parse(d->data, d->len, &hello);
	bool same = s && parsed == 0 && memcmp(s->random, hello.random, HELLO_RANDOM) == 0;

	switch (flow_judge(parsed, state_of(s), same)) {
	case FLOW_FEED:
		session_feed(s, d->data, d->len);
		break;
	case FLOW_CHECK_COOKIE:
		dtls_greet(dtls, d, &hello, sent);
		break;
	case FLOW_REPLAYED:
		dtls_refuses(dtls, REASON_dtls_replayed, d);
		break;
	case FLOW_STRAY:
		if (!dtls_passes_on(dtls, d))
			dtls_refuses(dtls, REASON_dtls_stray, d);
		break;
	case FLOW_PIECE:
		dtls_refuses(dtls, REASON_dtls_piece, d);
		break;
	case FLOW_GARBAGE:
		dtls_refuses(dtls, REASON_tls_garbage, d);
		break;
	}
}

static struct flow_key key_of(const struct udp_arrival *arrival, const struct datagram_ends *ends)
{
	const struct addr *peer = &arrival->peer;
	struct flow_key key = {.port = ends->source_port};

	memcpy(key.peer, ends->source, sizeof(key.peer));
	memcpy(key.local, ends->destination, sizeof(key.local));
	if (peer->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&peer->in6.sin6_addr))
		key.scope = peer->in6.sin6_scope_id;
	return key;
}

/* An arrival may hold several datagrams; an empty one is one too. */
static void dtls_take_all(
	struct dtls *dtls, const struct udp_arrival *arrival, struct udp_sent *sent)
{
	struct dtls_datagram d = {.arrival = arrival, .ends = udp_arrival_ends(arrival)};
	size_t at = 0;

	if (arrival->overflows != 0 && arrival->overflows != dtls->overflows) {
		refuse_many(&dtls->refusals, REASON_overflow, arrival->overflows - dtls->overflows);
		dtls->overflows = arrival->overflows;
	}
	d.key = key_of(arrival, &d.ends);
	do {
		size_t left = arrival->len - at;

		d.data = arrival->data + at;
		d.len = left < arrival->segment ? left : arrival->segment;
		dtls_take(dtls, &d, sent);
		at += d.len;
	} while (at < arrival->len);
}

/* One batch; how many arrivals it had, or a negative errno. */
static int dtls_receive_batch(struct datagram_socket *socket)
{
	struct dtls *dtls = container_of(socket, struct dtls, socket);
	struct udp_sent sent = {0};
	int n;

	n = udp_batch_receive(dtls->batch, dtls->socket.fd);
	for (int i = 0; i < n; i++)
		dtls_take_all(dtls, udp_batch_arrival(dtls->batch, (unsigned)i), &sent);
	udp_batch_send(dtls->batch, dtls->socket.fd, &sent);
	dtls->counters->reasons[REASON_send] += sent.failed;
	return n;
}

static void dtls_take_from(
	struct dtls_peers *peers, unsigned from, const struct udp_arrival *arrival, bool is_back)
{
	struct dtls *dtls = container_of(peers, struct dtls, peers);
	struct udp_sent sent = {0}; /* nothing is: it is the socket's business */
	struct dtls_datagram d = {
		.data = arrival->data,
		.len = arrival->len,
		.arrival = arrival,
		.ends = udp_arrival_ends(arrival),
		.came = is_back ? CAME_BACK : CAME_AS_OFFER,
		.via = from,
	};

	d.key = key_of(arrival, &d.ends);
	dtls_take(dtls, &d, &sent);
}

static void dtls_on_offer(
	struct dtls_peers *peers, unsigned from, const struct udp_arrival *arrival)
{
	dtls_take_from(peers, from, arrival, false);
}

static void dtls_on_return(
	struct dtls_peers *peers, unsigned from, const struct udp_arrival *arrival)
{
	dtls_take_from(peers, from, arrival, true);
}

/* Reads the socket while that is for this one to do, and leaves it alone else. */
static int dtls_settle(struct dtls *dtls)
{
	bool reads = dtls->is_open && (!dtls->is_stopped || !dtls_peers_any_newer(&dtls->peers));

	if (reads)
		return datagram_socket_watch(&dtls->socket);
	datagram_socket_unwatch(&dtls->socket);
	return 0;
}

static void dtls_on_gone(struct dtls_peers *peers)
{
	dtls_settle(container_of(peers, struct dtls, peers));
}

int dtls_meet(struct dtls *dtls, int fd, bool is_newer)
{
	int r;

	r = dtls_peers_add(&dtls->peers, fd, is_newer);
	return r < 0 ? r : dtls_settle(dtls);
}

void dtls_init(struct dtls *dtls, uint64_t idle_ms, uint64_t handshake_ms)
{
	const struct guard *guard = dtls->acceptor->guard;

	datagram_socket_init(&dtls->socket, dtls_receive_batch);
	dtls->flows.key = guard->key;
	dtls->refusals = (struct refusals){
		.loop = dtls->socket.loop,
		.listener = dtls->socket.name,
		.counters = dtls->counters,
		.guard = guard,
	};
	dtls->peers.on_offer = dtls_on_offer;
	dtls->peers.on_return = dtls_on_return;
	dtls->peers.on_gone = dtls_on_gone;
	dtls_peers_init(&dtls->peers, dtls->socket.loop);
	sessions_init(dtls, idle_ms, handshake_ms);
}

int dtls_serve(struct dtls *dtls)
{
	dtls->is_open = true;
	return dtls_settle(dtls);
}

void dtls_stop(struct dtls *dtls)
{
	dtls->is_stopped = true;
	dtls_settle(dtls);
}

void dtls_lose(struct dtls *dtls)
{
	dtls->is_open = false;
	dtls_settle(dtls);
	dtls_cut(dtls, REASON_drain);
}

void dtls_cut(struct dtls *dtls, enum reason reason)
{
	list_foreach (node, &dtls->sessions)
		session_end(container_of(node, struct dtls_session, node), reason);
}

void dtls_done(struct dtls *dtls)
{
	dtls_cut(dtls, REASON_drain);
	dtls_peers_done(&dtls->peers);
	refusals_done(&dtls->refusals);
	deadlines_done(&dtls->idle);
	deadlines_done(&dtls->handshake);
	loop_clear_timer(&dtls->remind);
	datagram_socket_close(&dtls->socket);
}
