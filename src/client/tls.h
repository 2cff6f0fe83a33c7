/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS over a stream and over datagrams, as rows of the transport table. Contracts: struct transport. */

#include "client/transport.h"

int tls_open(struct link *link, struct why *why);
int tls_read(struct link *link, void *data, size_t size, size_t *ret_len);
int tls_write(struct link *link, const void *data, size_t len, size_t *ret_len);
int tls_finish(struct link *link);
void tls_close(struct link *link);

int dtls_open(struct link *link, struct why *why);
int dtls_read(struct link *link, void *data, size_t size, size_t *ret_len);
int dtls_write(struct link *link, const void *data, size_t len, size_t *ret_len);
void dtls_close(struct link *link);
