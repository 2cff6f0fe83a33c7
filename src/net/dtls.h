/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many clients of DTLS on one socket, which is connected to none of them: each datagram is led to its
 * session by where it came from. Whoever has no session yet is asked for a cookie, and until it shows one
 * nothing is kept of it. */

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
	bool access;          /* a record per session */
	struct listener_counters *counters;
	struct acceptor *acceptor; /* whose guard and limits are ours too */
	struct allotment allotment;
	struct handshakes *handshakes;
	struct datagram_transport_maker maker;
	struct deadlines idle, handshake;
	struct idle_queue idle_queue;
	struct refusals refusals;
	struct timer remind; /* while somebody shakes hands */
	struct list sessions;
	struct dtls_peers peers;
	bool is_open, is_stopped;
	uint32_t overflows; /* as the system last told */
	struct flows flows;
};

/* From here on it may meet others, who may ask it for what it has. */
void dtls_init(struct dtls *dtls, uint64_t idle_ms, uint64_t handshake_ms);
int dtls_open(struct dtls *dtls);
/* Somebody else who has the socket too, or had; takes the descriptor over. */
int dtls_meet(struct dtls *dtls, int fd, bool is_newer);
/* Takes nobody new any more. What comes for its sessions the newer ones pass on; only where there are none
 * it reads on by itself. */
void dtls_stop(struct dtls *dtls);
/* The socket is read by who knows nothing of sessions: they end, and it is left alone for good. */
void dtls_lose(struct dtls *dtls);
/* Ends all sessions, and says so to their peers. */
void dtls_cut(struct dtls *dtls, enum reason reason);
void dtls_done(struct dtls *dtls);
