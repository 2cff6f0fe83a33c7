/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sessions from the inside, for the files that share them: dtls.c leads datagrams to them, and
 * dtls_session.c is what becomes of one from its first datagram to its end. */

#include "core/hello.h"
#include "net/dtls.h"

/* One datagram, wherever it came in. */
struct dtls_datagram {
	const uint8_t *data;
	size_t len;
	const struct udp_arrival *arrival; /* where it came from, and was sent to */
	struct datagram_ends ends;
	struct flow_key key;
	enum { CAME_BY_SOCKET, CAME_AS_OFFER, CAME_BACK } came;
	unsigned via; /* the worker that has offered it, or sent it back */
};

struct dtls_session {
	struct flow flow;
	struct dtls *dtls;
	struct datagram_transport transport;
	struct udp_arrival way; /* back to the peer; without data */
	struct list node;
	struct deadline deadline; /* of the handshake, or idle */
	struct handshake shake;   /* until the two agree */
	uint8_t random[HELLO_RANDOM];
	bool is_agreed; /* the handshake is over */
	uint64_t bytes_in, bytes_out, messages, opened_ms;
};

static inline struct dtls_session *session_of(struct flow *flow)
{
	return flow ? container_of(flow, struct dtls_session, flow) : NULL;
}

/* Their deadlines, and that there is none yet. */
void sessions_init(struct dtls *dtls, uint64_t idle_ms, uint64_t handshake_ms);
/* Begins with a ClientHello that has a good cookie: all limits hold for the client from here on. */
void session_begin(
	struct dtls *dtls, const struct dtls_datagram *datagram, const struct hello *hello);
/* A datagram for it; may be its end. */
void session_feed(struct dtls_session *s, const uint8_t *data, size_t len);
/* Says goodbye, if the two ever agreed, and frees it. */
void session_end(struct dtls_session *s, enum reason reason);
