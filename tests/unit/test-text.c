/* SPDX-License-Identifier: Apache-2.0 */

/* What is printed of what others wrote, and words that look alike. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"
#include "seed.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES(text)       text, sizeof(text) - 1
#define ROUNDS            20000

/* A row is a line. */
/* clang-format off */
static const struct {
	const char *from;
	size_t len;
	const char *plain, *json;
} escapes[] = {
	{BYTES(""), "", ""},
	{BYTES("a b~"), "a b~", "a b~"},
	{BYTES("a\nb"), "a\\x0ab", "a\\nb"},
	{BYTES("\0\r\t\x1b[2J"), "\\x00\\x0d\\x09\\x1b[2J", "\\u0000\\u000d\\u0009\\u001b[2J"},
	{BYTES("\x7f"), "\\x7f", "\\u007f"},
	{BYTES("\\x0a"), "\\\\x0a", "\\\\x0a"},
	{BYTES("\"/"), "\"/", "\\\"/"},

	/* Characters of two, three and four bytes. */
	{BYTES("\xc3\x9f"), "\xc3\x9f", "\xc3\x9f"},
	{BYTES("\xe2\x82\xac"), "\xe2\x82\xac", "\xe2\x82\xac"},
	{BYTES("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},

	/* C1 control characters, which some terminals obey, and the first that is none. */
	{BYTES("\xc2\x9b\xc2\xa0"), "\\xc2\\x9b\xc2\xa0", "\\u009b\xc2\xa0"},

	/* Separators of lines and paragraphs, controls of the direction of writing, and their neighbours. */
	{BYTES("\xe2\x80\xa8"), "\\xe2\\x80\\xa8", "\\u2028"},
	{BYTES("\xe2\x80\xae"), "\\xe2\\x80\\xae", "\\u202e"},
	{BYTES("\xe2\x81\xa6\xe2\x81\xa9"), "\\xe2\\x81\\xa6\\xe2\\x81\\xa9", "\\u2066\\u2069"},
	{BYTES("\xe2\x80\x8f\xd8\x9c"), "\\xe2\\x80\\x8f\\xd8\\x9c", "\\u200f\\u061c"},
	{BYTES("\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xaa"), "\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xaa",
		"\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xaa"},

	/* No UTF-8: alone, cut off, overlong, a surrogate, too high. */
	{BYTES("\xff"), "\\xff", "\\\\xff"},
	{BYTES("\xe2\x82"), "\\xe2\\x82", "\\\\xe2\\\\x82"},
	{BYTES("\xc0\x8a"), "\\xc0\\x8a", "\\\\xc0\\\\x8a"},
	{BYTES("\xe0\x80\x8a"), "\\xe0\\x80\\x8a", "\\\\xe0\\\\x80\\\\x8a"},
	{BYTES("\xed\xa0\x80"), "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80"},
	{BYTES("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80"},
};
/* clang-format on */

static void test_escape(void **state)
{
	char to[64];

	for (size_t i = 0; i < N_ELEMENTS(escapes); i++) {
		assert_int_equal(text_escape(escapes[i].from, escapes[i].len, to, sizeof(to)),
			strlen(escapes[i].plain));
		assert_string_equal(to, escapes[i].plain);
		assert_int_equal(text_escape_json(escapes[i].from, escapes[i].len, to, sizeof(to)),
			strlen(escapes[i].json));
		assert_string_equal(to, escapes[i].json);
	}
}

/* Neither half an escape nor half a character, and never beyond the room. */
static void test_escape_cuts(void **state)
{
	static const struct {
		size_t size;
		const char *expected;
	} cases[] = {
		{1, ""},
		{2, "a"},
		{3, "a"},
		{5, "a"},
		{6, "a\\x0a"},
		{7, "a\\x0a"},
		{8, "a\\x0a\xc3\x9f"},
	};
	char to[16];

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		size_t len;

		memset(to, '#', sizeof(to));
		len = text_escape(BYTES("a\n\xc3\x9f"), to, cases[i].size);
		assert_string_equal(to, cases[i].expected);
		assert_int_equal(len, strlen(cases[i].expected));
		assert_int_equal(to[cases[i].size], '#');
	}

	*to = '#';
	assert_int_equal(text_escape(BYTES("a"), to, 0), 0);
	assert_int_equal(*to, '#');
}

static void check_harmless(const char *text, size_t len)
{
	assert_true(text_is_utf8(text, len, NULL));
	for (size_t i = 0; i < len; i++) {
		assert_true((unsigned char)text[i] >= 0x20);
		assert_true(text[i] != 0x7f);
		/* In valid UTF-8, C2 leads here to C1 alone. */
		if ((unsigned char)text[i] == 0xc2)
			assert_true((unsigned char)text[i + 1] >= 0xa0);
	}
}

static void test_escape_anything(void **state)
{
	static const unsigned char likely[] = {0xc2, 0x80, 0xe0, 0xa0, 0xf0, 0x90, '\\', '\n'};
	uint64_t seed = seed_new("escape anything");
	char from[24], to[64];

	for (unsigned i = 0; i < ROUNDS; i++) {
		size_t size = 1 + seed_below(&seed, sizeof(to));

		for (size_t j = 0; j < sizeof(from); j++)
			from[j] = (char)(seed_below(&seed, 2) == 0
					? seed_below(&seed, 256)
					: likely[seed_below(&seed, sizeof(likely))]);
		check_harmless(to, text_escape(from, sizeof(from), to, size));
		check_harmless(to, text_escape_json(from, sizeof(from), to, size));
	}
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t len, bad;
	} cases[] = {
		{BYTES("a\x80"), 1},
		{BYTES("\xc3\x9f\xc3"), 2},
		{BYTES("\xe2\x82\xac\xe2\x82"), 3},
		{BYTES("\xf5\x80\x80\x80"), 0},
		{BYTES("\xf0\x8f\xbf\xbf"), 0},
		{BYTES("\xc1\xbf"), 0},
	};

	assert_true(text_is_utf8(BYTES(""), NULL));
	assert_true(
		text_is_utf8(BYTES("a\0\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xf4\x8f\xbf\xbf"), NULL));
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		size_t bad = 4711;

		assert_false(text_is_utf8(cases[i].text, cases[i].len, &bad));
		assert_int_equal(bad, cases[i].bad);
	}
}

static void test_distance(void **state)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} cases[] = {
		{"", "", 0},
		{"", "abc", 3},
		{"port", "port", 0},
		{"prot", "port", 1},
		{"pot", "port", 1},
		{"poort", "port", 1},
		{"part", "port", 1},
		{"kitten", "sitting", 3},
		{"abcd", "badc", 2},
		{"abc", "xyz", 3},
	};
	char longest[65] = {0}, too_long[66] = {0};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		assert_int_equal(text_distance(cases[i].a, cases[i].b), cases[i].distance);
		assert_int_equal(text_distance(cases[i].b, cases[i].a), cases[i].distance);
	}

	memset(longest, 'a', sizeof(longest) - 1);
	memset(too_long, 'a', sizeof(too_long) - 1);
	assert_int_equal(text_distance(longest, longest), 0);
	assert_int_equal(text_distance(longest, too_long), 65);
}

static void test_nearest(void **state)
{
	static const char *const keys[] = {
		"name", "port", "path", "mode", "tls", "idle_timeout", "write_timeout"};
	static const struct {
		const char *word, *nearest;
	} cases[] = {
		{"port", "port"},
		{"prot", "port"},
		{"pth", "path"},
		{"nmae", "name"},
		{"ts", "tls"},
		{"prto", NULL},
		{"idle_timout", "idle_timeout"},
		{"timeout", NULL},
		{"wirte_timeuot", "write_timeout"},
		{"xy", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const char *nearest = text_nearest(cases[i].word, keys, N_ELEMENTS(keys));

		if (cases[i].nearest)
			assert_string_equal(nearest, cases[i].nearest);
		else
			assert_null(nearest);
	}
	assert_null(text_nearest("port", keys, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_cuts),
		cmocka_unit_test(test_escape_anything),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
