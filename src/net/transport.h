/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The carrier of a stream: plain sockets here, TLS in its own room. Six calls and no library type. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "core/counters.h"

enum {
	TRANSPORT_E_WAIT = 1, /* not now: an event will tell when */
	TRANSPORT_E_END,      /* the peer has said that no more will follow */
	TRANSPORT_E_GONE,     /* the peer went away, or broke the rules; nothing more can be said */
};

struct transport {
	const struct transport_ops *ops;
	void *session;   /* of TLS */
	int fd;          /* owned */
	bool drained;    /* the last read took all there was: an event will tell of more */
	bool is_local;   /* a unix socket */
	size_t held;     /* bytes of a unix socket that were read and are still in it */
	bool wants_room; /* a TRANSPORT_E_WAIT was for a write, whatever was asked for */
	uint8_t reason;  /* enum reason: why the peer is gone, where more is known than that */
	struct agreement agreement; /* after a handshake */
};

struct transport_ops {
	/* Before the first read; NULL when there is nothing to agree on. Where it waits for no event of the peer, `resume` is
	 * deferred when it can go on; NULL: it waits in the call. */
	int (*handshake)(struct transport *transport, struct task *resume);
	/* At least one byte, or an outcome. */
	int (*read)(struct transport *transport, void *data, size_t size, size_t *ret_n);
	int (*write)(struct transport *transport, const void *data, size_t n, size_t *ret_n);
	/* Says that no more will follow; the peer may go on. */
	int (*finish)(struct transport *transport);
	/* A close says all that finish() would, to a peer that has ended too. */
	bool ends_by_closing;
	/* Adds to the record of its end. Returns more about why the peer is gone, or NULL. NULL where nothing more is
	 * ever known. */
	const char *(*describe)(const struct transport *transport, struct log_facts *facts);
	/* Frees the session and closes the descriptor. */
	void (*close)(struct transport *transport);
};

extern const struct transport_ops transport_plain;

/* A number that changes whenever the peer has acknowledged something, and only then while nothing is
 * written. Over a unix socket: whenever it has read one of the pieces that were written. */
uint64_t transport_progress(const struct transport *transport);
/* Whether a close tells the peer that something is missing, by a reset, also when it is the kernel that
 * closes for a process that has died. A unix socket has no such option: see transport_release(). */
void transport_set_reset(const struct transport *transport, bool resets);
/* Input from a unix socket has been answered: takes it out of the socket, by way of a buffer. Until then it
 * stays there, since a unix socket is reset when it is closed with data unread, and only then. Must be called
 * before the next read. */
void transport_release(struct transport *transport, void *buffer, size_t size);
