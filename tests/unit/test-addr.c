/* SPDX-License-Identifier: Apache-2.0 */

/* Addresses: what is read, how it is written back, and what counts as the same. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "base/addr.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static struct addr parsed(const char *text, uint16_t port)
{
	struct addr addr;

	assert_int_equal(addr_parse(text, port, &addr), 0);
	return addr;
}

/* A row is a line. */
/* clang-format off */
static const struct {
	const char *text;
	uint16_t port;
	const char *written, *host;
} literals[] = {
	{"192.0.2.1", 80, "192.0.2.1:80", "192.0.2.1"},
	{"0.0.0.0", 0, "0.0.0.0:0", "0.0.0.0"},
	{"2001:db8::1", 65535, "[2001:db8::1]:65535", "2001:db8::1"},
	{"::", 12000, "[::]:12000", "::"},
	{"::ffff:192.0.2.1", 80, "192.0.2.1:80", "192.0.2.1"},
	{"fe80::1%7", 1, "[fe80::1%7]:1", "fe80::1%7"},
	{"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295", 65535,
	 "[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
	 "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295"},
};
/* clang-format on */

static void test_parse_and_format(void **state)
{
	char text[ADDR_TEXT];

	for (size_t i = 0; i < N_ELEMENTS(literals); i++) {
		struct addr addr = parsed(literals[i].text, literals[i].port);

		assert_int_equal(addr_port(&addr), literals[i].port);
		assert_string_equal(addr_format(&addr, text), literals[i].written);
		assert_string_equal(addr_format_host(&addr, text), literals[i].host);
	}
}

static void test_refused(void **state)
{
	static const char *const cases[] = {"", "localhost", "192.0.2", "192.0.2.1%1",
		"192.0.2.256", "0x7f000001", " ::1", "::1 ", "[::1]", ":::", "fe80::1%",
		"fe80::1%0", "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555555"};
	struct addr addr = {.len = 4711};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_int_equal(addr_parse(cases[i], 1, &addr), ADDR_E_SYNTAX);
	assert_int_equal(addr_parse("fe80::1%no-such-one", 1, &addr), ADDR_E_SCOPE);

	assert_int_equal(addr.len, 4711);
}

static void test_scope_by_name(void **state)
{
	struct addr addr = parsed("fe80::1%lo", 1);

	assert_int_not_equal(addr.in6.sin6_scope_id, 0);
}

/* What the kernel gets must have the exact length, or it binds another name. */
static void test_unix(void **state)
{
	const size_t head = offsetof(struct sockaddr_un, sun_path);
	char longest[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1], text[ADDR_TEXT];
	struct addr addr;

	assert_int_equal(addr_parse_unix("/run/x", &addr), 0);
	assert_int_equal(addr.len, head + sizeof("/run/x"));
	assert_string_equal(addr_format(&addr, text), "/run/x");

	assert_int_equal(addr_parse_unix("@x", &addr), 0);
	assert_int_equal(addr.len, head + 2);
	assert_memory_equal(addr.un.sun_path, "\0x", 2);
	assert_string_equal(addr_format(&addr, text), "@x");

	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(addr_parse_unix(longest + 1, &addr), 0);
	assert_int_equal(addr.len, sizeof(struct sockaddr_un));
	assert_string_equal(addr_format(&addr, text), longest + 1);
	assert_int_equal(addr_parse_unix(longest, &addr), ADDR_E_SYNTAX);

	assert_int_equal(addr_parse_unix("", &addr), ADDR_E_SYNTAX);
	assert_int_equal(addr_parse_unix("@", &addr), ADDR_E_SYNTAX);
}

/* Addresses that only the kernel makes. */
static void test_unix_from_kernel(void **state)
{
	const socklen_t head = offsetof(struct sockaddr_un, sun_path);
	struct addr nameless = {.len = head, .un = {.sun_family = AF_UNIX}};
	struct addr binary = {.len = head + 4, .un = {AF_UNIX, {'\0', 'a', '\0', 'b'}}};
	struct addr full = {.len = sizeof(full.un), .un = {.sun_family = AF_UNIX}};
	struct addr none = {0};
	char text[ADDR_TEXT];

	memset(full.un.sun_path, 'a', sizeof(full.un.sun_path));

	assert_string_equal(addr_format(&nameless, text), "-");
	assert_string_equal(addr_format(&binary, text), "@a@b");
	assert_int_equal(strlen(addr_format(&full, text)), sizeof(full.un.sun_path));
	assert_string_equal(addr_format(&none, text), "-");
	assert_int_equal(addr_port(&nameless), 0);
}

static void test_equal(void **state)
{
	struct addr in = parsed("192.0.2.1", 80), mapped = parsed("::ffff:192.0.2.1", 80);
	struct addr other_port = parsed("192.0.2.1", 81), other_host = parsed("192.0.2.2", 80);
	struct addr scope_1 = parsed("fe80::1%1", 80), scope_2 = parsed("fe80::1%2", 80);
	struct addr path, name, none = {0};

	assert_int_equal(addr_parse_unix("/x", &path), 0);
	assert_int_equal(addr_parse_unix("@x", &name), 0);

	assert_true(addr_equal(&in, &in));
	assert_true(addr_equal(&in, &mapped));
	assert_true(addr_equal(&path, &path));
	assert_true(addr_equal(&none, &none));

	assert_false(addr_equal(&in, &other_port));
	assert_false(addr_equal(&in, &other_host));
	assert_false(addr_equal(&scope_1, &scope_2));
	assert_false(addr_equal(&path, &name));
	assert_false(addr_equal(&path, &in));
	assert_false(addr_equal(&none, &in));
}

static void test_prefix(void **state)
{
	static const struct {
		const char *text, *written, *inside, *outside;
	} cases[] = {
		{"10.0.0.0/8", "10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
		{"10.0.0.0/8", "10.0.0.0/8", "::ffff:10.1.2.3", "::a00:1"},
		{"192.0.2.4/30", "192.0.2.4/30", "192.0.2.7", "192.0.2.8"},
		{"192.0.2.1", "192.0.2.1/32", "192.0.2.1", "192.0.2.0"},
		{"0.0.0.0/0", "0.0.0.0/0", "255.0.0.1", "::1"},
		{"2001:db8::/33", "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
		{"::1", "::1/128", "::1", "::2"},
		{"::/0", "::/0", "192.0.2.1", NULL},
	};
	char text[ADDR_TEXT];

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct addr_prefix prefix;
		struct in6_addr host;
		struct addr addr;

		assert_int_equal(addr_parse_prefix(cases[i].text, &prefix), 0);
		assert_string_equal(addr_format_prefix(&prefix, text), cases[i].written);

		addr = parsed(cases[i].inside, 0);
		host = addr_host6(&addr);
		assert_true(addr_prefix_has(&prefix, &host));
		if (!cases[i].outside)
			continue;
		addr = parsed(cases[i].outside, 0);
		host = addr_host6(&addr);
		assert_false(addr_prefix_has(&prefix, &host));
	}
}

static void test_prefix_refused(void **state)
{
	static const char *const cases[] = {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129",
		"10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.1/8",
		"2001:db8::1/64", "fe80::1%1/128", "example.org/8", "10.0.0.0/4294967304"};
	struct addr_prefix prefix = {.bits = 4711};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_int_equal(addr_parse_prefix(cases[i], &prefix), ADDR_E_SYNTAX);

	assert_int_equal(prefix.bits, 4711);
}

static void test_host6(void **state)
{
	struct addr in = parsed("192.0.2.1", 80), path;
	struct in6_addr host = addr_host6(&in), zero = {0};
	char text[INET6_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET6, &host, text, sizeof(text)), "::ffff:192.0.2.1");

	assert_int_equal(addr_parse_unix("/x", &path), 0);
	host = addr_host6(&path);
	assert_memory_equal(&host, &zero, sizeof(zero));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_scope_by_name),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_from_kernel),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_prefix_refused),
		cmocka_unit_test(test_host6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
