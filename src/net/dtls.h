/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many clients of DTLS on one socket, which is connected to none of them: the source of a datagram leads to
 * its session. A client without a session is asked for a cookie, and until it shows one no state is kept. */

#include "base/deadline.h"
#include "base/loop.h"
#include "core/answerer.h"
#include "core/counters.h"
#include "core/flows.h"
#include "net/accept.h"
#include "net/datagram_socket.h"
#include "net/datagram_transport.h"
#include "net/dtls_peers.h"
#include "net/refusals.h"
#include "net/scratch.h"
#include "net/udp_batch.h"

/* One socket. Filled in by its owner, and stays where it is while it is open. */
struct dtls {
	struct datagram_socket socket;
	struct udp_batch *batch;
	struct scratch *scratch; /* of DATAGRAM_LONGEST each way at least */
	struct answerer answerer;
	double amplification; /* longest reply, as a multiple of the request */
	unsigned access;      /* a record of one session in so many; 0: of none */
	struct listener_counters *counters;
	struct acceptor *acceptor; /* has the guard and the limits */
	struct allotment allotment;
	struct handshakes *handshakes;
	struct datagram_transport_maker maker;
	struct deadlines idle, handshake;
	struct idle_queue idle_queue;
	struct refusals refusals;
	struct timer remind; /* while there are handshakes */
	struct list sessions;
	struct dtls_peers peers;
	bool is_open, is_stopped;
	uint32_t overflows; /* as the system last told */
	struct flows flows;
};

/* From here on other workers may be introduced to it, and may ask it for its sessions. */
void dtls_init(struct dtls *dtls, uint64_t idle_ms, uint64_t handshake_ms);
int dtls_serve(struct dtls *dtls);
/* Another worker that has the socket too, or had it; takes the descriptor over. */
int dtls_meet(struct dtls *dtls, int fd, bool is_newer);
/* Begins no more sessions. Newer workers pass on the datagrams of those that it has; where there is no newer
 * worker, it goes on reading the socket. */
void dtls_stop(struct dtls *dtls);
/* The socket is read by a worker that cannot pass datagrams on: all sessions end, and it is left alone. */
void dtls_lose(struct dtls *dtls);
/* Ends all sessions with close_notify. */
void dtls_cut(struct dtls *dtls, enum reason reason);
void dtls_done(struct dtls *dtls);
