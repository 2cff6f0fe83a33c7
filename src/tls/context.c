/* SPDX-License-Identifier: Apache-2.0 */

/* A context is all that a listener's handshakes need, made once and then only read: certificates, rules, the
 * ring of ticket keys. It outlives the configuration that it was made from, and a reload makes a new one.
 *
 * Each certificate of a listener becomes an SSL_CTX, all with the same rules. The name that a client asks
 * for selects the SSL_CTX; the signatures that it can check select a certificate in it. Therefore an SSL_CTX
 * holds, beside its own certificate, those of other kinds of key that cover the same names: ECDSA and RSA
 * side by side.
 *
 * A private key is used in one of two ways. With a keeper (tls_set_keeper()), the SSL_CTX has a key of the
 * provider in provider.c, which asks the keeper for each signature, and this process never has the key. Without
 * one, as in --check, the key is read from its file, and is held against the certificate.
 *
 * All faults of files are found here, each with the certificate it is about, since the words of the library
 * name neither. */

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tls/inside.h"
#include "tls/pem.h"
#include "tls/provider.h"

int tls_new(struct tls **ret_tls)
{
	struct tls *tls;
	int r;

	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return -ENOMEM;
	signer_init(&tls->signer);
	tls->library = OSSL_LIB_CTX_new();
	tls->stream_method = stream_method_new();
	tls->waits = ASYNC_WAIT_CTX_new();
	r = tls->library && tls->stream_method && tls->waits
		? provider_load(tls->library, tls->providers)
		: -ENOMEM;
	if (r == 0)
		tls->ticket_cipher = EVP_CIPHER_fetch(tls->library, "AES-256-CBC", NULL);
	if (r == 0 && !tls->ticket_cipher)
		r = -ENOMEM;
	if (r < 0) {
		tls_free(tls);
		return r;
	}
	*ret_tls = tls;
	return 0;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	EVP_CIPHER_free(tls->ticket_cipher);
	provider_unload(tls->providers);
	OSSL_LIB_CTX_free(tls->library);
	signer_done(&tls->signer);
	parking_done();
	ASYNC_WAIT_CTX_free(tls->waits);
	BIO_meth_free(tls->stream_method);
	free(tls);
}

void tls_set_timing(struct tls *tls, struct timing *timing)
{
	tls->signer.timing = timing;
}

int tls_set_keeper(struct tls *tls, int *fd)
{
	return signer_set_channel(&tls->signer, fd);
}

int tls_serve(struct tls *tls, struct loop *loop)
{
	int r = parking_init();

	return r < 0 ? r : signer_serve(&tls->signer, loop);
}

/* On the wire, each is its length and its letters; the configuration has made sure that it fits. */
static int alpn_pack(struct tls_context *context, const struct tls_spec *spec)
{
	size_t size = 0;
	unsigned char *to;

	for (size_t i = 0; i < spec->n_alpn; i++)
		size += 1 + strlen(spec->alpn[i]);
	if (size == 0)
		return 0;
	context->alpn = to = malloc(size);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < spec->n_alpn; i++) {
		size_t len = strlen(spec->alpn[i]);

		*to++ = (unsigned char)len;
		memcpy(to, spec->alpn[i], len);
		to += len;
	}
	context->alpn_len = (unsigned)size;
	return 0;
}

static int ctx_add(SSL_CTX *ctx, const struct certificate *c)
{
	if (SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) == 1)
		return 0;
	ERR_clear_error();
	return -EINVAL;
}

static bool same_kind(const struct certificate *a, const struct certificate *b)
{
	return EVP_PKEY_is_a(a->key, EVP_PKEY_get0_type_name(b->key));
}

/* The certificate itself, and the first of each other kind that has all of its names. */
static int ctx_fill(const struct tls_context *context, struct certificate *c)
{
	int r;

	for (size_t i = context->n; i-- > 0;) {
		const struct certificate *other = &context->certificates[i];

		if (same_kind(other, c) || !names_cover(other, c))
			continue;
		r = ctx_add(c->ctx, other);
		if (r < 0)
			return r;
	}
	return ctx_add(c->ctx, c);
}

static int context_make_ctx(struct tls_context *context, const struct tls_spec *spec,
	struct certificate *c, struct tls_fault *fault)
{
	int r;

	c->ctx = SSL_CTX_new_ex(context->tls->library, NULL,
		spec->is_datagram ? DTLS_server_method() : TLS_server_method());
	if (!c->ctx)
		return -ENOMEM;
	SSL_CTX_set_app_data(c->ctx, context);
	r = rules_apply(context, spec, c->ctx, fault);
	return r == 0 ? ctx_fill(context, c) : r;
}

/* The library uses Ed25519 for TLS, and not for DTLS 1.2. */
static int context_can_sign(
	const struct tls_context *context, const struct tls_spec *spec, struct tls_fault *fault)
{
	for (size_t i = 0; i < context->n; i++)
		if (!spec->is_datagram || !EVP_PKEY_is_a(context->certificates[i].key, "ED25519"))
			return 0;
	return pem_refuse(fault, &spec->certificates[0].chain,
		"DTLS cannot be spoken with Ed25519 alone; a certificate with ECDSA or RSA is "
		"needed");
}

static void context_freep(struct tls_context **context)
{
	tls_context_free(*context);
}

int tls_context_new(struct tls *tls, const struct tls_spec *spec, struct tls_fault *fault,
	struct tls_context **ret_context)
{
	__attribute__((cleanup(context_freep))) struct tls_context *context = NULL;
	int r = 0;

	context = calloc(1, sizeof(*context));
	if (!context)
		return -ENOMEM;
	context->tls = tls;
	context->tickets = spec->tickets;
	context->certificates = calloc(spec->n_certificates, sizeof(*context->certificates));
	if (!context->certificates || alpn_pack(context, spec) < 0)
		return -ENOMEM;
	for (; r == 0 && context->n < spec->n_certificates; context->n++)
		r = certificate_load(tls, &spec->certificates[context->n], spec->refuse_expired,
			fault, &context->certificates[context->n]);
	if (r == 0)
		r = context_can_sign(context, spec, fault);
	for (size_t i = 0; r == 0 && i < context->n; i++)
		r = context_make_ctx(context, spec, &context->certificates[i], fault);
	if (r != 0)
		return r;

	*ret_context = take_ptr(&context);
	return 0;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	for (size_t i = 0; i < context->n; i++)
		certificate_done(&context->certificates[i]);
	free(context->certificates);
	free(context->client_names);
	free(context->alpn);
	free(context);
}

int tls_check_certificate(struct tls *tls, const struct tls_certificate_spec *spec,
	struct tls_fault *fault, struct tls_dates *ret_dates)
{
	struct certificate c = {0};
	int r;

	r = certificate_load(tls, spec, false, fault, &c);
	if (r == 0)
		*ret_dates = (struct tls_dates){pem_time(X509_get0_notBefore(c.leaf)),
			pem_time(X509_get0_notAfter(c.leaf))};
	certificate_done(&c);
	return r;
}

time_t tls_context_expiry(const struct tls_context *context, const char **ret_name)
{
	time_t first = 0;

	for (size_t i = 0; i < context->n; i++) {
		time_t at = pem_time(X509_get0_notAfter(context->certificates[i].leaf));

		if (i > 0 && at >= first)
			continue;
		first = at;
		*ret_name = context->certificates[i].path;
	}
	return first;
}

const char *tls_context_certificate(
	const struct tls_context *context, size_t index, struct tls_dates *ret_dates)
{
	const struct certificate *certificate = &context->certificates[index];

	if (index >= context->n)
		return NULL;
	ret_dates->begins = pem_time(X509_get0_notBefore(certificate->leaf));
	ret_dates->ends = pem_time(X509_get0_notAfter(certificate->leaf));
	return certificate->n_names > 0 ? certificate->names[0] : certificate->path;
}

time_t tls_context_lists_end(const struct tls_context *context)
{
	return context->lists_end;
}
