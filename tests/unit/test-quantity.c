/* SPDX-License-Identifier: Apache-2.0 */

/* Sizes and times: exact or refused, and written so that they come back the same. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/quantity.h"
#include "seed.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* Numbers on both sides of every unit, and random ones of every magnitude. */
#define ROUNDS 20000

struct refusal {
	const char *text;
	int outcome;
};

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"0", 0},
		{"1", 1},
		{"007", 7},
		{"64k", 65536},
		{"1M", 1048576},
		{"2G", UINT64_C(2147483648)},
		{"1.5M", 1572864},
		{"1.50M", 1572864},
		{"1.0", 1},
		{"0.5k", 512},
		{"0.0009765625k", 1},
		{"18446744073709551615", UINT64_MAX},
		{"17179869183G", UINT64_MAX - (UINT64_C(1) << 30) + 1},
		{"17179869183.5G", UINT64_MAX - (UINT64_C(1) << 29) + 1},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		uint64_t bytes = 4711;

		assert_int_equal(quantity_parse_size(cases[i].text, &bytes), 0);
		assert_int_equal(bytes, cases[i].bytes);
	}
}

static void test_sizes_refused(void **state)
{
	static const struct refusal cases[] = {
		{"", QUANTITY_E_SYNTAX},
		{"k", QUANTITY_E_SYNTAX},
		{"-1", QUANTITY_E_SYNTAX},
		{"+1", QUANTITY_E_SYNTAX},
		{" 1", QUANTITY_E_SYNTAX},
		{"1 ", QUANTITY_E_SYNTAX},
		{"1 k", QUANTITY_E_SYNTAX},
		{"1kb", QUANTITY_E_SYNTAX},
		{"1m", QUANTITY_E_SYNTAX},
		{"1.", QUANTITY_E_SYNTAX},
		{".5k", QUANTITY_E_SYNTAX},
		{"1..5k", QUANTITY_E_SYNTAX},
		{"0x10", QUANTITY_E_SYNTAX},
		{"1.5", QUANTITY_E_SYNTAX},
		{"1.3k", QUANTITY_E_SYNTAX},
		{"18446744073709551616", QUANTITY_E_RANGE},
		{"17179869184G", QUANTITY_E_RANGE},
		{"18014398509481984k", QUANTITY_E_RANGE},
		{"1.0000000000000000000k", QUANTITY_E_RANGE},
	};
	uint64_t bytes = 4711;

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_int_equal(quantity_parse_size(cases[i].text, &bytes), cases[i].outcome);

	assert_int_equal(bytes, 4711);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {
		{"0", 0},
		{"0s", 0},
		{"250ms", 250},
		{"30s", 30000},
		{"2m", 120000},
		{"12h", 43200000},
		{"18446744073709551615ms", UINT64_MAX},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		uint64_t ms = 4711;

		assert_int_equal(quantity_parse_time(cases[i].text, &ms), 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void test_times_refused(void **state)
{
	static const struct refusal cases[] = {
		{"", QUANTITY_E_SYNTAX},
		{"30", QUANTITY_E_SYNTAX},
		{"s", QUANTITY_E_SYNTAX},
		{"-1s", QUANTITY_E_SYNTAX},
		{"1.5s", QUANTITY_E_SYNTAX},
		{"1d", QUANTITY_E_SYNTAX},
		{"1 s", QUANTITY_E_SYNTAX},
		{"0 ", QUANTITY_E_SYNTAX},
		{"1h30m", QUANTITY_E_SYNTAX},
		{"18446744073709551616ms", QUANTITY_E_RANGE},
		{"18446744073709552s", QUANTITY_E_RANGE},
		{"5124095576031h", QUANTITY_E_RANGE},
	};
	uint64_t ms = 4711;

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_int_equal(quantity_parse_time(cases[i].text, &ms), cases[i].outcome);

	assert_int_equal(ms, 4711);
}

static void test_shortest(void **state)
{
	char text[QUANTITY_TEXT];

	assert_string_equal(quantity_format_time(0, text), "0");
	assert_string_equal(quantity_format_time(1500, text), "1500ms");
	assert_string_equal(quantity_format_time(30000, text), "30s");
	assert_string_equal(quantity_format_time(60000, text), "1m");
	assert_string_equal(quantity_format_time(43200000, text), "12h");
	assert_string_equal(quantity_format_time(UINT64_MAX, text), "18446744073709551615ms");
}

static void check_round_trip(uint64_t number)
{
	char text[QUANTITY_TEXT];
	uint64_t back;

	assert_int_equal(quantity_parse_time(quantity_format_time(number, text), &back), 0);
	assert_int_equal(back, number);
}

static uint64_t random_bits(uint64_t *seed)
{
	return (uint64_t)seed_below(seed, SIZE_MAX);
}

static void test_round_trip(void **state)
{
	uint64_t seed = seed_new("round trip");

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned high = (unsigned)seed_below(&seed, 64),
			 low = (unsigned)seed_below(&seed, 64);

		/* Zeros at both ends make all units and fractions come up. */
		check_round_trip(random_bits(&seed) >> high >> low << low);
		check_round_trip((UINT64_C(1) << high) - 1);
		check_round_trip((uint64_t)seed_below(&seed, 1000) * 60000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_sizes_refused),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_times_refused),
		cmocka_unit_test(test_shortest),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
