/* SPDX-License-Identifier: Apache-2.0 */

/* URLs: what is one, what it says, and what is wrong with it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "client/server.h"
#include "config.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static void test_in_full(void **state)
{
	static const char *const cases[][2] = {
		{"udp://localhost", "udp://localhost:12000"},
		{"tcp://localhost", "tcp://localhost:12000"},
		{"UDP://Host.example:7", "udp://Host.example:7"},
		{"tcp://192.0.2.1:65535", "tcp://192.0.2.1:65535"},
		{"tcp://[2001:db8::1]", "tcp://[2001:db8::1]:12000"},
		{"tcp://[fe80::1%eth0]:1", "tcp://[fe80::1%eth0]:1"},
		{"tcp://host/", "tcp://host:12000"},
		{"unix:/run/x", "unix:/run/x"},
		{"unix:relative", "unix:relative"},
		{"unix:@abstract:1", "unix:@abstract:1"},
#if HAVE_TLS
		{"tls://localhost", "tls://localhost:12443"},
		{"dtls://localhost", "dtls://localhost:12443"},
#endif
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct why why = {0};
		struct url url;
		char text[URL_TEXT];

		assert_int_equal(url_parse(cases[i][0], &url, &why), 0);
		assert_string_equal(url_format(&url, text), cases[i][1]);
		assert_int_equal(url_parse(text, &url, &why), 0);
	}
}

static void test_refused(void **state)
{
	static const char *const cases[][2] = {
		{"", "not a URL"},
		{"localhost", "not a URL"},
		{"localhost:12000", "not a URL"},
		{"udp:localhost", "not a URL"},
		{"http://localhost", "upper can talk to"},
		{"ud://localhost", "upper can talk to"},
		{"udpx://localhost", "upper can talk to"},
		{"udp://", "host is missing"},
		{"udp://:12000", "host is missing"},
		{"tcp://[]", "host is missing"},
		{"unix:", "path is missing"},
		{"tcp://host:", "1 to 65535"},
		{"tcp://host:0", "1 to 65535"},
		{"tcp://host:65536", "1 to 65535"},
		{"tcp://host:+1", "1 to 65535"},
		{"tcp://host:12x", "1 to 65535"},
		{"tcp://host:99999999999999999999", "1 to 65535"},
		{"tcp://::1", "brackets"},
		{"tcp://[::1", "not closed"},
		{"tcp://[::1]x", "after the bracket"},
		{"tcp://host/path", "HOST and PORT"},
		{"tcp://user@host", "HOST and PORT"},
		{"tcp://host?x", "HOST and PORT"},
#if !HAVE_TLS
		{"tls://localhost", "not supported by this build"},
		{"dtls://localhost", "not supported by this build"},
#endif
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct why why = {0};
		struct url url;

		assert_int_equal(url_parse(cases[i][0], &url, &why), CLIENT_E_USAGE);
		if (!strstr(why.text, cases[i][1]))
			fail_msg("\"%s\": %s", cases[i][0], why.text);
	}
}

static void test_longest_host(void **state)
{
	char text[URL_HOST + 16] = "tcp://";
	struct why why = {0};
	struct url url;

	memset(text + 6, 'x', URL_HOST - 1);
	assert_int_equal(url_parse(text, &url, &why), 0);
	assert_int_equal(strlen(url.host), URL_HOST - 1);
	text[6 + URL_HOST - 1] = 'x';
	assert_int_equal(url_parse(text, &url, &why), CLIENT_E_USAGE);
}

/* What is not a URL is text, whatever it looks like. */
static void test_text(void **state)
{
	static const char *const texts[] = {"", "q", "ping", "host:12000", "12:30", "://", "-x",
		"3d://x", "http:/x", "a b://c"};
	static const char *const urls[] = {
		"udp://x", "unix:x", "UNIX:x", "http://x", "svn+ssh://x", "tcp://"};

	for (size_t i = 0; i < N_ELEMENTS(texts); i++)
		assert_false(url_is_one(texts[i]));
	for (size_t i = 0; i < N_ELEMENTS(urls); i++)
		assert_true(url_is_one(urls[i]));
	assert_false(url_is_one(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_full),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_longest_host),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
