/* SPDX-License-Identifier: Apache-2.0 */

/* A certificate of a listener: its chain, its key, its names. It and its key belong together, or are
 * refused; with a keeper the key stays there, and the public halves are compared. The names are read once,
 * and a handshake only compares. */

#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tls/inside.h"
#include "tls/pem.h"
#include "tls/provider.h"

/* Names */

/* A name with a zero inside is no name, but an attempt. */
static char *name_of(const GENERAL_NAME *general)
{
	const ASN1_IA5STRING *text = general->d.dNSName;
	size_t len = (size_t)ASN1_STRING_length(text);
	char *name = strndup((const char *)ASN1_STRING_get0_data(text), len);

	if (!name || strlen(name) != len) {
		free(name);
		return NULL;
	}
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return name;
}

static int names_of(X509 *x509, char ***ret_names, size_t *ret_n)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
	int n_all = sk_GENERAL_NAME_num(all);
	char **names = calloc(n_all > 0 ? (size_t)n_all : 1, sizeof(*names));
	size_t n = 0;

	for (int i = 0; names && i < n_all; i++) {
		const GENERAL_NAME *general = sk_GENERAL_NAME_value(all, i);

		if (general->type == GEN_DNS && (names[n] = name_of(general)))
			n++;
	}
	GENERAL_NAMES_free(all);
	if (!names)
		return -ENOMEM;
	*ret_names = names;
	*ret_n = n;
	return 0;
}

/* "*.example.org" matches names with exactly one label more. */
static bool is_wildcard_for(const char *name, const char *host)
{
	const char *rest = strchr(host, '.');

	return name[0] == '*' && name[1] == '.' && rest && rest != host &&
		strcasecmp(name + 1, rest) == 0;
}

static bool is_exactly(const char *name, const char *host)
{
	return strcasecmp(name, host) == 0;
}

static bool certificate_is(const struct certificate *c, const char *host,
	bool (*fits)(const char *name, const char *host))
{
	for (size_t i = 0; i < c->n_names; i++)
		if (fits(c->names[i], host))
			return true;
	return false;
}

struct certificate *names_choose(const struct tls_context *context, const char *host)
{
	for (size_t i = 0; i < context->n; i++)
		if (certificate_is(&context->certificates[i], host, is_exactly))
			return &context->certificates[i];
	for (size_t i = 0; i < context->n; i++)
		if (certificate_is(&context->certificates[i], host, is_wildcard_for))
			return &context->certificates[i];
	return &context->certificates[0];
}

bool names_cover(const struct certificate *other, const struct certificate *one)
{
	for (size_t i = 0; i < one->n_names; i++)
		if (!certificate_is(other, one->names[i], is_exactly) &&
			!certificate_is(other, one->names[i], is_wildcard_for))
			return false;
	return true;
}

/* Keys */

/* The keeper's key, if it is the one that the certificate is for. */
static int key_of_keeper(struct tls *tls, const struct tls_certificate_spec *spec, X509 *leaf,
	struct tls_fault *fault, EVP_PKEY **ret_key)
{
	struct key_request request = {.head = {.what = REQUEST_PUBLIC, .key = spec->key_id}};
	_cleanup_pkey_ EVP_PKEY *public = NULL;
	struct key_reply reply;
	const unsigned char *from = reply.data;
	int r;

	r = signer_request(&tls->signer, &request, &reply);
	if (r < 0)
		return pem_refuse(
			fault, &spec->chain, "the keeper does not answer: %s", strerror(-r));
	public = d2i_PUBKEY_ex(NULL, &from, (long)reply.head.len, tls->library, NULL);
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

/* An expired certificate is a warning of --check, for a person who reads it, and is refused when files are
 * taken up unattended. */
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
