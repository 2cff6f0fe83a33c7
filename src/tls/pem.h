/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The text of files, into certificates and keys. For this room alone. All return 0, TLS_E_REFUSED with a
 * fault, or -ENOMEM. */

#include <openssl/ssl.h>

#include "tls/tls.h"

int pem_key(OSSL_LIB_CTX *library, const struct tls_text *text, struct tls_fault *fault,
	EVP_PKEY **ret_key);
/* The certificate, and those that follow it in the file. */
int pem_chain(OSSL_LIB_CTX *library, const struct tls_text *text, struct tls_fault *fault,
	X509 **ret_leaf, STACK_OF(X509) * *ret_chain);
/* Adds all certificates to `store`, and their names to `names`. */
int pem_authorities(OSSL_LIB_CTX *library, const struct tls_text *text, struct tls_fault *fault,
	X509_STORE *store, STACK_OF(X509_NAME) * names);
/* Adds all lists to `store`; when the first of them is out of date, or 0. */
int pem_revoked(OSSL_LIB_CTX *library, const struct tls_text *text, struct tls_fault *fault,
	X509_STORE *store, time_t *ret_end);
/* 0: none, or none that can be told. */
time_t pem_time(const ASN1_TIME *time);

/* Sets a fault of this text, and returns TLS_E_REFUSED. */
__attribute__((format(printf, 3, 4))) int pem_refuse(
	struct tls_fault *fault, const struct tls_text *text, const char *format, ...);

static inline void bio_freep(BIO **bio)
{
	BIO_free(*bio);
}
static inline void x509_freep(X509 **x509)
{
	X509_free(*x509);
}
static inline void x509_stack_freep(STACK_OF(X509) * *stack)
{
	sk_X509_pop_free(*stack, X509_free);
}
static inline void pkey_freep(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}
#define _cleanup_bio_   __attribute__((cleanup(bio_freep)))
#define _cleanup_x509_  __attribute__((cleanup(x509_freep)))
#define _cleanup_chain_ __attribute__((cleanup(x509_stack_freep)))
#define _cleanup_pkey_  __attribute__((cleanup(pkey_freep)))
