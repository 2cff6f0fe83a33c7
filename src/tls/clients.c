/* SPDX-License-Identifier: Apache-2.0 */

/* Certificates of clients. A certificate has to hold, which the library finds out; and where tls.client_names
 * lists names, one of its own has to be among them: a subject alternative name, or its public key. The
 * subject, with its common name, never counts.
 *
 * Without authorities the list holds pins alone. A certificate whose key is pinned is then its own trust
 * anchor, whatever its issuer; its dates and its purpose still have to hold.
 *
 * This is asked in a full handshake. A session that is resumed was let in by the same rules, since they are
 * part of its session id context, and ends when its ticket's lifetime does.
 *
 * A refusal leaves a sentence in the session for the log. Names in it came from the peer: they are escaped,
 * quoted and bounded here. */

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/text.h"
#include "core/client_name.h"
#include "tls/inside.h"
#include "tls/pem.h"

/* Of what a certificate has, as far as a record shows it. */
#define NAMES_SHOWN 5
#define NAME_SHOWN  64

static void key_digest(const struct tls_context *context, const X509 *x509,
	uint8_t ret_digest[static CLIENT_NAME_DIGEST])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der);

	memset(ret_digest, 0, CLIENT_NAME_DIGEST);
	if (len > 0)
		EVP_Q_digest(
			context->tls->library, "SHA256", NULL, der, (size_t)len, ret_digest, NULL);
	OPENSSL_free(der);
}

static bool is_listed(
	const struct tls_context *context, enum client_name_kind kind, const void *data, size_t len)
{
	for (size_t i = 0; i < context->n_client_names; i++)
		if (client_name_lists(&context->client_names[i], kind, data, len))
			return true;
	return false;
}

/* The kinds that can be listed; false for all others. */
static bool name_of_general(const GENERAL_NAME *general, enum client_name_kind *ret_kind,
	const ASN1_IA5STRING **ret_text)
{
	*ret_kind = general->type == GEN_DNS ? CLIENT_NAME_DNS : CLIENT_NAME_URI;
	*ret_text = general->type == GEN_DNS ? general->d.dNSName
		: general->type == GEN_URI   ? general->d.uniformResourceIdentifier
					     : NULL;
	return *ret_text;
}

static bool names_are_listed(const struct tls_context *context, const GENERAL_NAMES *names)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const ASN1_IA5STRING *text;
		enum client_name_kind kind;

		if (name_of_general(sk_GENERAL_NAME_value(names, i), &kind, &text) &&
			is_listed(context, kind, ASN1_STRING_get0_data(text),
				(size_t)ASN1_STRING_length(text)))
			return true;
	}
	return false;
}

static void show_names(FILE *to, const GENERAL_NAMES *names)
{
	const char *between = "";
	int shown = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		char escaped[4 * NAME_SHOWN + 1];
		const ASN1_IA5STRING *text;
		enum client_name_kind kind;
		size_t len;

		if (!name_of_general(sk_GENERAL_NAME_value(names, i), &kind, &text))
			continue;
		if (shown++ == NAMES_SHOWN) {
			fputs(", and more", to);
			break;
		}
		len = (size_t)ASN1_STRING_length(text);
		text_escape((const char *)ASN1_STRING_get0_data(text),
			len < NAME_SHOWN ? len : NAME_SHOWN, escaped, sizeof(escaped));
		for (char *c = escaped; *c; c++)
			if (*c == '"')
				*c = '\'';
		fprintf(to, "%s\"%s:%s%s\"", between, kind == CLIENT_NAME_DNS ? "dns" : "uri",
			escaped, len > NAME_SHOWN ? "..." : "");
		between = ", ";
	}
	fputs(shown > 0 ? ", " : "", to);
}

/* A session's `detail`; without memory the reason alone has to do. */
static void refuse_name(struct session *session, const GENERAL_NAMES *names,
	const uint8_t digest[static CLIENT_NAME_DIGEST])
{
	size_t size;
	FILE *to;

	session->refusal = REASON_tls_client_name;
	free(session->detail);
	session->detail = NULL;
	to = open_memstream(&session->detail, &size);
	if (!to)
		return;
	fputs("it has ", to);
	show_names(to, names);
	fputs("\"" CLIENT_NAME_SPKI_PREFIX, to);
	for (size_t i = 0; i < CLIENT_NAME_DIGEST; i++)
		fprintf(to, "%02x", digest[i]);
	fputs("\"", to);
	fclose(to);
}

static void note_distrust(struct session *session, X509_STORE_CTX *store)
{
	int error = X509_STORE_CTX_get_error(store), depth = X509_STORE_CTX_get_error_depth(store);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);

	session->refusal = REASON_tls_untrusted;
	free(session->detail);
	session->detail = NULL;
	if (error == X509_V_ERR_INVALID_PURPOSE && depth == 0 &&
		!(X509_get_extended_key_usage(leaf) & XKU_SSL_CLIENT))
		session->detail =
			strdup("its extended key usage does not have clientAuth; one issued with "
			       "extendedKeyUsage = clientAuth will do, or without that extension");
	else if (asprintf(&session->detail, "%s%s",
			 depth > 0 ? "of an authority in its chain: " : "",
			 X509_verify_cert_error_string(error)) < 0)
		session->detail = NULL;
}

/* With a trust anchor of its own, where there is no authority. */
static bool certificate_holds(const struct tls_context *context, X509_STORE_CTX *store)
{
	STACK_OF(X509) *anchors = NULL;
	bool holds;

	if (!context->has_authorities) {
		anchors = sk_X509_new_null();
		if (!anchors || sk_X509_push(anchors, X509_STORE_CTX_get0_cert(store)) == 0) {
			sk_X509_free(anchors);
			X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
			return false;
		}
		X509_STORE_CTX_set0_trusted_stack(store, anchors);
		X509_STORE_CTX_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	}
	holds = X509_verify_cert(store) == 1;
	sk_X509_free(anchors);
	return holds;
}

static int on_certificate(X509_STORE_CTX *store, void *userdata)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct session *session = container_of(SSL_get_app_data(ssl), struct session, tally);
	const struct tls_context *context = userdata;
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	uint8_t digest[CLIENT_NAME_DIGEST];
	GENERAL_NAMES *names;
	bool listed;

	/* An authority's word comes first; a key that is not pinned has none to wait for. */
	if (context->has_authorities && !certificate_holds(context, store)) {
		note_distrust(session, store);
		return 0;
	}
	if (context->n_client_names == 0)
		return 1;
	key_digest(context, leaf, digest);
	names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	listed = is_listed(context, CLIENT_NAME_SPKI, digest, sizeof(digest)) ||
		(context->has_authorities && names_are_listed(context, names));
	if (!listed) {
		refuse_name(session, names, digest);
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	} else if (!context->has_authorities && !certificate_holds(context, store)) {
		note_distrust(session, store);
		listed = false;
	}
	GENERAL_NAMES_free(names);
	return listed;
}

static int parse_names(struct tls_context *context, const struct tls_spec *spec)
{
	if (spec->n_client_names == 0 || context->client_names)
		return 0;
	context->client_names = calloc(spec->n_client_names, sizeof(*context->client_names));
	if (!context->client_names)
		return -ENOMEM;
	for (; context->n_client_names < spec->n_client_names; context->n_client_names++)
		if (client_name_parse(spec->client_names[context->n_client_names],
			    &context->client_names[context->n_client_names]))
			return -EINVAL;
	return 0;
}

/* Session id context: a ticket is good only for the same kind of transport and the same rules for client
 * certificates. */
static int name_sessions(
	const struct tls_context *context, const struct tls_spec *spec, SSL_CTX *ctx)
{
	const unsigned char kind[] = {(unsigned char)spec->client_auth, spec->is_datagram};
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD *sha256 = EVP_MD_fetch(context->tls->library, "SHA256", NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned len = 0;
	bool ok;

	ok = md && sha256 && EVP_DigestInit_ex(md, sha256, NULL) == 1 &&
		EVP_DigestUpdate(md, kind, spec->is_datagram ? 2 : 1) == 1 &&
		EVP_DigestUpdate(md, spec->client_ca.data, spec->client_ca.len) == 1 &&
		EVP_DigestUpdate(md, spec->crl.data, spec->crl.len) == 1;
	for (size_t i = 0; ok && i < spec->n_client_names; i++)
		ok = EVP_DigestUpdate(
			     md, spec->client_names[i], strlen(spec->client_names[i]) + 1) == 1;
	ok = ok && EVP_DigestFinal_ex(md, digest, &len) == 1 &&
		SSL_CTX_set_session_id_context(ctx, digest, len) == 1;
	EVP_MD_CTX_free(md);
	EVP_MD_free(sha256);
	return ok ? 0 : -ENOMEM;
}

static int ask_clients(struct tls_context *context, const struct tls_spec *spec, SSL_CTX *ctx,
	struct tls_fault *fault)
{
	STACK_OF(X509_NAME) * names;
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	int mode = SSL_VERIFY_PEER, r = 0;

	if (spec->client_auth == TLS_CLIENT_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	names = sk_X509_NAME_new_null();
	if (!names)
		return -ENOMEM;
	context->has_authorities = spec->client_ca.name;
	if (context->has_authorities)
		r = pem_authorities(context->tls->library, &spec->client_ca, fault, store, names);
	if (r == 0 && spec->crl.name)
		r = pem_revoked(
			context->tls->library, &spec->crl, fault, store, &context->lists_end);
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, mode, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, on_certificate, context);
	return r;
}

int clients_apply(struct tls_context *context, const struct tls_spec *spec, SSL_CTX *ctx,
	struct tls_fault *fault)
{
	int r = name_sessions(context, spec, ctx);

	if (r != 0 || spec->client_auth == TLS_CLIENT_NONE)
		return r;
	r = parse_names(context, spec);
	return r == 0 ? ask_clients(context, spec, ctx, fault) : r;
}
