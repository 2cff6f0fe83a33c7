/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS for servers: from certificates and a few settings to connections. No type of OpenSSL shows here; a
 * build without it has none.c behind the same calls. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/why.h"
#include "core/ticket.h"
#include "core/timing.h"
#include "net/datagram_transport.h"
#include "net/transport.h"

/* Of a process: the library, and the way to the keeper. */
struct tls;
/* Of a listener: its certificates and rules. */
struct tls_context;

/* A part of the settings of a listener that can be at fault. */
enum tls_part {
	TLS_CERTIFICATE,
	TLS_KEY,
	TLS_OCSP,
	TLS_CLIENT_CA,
	TLS_CRL,
	TLS_TICKET_KEYS,
	TLS_CIPHERS,
	TLS_CIPHERSUITES,
	TLS_GROUPS,
	N_TLS_PARTS
};

/* The version of the library that runs, which may be newer than what we were built with; NULL: none. */
const char *tls_library_version(void);

/* A fault of the library that touches a server like this one. */
struct tls_known_fault {
	const char *name, *what;
	const char *shield; /* what keeps it from us; NULL: nothing does */
};

/* The next one of that version, from place *at, which begins with 0; NULL behind the last. */
const struct tls_known_fault *tls_known_fault(const char *version, bool is_datagram, size_t *at);

/* The text of a file, and its name for messages. */
struct tls_text {
	const char *name; /* NULL: there is no such file */
	const char *data;
	size_t len;
	enum tls_part part;
	size_t index; /* of its certificate in the list of the listener */
};

enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_certificate_spec {
	struct tls_text chain, ocsp;
	struct tls_text key; /* only where there is no keeper */
	uint32_t key_id;     /* what the keeper calls it */
};

struct tls_spec {
	const struct tls_certificate_spec *certificates; /* the first is the default */
	size_t n_certificates;
	bool is_datagram; /* DTLS, which has no 1.3 */
	bool only_1_3;
	const char *ciphers, *ciphersuites, *groups; /* NULL: the built-in list */
	const char *const *alpn;
	size_t n_alpn;
	enum tls_client_auth client_auth;
	struct tls_text client_ca, crl;
	const char *const *client_names; /* as client_name_parse() takes them; stay the caller's */
	size_t n_client_names;
	const struct ticket_ring *tickets; /* NULL: none are given; stays the caller's */
	uint64_t ticket_lifetime_ms;
	bool refuse_expired; /* what has expired is refused */
};

struct tls_fault {
	enum tls_part part;
	size_t index;   /* of the certificate, for the first three parts */
	struct why why; /* what is wrong, and what would do */
};

enum {
	TLS_E_REFUSED = 1, /* and the fault says why */
};

int tls_new(struct tls **ret_tls);
void tls_free(struct tls *tls);
/* Where the time that the keeper takes to answer is kept; stays the caller's. */
void tls_set_timing(struct tls *tls, struct timing *timing);
/* Private keys are used through this channel from now on, whose time-out for receiving is how long the
 * keeper is waited for; takes the descriptor over. */
int tls_set_keeper(struct tls *tls, int *fd);
/* From now on handshakes over streams are left while the keeper signs; see parking.c. */
int tls_serve(struct tls *tls, struct loop *loop);

/* The groups for the key exchange where a listener names none, as this library has them. */
const char *tls_default_groups(struct tls *tls, bool is_datagram);

struct tls_dates {
	time_t begins, ends;
};

/* Whether a certificate and its key are fine and belong together; it may have expired. */
int tls_check_certificate(struct tls *tls, const struct tls_certificate_spec *spec,
	struct tls_fault *fault, struct tls_dates *ret_dates);

int tls_context_new(struct tls *tls, const struct tls_spec *spec, struct tls_fault *fault,
	struct tls_context **ret_context);
void tls_context_free(struct tls_context *context);
/* The name of certificate number `index`, valid as long as the context, and its validity;
 * NULL when there are not so many. */
const char *tls_context_certificate(
	const struct tls_context *context, size_t index, struct tls_dates *ret_dates);
/* When the first of its certificates expires, and which one that is. */
time_t tls_context_expiry(const struct tls_context *context, const char **ret_name);
/* When the first of its revocation lists is out of date, so that no client with a certificate is let in
 * any more; 0: never. */
time_t tls_context_lists_end(const struct tls_context *context);

/* A connection that is still to shake hands; `context` is void for struct listener. */
int tls_open(void *context, int fd, struct transport *ret_transport);

/* For struct dtls: sessions of `context`, which has to outlive them, whose handshakes come in datagrams of
 * at most `mtu` bytes; and MACs with a secret of 32 bytes. */
struct tls_datagrams;
int tls_datagrams_new(struct tls_context *context, const uint8_t secret[static 32], size_t mtu,
	struct tls_datagrams **ret_datagrams);
void tls_datagrams_free(struct tls_datagrams *datagrams);
struct datagram_transport_maker tls_datagrams_maker(struct tls_datagrams *datagrams);
