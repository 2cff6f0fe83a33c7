/* SPDX-License-Identifier: Apache-2.0 */

/* Tickets: sealed with the newest key of the ring, opened with any of the last three.
 *
 * A client should use a ticket once (RFC 8446, C.4), so that with TLS 1.3 a resumed session gets one new
 * ticket, as a full handshake does. Each holds the time of that full handshake: however often a session
 * is resumed, it ends one ticket_lifetime later, and the certificate of the client is looked at again. */

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#include "tls/inside.h"

enum { TICKET_ERROR = -1, TICKET_UNKNOWN = 0, TICKET_FINE = 1, TICKET_RENEW = 2 };

/* The key `age` before the newest; NULL when there is none yet. */
static const struct ticket_key *key_at(
	const struct ticket_ring *ring, uint32_t newest, uint32_t age)
{
	return age < newest ? &ring->keys[(newest - age) % TICKET_PLACES] : NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
			(void *)(uintptr_t)key->authenticate, sizeof(key->authenticate)),
		OSSL_PARAM_construct_utf8_string(
			OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int ticket_seal(const struct tls *tls, const struct ticket_key *key, unsigned char *name,
	unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	if (!key || RAND_bytes_ex(tls->library, iv, 16, 0) != 1 ||
		EVP_EncryptInit_ex(cipher, tls->ticket_cipher, NULL, key->encrypt, iv) != 1 ||
		!set_mac(mac, key))
		return TICKET_ERROR;
	memcpy(name, key->name, sizeof(key->name));
	return TICKET_FINE;
}

static int ticket_unseal(const struct tls *tls, const struct ticket_key *key,
	const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	if (EVP_DecryptInit_ex(cipher, tls->ticket_cipher, NULL, key->encrypt, iv) != 1 ||
		!set_mac(mac, key))
		return TICKET_ERROR;
	return TICKET_FINE;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int sealing)
{
	const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct ticket_ring *ring = context->tickets;
	uint32_t newest = atomic_load(&ring->newest);

	if (sealing)
		return ticket_seal(context->tls, key_at(ring, newest, 0), name, iv, cipher, mac);
	for (uint32_t age = 0; age < TICKET_HONOURED; age++) {
		const struct ticket_key *key = key_at(ring, newest, age);

		if (!key || memcmp(key->name, name, sizeof(key->name)) != 0)
			continue;
		if (ticket_unseal(context->tls, key, iv, cipher, mac) != TICKET_FINE)
			return TICKET_ERROR;
		return age == 0 ? TICKET_FINE : TICKET_RENEW;
	}
	return TICKET_UNKNOWN;
}

static uint64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec;
}

/* A session that is resumed has the time already. */
static int on_seal(SSL *ssl, void *userdata)
{
	SSL_SESSION *session = SSL_get_session(ssl);
	const uint64_t now = now_s();
	void *data;
	size_t len;

	if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) == 1 && len == sizeof(now))
		return 1;
	return SSL_SESSION_set1_ticket_appdata(session, &now, sizeof(now));
}

static bool has_ended(SSL *ssl, SSL_SESSION *session)
{
	const uint64_t lifetime = (uint64_t)SSL_CTX_get_timeout(SSL_get_SSL_CTX(ssl)),
		       now = now_s();
	uint64_t began;
	void *data;
	size_t len;

	if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 || len != sizeof(began))
		return true;
	memcpy(&began, data, sizeof(began));
	/* The clock of another machine of the fleet may be ahead. */
	return began < now && now - began >= lifetime;
}

static SSL_TICKET_RETURN on_open(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
	size_t name_len, SSL_TICKET_STATUS status, void *userdata)
{
	if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
		has_ended(ssl, session))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) == TLS1_3_VERSION
		? SSL_TICKET_RETURN_USE_RENEW
		: SSL_TICKET_RETURN_USE;
}

void resume_by_tickets(SSL_CTX *ctx, uint64_t lifetime_ms)
{
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_session_ticket_cb(ctx, on_seal, on_open, NULL);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, (long)(lifetime_ms / 1000));
}
