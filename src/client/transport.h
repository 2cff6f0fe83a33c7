/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The table of transports, and the functions that its rows are made of. Contracts: struct transport. */

#include <stddef.h>

#include "client/link.h"

/* The longest text of a datagram, plain and in a record of DTLS. */
#define DATAGRAM_LONGEST 65507
#define DTLS_LONGEST     16384

/* The row whose name is the first `len` characters of `name`, in either case, or NULL. */
const struct transport *transport_find(const char *name, size_t len);

/* plain.c: UDP, TCP and unix sockets. */
int datagram_open(struct link *link, struct why *why);
int datagram_finish(struct link *link);

int link_stream_open(struct link *link, struct why *why);
int link_stream_finish(struct link *link);

int link_plain_read(struct link *link, void *data, size_t size, size_t *ret_len);
int link_plain_write(struct link *link, const void *data, size_t len, size_t *ret_len);
void link_plain_close(struct link *link);

/* The meaning of an errno of the link's socket: LINK_E_*, or a negative errno. */
int link_plain_outcome(struct link *link, int error);

/* tls.c: TLS over a stream. */
int link_tls_open(struct link *link, struct why *why);
int tls_read(struct link *link, void *data, size_t size, size_t *ret_len);
int tls_write(struct link *link, const void *data, size_t len, size_t *ret_len);
int tls_finish(struct link *link);
void tls_close(struct link *link);
void tls_describe(const struct link *link, struct session_facts *ret_facts);
void tls_forget(struct server *server);

/* tls_datagram.c: TLS over datagrams. */
int link_dtls_open(struct link *link, struct why *why);
int dtls_read(struct link *link, void *data, size_t size, size_t *ret_len);
int dtls_write(struct link *link, const void *data, size_t len, size_t *ret_len);
void dtls_close(struct link *link);
