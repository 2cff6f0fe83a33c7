/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The PROXY protocol, versions 1 and 2: the header that a proxy puts in front of a connection or a datagram
 * to name its client. Strict: a header that no proxy would write is refused as a whole. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many bytes as a header may have; the protocol allows more, and no proxy uses them. */
#define PROXY_LONGEST   4096
/* As many are enough to know whether it is one. */
#define PROXY_SIGNATURE 12

/* IPv4 as IPv4-mapped. */
struct proxy_ends {
	uint8_t source[16], destination[16];
	uint16_t source_port, destination_port;
};

struct proxy_header {
	size_t length;
	bool has_ends; /* false: it is the proxy's own connection, or it does not name the client */
	struct proxy_ends ends;
};

enum proxy_kind { PROXY_STREAM, PROXY_DATAGRAM };

enum {
	PROXY_E_MORE = 1,  /* so far it is one */
	PROXY_E_NONE,      /* the data does not begin with one */
	PROXY_E_MALFORMED, /* it begins like one, and is none */
};

/* Reads the header that `data` begins with. Version 1 is for streams alone. */
int proxy_parse(enum proxy_kind kind, const uint8_t *data, size_t len, struct proxy_header *ret);
