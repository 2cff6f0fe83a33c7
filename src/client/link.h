/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A link: one connected stream or datagram socket to a server. Its transport is a row of a table, and
 * TLS is two rows of it: the events that TLS needs are in `read_wants` and `write_wants`, so that no
 * caller knows of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/report.h"
#include "client/server.h"

struct link {
	const struct server *server;
	int fd;
	size_t at;                     /* the address in use */
	int errors[SERVER_ADDRESSES];  /* why each address tried so far failed; 0: not tried */
	short read_wants, write_wants; /* events to poll for after LINK_E_AGAIN */
	void *session;                 /* the transport's own */
};

#define LINK_INIT        \
	{                \
		.fd = -1 \
	}

enum {
	LINK_E_AGAIN = 1, /* nothing now: poll for what the link wants */
	LINK_E_END,       /* the peer has sent its last byte */
	LINK_E_RESET,     /* the connection is gone */
	LINK_E_REFUSED,   /* a datagram came back as undeliverable; link->errors says why */
	LINK_E_TOO_LONG,  /* more than a datagram holds */
};

struct transport {
	const char *name;
	uint16_t port;
	bool is_datagram;
	bool has_session; /* datagrams that cost a handshake, and of which none is ever doubled */
	bool is_local;    /* the URL has a path and no host */
	size_t longest;   /* of a datagram, the most text */

	/* Fills `fd` and `at`, from address `at` on. NULL: not part of this build. */
	int (*open)(struct link *link, struct why *why);
	/* As much as goes without waiting: 0 and the length, or LINK_E_*. */
	int (*read)(struct link *link, void *data, size_t size, size_t *ret_len);
	int (*write)(struct link *link, const void *data, size_t len, size_t *ret_len);
	/* Ends our direction; answers are still read. */
	int (*finish)(struct link *link);
	void (*close)(struct link *link);
};

/* CLIENT_E_UNREACHABLE or CLIENT_E_LOST when no address of the server answers. */
int link_open(struct link *link, const struct server *server, struct why *why);
/* Leaves a link that can be opened again; fine on one that is not open. */
void link_close(struct link *link);
/* For datagrams: the next address of the server, or CLIENT_E_UNREACHABLE after the last. */
int link_advance(struct link *link, struct why *why);

int link_read(struct link *link, void *data, size_t size, size_t *ret_len);
int link_write(struct link *link, const void *data, size_t len, size_t *ret_len);
int link_finish(struct link *link);

/* Waits for the events `wants`; CLIENT_E_LOST at `deadline_ms` of the clock; 0: no deadline. */
int link_wait(struct link *link, short wants, uint64_t deadline_ms);

/* Explains why the addresses tried have failed. Returns the outcome for it. */
int link_explain(const struct link *link, struct why *why);

#define _cleanup_link_ __attribute__((cleanup(link_close)))
