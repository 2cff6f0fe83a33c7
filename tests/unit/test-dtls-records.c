/* SPDX-License-Identifier: Apache-2.0 */

/* Which records of a datagram get through to a library. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/dtls_records.h"
#include "seed.h"

#define LEAST 24

static size_t put(uint8_t *to, unsigned epoch, size_t len)
{
	const uint8_t header[] = {23, 0xfe, 0xfd, (uint8_t)(epoch >> 8), (uint8_t)epoch, 0, 0, 0, 0,
		0, 7, (uint8_t)(len >> 8), (uint8_t)len};

	memcpy(to, header, sizeof(header));
	memset(to + sizeof(header), 'x', len);
	return sizeof(header) + len;
}

static void test_one_record(void **state)
{
	for (unsigned epoch = 0; epoch < 5; epoch++)
		for (size_t len = 0; len < 100; len++) {
			uint8_t data[200], to[200];
			size_t n = put(data, epoch, len);
			unsigned dropped = 0;
			bool fine = epoch == 0 || (epoch == 1 && len >= LEAST);

			assert_int_equal(
				dtls_records_filter(to, data, n, LEAST, &dropped), fine ? n : 0);
			assert_int_equal(dropped, !fine);
			if (fine)
				assert_memory_equal(to, data, n);
		}
}

static void test_the_others_of_a_datagram_pass(void **state)
{
	uint8_t data[400], to[400], expected[400];
	size_t n = 0, wanted = 0;
	unsigned dropped = 0;

	n += put(data + n, 1, 3);
	n += put(data + n, 1, 40);
	wanted += put(expected + wanted, 1, 40);
	n += put(data + n, 2, 60);
	n += put(data + n, 0, 1);
	wanted += put(expected + wanted, 0, 1);
	n += put(data + n, 1, 23);
	assert_int_equal(dtls_records_filter(to, data, n, LEAST, &dropped), wanted);
	assert_memory_equal(to, expected, wanted);
	assert_int_equal(dropped, 3);
}

static void test_a_rest_is_left_to_the_library(void **state)
{
	for (size_t cut = 1; cut < DTLS_RECORD_HEADER + 40; cut++) {
		uint8_t data[100], to[100];
		size_t n = put(data, 1, 40) - cut;
		unsigned dropped = 0;

		assert_int_equal(dtls_records_filter(to, data, n, LEAST, &dropped), n);
		assert_memory_equal(to, data, n);
		assert_int_equal(dropped, 0);
	}
}

/* Nothing is written behind the room, and a second pass drops nothing more. */
static void test_any_bytes(void **state)
{
	uint64_t seed = seed_new("any bytes");

	for (int i = 0; i < 20000; i++) {
		size_t len = seed_below(&seed, 120), n;
		uint8_t data[120], *to = malloc(len > 0 ? len : 1),
				   *again = malloc(len > 0 ? len : 1);
		unsigned dropped = 0, more = 0;

		for (size_t at = 0; at < len; at++)
			data[at] = (uint8_t)seed_below(&seed, seed_below(&seed, 3) ? 4 : 256);
		n = dtls_records_filter(to, data, len, LEAST, &dropped);
		assert_true(n <= len && (n < len) == (dropped > 0));
		assert_int_equal(dtls_records_filter(again, to, n, LEAST, &more), n);
		assert_int_equal(more, 0);
		free(to);
		free(again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_record),
		cmocka_unit_test(test_the_others_of_a_datagram_pass),
		cmocka_unit_test(test_a_rest_is_left_to_the_library),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
