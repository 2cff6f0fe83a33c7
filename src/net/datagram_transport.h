/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DTLS for the datagrams of one peer: for datagrams what transport.h is for streams, with its outcomes. A
 * write never blocks: a datagram that finds no room is dropped. */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net/transport.h"

struct datagram_transport {
	const struct datagram_transport_ops *ops;
	void *session;
	uint8_t reason; /* enum reason: why the peer is gone, where more is known than that */
	struct agreement agreement; /* after a handshake */
	/* The datagram that has arrived; NULL once it is read. */
	const uint8_t *in;
	size_t in_len;
	unsigned forged; /* records that were left out of it, since no peer can have sent them */
	void (*send)(struct datagram_transport *transport, const void *data, size_t len);
};

enum {
	DATAGRAM_E_LONG = TRANSPORT_E_GONE + 1, /* nothing was sent, and nothing is over */
};

struct datagram_transport_ops {
	/* 0 when the two have agreed. */
	int (*handshake)(struct datagram_transport *transport);
	/* One whole message. */
	int (*read)(struct datagram_transport *transport, void *data, size_t size, size_t *ret_n);
	/* The same; DATAGRAM_E_LONG where the peer has asked for shorter ones. */
	int (*write)(struct datagram_transport *transport, const void *data, size_t n);
	/* In a handshake, from time to time: sends again what was perhaps lost. */
	int (*remind)(struct datagram_transport *transport);
	/* Nothing more has arrived: as little memory as can be. */
	void (*rest)(struct datagram_transport *transport);
	/* Says that no more will follow. */
	void (*finish)(struct datagram_transport *transport);
	/* Adds to the record of its end. Returns more about why the peer is gone, or NULL. */
	const char *(*describe)(
		const struct datagram_transport *transport, struct log_facts *facts);
	void (*close)(struct datagram_transport *transport);
};

/* The longest message that fits into one record. */
#define DATAGRAM_LONGEST 16384
#define DATAGRAM_MAC     32

struct datagram_transport_maker {
	/* A session that is still to shake hands, with `ops` and `session` filled in. */
	int (*open)(void *userdata, struct datagram_transport *transport);
	/* A MAC over these pieces, with a key of this service. */
	int (*mac)(void *userdata, const struct iovec *pieces, size_t n,
		uint8_t ret_mac[static DATAGRAM_MAC]);
	void *userdata;
};
