/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share and nobody else sees. */

#include <openssl/ssl.h>

#include "core/counters.h"
#include "tls/provider.h"
#include "tls/signer.h"
#include "tls/tls.h"

struct tls {
	OSSL_LIB_CTX *library;
	OSSL_PROVIDER *providers[PROVIDERS];
	struct signer signer;
	BIO_METHOD *wire; /* of every connection */
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
	time_t lists_end; /* of revocation; 0: there are none, or they do not say */
};

/* certificate.c */
int certificate_load(struct tls *tls, const struct tls_certificate_spec *spec, bool refuse_expired,
	struct tls_fault *fault, struct certificate *certificate);
void certificate_done(struct certificate *certificate);

/* names.c: who may be who. */
int names_of(X509 *x509, char ***ret_names, size_t *ret_n);
/* The certificate for a name that a client asks for: an exact one before a wildcard, else the first. */
struct certificate *names_choose(const struct tls_context *context, const char *host);
/* Whether `other` has all names of `one`. */
bool names_cover(const struct certificate *other, const struct certificate *one);

/* rules.c: what is spoken, on every SSL_CTX of a listener alike. */
int rules_apply(struct tls_context *context, const struct tls_spec *spec, SSL_CTX *ctx,
	struct tls_fault *fault);

/* resume.c: seals and opens tickets with the keys of the ring; for SSL_CTX of a listener with one. */
void resume_by_tickets(SSL_CTX *ctx, uint64_t lifetime_ms);

/* tally.c: what has to be counted while messages come in. It is the app data of its SSL. */
struct tally {
	uint32_t records; /* that came in, of whatever kind */
	uint8_t updates, hellos, alerts;
	bool established;
};

void tally_watch(SSL_CTX *ctx);
/* What there was too much of, or REASON_done. */
enum reason tally_excess(const struct tally *tally);
/* Some data has come. */
static inline void tally_forget(struct tally *tally)
{
	tally->updates = tally->hellos = tally->alerts = 0;
}

/* What the two have agreed on, for the counters. */
void tally_agreement(SSL *ssl, struct agreement *ret_agreement);

/* An error of the library in our words. */
enum reason tally_reason(unsigned long error);

/* datagram.c: for SSL_CTX of a listener for datagrams. */
void datagram_rules(SSL_CTX *ctx);
