/* SPDX-License-Identifier: Apache-2.0 */

/* Which entries of tls.client_names are understood, and which names of a certificate they list. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/client_name.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define HEX               "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define BASE64            "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8="

static const struct {
	const char *entry, *why; /* NULL: it is fine */
} entries[] = {
	{"dns:a", NULL},
	{"dns:Client-1.example.org", NULL},
	{"dns:xn--bcher-kva.example", NULL},
	{"dns:_service.example.org", NULL},
	{"dns:", "no DNS name"},
	{"dns:.", "no DNS name"},
	{"dns:a.", "no DNS name"},
	{"dns:.a", "no DNS name"},
	{"dns:a..b", "no DNS name"},
	{"dns:b\303\274cher.example", "no DNS name"},
	{"dns:a b", "no DNS name"},
	{"dns:*.example.org", "a wildcard is taken at the end of a URI alone"},
	{"dns:*", "a wildcard"},
	{"uri:spiffe://example.org", NULL},
	{"uri:spiffe://example.org/a/b.c/D_e", NULL},
	{"uri:spiffe://example.org/*", NULL},
	{"uri:spiffe://example.org/a/*", NULL},
	{"uri:spiffe://example.org/", "no SPIFFE id"},
	{"uri:spiffe://example.org/a/", "no SPIFFE id"},
	{"uri:spiffe://example.org/a//b", "no SPIFFE id"},
	{"uri:spiffe://example.org/a/../b", "no SPIFFE id"},
	{"uri:spiffe://example.org/./b", "no SPIFFE id"},
	{"uri:spiffe://example.org/a/../*", "no SPIFFE id"},
	{"uri:spiffe://example.org/%61", "no SPIFFE id"},
	{"uri:spiffe://example.org/a?b", "no SPIFFE id"},
	{"uri:spiffe://example.org:1/a", "no SPIFFE id"},
	{"uri:spiffe://me@example.org/a", "no SPIFFE id"},
	{"uri:spiffe://Example.org/a", "no SPIFFE id"},
	{"uri:SPIFFE://example.org/a", "no SPIFFE id"},
	{"uri:https://example.org/a", "no SPIFFE id"},
	{"uri:spiffe:///a", "no SPIFFE id"},
	{"uri:spiffe:///*", "no SPIFFE id"},
	{"uri:spiffe://", "no SPIFFE id"},
	{"uri:", "no SPIFFE id"},
	{"uri:/*", "the wildcard is out of place"},
	{"uri:spiffe://example.org*", "the wildcard is out of place"},
	{"uri:spiffe://example.org/a*", "the wildcard is out of place"},
	{"uri:spiffe://example.org/*/a", "the wildcard is out of place"},
	{"uri:spiffe://*/a", "the wildcard is out of place"},
	{"uri:spiffe://*/*", "the wildcard is out of place"},
	{"uri:spiffe://*", "no SPIFFE id"},
	{"uri:*", "the wildcard is out of place"},
	{"spki:sha256:" HEX, NULL},
	{"spki:sha256:" BASE64, NULL},
	{"spki:sha256:", "no SHA-256"},
	{"spki:sha256:" HEX "0", "no SHA-256"},
	{"spki:sha256:0g112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"no SHA-256"},
	{"spki:sha256:ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v9=", "no SHA-256"},
	{"spki:sha256:ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8", "no SHA-256"},
	{"spki:sha256:ABEiM0RVZneImaq7zN3u_wARIjNEVWZ3iJmqu8zd7v8=", "no SHA-256"},
	{"spki:sha1:00", "a name of no known kind"},
	{"cn:a", "a name of no known kind"},
	{"DNS:a", "a name of no known kind"},
	{"example.org", "a name of no known kind"},
	{"", "a name of no known kind"},
};

static void test_entries(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(entries); i++) {
		struct client_name name;
		const char *why = client_name_parse(entries[i].entry, &name);

		if (!why != !entries[i].why ||
			(why && strncmp(why, entries[i].why, strlen(entries[i].why)) != 0))
			fail_msg("%s: %s", entries[i].entry, why ? why : "fine");
	}
}

/* Counted bytes, as a certificate has them. */
#define NAME(text) text, sizeof(text) - 1

static const struct {
	const char *entry;
	enum client_name_kind kind;
	const char *data;
	size_t len;
	bool listed;
} names[] = {
	{"dns:a.test", CLIENT_NAME_DNS, NAME("a.test"), true},
	{"dns:a.test", CLIENT_NAME_DNS, NAME("A.Test"), true},
	{"dns:A.TEST", CLIENT_NAME_DNS, NAME("a.test"), true},
	{"dns:a.test", CLIENT_NAME_DNS, NAME("a.test."), false},
	{"dns:a.test", CLIENT_NAME_DNS, NAME("b.a.test"), false},
	{"dns:a.test", CLIENT_NAME_DNS, NAME("a.tes"), false},
	{"dns:a.test", CLIENT_NAME_DNS, NAME("a.test\0"), false},
	{"dns:a.test", CLIENT_NAME_DNS, NAME("a.test\0.evil"), false},
	{"dns:a.test", CLIENT_NAME_DNS, NAME("*.test"), false},
	{"dns:a.test", CLIENT_NAME_DNS, NAME(""), false},
	{"dns:a.test", CLIENT_NAME_URI, NAME("a.test"), false},
	{"uri:spiffe://a/b", CLIENT_NAME_URI, NAME("spiffe://a/b"), true},
	{"uri:spiffe://a/b", CLIENT_NAME_DNS, NAME("spiffe://a/b"), false},
	{"uri:spiffe://a/b", CLIENT_NAME_URI, NAME("spiffe://a/bc"), false},
	{"uri:spiffe://a/b", CLIENT_NAME_URI, NAME("spiffe://a/b/"), false},
	{"uri:spiffe://a/b", CLIENT_NAME_URI, NAME("spiffe://a/b/c"), false},
	{"uri:spiffe://a/b", CLIENT_NAME_URI, NAME("spiffe://a/B"), false},
	{"uri:spiffe://a/b", CLIENT_NAME_URI, NAME("spiffe://A/b"), false},
	{"uri:spiffe://a/b", CLIENT_NAME_URI, NAME("SPIFFE://a/b"), false},
	{"uri:spiffe://a/b", CLIENT_NAME_URI, NAME("spiffe://a/b\0"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/c"), true},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/c/d"), true},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/bc"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/bc/d"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/../c"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/./c"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/.."), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b//c"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/%2e%2e/c"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/c\0"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/\0"), false},
	{"uri:spiffe://a/b/*", CLIENT_NAME_URI, NAME("spiffe://a/b/c?d"), false},
	{"uri:spiffe://a/*", CLIENT_NAME_URI, NAME("spiffe://a/b"), true},
	{"uri:spiffe://a/*", CLIENT_NAME_URI, NAME("spiffe://ab/c"), false},
	{"uri:spiffe://a", CLIENT_NAME_URI, NAME("spiffe://a"), true},
	{"spki:sha256:" HEX, CLIENT_NAME_SPKI,
		NAME("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
		     "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"),
		true},
	{"spki:sha256:" BASE64, CLIENT_NAME_SPKI,
		NAME("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
		     "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"),
		true},
	{"spki:sha256:" BASE64, CLIENT_NAME_SPKI,
		NAME("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
		     "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xfe"),
		false},
};

static void test_names(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		/* In memory of exactly its size. */
		char *data = malloc(names[i].len);
		struct client_name name;

		assert_null(client_name_parse(names[i].entry, &name));
		if (names[i].len > 0)
			memcpy(data, names[i].data, names[i].len);
		if (client_name_lists(&name, names[i].kind, data, names[i].len) != names[i].listed)
			fail_msg("case %zu: %s, %s", i, names[i].entry, names[i].data);
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
