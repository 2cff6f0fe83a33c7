/* SPDX-License-Identifier: Apache-2.0 */

#include "client/tls_session.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/options.h"

static void ctx_freep(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
}

static void ssl_freep(SSL **ssl)
{
	SSL_free(*ssl);
}

/* What is wrong with a file: that nobody can read it, or that it lacks what it is for. */
static int explain_file(struct why *why, const char *file, const char *lack)
{
	return why_set(why, CLIENT_E_USAGE, "%s: %s", file,
		access(file, R_OK) < 0 ? strerror(errno) : lack);
}

/* Our own files: what is wrong with them is a mistake on the command line. */
static int load_files(SSL_CTX *ctx, const struct options *options, struct why *why)
{
	const char *key = options->key ? options->key : options->cert;

	if (options->key && !options->cert)
		return why_set(why, CLIENT_E_USAGE, "--key needs --cert too");
	if (options->cafile && SSL_CTX_load_verify_file(ctx, options->cafile) != 1)
		return explain_file(why, options->cafile, "no certificates in PEM form");
	if (!options->cafile)
		SSL_CTX_set_default_verify_paths(ctx);
	if (!options->cert)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ctx, options->cert) != 1)
		return explain_file(why, options->cert, "no certificate in PEM form");
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return explain_file(why, key, "no key in PEM form that goes with the certificate");
	return 0;
}

static int make_ctx(const struct options *options, const struct tls_kind *kind, SSL_CTX **ret_ctx,
	struct why *why)
{
	__attribute__((cleanup(ctx_freep))) SSL_CTX *ctx = SSL_CTX_new(kind->method());
	int r;

	if (!ctx)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(ctx, kind->min_version);
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

/* The server wants a certificate of ours. It need not name an authority with that. */
static int note_request(SSL *ssl, void *notes)
{
	((struct tls_notes *)notes)->is_asked = true;
	return 1;
}

/* An address is compared with addresses in the certificate, and is no name to ask for. */
static int set_name(SSL *ssl, const struct link *link, struct why *why)
{
	const struct options *options = link->server->options;
	const char *name = options->servername ? options->servername : link->server->url.host;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
		return 0;
	if (strlen(name) > TLSEXT_MAXLEN_host_name)
		return why_set(why, CLIENT_E_USAGE, "a server's name has at most %d characters",
			TLSEXT_MAXLEN_host_name);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name) != 1 ||
		SSL_set1_host(ssl, name) != 1)
		return -ENOMEM;
	return 0;
}

int tls_session_open(struct link *link, const struct tls_kind *kind, struct why *why)
{
	__attribute__((cleanup(ctx_freep))) SSL_CTX *ctx = NULL;
	__attribute__((cleanup(ssl_freep))) SSL *ssl = NULL;
	struct tls_notes notes = {.tries = 1};
	int r;

	r = make_ctx(link->server->options, kind, &ctx, why);
	if (r)
		return r;
	ssl = SSL_new(ctx);
	if (!ssl || kind->attach(link, ssl) < 0)
		return -ENOMEM;
	r = set_name(ssl, link, why);
	if (r)
		return r;
	SSL_set_app_data(ssl, &notes);
	SSL_set_cert_cb(ssl, note_request, &notes);
	r = kind->shake_hands(link, ssl, why);
	if (r)
		return r;
	SSL_set_app_data(ssl, NULL);
	SSL_set_cert_cb(ssl, NULL, NULL);
	link->session = ssl;
	ssl = NULL;
	return 0;
}

void tls_session_close(struct link *link)
{
	SSL_free(link->session);
	link->session = NULL;
}

short tls_wants(const SSL *ssl, int r)
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
