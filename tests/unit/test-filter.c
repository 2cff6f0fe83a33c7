/* SPDX-License-Identifier: Apache-2.0 */

/* Text cut into datagrams: nothing lost, nothing torn. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "client/options.h"
#include "seed.h"

#define ROUNDS 2000

static size_t cut(const char *text, bool is_end)
{
	return filter_cut((const uint8_t *)text, strlen(text), is_end);
}

static void test_lines(void **state)
{
	assert_int_equal(cut("", false), 0);
	assert_int_equal(cut("", true), 0);
	assert_int_equal(cut("no end yet", false), 0);
	assert_int_equal(cut("the end", true), 7);
	assert_int_equal(cut("one\n", false), 4);
	assert_int_equal(cut("one\ntwo\nthr", false), 8);
	assert_int_equal(cut("one\r\ntwo", false), 5);
	assert_int_equal(cut("one\ntwo", true), 4);
}

static void test_long_line(void **state)
{
	uint8_t text[CUT_MAX + 8];

	memset(text, 'x', sizeof(text));
	assert_int_equal(filter_cut(text, CUT_MAX, false), 0);
	assert_int_equal(filter_cut(text, CUT_MAX, true), CUT_MAX);
	assert_int_equal(filter_cut(text, CUT_MAX + 1, false), CUT_MAX);
	text[CUT_MAX] = '\n';
	assert_int_equal(filter_cut(text, CUT_MAX + 1, false), CUT_MAX);
	text[CUT_MAX - 1] = '\n';
	assert_int_equal(filter_cut(text, CUT_MAX + 1, false), CUT_MAX);
}

/* A character of two, three or four bytes, in each place around the cut. */
static void test_characters(void **state)
{
	static const char *const characters[] = {"ß", "€", "🙂"};

	for (size_t i = 0; i < 3; i++) {
		size_t len = strlen(characters[i]);

		for (size_t before = 0; before <= len; before++) {
			uint8_t text[CUT_MAX + 8];
			size_t at = CUT_MAX - before;

			memset(text, 'x', sizeof(text));
			memcpy(text + at, characters[i], len);
			assert_int_equal(filter_cut(text, sizeof(text), false),
				before && before < len ? at : CUT_MAX);
		}
	}
}

/* Bytes that are no text are cut all the same. */
static void test_any_bytes(void **state)
{
	uint64_t seed = seed_new("any_bytes");
	uint8_t text[3 * CUT_MAX];

	for (size_t round = 0; round < ROUNDS; round++) {
		size_t len = seed_below(&seed, sizeof(text)), at = 0, n;
		uint8_t mask = seed_below(&seed, 2) ? 0xff : 0xbf;

		for (size_t i = 0; i < len; i++)
			text[i] = (uint8_t)(0x80 | seed_below(&seed, 128)) & mask;
		while ((n = filter_cut(text + at, len - at, true)) > 0) {
			assert_in_range(n, 1, CUT_MAX);
			at += n;
		}
		assert_int_equal(at, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}
