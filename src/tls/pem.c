/* SPDX-License-Identifier: Apache-2.0 */

/* Files in PEM form, and their faults in the words of the people who wrote them, not in the library's. */

#include "tls/pem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/why.h"

#define RSA_LEAST_BITS 2048

int pem_refuse(struct tls_fault *fault, const struct tls_text *text, const char *format, ...)
{
	char words[256];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	fault->part = text->part;
	fault->index = text->index;
	ERR_clear_error();
	return why_set(&fault->why, TLS_E_REFUSED, "%.250s: %s", text->name, words);
}

static BIO *bio_of(const struct tls_text *text)
{
	return BIO_new_mem_buf(text->data, (int)text->len);
}

/* A daemon cannot ask for a password: an encrypted key is refused, with its own message. */
static int no_password(char *buffer, int size, int writing, void *userdata)
{
	*(bool *)userdata = true;
	return -1;
}

static int key_fits(const EVP_PKEY *key, const struct tls_text *text, struct tls_fault *fault)
{
	char curve[64] = "";

	if (EVP_PKEY_is_a(key, "ED25519"))
		return 0;
	if (EVP_PKEY_is_a(key, "RSA")) {
		if (EVP_PKEY_get_bits(key) >= RSA_LEAST_BITS)
			return 0;
		return pem_refuse(fault, text, "an RSA key of %d bits; %d or more are needed",
			EVP_PKEY_get_bits(key), RSA_LEAST_BITS);
	}
	if (!EVP_PKEY_is_a(key, "EC"))
		return pem_refuse(fault, text, "a key that is neither RSA, ECDSA nor Ed25519");
	EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL);
	if (strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0)
		return 0;
	return pem_refuse(fault, text, "an ECDSA key on %s; P-256 and P-384 will do", curve);
}

int pem_key(OSSL_LIB_CTX *library, const struct tls_text *text, struct tls_fault *fault,
	EVP_PKEY **ret_key)
{
	_cleanup_bio_ BIO *bio = bio_of(text);
	_cleanup_pkey_ EVP_PKEY *key = NULL;
	bool encrypted = false;
	int r;

	if (!bio)
		return -ENOMEM;
	key = PEM_read_bio_PrivateKey_ex(bio, NULL, no_password, &encrypted, library, NULL);
	if (encrypted)
		return pem_refuse(fault, text,
			"the key is encrypted, and upperd cannot ask for a password; "
			"'openssl pkey -in FILE -out FILE' removes it");
	if (!key)
		return pem_refuse(fault, text, "no private key in PEM form");
	r = key_fits(key, text, fault);
	if (r != 0)
		return r;

	*ret_key = take_ptr(&key);
	return 0;
}

/* The next certificate of a file. NULL at its end, or where it is broken: then *ret_broken is true. */
static X509 *next_certificate(OSSL_LIB_CTX *library, BIO *bio, bool *ret_broken)
{
	X509 *x509 = X509_new_ex(library, NULL);
	unsigned long error;

	if (x509 && PEM_read_bio_X509(bio, &x509, NULL, NULL))
		return x509;
	X509_free(x509);
	error = ERR_peek_last_error();
	*ret_broken = ERR_GET_REASON(error) != PEM_R_NO_START_LINE;
	ERR_clear_error();
	return NULL;
}

int pem_chain(OSSL_LIB_CTX *library, const struct tls_text *text, struct tls_fault *fault,
	X509 **ret_leaf, STACK_OF(X509) * *ret_chain)
{
	_cleanup_bio_ BIO *bio = bio_of(text);
	_cleanup_chain_ STACK_OF(X509) *chain = sk_X509_new_null();
	_cleanup_x509_ X509 *leaf = NULL;
	bool broken = false;
	X509 *next;

	if (!bio || !chain)
		return -ENOMEM;
	leaf = next_certificate(library, bio, &broken);
	if (!leaf)
		return pem_refuse(fault, text, "no certificate in PEM form");
	while ((next = next_certificate(library, bio, &broken)))
		if (sk_X509_push(chain, next) == 0) {
			X509_free(next);
			return -ENOMEM;
		}
	if (broken)
		return pem_refuse(fault, text, "certificate %d of the chain is broken",
			sk_X509_num(chain) + 2);

	*ret_leaf = take_ptr(&leaf);
	*ret_chain = take_ptr(&chain);
	return 0;
}

static int add_authority(X509 *x509, X509_STORE *store, STACK_OF(X509_NAME) * names)
{
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x509));

	if (!name || sk_X509_NAME_push(names, name) == 0) {
		X509_NAME_free(name);
		return -ENOMEM;
	}
	return X509_STORE_add_cert(store, x509) == 1 ? 0 : -ENOMEM;
}

int pem_authorities(OSSL_LIB_CTX *library, const struct tls_text *text, struct tls_fault *fault,
	X509_STORE *store, STACK_OF(X509_NAME) * names)
{
	_cleanup_bio_ BIO *bio = bio_of(text);
	bool broken = false;
	int n = 0, r = 0;
	X509 *next;

	if (!bio)
		return -ENOMEM;
	for (; r == 0 && (next = next_certificate(library, bio, &broken)); n++) {
		r = add_authority(next, store, names);
		X509_free(next);
	}
	if (r != 0)
		return r;
	if (broken)
		return pem_refuse(fault, text, "certificate %d is broken", n + 1);
	if (n == 0)
		return pem_refuse(fault, text, "no certificate of an authority in it");
	return 0;
}

time_t pem_time(const ASN1_TIME *time)
{
	struct tm tm;

	return time && ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

/* The next list of a file, or NULL. */
static X509_CRL *next_list(OSSL_LIB_CTX *library, BIO *bio)
{
	X509_CRL *crl = X509_CRL_new_ex(library, NULL);

	if (crl && PEM_read_bio_X509_CRL(bio, &crl, NULL, NULL))
		return crl;
	X509_CRL_free(crl);
	return NULL;
}

int pem_revoked(OSSL_LIB_CTX *library, const struct tls_text *text, struct tls_fault *fault,
	X509_STORE *store, time_t *ret_end)
{
	_cleanup_bio_ BIO *bio = bio_of(text);
	time_t first = 0;
	X509_CRL *crl;
	int n = 0, added = 1;

	if (!bio)
		return -ENOMEM;
	for (; added == 1 && (crl = next_list(library, bio)); n++) {
		time_t end = pem_time(X509_CRL_get0_nextUpdate(crl));

		if (end != 0 && (first == 0 || end < first))
			first = end;
		added = X509_STORE_add_crl(store, crl);
		X509_CRL_free(crl);
	}
	ERR_clear_error();
	if (added != 1)
		return -ENOMEM;
	if (n == 0)
		return pem_refuse(fault, text, "no revocation list in PEM form");
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	*ret_end = first;
	return 0;
}
