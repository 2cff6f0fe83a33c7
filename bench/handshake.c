/* SPDX-License-Identifier: Apache-2.0 */

/* What it costs to keep private keys in another process: full handshakes with TLS 1.3, first with the
 * key in the same process, then with a keeper that is asked over a channel, in turns. */

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "tls/keys.h"
#include "tls/tls.h"

#define SHAKES 1000

struct made {
	char key[8192], certificate[8192];
	struct tls_certificate_spec spec;
};

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(EXIT_FAILURE);
}

static struct tls_text text_of(BIO *bio, const char *name, char *to, size_t size)
{
	int len = BIO_read(bio, to, (int)size);

	BIO_free(bio);
	if (len <= 0)
		fail("cannot write PEM");
	return (struct tls_text){name, to, (size_t)len};
}

static void make(struct made *made, EVP_PKEY *key)
{
	X509 *x509 = X509_new();
	BIO *certificate = BIO_new(BIO_s_mem()), *pem = BIO_new(BIO_s_mem());

	X509_set_version(x509, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(x509), 0);
	X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
	X509_set_pubkey(x509, key);
	if (!X509_sign(x509, key, EVP_sha256()) || !PEM_write_bio_X509(certificate, x509) ||
		!PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL))
		fail("cannot make a certificate");
	made->spec.chain =
		text_of(certificate, "certificate", made->certificate, sizeof(made->certificate));
	made->spec.key = text_of(pem, "key", made->key, sizeof(made->key));
	X509_free(x509);
}

/* The keeper: answers until its other end is gone. */
static int keep(const struct made *made)
{
	struct timeval patience = {.tv_sec = 1};
	struct tls_fault fault;
	struct keys *keys;
	int pair[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		fail("no channel");
	setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (fork() > 0) {
		close(pair[0]);
		return pair[1];
	}
	close(pair[1]);
	if (keys_new(&keys) < 0 || keys_add(keys, &made->spec.key, KEY_USE_TLS, &fault) != 0)
		fail("the keeper has no key");
	while (r == 0 || r == KEYS_E_WAIT) {
		struct pollfd wait = {.fd = pair[0], .events = POLLIN};

		poll(&wait, 1, -1);
		r = keys_reply(keys, pair[0]);
	}
	_exit(0);
}

static uint64_t shake(struct tls_context *context, SSL_CTX *client_ctx)
{
	struct transport server;
	SSL *client = SSL_new(client_ctx);
	uint64_t spent = 0, begin;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ||
		SSL_set_fd(client, pair[0]) != 1 || tls_open(context, pair[1], &server) != 0)
		fail("no connection");
	do {
		SSL_connect(client);
		begin = clock_us();
		r = server.ops->handshake(&server, NULL);
		spent += clock_us() - begin;
	} while (r == TRANSPORT_E_WAIT);
	if (r != 0)
		fail("a handshake failed");
	server.ops->close(&server);
	SSL_free(client);
	close(pair[0]);
	return spent;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The median, which a busy machine spoils less than the mean. */
static uint64_t median(uint64_t *all)
{
	qsort(all, SHAKES, sizeof(*all), compare);
	return all[SHAKES / 2];
}

static void measure(const char *what, EVP_PKEY *key, SSL_CTX *client_ctx)
{
	_cleanup_free_ struct made *made = calloc(1, sizeof(*made));
	struct tls_spec spec = {.certificates = &made->spec, .n_certificates = 1};
	struct tls_context *own, *asked;
	struct tls *tls = NULL;
	uint64_t spent[2][SHAKES];
	struct tls_fault fault = {0};
	int fd;

	if (!made || tls_new(&tls) < 0)
		fail("no memory");
	make(made, key);
	fd = keep(made);
	tls_set_keeper(tls, &fd);
	if (tls_context_new(tls, &spec, &fault, &own) != 0)
		fail(fault.why.text);
	made->spec.key = (struct tls_text){0};
	if (tls_context_new(tls, &spec, &fault, &asked) != 0)
		fail(fault.why.text);
	for (int i = 0; i < 2 * SHAKES; i++)
		spent[i % 2][i / 2] = shake(i % 2 ? asked : own, client_ctx);
	printf("%-12s own key %5llu us, keeper %5llu us a handshake (median of %d)\n", what,
		(unsigned long long)median(spent[0]), (unsigned long long)median(spent[1]), SHAKES);
	tls_context_free(own);
	tls_context_free(asked);
	tls_free(tls);
	wait(NULL);
}

int main(void)
{
	SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(2048);

	setvbuf(stdout, NULL, _IONBF, 0); /* or the keeper would print it once more */
	SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_OFF);
	measure("ECDSA P-256", ec, client_ctx);
	measure("RSA 2048", rsa, client_ctx);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	SSL_CTX_free(client_ctx);
	return 0;
}
