/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A batch of datagrams, in with one call and out with one call; for udp.c alone. Datagrams that the
 * kernel hands over as one, of equal size and from one peer, are segments of one arrival; answers of
 * equal size to one peer leave the same way. */

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "core/loopguard.h"

struct udp_batch;

/* The kernel's account of one arrival. */
struct udp_arrival {
	uint8_t *data;
	size_t len, segment; /* the last segment may be shorter */
	struct addr peer;
	struct in_pktinfo info4;  /* its ipi_ifindex is 0 when there is none */
	struct in6_pktinfo info6; /* the same */
	uint32_t overflows;       /* lost for want of room, since the socket was opened */
};

/* The fate of answers. */
struct udp_sent {
	uint64_t bytes, failed;
};

/* Receives; how many arrivals there are, or a negative errno. Less than UDP_BATCH: there are no more. */
#define UDP_BATCH 32
int udp_batch_receive(struct udp_batch *batch, int fd);
/* One of them; it stays as it is until the next are received. */
const struct udp_arrival *udp_batch_arrival(struct udp_batch *batch, unsigned number);

/* Source and destination, for the guard. */
struct datagram_ends udp_arrival_ends(const struct udp_arrival *arrival);

/* The longest of several that leave at once. It fits a packet of any usual network: what is segmented is
 * not cut up on its way. */
#define UDP_LONGEST_SEGMENT 1420
/* Where the next answer, or those to a whole arrival, may be written. When there is no room, all that waits is sent first. */
/* Between two batches, nothing is in it: its pages go back to the system. */
void udp_batch_give_back(struct udp_batch *batch);
uint8_t *udp_batch_make_room(struct udp_batch *batch, int fd, struct udp_sent *sent);
/* The bytes written there, or further on, are an answer to that arrival, or several of `segment` bytes each,
 * of which the last may be shorter. Ask for room before each. */
void udp_batch_reply(struct udp_batch *batch, const struct udp_arrival *to, uint8_t *answer,
	size_t length, size_t segment);
/* Sends all. An answer that the system does not take is given up: a datagram may be lost. */
void udp_batch_send(struct udp_batch *batch, int fd, struct udp_sent *sent);

/* Sends one datagram the way back of an arrival, now; a negative errno when the system does not take it. */
int udp_send_back(int fd, const struct udp_arrival *to, const void *data, size_t len);
