/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS, as a row of the transport table. Contracts: struct transport. */

#include "client/transport.h"

int tls_open(struct link *link, struct why *why);
int tls_read(struct link *link, void *data, size_t size, size_t *ret_len);
int tls_write(struct link *link, const void *data, size_t len, size_t *ret_len);
int tls_finish(struct link *link);
void tls_close(struct link *link);

/* tls_words.c: why a handshake came to nothing; returns CLIENT_E_UNTRUSTED or CLIENT_E_TLS. What the
 * certificate is for has been noted in the app data of the SSL by tls_note(), its verify callback. */
#define TLS_NAMES 256
struct ssl_st;
struct x509_store_ctx_st;
int tls_note(int is_fine, struct x509_store_ctx_st *store);
int tls_explain(const struct link *link, struct ssl_st *ssl, struct why *why);
