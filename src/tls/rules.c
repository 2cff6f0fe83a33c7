/* SPDX-License-Identifier: Apache-2.0 */

/* The rules of a listener: versions, ciphers, groups, protocols. The defaults have
 * forward secrecy and authenticated encryption throughout, and the configuration cannot bring back anything
 * weaker. */

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "base/why.h"
#include "tls/inside.h"
#include "tls/pem.h"

#define CIPHERS                                                      \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
/* Bits of a library later than the headers may be; others ignore them. */
#ifndef SSL_OP_NO_TX_CERTIFICATE_COMPRESSION
#define SSL_OP_NO_TX_CERTIFICATE_COMPRESSION ((uint64_t)1 << 32)
#define SSL_OP_NO_RX_CERTIFICATE_COMPRESSION ((uint64_t)1 << 33)
#endif

#define CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS       "X25519:P-256:P-384"
/* With a key exchange that holds against a quantum computer first. Not every library has it. */
#define GROUPS_PQ    "X25519MLKEM768:" GROUPS
/* All that the keeper signs with; no SHA-1 and no SHA-224. */
#define SIGNATURES                                                         \
	"ECDSA+SHA256:ed25519:RSA-PSS+SHA256:ECDSA+SHA384:RSA-PSS+SHA384:" \
	"RSA-PSS+SHA512:ECDSA+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"

static int refuse_list(struct tls_fault *fault, enum tls_part part, const char *list)
{
	fault->part = part;
	ERR_clear_error();
	return why_set(&fault->why, TLS_E_REFUSED, "\"%s\" is not a list that OpenSSL knows", list);
}

static bool is_fine(const SSL_CIPHER *cipher)
{
	int exchange = SSL_CIPHER_get_kx_nid(cipher);

	return SSL_CIPHER_is_aead(cipher) && (exchange == NID_kx_ecdhe || exchange == NID_kx_any) &&
		SSL_CIPHER_get_auth_nid(cipher) != NID_auth_null;
}

static int check_ciphers(SSL_CTX *ctx, struct tls_fault *fault)
{
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);

	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(all, i);

		if (is_fine(cipher))
			continue;
		fault->part = TLS_CIPHERS;
		return why_set(&fault->why, TLS_E_REFUSED,
			"%s is not spoken; only what has authenticated encryption and "
			"ECDHE is",
			SSL_CIPHER_get_name(cipher));
	}
	return 0;
}

/* The keeper signs key shares of TLS 1.2 on the first six alone. Version 1.2 does not have the others,
 * which are known by how they begin. */
static bool is_for_1_2(const char *name, size_t len)
{
	static const struct {
		const char *name;
		bool is_prefix;
	} groups[] = {{"X25519"}, {"P-256"}, {"prime256v1"}, {"secp256r1"}, {"P-384"},
		{"secp384r1"}, {"ffdhe", true}, {"MLKEM", true}, {"X25519MLKEM", true},
		{"SecP256r1MLKEM", true}, {"SecP384r1MLKEM", true}};

	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		size_t n = strlen(groups[i].name);

		if ((groups[i].is_prefix ? len >= n : len == n) &&
			strncasecmp(name, groups[i].name, n) == 0)
			return true;
	}
	return false;
}

/* A classical group of that name in any case, as the library spells it. */
static const char *classical(const char *name, size_t len)
{
	static const char *const names[] = {
		"X25519", "P-256", "prime256v1", "secp256r1", "P-384", "secp384r1"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (len == strlen(names[i]) && strncasecmp(name, names[i], len) == 0)
			return names[i];
	return NULL;
}

/* DTLS 1.2 has no others, so a list without any leaves a listener that agrees with no client. */
static bool has_classical(const char *list)
{
	for (size_t len; *list != '\0'; list += len + (list[len] != '\0')) {
		list += strspn(list, "?*-");
		len = strcspn(list, ":/");
		if (classical(list, len))
			return true;
	}
	return false;
}

static int check_groups(const struct tls_spec *spec, struct tls_fault *fault)
{
	const char *name = spec->groups ? spec->groups : "";
	size_t len;

	if (spec->groups && spec->is_datagram && !has_classical(spec->groups)) {
		fault->part = TLS_GROUPS;
		why_set(&fault->why, TLS_E_REFUSED,
			"\"%.200s\" leaves DTLS 1.2 no group; X25519, P-256 and P-384 will do, in "
			"the tls group of this listener",
			spec->groups);
		return TLS_E_REFUSED;
	}
	for (; *name != '\0' && (spec->is_datagram || !spec->only_1_3); name += len) {
		name += strspn(name, ":/?*-");
		len = strcspn(name, ":/");
		if (len == 0 || is_for_1_2(name, len))
			continue;
		fault->part = TLS_GROUPS;
		return why_set(&fault->why, TLS_E_REFUSED,
			"%.*s is not used with %s, which has X25519, P-256 and P-384 here; "
			"leave it out%s",
			(int)len, name, spec->is_datagram ? "DTLS 1.2" : "TLS 1.2",
			spec->is_datagram ? "" : ", or set min_version = \"1.3\"");
	}
	return 0;
}

static bool set_groups(SSL_CTX *ctx, const char *list)
{
	bool ok = SSL_CTX_set1_groups_list(ctx, (void *)(uintptr_t)list) == 1;

	ERR_clear_error();
	return ok;
}

/* The built-in list, which depends on the library. DTLS 1.2 has the classical ones alone. */
static const char *default_groups(SSL_CTX *ctx, bool is_datagram)
{
	return !is_datagram && set_groups(ctx, GROUPS_PQ) ? GROUPS_PQ : GROUPS;
}

const char *tls_default_groups(struct tls *tls, bool is_datagram)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(
		tls->library, NULL, is_datagram ? DTLS_server_method() : TLS_server_method());
	const char *list = ctx ? default_groups(ctx, is_datagram) : GROUPS;

	SSL_CTX_free(ctx);
	ERR_clear_error();
	return list;
}

static int refuse_group(const char *name, struct tls_fault *fault)
{
	const char *meant = classical(name, strlen(name));

	return why_set(&fault->why, TLS_E_REFUSED, "OpenSSL %s has no group \"%s\"%s%s%s",
		tls_library_version(), name, meant ? "; did you mean \"" : "", meant ? meant : "",
		meant                               ? "\"?"
			: strcasestr(name, "MLKEM") ? "; version 3.5 has it"
			: strpbrk(name, ", ;")      ? "; between two groups stands \":\""
						    : "");
}

/* Names the first group of the list that the library does not have. */
static int refuse_groups(SSL_CTX *ctx, const char *list, struct tls_fault *fault)
{
	fault->part = TLS_GROUPS;
	for (size_t len, at = 0; list[at] != '\0'; at += len + (list[at + len] != '\0')) {
		char name[64];
		const char *bare;

		len = strcspn(list + at, ":/");
		snprintf(name, sizeof(name), "%.*s", (int)len, list + at);
		bare = name + strspn(name, "?*-");
		if (len == 0 || set_groups(ctx, name))
			continue;
		if (bare == name || !set_groups(ctx, bare))
			return refuse_group(bare, fault);
		return why_set(&fault->why, TLS_E_REFUSED,
			"OpenSSL %s does not know the mark in \"%s\"; \"%s\" will do",
			tls_library_version(), name, bare);
	}
	return why_set(&fault->why, TLS_E_REFUSED,
		"\"%.200s\" is not a list that OpenSSL %s knows: a group stands there once, and "
		"one "
		"\":\" between two",
		list, tls_library_version());
}

static int apply_groups(const struct tls_spec *spec, SSL_CTX *ctx, struct tls_fault *fault)
{
	const char *list = spec->groups ? spec->groups : default_groups(ctx, spec->is_datagram);

	return set_groups(ctx, list) ? 0 : refuse_groups(ctx, list, fault);
}

static int apply_lists(const struct tls_spec *spec, SSL_CTX *ctx, struct tls_fault *fault)
{
	const char *ciphers = spec->ciphers ? spec->ciphers : CIPHERS;
	const char *suites = spec->ciphersuites ? spec->ciphersuites : CIPHERSUITES;
	int r;

	if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
		return refuse_list(fault, TLS_CIPHERS, ciphers);
	if (SSL_CTX_set_ciphersuites(ctx, suites) != 1)
		return refuse_list(fault, TLS_CIPHERSUITES, suites);
	r = apply_groups(spec, ctx, fault);
	if (r != 0)
		return r;
	if (SSL_CTX_set1_sigalgs_list(ctx, (void *)(uintptr_t)SIGNATURES) != 1)
		return -ENOMEM;
	r = check_ciphers(ctx, fault);
	return r == 0 ? check_groups(spec, fault) : r;
}

/* The first of ours that the client has too; with none in common there is nothing to say. */
static int on_alpn(SSL *ssl, const unsigned char **ret_chosen, unsigned char *ret_len,
	const unsigned char *offered, unsigned offered_len, void *userdata)
{
	const struct tls_context *context = userdata;

	if (SSL_select_next_proto((unsigned char **)(uintptr_t)ret_chosen, ret_len, context->alpn,
		    context->alpn_len, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static int on_status(SSL *ssl, void *userdata)
{
	const struct tls_context *context = userdata;
	const X509 *shown = SSL_get_certificate(ssl);

	for (size_t i = 0; i < context->n; i++) {
		const struct certificate *c = &context->certificates[i];
		unsigned char *copy;

		if (c->leaf != shown || !c->ocsp)
			continue;
		copy = OPENSSL_memdup(c->ocsp, c->ocsp_len);
		if (!copy)
			break;
		SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)c->ocsp_len);
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static int on_name(SSL *ssl, int *ret_alert, void *userdata)
{
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (host)
		SSL_set_SSL_CTX(ssl, names_choose(userdata, host)->ctx);
	return SSL_TLSEXT_ERR_OK;
}

static void apply_tickets(struct tls_context *context, const struct tls_spec *spec, SSL_CTX *ctx)
{
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (context->tickets) {
		resume_by_tickets(ctx, spec->ticket_lifetime_ms);
		return;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
}

int rules_apply(struct tls_context *context, const struct tls_spec *spec, SSL_CTX *ctx,
	struct tls_fault *fault)
{
	int r;

	if (spec->is_datagram)
		datagram_rules(ctx);
	else
		SSL_CTX_set_min_proto_version(
			ctx, spec->only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_options(ctx,
		SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
			SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_TX_CERTIFICATE_COMPRESSION |
			SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
	SSL_CTX_set_mode(ctx,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_max_early_data(ctx, 0);
	if (context->alpn_len > 0)
		SSL_CTX_set_alpn_select_cb(ctx, on_alpn, context);
	SSL_CTX_set_tlsext_status_cb(ctx, on_status);
	SSL_CTX_set_tlsext_status_arg(ctx, context);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, context);
	apply_tickets(context, spec, ctx);
	session_count_messages(ctx);

	r = apply_lists(spec, ctx, fault);
	return r == 0 ? clients_apply(context, spec, ctx, fault) : r;
}
