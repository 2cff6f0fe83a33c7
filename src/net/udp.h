/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Datagrams, a batch at a time: each is one message, and its answer leaves from where it was sent to. */

#include <stdbool.h>

#include "base/loop.h"
#include "core/answerer.h"
#include "core/counters.h"
#include "net/datagram_socket.h"
#include "net/guard.h"
#include "net/proxy_wait.h"
#include "net/refusals.h"

/* The longest payload that fits into a datagram. */
#define UDP_LONGEST 65507

/* Room for one batch; all datagram sockets of a process share it. */
struct udp_batch;

int udp_batch_new(struct udp_batch **ret_batch);
void udp_batch_free(struct udp_batch *batch);

/* One datagram socket. Filled in by its owner, and stays where it is while it is open. */
struct udp {
	struct datagram_socket socket;
	struct udp_batch *batch;
	struct answerer answerer;
	double amplification; /* longest reply, as a multiple of the request */
	unsigned access;      /* other than 0: a record a minute */
	struct listener_counters *counters;
	const struct guard *guard;
	struct proxy_rule proxy; /* datagrams begin with a header of version 2 */
	struct refusals refusals;
	uint32_t overflows; /* as the system last told */
	struct timer report;
	struct listener_counters reported; /* as of the last record */
};

int udp_open(struct udp *udp);
/* Answers what already waits, and closes. */
void udp_stop(struct udp *udp);
void udp_done(struct udp *udp);
