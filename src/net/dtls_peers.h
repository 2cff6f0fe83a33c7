/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Those who serve, or have served, the same address in other generations. While an old generation drains,
 * a new one reads the socket; what it has no session for it offers to the others, one after the other.
 * Whoever has the session keeps the datagram, and answers it by its own copy of the socket; all others
 * send it back. Nothing is remembered of what is under way: what does not come back was lost, as any
 * datagram may be.
 *
 * A sibling is another process, and believed as little as the network: it can say no more than anybody who
 * sends datagrams with forged ends. */

#include "base/loop.h"
#include "net/udp_batch.h"

#define DTLS_PEERS_MAX 16

struct dtls_peers;

struct dtls_peer {
	struct source source;
	struct dtls_peers *all;
	int fd; /* owned; -1: nobody */
	bool is_newer;
};

struct dtls_peers {
	struct loop *loop;
	uint8_t *buffer; /* for one datagram; there once there are siblings */
	struct dtls_peer list[DTLS_PEERS_MAX];
	unsigned turn; /* whose place is taken next, when there is no other */
	/* A sibling offers what it has no session for. */
	void (*on_offer)(
		struct dtls_peers *peers, unsigned from, const struct udp_arrival *arrival);
	/* One that was offered to it has no session for that either. */
	void (*on_return)(
		struct dtls_peers *peers, unsigned from, const struct udp_arrival *arrival);
	/* One has gone. */
	void (*on_gone)(struct dtls_peers *peers);
};

void dtls_peers_init(struct dtls_peers *peers, struct loop *loop);
void dtls_peers_done(struct dtls_peers *peers);

/* Takes the descriptor over; when there is no place left, whom we know longest is given up. */
int dtls_peers_add(struct dtls_peers *peers, int fd, bool is_newer);
/* Whether somebody else reads the socket by now. */
bool dtls_peers_any_newer(const struct dtls_peers *peers);

/* One datagram to the first of them from number `first` on; false when there is nobody left to ask. */
bool dtls_peers_offer(struct dtls_peers *peers, unsigned first, const struct udp_arrival *to,
	const uint8_t *data, size_t len);
void dtls_peers_return(struct dtls_peers *peers, unsigned to, const struct udp_arrival *arrival);
