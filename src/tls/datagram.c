/* SPDX-License-Identifier: Apache-2.0 */

/* DTLS behind net/datagram_transport.h. The library gets one datagram at a time, in memory, and its answers
 * leave at once; it never sees a socket. Cookies are no matter of the library either: net/dtls.c has checked
 * one before a session is made. */

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/dtls_records.h"
#include "tls/inside.h"

/* The most that sealing adds to a message. The library reckons with none when it fills a datagram. */
#define SEAL 24

/* Of UDP and IPv4. The library takes no size that is too small to be that of a link, less this. */
#define OVERHEAD 28

struct tls_datagrams {
	struct tls_context *context;
	BIO_METHOD *method;
	EVP_MAC_CTX *mac; /* with its key */
	long mtu;
};

/* The least that a cipher makes of an empty record: a tag of 16 bytes, and a nonce of 8 that goes with it, unless
 * the nonce is the sequence number (ChaCha20) or the tag has 8 (CCM8). Until one is chosen, nothing is sealed.
 * The library is not trusted with shorter ones. */
static size_t shortest_record(const struct session *session)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(session->ssl);

	if (!cipher)
		cipher = SSL_get_pending_cipher(session->ssl);
	switch (cipher ? SSL_CIPHER_get_protocol_id(cipher) : 0) {
	case 0:
		return SIZE_MAX;
	case TLS1_CK_ECDHE_ECDSA_WITH_CHACHA20_POLY1305 & 0xffff:
	case TLS1_CK_ECDHE_RSA_WITH_CHACHA20_POLY1305 & 0xffff:
	case TLS1_CK_ECDHE_ECDSA_WITH_AES_128_CCM_8 & 0xffff:
	case TLS1_CK_ECDHE_ECDSA_WITH_AES_256_CCM_8 & 0xffff:
		return 16;
	default:
		return 24;
	}
}

static int memory_read(BIO *bio, char *data, int size)
{
	struct datagram_transport *transport = BIO_get_data(bio);
	struct session *session = transport->session;
	size_t n = (size_t)size;

	BIO_clear_retry_flags(bio);
	if (transport->in && n > transport->in_len)
		n = transport->in_len; /* the rest is lost, as with a socket */
	n = transport->in ? dtls_records_filter((uint8_t *)data, transport->in, n,
				    shortest_record(session), &transport->forged)
			  : 0;
	transport->in = NULL;
	if (n > 0)
		return (int)n;
	session->waits = true;
	BIO_set_retry_read(bio);
	return -1;
}

static int memory_write(BIO *bio, const char *data, int n)
{
	struct datagram_transport *transport = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (n > 0)
		transport->send(transport, data, (size_t)n);
	return n;
}

static long memory_ctrl(BIO *bio, int command, long number, void *pointer)
{
	if (command == BIO_CTRL_DGRAM_GET_MTU_OVERHEAD)
		return OVERHEAD;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT;
}

static BIO_METHOD *memory_method(void)
{
	BIO_METHOD *method =
		BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "upperd datagram");

	if (!method)
		return NULL;
	BIO_meth_set_read(method, memory_read);
	BIO_meth_set_write(method, memory_write);
	BIO_meth_set_ctrl(method, memory_ctrl);
	return method;
}

/* A session is only ever made for a hello with a good cookie. */
static int on_cookie(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	return 1;
}

static int on_cookie_wanted(SSL *ssl, unsigned char *cookie, unsigned *ret_len)
{
	return 0;
}

/* Whether keys of this kind make a signature that the client knows, and that is one of ours. */
static bool can_sign_for(SSL *ssl, const EVP_PKEY *key)
{
	int sign, n = SSL_get_shared_sigalgs(ssl, 0, NULL, NULL, NULL, NULL, NULL);

	for (int i = 0; i < n; i++) {
		SSL_get_shared_sigalgs(ssl, i, &sign, NULL, NULL, NULL, NULL);
		if (EVP_PKEY_is_a(key, sign == EVP_PKEY_EC ? "EC" : "RSA") && sign != NID_ED25519)
			return true;
	}
	return false;
}

/* Over DTLS, the library chooses a suite without asking for its signature, and then has none to sign with. So
 * certificates that cannot be used go before it chooses, unless all would. */
static int on_choice(SSL *ssl, void *userdata)
{
	const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct certificate *fine[3];
	size_t n = 0, all = 0;

	for (long at = SSL_CERT_SET_FIRST; SSL_set_current_cert(ssl, at) == 1;
		at = SSL_CERT_SET_NEXT, all++)
		for (size_t i = 0; i < context->n && n < 3; i++)
			if (context->certificates[i].leaf == SSL_get_certificate(ssl) &&
				can_sign_for(ssl, context->certificates[i].key))
				fine[n++] = &context->certificates[i];
	if (n == 0 || n == all)
		return 1;
	SSL_certs_clear(ssl);
	while (n-- > 0)
		if (SSL_use_cert_and_key(ssl, fine[n]->leaf, fine[n]->key, fine[n]->chain, 1) != 1)
			return 0;
	return 1;
}

void datagram_rules(SSL_CTX *ctx)
{
	SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE);
	SSL_CTX_set_cookie_verify_cb(ctx, on_cookie);
	SSL_CTX_set_cookie_generate_cb(ctx, on_cookie_wanted);
	SSL_CTX_set_cert_cb(ctx, on_choice, NULL);
}

/* Tells the library with which numbers the two go on, since it has not seen how they began. */
static bool learn_numbers(struct session *session)
{
	BIO_ADDR *unknown = BIO_ADDR_new();

	session->has_begun = unknown && DTLSv1_listen(session->ssl, unknown) == 1;
	BIO_ADDR_free(unknown);
	return session->has_begun;
}

/* A record that is garbled, forged or comes twice is no error: the library drops it and waits. */
static int tls_datagram_handshake(struct datagram_transport *transport)
{
	struct session *session = transport->session;
	int r;

	ERR_clear_error();
	if (!session->has_begun && !learn_numbers(session)) {
		session_outcome(session, -1, &transport->reason);
		return TRANSPORT_E_GONE;
	}
	r = session_handshake(session, &transport->reason);
	if (r == 0)
		session_agreement(session, &transport->agreement);
	return r;
}

static int tls_datagram_read(
	struct datagram_transport *transport, void *data, size_t size, size_t *ret_n)
{
	const struct iovec to = {data, size};

	return session_read(transport->session, &to, ret_n, &transport->reason);
}

/* The library takes it for an error of ours to send more than the peer has asked for, and ends all. */
static size_t session_longest(const struct session *session)
{
	uint8_t asked = SSL_SESSION_get_max_fragment_length(SSL_get_session(session->ssl));

	return asked == TLSEXT_max_fragment_length_DISABLED ? DATAGRAM_LONGEST
							    : (size_t)256 << asked;
}

static int tls_datagram_write(struct datagram_transport *transport, const void *data, size_t n)
{
	struct session *session = transport->session;
	const struct iovec from = {(void *)(uintptr_t)data, n};
	size_t written;
	int r;

	if (n > session_longest(session))
		return DATAGRAM_E_LONG;
	r = session_write(session, &from, &written, &transport->reason);
	return r == 0 || r == TRANSPORT_E_WAIT ? 0 : TRANSPORT_E_GONE;
}

static int tls_datagram_remind(struct datagram_transport *transport)
{
	struct session *session = transport->session;

	ERR_clear_error();
	if (DTLSv1_handle_timeout(session->ssl) >= 0)
		return 0;
	return session_outcome(session, -1, &transport->reason) == TRANSPORT_E_WAIT
		? 0
		: TRANSPORT_E_GONE;
}

static void tls_datagram_rest(struct datagram_transport *transport)
{
	struct session *session = transport->session;

	SSL_free_buffers(session->ssl);
}

/* The library makes its buffers when it reads and takes them for granted when it writes, so it reads
 * before its last word. */
static void tls_datagram_finish(struct datagram_transport *transport)
{
	struct session *session = transport->session;
	char nothing;
	int r;

	transport->in = NULL;
	ERR_clear_error();
	r = SSL_peek(session->ssl, &nothing, sizeof(nothing));
	if (r > 0 || session_outcome(session, r, &transport->reason) != TRANSPORT_E_GONE)
		SSL_shutdown(session->ssl);
	ERR_clear_error();
}

static void tls_datagram_close(struct datagram_transport *transport)
{
	struct session *session = transport->session;

	session_free(session);
	transport->session = NULL;
}

static const char *tls_datagram_describe(
	const struct datagram_transport *transport, struct log_facts *facts)
{
	return session_describe(transport->session, facts);
}

static const struct datagram_transport_ops ops = {
	.handshake = tls_datagram_handshake,
	.read = tls_datagram_read,
	.write = tls_datagram_write,
	.remind = tls_datagram_remind,
	.rest = tls_datagram_rest,
	.finish = tls_datagram_finish,
	.describe = tls_datagram_describe,
	.close = tls_datagram_close,
};

static int datagrams_open(void *userdata, struct datagram_transport *transport)
{
	const struct tls_datagrams *datagrams = userdata;
	struct session *session = calloc(1, sizeof(*session));
	BIO *bio = BIO_new(datagrams->method);

	if (!session || !bio || session_open(session, datagrams->context) < 0) {
		free(session);
		BIO_free(bio);
		ERR_clear_error();
		return -ENOMEM;
	}
	BIO_set_data(bio, transport);
	BIO_set_init(bio, 1);
	SSL_set_bio(session->ssl, bio, bio);
	SSL_set_mtu(session->ssl, datagrams->mtu - SEAL);
	transport->session = session;
	transport->ops = &ops;
	return 0;
}

static int datagrams_mac(
	void *userdata, const struct iovec *pieces, size_t n, uint8_t ret_mac[static DATAGRAM_MAC])
{
	const struct tls_datagrams *datagrams = userdata;
	size_t len;
	bool fine = EVP_MAC_init(datagrams->mac, NULL, 0, NULL) == 1;

	for (size_t i = 0; i < n && fine; i++)
		fine = EVP_MAC_update(datagrams->mac, pieces[i].iov_base, pieces[i].iov_len) == 1;
	if (fine && EVP_MAC_final(datagrams->mac, ret_mac, &len, DATAGRAM_MAC) == 1)
		return 0;
	ERR_clear_error();
	return -EIO;
}

static EVP_MAC_CTX *mac_with(OSSL_LIB_CTX *library, const uint8_t secret[static 32])
{
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(
			OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(library, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;

	EVP_MAC_free(mac);
	if (ctx && EVP_MAC_init(ctx, secret, 32, params) != 1) {
		EVP_MAC_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

int tls_datagrams_new(struct tls_context *context, const uint8_t secret[static 32], size_t mtu,
	struct tls_datagrams **ret_datagrams)
{
	struct tls_datagrams *datagrams = calloc(1, sizeof(*datagrams));

	if (!datagrams)
		return -ENOMEM;
	datagrams->context = context;
	datagrams->mtu = (long)mtu;
	datagrams->method = memory_method();
	datagrams->mac = mac_with(context->tls->library, secret);
	if (!datagrams->method || !datagrams->mac) {
		tls_datagrams_free(datagrams);
		ERR_clear_error();
		return -ENOMEM;
	}
	*ret_datagrams = datagrams;
	return 0;
}

void tls_datagrams_free(struct tls_datagrams *datagrams)
{
	if (!datagrams)
		return;
	BIO_meth_free(datagrams->method);
	EVP_MAC_CTX_free(datagrams->mac);
	free(datagrams);
}

struct datagram_transport_maker tls_datagrams_maker(struct tls_datagrams *datagrams)
{
	return (struct datagram_transport_maker){
		.open = datagrams_open, .mac = datagrams_mac, .userdata = datagrams};
}
