/* SPDX-License-Identifier: Apache-2.0 */

/* A provider of OpenSSL with two kinds of operation: keys, known by a number and their public half, and
 * signatures with them, which are requested of the keeper. Properties of a key, such as its size, are those
 * of the public half, which the library's own provider holds.
 *
 * A key must not be exported with its private half, or the library would try to sign with the copy; hence
 * the first lines of keymgmt_export(). */

#include "tls/provider.h"

#include <errno.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PROVIDER  "upperd-keeper"
#define SIGNATURE "UPPERD-KEEPER"
#define PROPERTY  "provider=" PROVIDER
#define PARAM_KEY "upperd-key"

struct provider_key {
	EVP_PKEY *public;
	uint32_t id;
	struct signer *signer;
};

struct signing {
	const struct provider_key *key;
	enum request_digest digest;
	enum request_padding padding;
};

static void *keymgmt_new(void *provider)
{
	return calloc(1, sizeof(struct provider_key));
}

static void keymgmt_free(void *data)
{
	struct provider_key *key = data;

	if (key)
		EVP_PKEY_free(key->public);
	free(key);
}

static int keymgmt_has(const void *data, int selection)
{
	return ((const struct provider_key *)data)->public != NULL;
}

/* All in one parameter, since both ends are this file. */
static int keymgmt_import(void *data, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *param = OSSL_PARAM_locate_const(params, PARAM_KEY);
	struct provider_key *key = data;

	if (!param || param->data_size != sizeof(*key))
		return 0;
	memcpy(key, param->data, sizeof(*key));
	return EVP_PKEY_up_ref(key->public);
}

static const OSSL_PARAM *keymgmt_import_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_string(PARAM_KEY, NULL, 0), OSSL_PARAM_END};

	return types;
}

static int keymgmt_export(void *data, int selection, OSSL_CALLBACK *take, void *userdata)
{
	const struct provider_key *key = data;
	OSSL_PARAM *params = NULL;
	int ok;

	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return 0;
	if (EVP_PKEY_todata(key->public, selection, &params) != 1)
		return 0;
	ok = take(params, userdata);
	OSSL_PARAM_free(params);
	return ok;
}

static const OSSL_PARAM *keymgmt_export_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_END,
	};

	return selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY ? NULL : types;
}

static int keymgmt_get_params(void *data, OSSL_PARAM params[])
{
	return EVP_PKEY_get_params(((struct provider_key *)data)->public, params);
}

static const OSSL_PARAM *keymgmt_gettable_params(void *provider)
{
	static const OSSL_PARAM gettable[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	return gettable;
}

static int keymgmt_match(const void *a, const void *b, int selection)
{
	return EVP_PKEY_eq(
		((const struct provider_key *)a)->public, ((const struct provider_key *)b)->public);
}

static const char *keymgmt_query_operation_name(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? SIGNATURE : NULL;
}

static void *signature_new(void *provider, const char *properties)
{
	return calloc(1, sizeof(struct signing));
}

static void signature_free(void *data)
{
	free(data);
}

static const OSSL_PARAM *signature_settable_params(void *data, void *provider)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL),
		OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL),
		OSSL_PARAM_END,
	};

	return settable;
}

/* The length of the salt is that of the digest, the only one that TLS has. */
static int signature_set_params(void *data, const OSSL_PARAM params[])
{
	const OSSL_PARAM *mode = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	struct signing *signing = data;
	int padding;

	if (!mode)
		return 1;
	if (!OSSL_PARAM_get_int(mode, &padding))
		return 0;
	signing->padding = padding == RSA_PKCS1_PSS_PADDING ? PADDING_PSS : PADDING_PKCS1;
	return padding == RSA_PKCS1_PSS_PADDING || padding == RSA_PKCS1_PADDING;
}

/* The library calls them by either name. */
static bool is_digest(const char *name, enum request_digest digest)
{
	static const char *const others[N_DIGESTS] = {
		[DIGEST_SHA256] = "SHA2-256",
		[DIGEST_SHA384] = "SHA2-384",
		[DIGEST_SHA512] = "SHA2-512",
	};

	return strcasecmp(name, request_digests[digest]) == 0 ||
		strcasecmp(name, others[digest]) == 0;
}

static int signature_init(void *data, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signing *signing = data;

	signing->key = key;
	signing->digest = DIGEST_NONE;
	signing->padding = PADDING_NONE;
	if (EVP_PKEY_is_a(signing->key->public, "RSA"))
		signing->padding = PADDING_PKCS1;
	if (params && !signature_set_params(data, params))
		return 0;
	if (!digest || !*digest)
		return 1;
	for (int i = DIGEST_NONE + 1; i < N_DIGESTS; i++) {
		if (is_digest(digest, i)) {
			signing->digest = i;
			return 1;
		}
	}
	return 0;
}

static int signature_sign(void *data, unsigned char *signature, size_t *ret_len, size_t size,
	const unsigned char *text, size_t len)
{
	const struct signing *signing = data;
	struct key_request request = {
		.head =
			{
				.what = REQUEST_SIGN,
				.key = signing->key->id,
				.digest = signing->digest,
				.padding = signing->padding,
				.len = (uint32_t)len,
			},
	};
	struct key_reply reply;

	if (!signature) {
		*ret_len = (size_t)EVP_PKEY_get_size(signing->key->public);
		return 1;
	}
	if (len > sizeof(request.data))
		return 0;
	memcpy(request.data, text, len);
	if (signer_request(signing->key->signer, &request, &reply) != 0 || reply.head.len > size)
		return 0;
	memcpy(signature, reply.data, reply.head.len);
	*ret_len = reply.head.len;
	return 1;
}

#define DO(id, function)                       \
	{                                      \
		id, (void (*)(void))(function) \
	}
static const OSSL_DISPATCH keymgmt[] = {
	DO(OSSL_FUNC_KEYMGMT_NEW, keymgmt_new),
	DO(OSSL_FUNC_KEYMGMT_FREE, keymgmt_free),
	DO(OSSL_FUNC_KEYMGMT_HAS, keymgmt_has),
	DO(OSSL_FUNC_KEYMGMT_MATCH, keymgmt_match),
	DO(OSSL_FUNC_KEYMGMT_IMPORT, keymgmt_import),
	DO(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, keymgmt_import_types),
	DO(OSSL_FUNC_KEYMGMT_EXPORT, keymgmt_export),
	DO(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, keymgmt_export_types),
	DO(OSSL_FUNC_KEYMGMT_GET_PARAMS, keymgmt_get_params),
	DO(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, keymgmt_gettable_params),
	DO(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, keymgmt_query_operation_name),
	{0, NULL},
};
static const OSSL_DISPATCH signature[] = {
	DO(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new),
	DO(OSSL_FUNC_SIGNATURE_FREECTX, signature_free),
	DO(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signature_init),
	DO(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signature_sign),
	DO(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signature_set_params),
	DO(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable_params),
	{0, NULL},
};

static const OSSL_ALGORITHM keymgmts[] = {
	{"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTY, keymgmt, "RSA by the keeper"},
	{"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTY, keymgmt, "ECDSA by the keeper"},
	{"ED25519:1.3.101.112", PROPERTY, keymgmt, "Ed25519 by the keeper"},
	{NULL},
};
static const OSSL_ALGORITHM signatures[] = {
	{SIGNATURE, PROPERTY, signature, "signing by the keeper"},
	{NULL},
};

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *ret_no_cache)
{
	*ret_no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return keymgmts;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static const OSSL_DISPATCH provider[] = {
	DO(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
	{0, NULL},
};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
	const OSSL_DISPATCH **ret_out, void **ret_provider)
{
	*ret_out = provider;
	*ret_provider = (void *)(uintptr_t)handle;
	return 1;
}

int provider_load(OSSL_LIB_CTX *library, OSSL_PROVIDER *ret_loaded[static PROVIDERS])
{
	if (OSSL_PROVIDER_add_builtin(library, PROVIDER, provider_init) != 1)
		return -ENOMEM;
	ret_loaded[0] = OSSL_PROVIDER_load(library, "default");
	ret_loaded[1] = OSSL_PROVIDER_load(library, PROVIDER);
	if (!ret_loaded[0] || !ret_loaded[1])
		return -ENOMEM;
	/* Both have keys of these kinds; ours is only for those that we make. */
	return EVP_set_default_properties(library, "?provider=default") == 1 ? 0 : -ENOMEM;
}

void provider_unload(OSSL_PROVIDER *loaded[static PROVIDERS])
{
	for (size_t i = 0; i < PROVIDERS; i++)
		if (loaded[i])
			OSSL_PROVIDER_unload(loaded[i]);
}

EVP_PKEY *provider_key(OSSL_LIB_CTX *library, EVP_PKEY *public, uint32_t id, struct signer *signer)
{
	struct provider_key key = {public, id, signer};
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(PARAM_KEY, &key, sizeof(key)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx =
		EVP_PKEY_CTX_new_from_name(library, EVP_PKEY_get0_type_name(public), PROPERTY);
	EVP_PKEY *pkey = NULL;

	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}
