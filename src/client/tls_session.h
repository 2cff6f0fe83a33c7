/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The common part of TLS over a stream and over datagrams, for tls.c and tls_datagram.c alone: contexts,
 * verification, and the messages for a failed handshake. */

#include <openssl/ssl.h>
#include <stdbool.h>

#include "client/link.h"

/* How the two differ. */
struct tls_kind {
	const SSL_METHOD *(*method)(void);
	int min_version;
	const char *ciphers; /* for TLS 1.2 and DTLS; NULL: those of the library */
	/* Puts the session on the link's socket. */
	int (*attach)(struct link *link, SSL *ssl);
};

/* Our own state of a handshake, in the app data of the SSL until it is over. */
struct tls_notes {
	char names[256]; /* in a certificate that failed verification */
	bool is_asked;   /* for a client certificate */
	bool is_shaken;  /* all but the verdict of the server on our certificate */
	/* Over datagrams: */
	unsigned tries;   /* how often something was sent that wants an answer */
	unsigned wait_us; /* for the answer to a flight, before it is sent again */
	uint64_t sent_us; /* when the last flight went out; 0: it was sent again since, or never */
};

/* Makes a session on the socket of `link`, whose stage it becomes to shake hands. The server's certificate
 * is to be checked against its name, and against the system's authorities unless others are named. */
int tls_session_start(struct link *link, const struct tls_kind *kind, struct why *why);
/* Ends the stage: hands are shaken. */
void tls_session_settle(struct link *link);
void tls_session_close(struct link *link);

/* The events to poll for after a call that returned `r`; 0: it has failed. */
short tls_wants(const SSL *ssl, int r);

/* The message for a failed handshake; returns CLIENT_E_UNTRUSTED or CLIENT_E_TLS. */
int tls_explain(const struct link *link, SSL *ssl, struct why *why);
