/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files of this room, and by no other. */

#include <openssl/ssl.h>
#include <sys/uio.h>

#include "core/counters.h"
#include "tls/parking.h"
#include "tls/provider.h"
#include "tls/signer.h"
#include "tls/tls.h"

struct tls {
	OSSL_LIB_CTX *library;
	OSSL_PROVIDER *providers[PROVIDERS];
	EVP_CIPHER *ticket_cipher; /* of this library context, as all that is used with it */
	struct signer signer;
	ASYNC_WAIT_CTX *waits; /* of all jobs of parking.c; nothing is ever put there */
	BIO_METHOD *stream_method;
};

/* One certificate of a listener, and how a connection is made that shows it first. */
struct certificate {
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
	char **names; /* of its SANs, in lower case */
	size_t n_names;
	unsigned char *ocsp;
	size_t ocsp_len;
	char *path;
	SSL_CTX *ctx; /* this one, and others of other kinds of key that have all of its names */
};

struct tls_context {
	struct tls *tls;
	struct certificate *certificates;
	size_t n;
	unsigned char *alpn; /* as on the wire */
	unsigned alpn_len;
	const struct ticket_ring *tickets;
	bool has_authorities; /* for certificates of clients */
	struct client_name *client_names;
	size_t n_client_names;
	time_t lists_end; /* of revocation; 0: there are none, or they do not say */
};

/* certificate.c */
int certificate_load(struct tls *tls, const struct tls_certificate_spec *spec, bool refuse_expired,
	struct tls_fault *fault, struct certificate *certificate);
void certificate_done(struct certificate *certificate);

/* The certificate for a name that a client asks for: an exact one before a wildcard, else the first. */
struct certificate *names_choose(const struct tls_context *context, const char *host);
/* Whether `other` has all names of `one`. */
bool names_cover(const struct certificate *other, const struct certificate *one);

/* rules.c: versions, ciphers and the like, the same for every SSL_CTX of a listener. */
int rules_apply(struct tls_context *context, const struct tls_spec *spec, SSL_CTX *ctx,
	struct tls_fault *fault);

/* clients.c: certificates of clients, and what a session has to have in common with one that it resumes. */
int clients_apply(struct tls_context *context, const struct tls_spec *spec, SSL_CTX *ctx,
	struct tls_fault *fault);

/* resume.c: seals and opens tickets with the keys of the ring; for SSL_CTX of a listener with one. */
void resume_by_tickets(SSL_CTX *ctx, uint64_t lifetime_ms);

/* session.c */
struct tally {
	uint32_t records; /* that came in, of every kind */
	uint8_t updates, hellos, alerts;
	uint8_t alert_sent,
		alert_received; /* the last of each, as a number; 0: none but of the end */
	bool established;
};

/* One peer, over a stream or datagrams. `drained` and `waits` are findings of the last call of the library;
 * they are set where it reads its input. */
struct session {
	SSL *ssl;
	const struct tls_context *context;
	struct tally tally; /* the app data of its SSL */
	bool drained;       /* a read took all there was */
	bool waits;         /* the input is empty */
	bool ended;         /* the peer sends nothing more */
	bool mute;          /* nothing more is sent to it */
	bool has_begun;     /* over datagrams: the library knows its first numbers */
	uint8_t refusal;    /* enum reason: why the client's certificate will not do */
	char *detail;       /* more about it, for the log; NULL: there is none */
	int fd;             /* of a stream; borrowed */
	struct parking parking;
};

/* For a context: messages of its sessions are counted. */
void session_count_messages(SSL_CTX *ctx);
/* The session has to outlive its SSL, which session_free() frees with it. */
int session_open(struct session *session, const struct tls_context *context);
void session_free(struct session *session);
void session_forget_errors(void);
/* The outcome of a call of the library that returned `r`, as transport.h has them. */
int session_outcome(const struct session *session, int r, uint8_t *ret_reason);
int session_handshake(struct session *session, uint8_t *ret_reason);
/* The outcome of a handshake, the peer and what went wrong, for records; returns `detail`. */
const char *session_describe(const struct session *session, struct log_facts *facts);
/* The outcome of a handshake, for the counters. */
void session_agreement(const struct session *session, struct agreement *ret_agreement);
int session_read(
	struct session *session, const struct iovec *to, size_t *ret_n, uint8_t *ret_reason);
int session_write(
	struct session *session, const struct iovec *from, size_t *ret_n, uint8_t *ret_reason);

/* stream.c: the socket under sessions. One does for all; it is freed with BIO_meth_free(). */
BIO_METHOD *stream_method_new(void);

/* datagram.c: for SSL_CTX of a listener for datagrams. */
void datagram_rules(SSL_CTX *ctx);
