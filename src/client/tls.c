/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP connection, and a handshake on it that is over before anybody is asked anything. The server's
 * certificate is checked against its name, and against the system's authorities unless others are
 * named. */

#include "client/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/options.h"
#include "client/plain.h"

#define VERDICT_MS 2000 /* for what a server thinks of a certificate */

static void ctx_freep(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
}

static void ssl_freep(SSL **ssl)
{
	SSL_free(*ssl);
}

/* Our own files: what is wrong with them is a mistake on the command line. */
static int load_files(SSL_CTX *ctx, const struct options *options, struct why *why)
{
	const char *key = options->key ? options->key : options->cert;

	if (options->key && !options->cert)
		return why_set(why, CLIENT_E_USAGE, "--key needs --cert too");
	if (options->cafile && SSL_CTX_load_verify_file(ctx, options->cafile) != 1)
		return why_set(
			why, CLIENT_E_USAGE, "%s: no certificates in PEM form", options->cafile);
	if (!options->cafile)
		SSL_CTX_set_default_verify_paths(ctx);
	if (!options->cert)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ctx, options->cert) != 1)
		return why_set(
			why, CLIENT_E_USAGE, "%s: no certificate in PEM form", options->cert);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return why_set(why, CLIENT_E_USAGE, "%s: no key in PEM form that goes with %s", key,
			options->cert);
	return 0;
}

static int make_ctx(const struct options *options, SSL_CTX **ret_ctx, struct why *why)
{
	__attribute__((cleanup(ctx_freep))) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int r;

	if (!ctx)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(ctx, options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
		options->insecure ? NULL : tls_note);
	r = load_files(ctx, options, why);
	if (r)
		return r;
	*ret_ctx = ctx;
	ctx = NULL;
	return 0;
}

/* An address is compared with addresses in the certificate, and is no name to ask for. */
static int set_name(SSL *ssl, const struct link *link)
{
	const struct options *options = link->server->options;
	const char *name = options->servername ? options->servername : link->server->url.host;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
		return 0;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name) != 1 ||
		SSL_set1_host(ssl, name) != 1)
		return -ENOMEM;
	return 0;
}

static short wants_of(SSL *ssl, int r)
{
	switch (SSL_get_error(ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return POLLIN;
	case SSL_ERROR_WANT_WRITE:
		return POLLOUT;
	default:
		return 0;
	}
}

static int shake_hands(struct link *link, SSL *ssl, struct why *why)
{
	uint64_t timeout_ms = link->server->options->timeout_ms;
	uint64_t until_ms = timeout_ms ? clock_ms() + timeout_ms : 0;
	int r;

	for (;;) {
		ERR_clear_error();
		r = SSL_connect(ssl);
		if (r == 1)
			return 0;
		if (!wants_of(ssl, r))
			return tls_explain(link, ssl, why);
		r = link_wait(link, wants_of(ssl, r), until_ms);
		if (r == CLIENT_E_LOST)
			return why_set(why, r, "no answer to the TLS handshake");
		if (r)
			return r;
	}
}

/* With TLS 1.3 a client is done before the server has seen its certificate, or that it has none. So
 * who was asked for one waits for the first word after that. */
static int hear_verdict(struct link *link, SSL *ssl, struct why *why)
{
	char byte;
	int r;

	if (SSL_version(ssl) < TLS1_3_VERSION || !SSL_get0_peer_CA_list(ssl))
		return 0;
	link_wait(link, POLLIN, clock_ms() + VERDICT_MS);
	ERR_clear_error();
	r = SSL_peek(ssl, &byte, 1);
	if (r > 0 || wants_of(ssl, r) || SSL_get_error(ssl, r) == SSL_ERROR_ZERO_RETURN)
		return 0;
	return tls_explain(link, ssl, why);
}

static int open_session(struct link *link, struct why *why)
{
	__attribute__((cleanup(ctx_freep))) SSL_CTX *ctx = NULL;
	__attribute__((cleanup(ssl_freep))) SSL *ssl = NULL;
	char names[TLS_NAMES] = "";
	int r;

	r = make_ctx(link->server->options, &ctx, why);
	if (r)
		return r;
	ssl = SSL_new(ctx);
	if (!ssl || SSL_set_fd(ssl, link->fd) != 1 || set_name(ssl, link) < 0)
		return -ENOMEM;
	SSL_set_app_data(ssl, names);
	r = shake_hands(link, ssl, why);
	if (!r)
		r = hear_verdict(link, ssl, why);
	if (r)
		return r;
	SSL_set_app_data(ssl, NULL);
	link->session = ssl;
	ssl = NULL;
	return 0;
}

int tls_open(struct link *link, struct why *why)
{
	int r;

	r = stream_open(link, why);
	if (r)
		return r;
	r = open_session(link, why);
	if (r)
		plain_close(link);
	return r;
}

static int outcome_of(SSL *ssl, int r, short *wants)
{
	short now = wants_of(ssl, r);
	bool is_end = SSL_get_error(ssl, r) == SSL_ERROR_ZERO_RETURN;

	ERR_clear_error();
	if (now)
		*wants = now;
	return now ? LINK_E_AGAIN : is_end ? LINK_E_END : LINK_E_RESET;
}

/* What the library has taken in already, no poll will tell of; but there is nearly always room to
 * write, so that who waits for that does not wait. */
int tls_read(struct link *link, void *data, size_t size, size_t *ret_len)
{
	SSL *ssl = link->session;
	int r;

	ERR_clear_error();
	r = SSL_read_ex(ssl, data, size, ret_len);
	if (r != 1)
		return outcome_of(ssl, r, &link->read_wants);
	link->read_wants = SSL_has_pending(ssl) ? POLLIN | POLLOUT : POLLIN;
	return 0;
}

int tls_write(struct link *link, const void *data, size_t len, size_t *ret_len)
{
	SSL *ssl = link->session;
	int r;

	ERR_clear_error();
	r = SSL_write_ex(ssl, data, len, ret_len);
	if (r == 1) {
		link->write_wants = POLLOUT;
		return 0;
	}
	r = outcome_of(ssl, r, &link->write_wants);
	return r == LINK_E_END ? LINK_E_RESET : r;
}

/* A peer that is gone already is found out by reading. */
int tls_finish(struct link *link)
{
	SSL *ssl = link->session;
	short wants;
	int r;

	do {
		ERR_clear_error();
		r = SSL_shutdown(ssl);
		wants = r < 0 ? wants_of(ssl, r) : 0;
	} while (wants == POLLOUT && link_wait(link, wants, 0) == 0);
	ERR_clear_error();
	return 0;
}

void tls_close(struct link *link)
{
	SSL_free(link->session);
	link->session = NULL;
	plain_close(link);
}
