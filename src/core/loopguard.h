/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which datagrams are never answered, and which answers are one side of a loop. Every reply of an
 * upper-casing or echoing server is one that such a server returns unchanged; so two of them, and one
 * datagram with a forged source, would talk for ever. Sixteen identical unchanged datagrams from one
 * address and port silence that pair for a minute. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/siphash.h"

/* Where a datagram came from and went to; IPv4 as IPv4-mapped. */
struct datagram_ends {
	uint8_t source[16], destination[16];
	uint16_t source_port;
	bool broadcast; /* the system says that it was sent to more than us */
};

enum loopguard_outcome {
	LOOPGUARD_E_PORT = 1,  /* from a port on which services live, or one of our own */
	LOOPGUARD_E_MULTICAST, /* from or to more than one host, or none */
	LOOPGUARD_E_SILENCED,  /* from a pair that was found in a loop */
	LOOPGUARD_E_LOOP,      /* with this one, the pair is found in a loop */
};

#define LOOPGUARD_RUN       16    /* identical ones in a row */
#define LOOPGUARD_GAP_MS    5000  /* without another one ends a row */
#define LOOPGUARD_SILENT_MS 60000 /* a pair is not answered */

/* A loop has one datagram on its way at any time, which waits in the receive buffer of a socket; there
 * are about as many entries as such datagrams fit there, so that all loops at once are seen. */
#define LOOPGUARD_WAYS 8
#define LOOPGUARD_SETS 1024

/* Filled with zeros it is empty. Several processes may use one at the same time. */
struct loopguard {
	_Atomic(uint64_t) silent_until_ms; /* nothing is silenced any more */
	_Atomic(uint64_t) entries[LOOPGUARD_SETS][LOOPGUARD_WAYS];
};

/* The ports that datagrams are received on. */
struct own_ports {
	uint8_t bits[65536 / 8];
};

void own_ports_add(struct own_ports *ports, uint16_t port);

/* Before it is answered: 0 or an outcome. */
int loopguard_ask(const struct loopguard *guard, const struct siphash_key *key,
	const struct own_ports *ports, const struct datagram_ends *ends, uint64_t now_ms);

/* For one that the answer does not change, before that is sent: 0, or LOOPGUARD_E_LOOP. */
int loopguard_unchanged(struct loopguard *guard, const struct siphash_key *key,
	const struct datagram_ends *ends, const void *data, size_t len, uint64_t now_ms);
