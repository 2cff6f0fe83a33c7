/* SPDX-License-Identifier: Apache-2.0 */

/* What a library may want of a process that is in its sandbox already. What a worker needs works, with
 * every call that is not listed killing; what it does not need fails, and nothing else happens. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <cmocka.h>
#include <errno.h>
#include <iconv.h>
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "priv/sandbox.h"

#if HAVE_TLS
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#endif

#define NOBODY 65534

/* AddressSanitizer makes calls of its own, where it pleases. */
static const enum sandbox_mode strict = WITH_ASAN ? SANDBOX_REQUIRED : SANDBOX_STRICT;

/* Returns how a process ended that did this in the sandbox of a worker; 0 of `what` is success. */
static siginfo_t end_of(enum sandbox_mode mode, int (*what)(void))
{
	struct sandbox sandbox = {policy_find("worker"), mode, NOBODY, NOBODY};
	siginfo_t how = {0};
	enum layer missing;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(sandbox_enter(&sandbox, &missing) < 0 ? 100 : what());
	assert_int_equal(waitid(P_PID, (id_t)pid, &how, WEXITED), 0);
	return how;
}

static void assert_works(enum sandbox_mode mode, int (*what)(void))
{
	siginfo_t how = end_of(mode, what);

	assert_int_equal(how.si_code, CLD_EXITED);
	assert_int_equal(how.si_status, 0);
}

/* Not by skip(), which cmocka tells as a failure. */
static bool has_layers(void)
{
	enum layer missing;

	return sandbox_probe(&missing) >= 0;
}

/* Each returns 0, or a number that tells which line. */

static int use_time(void)
{
	time_t now = time(NULL);
	struct timespec precise;
	char text[64];
	struct tm local;

	if (!localtime_r(&now, &local) || strftime(text, sizeof(text), "%F %T %Z", &local) == 0)
		return 1;
	return clock_gettime(CLOCK_REALTIME, &precise) < 0 ? 2 : 0;
}

static int use_words(void)
{
	char text[256];

	for (int error = 0; error < 134; error++)
		if (!strerror(error) || !strerror_r(error, text, sizeof(text)))
			return 1;
	for (int number = 1; number < 32; number++)
		if (!strsignal(number))
			return 2;
	return snprintf(text, sizeof(text), "%.3f %'d %Lg", 1.5, 1000000, 2.5L) < 0 ? 3 : 0;
}

static int use_memory(void)
{
	for (size_t size = 1; size <= (size_t)64 << 20; size *= 4) {
		char *memory = malloc(size), *more = memory ? realloc(memory, 2 * size) : NULL;

		if (!more)
			return 1;
		memset(more, 1, 2 * size);
		free(more);
	}
	return 0;
}

static int use_random(void)
{
	unsigned char bytes[64];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return 1;
#if HAVE_TLS
	/* Reseeding is what OpenSSL does by itself now and then. */
	if (RAND_bytes(bytes, sizeof(bytes)) != 1 || RAND_priv_bytes(bytes, sizeof(bytes)) != 1)
		return 2;
	if (RAND_poll() != 1)
		return 3;
	if (EVP_RAND_reseed(RAND_get0_public(NULL), 1, NULL, 0, NULL, 0) != 1 ||
		EVP_RAND_reseed(RAND_get0_private(NULL), 1, NULL, 0, NULL, 0) != 1 ||
		EVP_RAND_reseed(RAND_get0_primary(NULL), 1, NULL, 0, NULL, 0) != 1)
		return 4;
#endif
	return 0;
}

static int use_openssl(void)
{
#if HAVE_TLS
	EVP_MD *digest = EVP_MD_fetch(NULL, "SHA3-384", NULL);
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "CHACHA20-POLY1305", NULL);
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	char text[256];
	int r = digest && cipher && key ? 0 : 1;

	ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	EVP_PKEY_free(key);
	EVP_CIPHER_free(cipher);
	EVP_MD_free(digest);
	return strstr(text, "certificate") ? r : 2;
#else
	return 0;
#endif
}

static void test_what_a_worker_needs(void **state)
{
	static int (*const needs[])(void) = {
		use_time, use_words, use_memory, use_random, use_openssl};

	if (!has_layers())
		return;
	/* As a worker does before it enters. */
	tzset();
#if HAVE_TLS
	SSL_CTX_free(SSL_CTX_new(TLS_server_method()));
#endif
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		assert_works(strict, needs[i]);
}

/* Files of libraries: a worker does without them, and is not hurt when something asks. */

static int want_locale(void)
{
	return setlocale(LC_ALL, "C.UTF-8") && setlocale(LC_ALL, "de_DE.UTF-8") ? 1 : 0;
}

static int want_time_zone(void)
{
	time_t now = 0;
	struct tm local;

	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	return localtime_r(&now, &local) && local.tm_gmtoff == 0 ? 0 : 1;
}

static int want_user(void)
{
	return getpwnam("root") ? 1 : 0;
}

static int want_converter(void)
{
	return iconv_open("CP1252", "UTF-8") == (iconv_t)-1 ? 0 : 1;
}

static int want_certificates(void)
{
#if HAVE_TLS
	X509_STORE *store = X509_STORE_new();
	int n;

	X509_STORE_load_file(store, "/etc/ssl/certs/ca-certificates.crt");
	n = sk_X509_OBJECT_num(X509_STORE_get0_objects(store));
	X509_STORE_free(store);
	return n > 0;
#else
	return 0;
#endif
}

static int want_configuration(void)
{
#if HAVE_TLS
	return CONF_modules_load_file("/etc/ssl/openssl.cnf", NULL, 0) == 1 ? 1 : 0;
#else
	return 0;
#endif
}

static void test_what_a_worker_does_without(void **state)
{
	static int (*const wants[])(void) = {want_locale, want_time_zone, want_user, want_converter,
		want_certificates, want_configuration};

	if (!has_layers())
		return;
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++)
		assert_works(SANDBOX_REQUIRED, wants[i]);
}

/* A bug of ours must look like one, and not like an intrusion. */

static int do_abort(void)
{
	abort();
}

static int do_assert(void)
{
	assert(getpid() == 0);
	return 0;
}

static int do_free_twice(void)
{
	void *volatile memory = malloc(16);
	void *volatile again = memory;

	free(memory);
	free(again);
	return 0;
}

static void test_bugs_die_by_their_own_signal(void **state)
{
	static int (*const bugs[])(void) = {do_abort, do_assert, do_free_twice};

	if (!has_layers())
		return;
	/* AddressSanitizer finds the last of them by itself. */
	for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]) - (WITH_ASAN ? 1 : 0); i++) {
		siginfo_t how = end_of(strict, bugs[i]);

		assert_int_not_equal(how.si_code, CLD_EXITED);
		assert_int_equal(how.si_status, SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_worker_needs),
		cmocka_unit_test(test_what_a_worker_does_without),
		cmocka_unit_test(test_bugs_die_by_their_own_signal),
	};

	return cmocka_run_group_tests_name("late", tests, NULL, NULL);
}
