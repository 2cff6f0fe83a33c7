/* SPDX-License-Identifier: Apache-2.0 */

/* The table of who talks to whom, and what becomes of a datagram in every case there is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "core/flows.h"
#include "core/hello.h"

#define MANY (3 * FLOWS_BUCKETS)

static struct flows flows;
static struct flow all[MANY];

static struct flow_key key_number(uint32_t n)
{
	struct flow_key key = {.port = (uint16_t)n, .scope = n % 3};

	memcpy(key.peer, &n, sizeof(n));
	return key;
}

static void test_each_is_found_and_no_other(void **state)
{
	flows = (struct flows){.key = {{1, 2}}};
	for (uint32_t i = 0; i < MANY; i++) {
		struct flow_key key = key_number(i);

		assert_null(flows_find(&flows, &key));
		all[i].key = key;
		flows_add(&flows, &all[i]);
	}
	for (uint32_t i = 0; i < MANY; i += 2)
		flows_remove(&flows, &all[i]);
	for (uint32_t i = 0; i < MANY; i++) {
		struct flow_key key = key_number(i);

		assert_ptr_equal(flows_find(&flows, &key), i % 2 ? &all[i] : NULL);
	}
}

static void test_every_part_of_a_key_counts(void **state)
{
	struct flow_key key = key_number(7);
	struct flow flow = {.key = key};

	flows = (struct flows){.key = {{1, 2}}};
	flows_add(&flows, &flow);
	for (size_t i = 0; i < sizeof(key); i++) {
		((uint8_t *)&key)[i] ^= 1;
		assert_null(flows_find(&flows, &key));
		((uint8_t *)&key)[i] ^= 1;
	}
	assert_ptr_equal(flows_find(&flows, &key), &flow);
}

static void test_one_that_is_not_there_is_removed_in_vain(void **state)
{
	struct flow one = {.key = key_number(1)}, other = {.key = key_number(1)};

	flows = (struct flows){.key = {{1, 2}}};
	flows_add(&flows, &one);
	flows_remove(&flows, &other);
	assert_ptr_equal(flows_find(&flows, &one.key), &one);
}

static void test_what_becomes_of_a_datagram(void **state)
{
	enum { HELLO = 0, OTHER = HELLO_E_OTHER, PIECE = HELLO_E_PIECE, BAD = HELLO_E_MALFORMED };
	static const struct {
		int parsed;
		enum flow_state state;
		bool same;
		enum flow_verdict verdict;
	} cases[] = {
		{HELLO, FLOW_NONE, false, FLOW_CHECK_COOKIE},
		{HELLO, FLOW_SHAKING, false, FLOW_CHECK_COOKIE},
		{HELLO, FLOW_SHAKING, true, FLOW_FEED},
		{HELLO, FLOW_TALKING, false, FLOW_CHECK_COOKIE},
		{HELLO, FLOW_TALKING, true, FLOW_REPLAYED},
		{OTHER, FLOW_NONE, false, FLOW_STRAY},
		{OTHER, FLOW_SHAKING, false, FLOW_FEED},
		{OTHER, FLOW_TALKING, false, FLOW_FEED},
		{PIECE, FLOW_NONE, false, FLOW_PIECE},
		{PIECE, FLOW_SHAKING, false, FLOW_PIECE},
		{PIECE, FLOW_TALKING, false, FLOW_PIECE},
		{BAD, FLOW_NONE, false, FLOW_GARBAGE},
		{BAD, FLOW_SHAKING, false, FLOW_GARBAGE},
		{BAD, FLOW_TALKING, false, FLOW_GARBAGE},
		{HELLO_E_NO_RECORD, FLOW_NONE, false, FLOW_GARBAGE},
		{HELLO_E_NO_RECORD, FLOW_TALKING, false, FLOW_GARBAGE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(flow_judge(cases[i].parsed, cases[i].state, cases[i].same),
			cases[i].verdict);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_found_and_no_other),
		cmocka_unit_test(test_every_part_of_a_key_counts),
		cmocka_unit_test(test_one_that_is_not_there_is_removed_in_vain),
		cmocka_unit_test(test_what_becomes_of_a_datagram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
