/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One way to reach a server per row, and a link made by it. TLS is two rows more: whatever it
 * needs to wait for goes into `read_wants` and `write_wants`, so that no caller knows of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/outcome.h"
#include "client/server.h"

/* One conversation: a connected stream, or a connected datagram socket. */
struct link {
	const struct server *server;
	int fd;
	size_t at;                     /* the address in use */
	int errors[SERVER_ADDRESSES];  /* why each address tried so far did not do; 0: not tried */
	short read_wants, write_wants; /* what to poll for after LINK_E_AGAIN */
	void *session;                 /* the transport's own */
};

#define LINK_INIT        \
	{                \
		.fd = -1 \
	}

enum {
	LINK_E_AGAIN = 1, /* nothing now: poll for what the link wants */
	LINK_E_END,       /* the peer has said all that it will */
	LINK_E_RESET,     /* the connection is gone */
	LINK_E_REFUSED,   /* a datagram came back as undeliverable; link->errors says why */
	LINK_E_TOO_LONG,  /* more than a datagram holds */
};

/* The longest text of a datagram, plain and in a record of DTLS. */
#define DATAGRAM_LONGEST 65507
#define DTLS_LONGEST     16384

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
	/* Says that nothing more will be sent; what the peer says is still read. */
	int (*finish)(struct link *link);
	void (*close)(struct link *link);
};

/* The row whose name is the first `len` characters of `name`, in either case, or NULL. */
const struct transport *transport_find(const char *name, size_t len);

/* CLIENT_E_UNREACHABLE or CLIENT_E_LOST when no address of the server answers. */
int link_open(struct link *link, const struct server *server, struct why *why);
/* Leaves a link that can be opened again; fine on one that is not open. */
void link_close(struct link *link);
/* For datagrams: the next address of the server, or CLIENT_E_UNREACHABLE after the last. */
int link_advance(struct link *link, struct why *why);

int link_read(struct link *link, void *data, size_t size, size_t *ret_len);
int link_write(struct link *link, const void *data, size_t len, size_t *ret_len);
int link_finish(struct link *link);

/* Waits until `wants` is there; CLIENT_E_LOST at `deadline_ms` of the clock; 0: never. */
int link_wait(struct link *link, short wants, uint64_t deadline_ms);

/* Says what happened to the addresses tried. Returns the outcome for it. */
int link_explain(const struct link *link, struct why *why);

#define _cleanup_link_ __attribute__((cleanup(link_close)))
