/* SPDX-License-Identifier: Apache-2.0 */

/* Private keys, in memory that is neither swapped nor dumped, and the signatures made with them. A
 * request comes from a process that talks to the network and may have been captured. So every field of
 * it is checked, and the text to sign has to be one that the server of a TLS handshake signs on a listener
 * of this key: no certificate, no other protocol, no proof of a client. See handshake_text.c. */

#include "tls/keys.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "tls/handshake_text.h"
#include "tls/pem.h"
#include "tls/request.h"

#define SECURE_HEAP  (1 << 20)
#define SECURE_LEAST 32

/* A key, and a prepared signing operation for each digest and padding, made at the first use. */
struct kept_key {
	EVP_PKEY *pkey;
	enum key_use use;
	EVP_PKEY_CTX *signing[N_DIGESTS][N_PADDINGS];
};

struct keys {
	struct kept_key *list;
	size_t n;
	EVP_MD *digests[N_DIGESTS];
	struct text_curves curves;
};

const char *const request_digests[N_DIGESTS] = {
	[DIGEST_SHA256] = "SHA256",
	[DIGEST_SHA384] = "SHA384",
	[DIGEST_SHA512] = "SHA512",
};

static const size_t most[N_REQUESTS] = {
#define REQUEST(name, most) [REQUEST_##name] = most,
	REQUESTS(REQUEST)
#undef REQUEST
};

int keys_new(struct keys **ret_keys)
{
	struct keys *keys;

	/* Where memory cannot be locked, the keys lie in ordinary memory; that is no reason not to
	 * serve. */
	if (!CRYPTO_secure_malloc_initialized())
		CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST);
	keys = calloc(1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	*ret_keys = keys;
	return 0;
}

void keys_free(struct keys *keys)
{
	if (!keys)
		return;
	for (size_t i = 0; i < keys->n; i++) {
		for (int digest = 0; digest < N_DIGESTS; digest++)
			for (int padding = 0; padding < N_PADDINGS; padding++)
				EVP_PKEY_CTX_free(keys->list[i].signing[digest][padding]);
		EVP_PKEY_free(keys->list[i].pkey);
	}
	for (int i = 0; i < N_DIGESTS; i++)
		EVP_MD_free(keys->digests[i]);
	text_curves_done(&keys->curves);
	free(keys->list);
	free(keys);
}

int keys_add(
	struct keys *keys, const struct tls_text *pem, enum key_use use, struct tls_fault *fault)
{
	_cleanup_pkey_ EVP_PKEY *key = NULL;
	struct kept_key *longer;
	int r;

	r = pem_key(NULL, pem, fault, &key);
	if (r != 0)
		return r;
	longer = realloc(keys->list, (keys->n + 1) * sizeof(struct kept_key));
	if (!longer)
		return -ENOMEM;
	keys->list = longer;
	keys->list[keys->n++] = (struct kept_key){.pkey = take_ptr(&key), .use = use};
	return 0;
}

/* Which digests and paddings go with which key. DTLS 1.2 does not use Ed25519 here. */
static bool suits(const struct kept_key *key, const struct request_head *head)
{
	bool digest = head->digest != DIGEST_NONE, padding = head->padding != PADDING_NONE;

	if (EVP_PKEY_is_a(key->pkey, "RSA"))
		return digest && padding;
	if (EVP_PKEY_is_a(key->pkey, "EC"))
		return digest && !padding;
	return !digest && !padding && key->use != KEY_USE_DTLS;
}

static bool is_request(const struct keys *keys, const struct key_request *request, size_t n)
{
	const struct request_head *head = &request->head;

	return n >= sizeof(*head) && head->what < N_REQUESTS && head->len <= most[head->what] &&
		n == sizeof(*head) + head->len && head->key < keys->n && head->digest < N_DIGESTS &&
		head->padding < N_PADDINGS;
}

static size_t reply_public(EVP_PKEY *key, struct key_reply *reply)
{
	unsigned char *to = reply->data;
	int len = i2d_PUBKEY(key, NULL);

	if (len <= 0 || len > REPLY_DATA)
		return 0;
	return (size_t)i2d_PUBKEY(key, &to);
}

static bool set_padding(EVP_PKEY_CTX *pkey_ctx, uint32_t padding)
{
	if (padding == PADDING_PSS)
		return EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	if (padding == PADDING_PKCS1)
		return EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PADDING) == 1;
	return true;
}

static EVP_MD *digest_of(struct keys *keys, uint32_t digest)
{
	if (!keys->digests[digest])
		keys->digests[digest] = EVP_MD_fetch(NULL, request_digests[digest], NULL);
	return keys->digests[digest];
}

/* Made once: the lookups of the library cost a tenth of a signature. */
static EVP_PKEY_CTX *signing_of(struct kept_key *key, EVP_MD *md, const struct request_head *head)
{
	EVP_PKEY_CTX *made = key->signing[head->digest][head->padding];

	if (made)
		return made;
	made = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	if (!made || EVP_PKEY_sign_init(made) != 1 ||
		EVP_PKEY_CTX_set_signature_md(made, md) != 1 || !set_padding(made, head->padding)) {
		EVP_PKEY_CTX_free(made);
		return NULL;
	}
	key->signing[head->digest][head->padding] = made;
	return made;
}

static size_t sign_digest(struct keys *keys, struct kept_key *key,
	const struct key_request *request, struct key_reply *reply)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD *md = digest_of(keys, request->head.digest);
	EVP_PKEY_CTX *ctx = md ? signing_of(key, md, &request->head) : NULL;
	size_t len = REPLY_DATA;
	unsigned digest_len;

	if (!ctx ||
		EVP_Digest(request->data, request->head.len, digest, &digest_len, md, NULL) != 1 ||
		EVP_PKEY_sign(ctx, reply->data, &len, digest, digest_len) != 1)
		return 0;
	return len;
}

/* Ed25519 signs the whole text, and no digest of it. */
static size_t sign_whole(EVP_PKEY *pkey, const struct key_request *request, struct key_reply *reply)
{
	EVP_MD_CTX *md_ctx = EVP_MD_CTX_new();
	size_t len = REPLY_DATA;
	bool ok;

	ok = md_ctx && EVP_DigestSignInit_ex(md_ctx, NULL, NULL, NULL, NULL, pkey, NULL) == 1 &&
		EVP_DigestSign(md_ctx, reply->data, &len, request->data, request->head.len) == 1;
	EVP_MD_CTX_free(md_ctx);
	return ok ? len : 0;
}

static size_t sign(struct keys *keys, const struct key_request *request, struct key_reply *reply)
{
	struct kept_key *key = &keys->list[request->head.key];

	if (request->head.digest == DIGEST_NONE)
		return sign_whole(key->pkey, request, reply);
	return sign_digest(keys, key, request, reply);
}

static int reply_sign(struct keys *keys, const struct key_request *request, struct key_reply *reply,
	size_t *ret_len)
{
	const struct kept_key *key = &keys->list[request->head.key];
	const struct text text = {request->data, request->head.len};
	enum text_kind kind = text_kind(&text, key->use, &keys->curves);

	if (kind == TEXT_FOREIGN || !suits(key, &request->head))
		return KEYS_E_MALFORMED;
	*ret_len = kind == TEXT_HANDSHAKE ? sign(keys, request, reply) : 0;
	return 0;
}

static int keys_outcome(int error)
{
	if (error == EAGAIN || error == EINTR)
		return KEYS_E_WAIT;
	return error == EPIPE || error == ECONNRESET ? KEYS_E_CLOSED : -error;
}

int keys_reply(struct keys *keys, int fd)
{
	struct key_request request;
	struct key_reply reply;
	struct iovec part = {&request, sizeof(request)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	size_t len;
	ssize_t n;
	int r = 0;

	n = recvmsg(fd, &message, MSG_DONTWAIT);
	if (n < 0)
		return keys_outcome(errno);
	if (n == 0)
		return KEYS_E_CLOSED;
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || !is_request(keys, &request, (size_t)n))
		return KEYS_E_MALFORMED;

	if (request.head.what == REQUEST_PUBLIC)
		len = reply_public(keys->list[request.head.key].pkey, &reply);
	else
		r = reply_sign(keys, &request, &reply, &len);
	if (r != 0)
		return r;
	reply.head = (struct reply_head){request.head.number, (uint32_t)len};
	if (send(fd, &reply, sizeof(reply.head) + len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return keys_outcome(errno);
	return 0;
}
