/* SPDX-License-Identifier: Apache-2.0 */

/* upper_string() with every size of room, none included: nothing is written behind it, no character is cut,
 * and the length that is returned is always that of the whole. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guard.h"
#include "upper/upper.h"

static struct guard input, output;

static const struct {
	const char *text;
	size_t len;
	const char *expected;
} rows[] = {
	{"", 0, ""},
	{"hello", 5, "HELLO"},
	{"stra\u00DFe", 7, "STRASSE"},
	{"\u0390", 2, "\u0399\u0308\u0301"},
	{"a\u0390b", 4, "A\u0399\u0308\u0301B"},
	{"bad \xff\xc3", 6, "BAD \xff\xc3"},
};

/* The part of `expected` that fits into `size` bytes with a NUL behind it, in whole characters of the result of one
 * character: U+0390 becomes three that stay together. */
static bool is_a_beginning(const char *expected, const char *made, size_t size)
{
	size_t len = strlen(made);

	return len < size && strncmp(expected, made, len) == 0 &&
		((unsigned char)expected[len] & 0xc0) != 0x80;
}

static void test_every_room(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t whole = strlen(rows[i].expected);
		const char *text = (const char *)guard_copy(input, rows[i].text, rows[i].len);

		assert_int_equal(upper_string(text, rows[i].len, NULL, 0), whole);
		for (size_t size = 1; size < whole + 4; size++) {
			char *to = (char *)guard_tail(output, size);

			memset(to, 'x', size);
			assert_int_equal(upper_string(text, rows[i].len, to, size), whole);
			assert_true(is_a_beginning(rows[i].expected, to, size));
			if (size > whole)
				assert_string_equal(to, rows[i].expected);
		}
	}
}

/* The rest is measured piece by piece; the pieces must not cut a character. */
static void test_a_long_text_is_measured(void **state)
{
	static char text[20001], to[60003];
	size_t len = 0;

	text[len++] = 'a';
	for (; len + 2 <= 20001; len += 2)
		memcpy(text + len, "\u0390", 2);
	assert_int_equal(upper_string(text, len, NULL, 0), 1 + 10000 * 6);
	for (size_t size = 1; size < 1200; size += 7)
		assert_int_equal(upper_string(text, len, to, size), 1 + 10000 * 6);
	assert_int_equal(upper_string(text, len, to, sizeof(to)), 1 + 10000 * 6);
	assert_int_equal(strlen(to), 1 + 10000 * 6);
}

static void test_a_nul_is_a_byte(void **state)
{
	char to[8];

	assert_int_equal(upper_string("a\0b", 3, to, sizeof(to)), 3);
	assert_memory_equal(to, "A\0B", 4);
	assert_int_equal(upper_string(NULL, 0, NULL, 0), 0);
}

static int set_up(void **state)
{
	input = guard_new();
	output = guard_new();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_room),
		cmocka_unit_test(test_a_long_text_is_measured),
		cmocka_unit_test(test_a_nul_is_a_byte),
	};

	return cmocka_run_group_tests_name("string", tests, set_up, NULL);
}
