/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The workers of other generations that serve, or have served, the same address. While an old generation
 * drains, a new one reads the socket, and offers each datagram that it has no session for to the others, one
 * after the other. The worker that has the session answers the datagram by its own copy of the socket; all
 * others return it. No state is kept of datagrams under way: one that does not come back is lost, as any
 * datagram may be.
 *
 * Another worker is trusted as little as the network: its messages can do no more than datagrams with forged
 * ends. */

#include "base/loop.h"
#include "net/udp_batch.h"

#define DTLS_PEERS_MAX 16

struct dtls_peers;

struct dtls_peer {
	struct source source;
	struct dtls_peers *all;
	int fd; /* owned; -1: a free place */
	bool is_newer;
};

struct dtls_peers {
	struct loop *loop;
	uint8_t *buffer; /* for one datagram; NULL until there is a peer */
	struct dtls_peer list[DTLS_PEERS_MAX];
	unsigned turn; /* the place that is taken next when all are in use */
	/* A peer offers a datagram that it has no session for. */
	void (*on_offer)(
		struct dtls_peers *peers, unsigned from, const struct udp_arrival *arrival);
	/* A peer returns a datagram, since it has no session for it either. */
	void (*on_return)(
		struct dtls_peers *peers, unsigned from, const struct udp_arrival *arrival);
	/* A peer has gone. */
	void (*on_gone)(struct dtls_peers *peers);
};

void dtls_peers_init(struct dtls_peers *peers, struct loop *loop);
void dtls_peers_done(struct dtls_peers *peers);

/* Takes the descriptor over; when there is no place left, the oldest peer is given up. */
int dtls_peers_add(struct dtls_peers *peers, int fd, bool is_newer);
/* Whether a newer worker reads the socket. */
bool dtls_peers_any_newer(const struct dtls_peers *peers);

/* One datagram to the first of them from number `first` on; false when there is none left to ask. */
bool dtls_peers_offer(struct dtls_peers *peers, unsigned first, const struct udp_arrival *to,
	const uint8_t *data, size_t len);
void dtls_peers_return(struct dtls_peers *peers, unsigned to, const struct udp_arrival *arrival);
