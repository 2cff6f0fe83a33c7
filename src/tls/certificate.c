/* SPDX-License-Identifier: Apache-2.0 */

/* A certificate and its key belong together, or are refused. With a keeper the key stays there, and
 * what is compared is the public half. */

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tls/inside.h"
#include "tls/pem.h"
#include "tls/provider.h"

/* The keeper's key, if it is the one that the certificate is for. */
static int key_of_keeper(struct tls *tls, const struct tls_certificate_spec *spec, X509 *leaf,
	struct tls_fault *fault, EVP_PKEY **ret_key)
{
	struct question question = {.head = {.what = ASK_PUBLIC, .key = spec->key_id}};
	_cleanup_pkey_ EVP_PKEY *public = NULL;
	struct answer answer;
	const unsigned char *from = answer.data;
	int r;

	r = signer_ask(&tls->signer, &question, &answer);
	if (r < 0)
		return pem_refuse(
			fault, &spec->chain, "the keeper does not answer: %s", strerror(-r));
	public = d2i_PUBKEY_ex(NULL, &from, (long)answer.head.len, tls->library, NULL);
	if (!public)
		return -ENOMEM;
	if (EVP_PKEY_eq(X509_get0_pubkey(leaf), public) != 1)
		return pem_refuse(fault, &spec->chain, "its private key is not that of %s",
			spec->key.name ? spec->key.name : "the keeper");

	*ret_key = provider_key(tls->library, public, spec->key_id, &tls->signer);
	return *ret_key ? 0 : -ENOMEM;
}

static int key_of_file(struct tls *tls, const struct tls_certificate_spec *spec, X509 *leaf,
	struct tls_fault *fault, EVP_PKEY **ret_key)
{
	_cleanup_pkey_ EVP_PKEY *key = NULL;
	int r;

	r = pem_key(tls->library, &spec->key, fault, &key);
	if (r != 0)
		return r;
	if (EVP_PKEY_eq(X509_get0_pubkey(leaf), key) != 1)
		return pem_refuse(
			fault, &spec->chain, "its private key is not that of %s", spec->key.name);
	*ret_key = take_ptr(&key);
	return 0;
}

/* What has expired is worth a warning where somebody may look, and is refused where nobody does. */
static int check_dates(const struct tls_certificate_spec *spec, const X509 *leaf,
	bool refuse_expired, struct tls_fault *fault)
{
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0 && refuse_expired)
		return pem_refuse(fault, &spec->chain, "the certificate is not valid yet");
	if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0 && refuse_expired)
		return pem_refuse(fault, &spec->chain, "the certificate has expired");
	return 0;
}

static int load_ocsp(const struct tls_text *text, struct certificate *c, struct tls_fault *fault)
{
	const unsigned char *from = (const unsigned char *)text->data;
	OCSP_RESPONSE *response;
	bool fine;

	if (!text->name)
		return 0;
	response = d2i_OCSP_RESPONSE(NULL, &from, (long)text->len);
	fine = response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL;
	OCSP_RESPONSE_free(response);
	if (!fine)
		return pem_refuse(fault, text, "no successful OCSP response in DER form");
	c->ocsp = malloc(text->len);
	if (!c->ocsp)
		return -ENOMEM;
	memcpy(c->ocsp, text->data, text->len);
	c->ocsp_len = text->len;
	return 0;
}

int certificate_load(struct tls *tls, const struct tls_certificate_spec *spec, bool refuse_expired,
	struct tls_fault *fault, struct certificate *c)
{
	bool is_here = spec->key.data;
	int r;

	r = pem_chain(tls->library, &spec->chain, fault, &c->leaf, &c->chain);
	if (r == 0)
		r = check_dates(spec, c->leaf, refuse_expired, fault);
	if (r == 0)
		r = is_here ? key_of_file(tls, spec, c->leaf, fault, &c->key)
			    : key_of_keeper(tls, spec, c->leaf, fault, &c->key);
	if (r == 0)
		r = names_of(c->leaf, &c->names, &c->n_names);
	if (r == 0)
		r = load_ocsp(&spec->ocsp, c, fault);
	if (r != 0)
		return r;
	c->path = strdup(spec->chain.name);
	return c->path ? 0 : -ENOMEM;
}

void certificate_done(struct certificate *c)
{
	SSL_CTX_free(c->ctx);
	EVP_PKEY_free(c->key);
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	for (size_t i = 0; i < c->n_names; i++)
		free(c->names[i]);
	free(c->names);
	free(c->ocsp);
	free(c->path);
}
