/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A way to load a server, and what came of it. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct order {
	struct sockaddr_in server;
	unsigned flows; /* sockets, or connections */
	unsigned depth; /* messages of each that are on their way at a time */
	size_t size;    /* bytes of a message */
	bool segmented; /* datagrams: sent with UDP_SEGMENT, received with UDP_GRO */
	double seconds;
};

struct tally {
	uint64_t messages, bytes; /* that came back, and were right */
	uint64_t wrong, lost;
};

/* A way to load a server: begins, works until the time is over, and ends. */
struct way {
	const char *name;
	void *(*begin)(const struct order *order);
	void (*round)(void *state, const struct order *order, struct tally *tally);
	void (*end)(void *state, const struct order *order);
};

extern const struct way way_udp, way_tcp, way_bulk, way_connect, way_idle;
extern const struct way way_tls, way_tls_bulk, way_tls_full, way_tls_resumed, way_tls_idle;

/* Ends the program, with the system's words, unless `fine`. */
void must(bool fine, const char *what);

/* What is asked, and what the answer has to be: `size` bytes from any place below 4096. */
const uint8_t *asked(size_t place);
const uint8_t *wanted(size_t place);
#define LONGEST ((size_t)1 << 20)

/* Connects; from one of many addresses, as the number says, so that those that wait after closing do
 * not use up all ports. */
int open_connection(const struct order *order, unsigned number);
/* Whether these bytes are the answer from `place` on. */
bool is_right(const uint8_t *data, size_t len, size_t place);
