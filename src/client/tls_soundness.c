/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes that a sound server refuses. They need a library that still offers them: where it does not,
 * nothing is known. */

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include "base/clock.h"
#include "client/link.h"
#include "client/soundness.h"
#include "client/tls_session.h"

#define HANDSHAKE_MS 1000

struct attempt {
	struct link link;
	SSL_CTX *ctx;
	SSL *ssl;
	uint64_t until_ms;
};

static void attempt_done(struct attempt *attempt)
{
	SSL_free(attempt->ssl);
	SSL_CTX_free(attempt->ctx);
	link_close(&attempt->link);
	ERR_clear_error();
}

static bool attempt_session(struct attempt *attempt, const struct server *plain)
{
	bool is_datagram = plain->url.transport->is_datagram;
	struct addr peer = plain->addresses[attempt->link.at];
	BIO *bio;

	attempt->ssl = SSL_new(attempt->ctx);
	bio = is_datagram ? BIO_new_dgram(attempt->link.fd, BIO_NOCLOSE)
			  : BIO_new_socket(attempt->link.fd, BIO_NOCLOSE);
	if (!attempt->ssl || !bio)
		return false;
	if (is_datagram)
		BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &peer.sa);
	SSL_set_bio(attempt->ssl, bio, bio);
	SSL_set_connect_state(attempt->ssl);
	return true;
}

/* Versions from `least` to `most`; false when the library or the server has none to talk with. */
static bool attempt_init(struct attempt *attempt, struct server *plain, int least, int most)
{
	bool is_datagram = plain->url.transport->is_datagram;
	struct why why = {0};

	attempt->until_ms = clock_ms() + HANDSHAKE_MS;
	attempt->ctx = SSL_CTX_new(is_datagram ? DTLS_client_method() : TLS_client_method());
	if (!attempt->ctx || link_open(&attempt->link, plain, &why))
		return false;
	SSL_CTX_set_min_proto_version(attempt->ctx, least);
	SSL_CTX_set_max_proto_version(attempt->ctx, most);
	SSL_CTX_set_cipher_list(attempt->ctx, "ALL:@SECLEVEL=0");
	return attempt_session(attempt, plain);
}

/* Goes on until the handshake is over, or fails, or time is up. */
static bool attempt_shake(struct attempt *attempt)
{
	int r;

	for (;;) {
		ERR_clear_error();
		r = SSL_do_handshake(attempt->ssl);
		if (r == 1)
			return true;
		if (!tls_wants(attempt->ssl, r) ||
			link_wait(&attempt->link, tls_wants(attempt->ssl, r), attempt->until_ms))
			return false;
	}
}

struct finding soundness_old_version(struct server *plain)
{
	bool is_datagram = plain->url.transport->is_datagram;
	__attribute__((cleanup(attempt_done))) struct attempt attempt = {.link = LINK_INIT};
	struct finding finding = {
		"old_version", "shakes hands with a version before TLS 1.2", IS_UNKNOWN};

	if (attempt_init(&attempt, plain, is_datagram ? DTLS1_VERSION : TLS1_VERSION,
		    is_datagram ? DTLS1_VERSION : TLS1_1_VERSION))
		finding.soundness = attempt_shake(&attempt) ? IS_UNSOUND : IS_SOUND;
	return finding;
}

/* A server that does not speak TLS 1.2 has no renegotiation. */
struct finding soundness_renegotiation(struct server *plain)
{
	__attribute__((cleanup(attempt_done))) struct attempt attempt = {.link = LINK_INIT};
	struct finding finding = {
		"renegotiation", "shakes hands again in the middle of a session", IS_UNKNOWN};

	if (!attempt_init(&attempt, plain, TLS1_2_VERSION, TLS1_2_VERSION))
		return finding;
	finding.soundness = IS_SOUND;
	if (!attempt_shake(&attempt) || SSL_renegotiate(attempt.ssl) != 1)
		return finding;
	if (attempt_shake(&attempt) && !SSL_renegotiate_pending(attempt.ssl))
		finding.soundness = IS_UNSOUND;
	return finding;
}

/* With the rest of a ClientHello, a little less than a packet of Ethernet holds, so that a datagram of DTLS
 * has one too. */
#define PADDING      1100
#define PADDING_TYPE 0xfade /* of an extension that no server knows */

static int add_padding(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
	size_t *len, X509 *x509, size_t chain, int *alert, void *padding)
{
	*out = padding;
	*len = PADDING;
	return 1;
}

static int ignore_padding(SSL *ssl, unsigned type, unsigned context, const unsigned char *in,
	size_t len, X509 *x509, size_t chain, int *alert, void *padding)
{
	return 1;
}

static bool is_answered_once(struct server *plain, bool is_large)
{
	static unsigned char padding[PADDING];
	__attribute__((cleanup(attempt_done))) struct attempt attempt = {.link = LINK_INIT};
	bool is_datagram = plain->url.transport->is_datagram;
	int least = is_datagram ? DTLS1_2_VERSION : TLS1_2_VERSION;

	if (!attempt_init(&attempt, plain, least, is_datagram ? DTLS1_2_VERSION : TLS1_3_VERSION))
		return false;
	if (is_large)
		SSL_CTX_add_custom_ext(attempt.ctx, PADDING_TYPE, SSL_EXT_CLIENT_HELLO, add_padding,
			NULL, padding, ignore_padding, NULL);
	SSL_free(attempt.ssl);
	attempt.ssl = NULL;
	if (!attempt_session(&attempt, plain))
		return false;
	if (is_datagram) {
		SSL_set_options(attempt.ssl, SSL_OP_NO_QUERY_MTU);
		SSL_set_mtu(attempt.ssl, 1472);
	}
	/* A refusal is an answer as well. */
	return attempt_shake(&attempt) || BIO_number_read(SSL_get_rbio(attempt.ssl)) > 0;
}

enum passage soundness_hello(struct server *plain, bool is_large)
{
	for (int i = 0; i < 3; i++)
		if (is_answered_once(plain, is_large))
			return PASSAGE_ANSWERED;
	return PASSAGE_LOST;
}
