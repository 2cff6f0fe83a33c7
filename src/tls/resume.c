/* SPDX-License-Identifier: Apache-2.0 */

/* Tickets: sealed with the newest key of the ring, opened with any of the last three. */

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

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

static int ticket_seal(const struct ticket_key *key, unsigned char *name, unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	if (!key || RAND_bytes(iv, 16) != 1 ||
		EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->encrypt, iv) != 1 ||
		!set_mac(mac, key))
		return TICKET_ERROR;
	memcpy(name, key->name, sizeof(key->name));
	return TICKET_FINE;
}

static int ticket_unseal(const struct ticket_key *key, const unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->encrypt, iv) != 1 ||
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
		return ticket_seal(key_at(ring, newest, 0), name, iv, cipher, mac);
	for (uint32_t age = 0; age < TICKET_HONOURED; age++) {
		const struct ticket_key *key = key_at(ring, newest, age);

		if (!key || memcmp(key->name, name, sizeof(key->name)) != 0)
			continue;
		if (ticket_unseal(key, iv, cipher, mac) != TICKET_FINE)
			return TICKET_ERROR;
		return age == 0 ? TICKET_FINE : TICKET_RENEW;
	}
	return TICKET_UNKNOWN;
}

void resume_by_tickets(SSL_CTX *ctx, uint64_t lifetime_ms)
{
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, (long)(lifetime_ms / 1000));
}
