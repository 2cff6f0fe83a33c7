/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private keys that are not here: to the library they look like any other. For this room alone. */

#include <openssl/evp.h>
#include <openssl/provider.h>

#include "tls/signer.h"

#define PROVIDERS 2

/* Loads it into a library context, beside the library's own. */
int provider_load(OSSL_LIB_CTX *library, OSSL_PROVIDER *ret_loaded[static PROVIDERS]);
void provider_unload(OSSL_PROVIDER *loaded[static PROVIDERS]);

/* The private half of `public` is the keeper's number `id`, and is used through `signer`, which must
 * outlive it. */
EVP_PKEY *provider_key(OSSL_LIB_CTX *library, EVP_PKEY *public, uint32_t id, struct signer *signer);
