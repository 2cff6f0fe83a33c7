/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A link: one connected stream or datagram socket to a server. Its transport is a row of a table, and
 * TLS is two rows of it: the events that TLS needs are in `read_wants` and `write_wants`, so that no
 * caller knows of it.
 *
 * Opening never blocks: link_start() begins it and link_step() goes on with it, whenever the
 * descriptor has an event or `due_ms` has come. link_open() does both and waits. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/report.h"
#include "client/server.h"

enum link_stage {
	LINK_CLOSED,
	LINK_CONNECTING,
	LINK_SHAKING, /* hands, as TLS has it */
	LINK_OPEN,
};

/* When each phase was over, in microseconds of the clock; 0: not yet. */
struct link_times {
	uint64_t begun_us, connected_us, open_us;
};

struct link {
	struct server *server;
	int fd; /* while several addresses are tried, what stands for all attempts */
	enum link_stage stage;
	size_t at;                     /* the address in use */
	int errors[SERVER_ADDRESSES];  /* why each address tried so far failed; 0: not tried */
	short read_wants, write_wants; /* events to poll for after LINK_E_AGAIN */
	uint64_t due_ms;               /* when to step on without an event; 0: never */
	uint64_t deadline_ms;          /* of the stage; 0: none */
	struct link_times times;
	bool is_resumed; /* its session, from a ticket */
	void *opening;   /* the transport's own, until the link is open */
	void *session;   /* the transport's own */
};

#define LINK_INIT        \
	{                \
		.fd = -1 \
	}

enum {
	LINK_E_AGAIN = 100, /* nothing now: poll for the events that the link wants */
	LINK_E_END,         /* the peer has sent its last byte */
	LINK_E_RESET,       /* the connection is gone */
	LINK_E_REFUSED,     /* a datagram came back as undeliverable; link->errors says why */
	LINK_E_TOO_LONG,    /* more than a datagram holds */
};

struct transport {
	const char *name;
	uint16_t port;
	bool is_datagram;
	bool has_session; /* datagrams that cost a handshake, and of which none is ever doubled */
	bool is_local;    /* the URL has a path and no host */
	size_t longest;   /* of a datagram, the most text */

	/* Begins to open the link at address `at`, or goes on with it: 0 when it is open, LINK_E_AGAIN with
	 * `read_wants` and `due_ms`, or CLIENT_E_* and a closed link. NULL: not part of this build. */
	int (*open)(struct link *link, struct why *why);
	/* As much as goes without waiting: 0 and the length, or LINK_E_*. */
	int (*read)(struct link *link, void *data, size_t size, size_t *ret_len);
	int (*write)(struct link *link, const void *data, size_t len, size_t *ret_len);
	/* Ends our direction; answers are still read. */
	int (*finish)(struct link *link);
	void (*close)(struct link *link);
	/* Describes the session of an open link. NULL: there is none. */
	void (*describe)(const struct link *link, struct session_facts *ret_facts);
	/* Frees whatever the transport keeps for a server. NULL: nothing. */
	void (*forget)(struct server *server);
};

/* 0, LINK_E_AGAIN, or an outcome as of link_open(). */
int link_start(struct link *link, struct server *server, struct why *why);
int link_step(struct link *link, struct why *why);

/* CLIENT_E_UNREACHABLE or CLIENT_E_LOST when no address of the server answers. */
int link_open(struct link *link, struct server *server, struct why *why);
/* Leaves a link that can be opened again; fine on one that is not open. */
void link_close(struct link *link);
/* For datagrams: the next address of the server, or CLIENT_E_UNREACHABLE after the last. */
int link_advance(struct link *link, struct why *why);

int link_read(struct link *link, void *data, size_t size, size_t *ret_len);
int link_write(struct link *link, const void *data, size_t len, size_t *ret_len);
int link_finish(struct link *link);

/* False when the link has no session. */
bool link_describe(const struct link *link, struct session_facts *ret_facts);

/* The phases so far; the first byte of an answer and the last one came at these times, or 0: not yet. A phase
 * under way lasts until now. */
struct phases link_phases(const struct link *link, uint64_t first_us, uint64_t last_us);

/* Waits for the events `wants`; CLIENT_E_LOST at `deadline_ms` of the clock; 0: no deadline. */
int link_wait(struct link *link, short wants, uint64_t deadline_ms);

/* Explains why the addresses tried have failed. Returns the outcome for it. */
int link_explain(const struct link *link, struct why *why);

#define _cleanup_link_ __attribute__((cleanup(link_close)))
