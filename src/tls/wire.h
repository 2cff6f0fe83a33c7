/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The socket under a TLS connection, and what is known of it. */

#include <openssl/ssl.h>
#include <stdbool.h>

struct wire {
	int fd;       /* borrowed */
	bool drained; /* since wire_forget(): a read has taken all there was */
	bool waits; /* since then: what was called last has to be called again when an event tells */
	bool ended; /* the peer sends nothing more */
};

/* One does for all connections; it is freed with BIO_meth_free(). NULL: no memory. */
BIO_METHOD *wire_method_new(void);
/* From now on `ssl` reads and writes through `wire`, which has to outlive it. */
int wire_attach(struct wire *wire, const BIO_METHOD *method, SSL *ssl, int fd);
/* What a call of the library finds out begins here. */
static inline void wire_forget(struct wire *wire)
{
	wire->drained = wire->waits = false;
}
