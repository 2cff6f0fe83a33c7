/* SPDX-License-Identifier: Apache-2.0 */

/* The oldest handshake that has had its grace gives way, in whatever order they were added. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/handshakes.h"

#define MANY 4

static struct handshakes all;
static struct handshake each[MANY];
static int evicted;
static _Atomic(uint64_t) wait_until_ms;

static void on_evict(struct handshake *handshake)
{
	evicted = (int)(handshake - each);
	handshakes_remove(&all, handshake);
}

static void begin(const uint64_t since_ms[MANY], const uint64_t grace_ms[MANY])
{
	handshakes_init(&all, MANY, &wait_until_ms);
	for (int i = 0; i < MANY; i++) {
		each[i] = (struct handshake){
			.since_ms = since_ms[i],
			.grace_ms = grace_ms[i],
			.evict = on_evict,
		};
		handshakes_add(&all, &each[i]);
	}
	evicted = -1;
}

static void test_the_oldest_goes(void **state)
{
	const uint64_t since_ms[MANY] = {1300, 1000, 1200, 1100},
		       grace_ms[MANY] = {500, 500, 500, 500};
	static const int expected[MANY] = {1, 3, 2, 0};

	begin(since_ms, grace_ms);
	for (int i = 0; i < MANY; i++) {
		assert_true(handshakes_make_room(&all, 9000));
		assert_int_equal(evicted, expected[i]);
		all.limit--;
	}
}

static void test_none_begins_while_memory_is_short(void **state)
{
	static const uint64_t since_ms[MANY] = {1000, 1100, 1200, 1300}, grace_ms[MANY] = {0};

	begin(since_ms, grace_ms);
	wait_until_ms = 5000;
	assert_false(handshakes_make_room(&all, 4999));
	assert_int_equal(evicted, -1); /* which would be in vain */
	assert_true(handshakes_make_room(&all, 5000));
	wait_until_ms = 0;
}

static void test_none_goes_within_its_grace(void **state)
{
	const uint64_t since_ms[MANY] = {1000, 1100, 1200, 1300},
		       grace_ms[MANY] = {3000, 500, 3000, 500};

	begin(since_ms, grace_ms);
	assert_false(handshakes_make_room(&all, 1599));
	assert_int_equal(evicted, -1);
	assert_true(handshakes_make_room(&all, 1600));
	assert_int_equal(evicted, 1);
}

static void test_with_room_none_goes(void **state)
{
	const uint64_t since_ms[MANY] = {0}, grace_ms[MANY] = {0};

	begin(since_ms, grace_ms);
	handshakes_remove(&all, &each[2]);
	assert_true(handshakes_make_room(&all, 9000));
	assert_int_equal(evicted, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_oldest_goes),
		cmocka_unit_test(test_none_begins_while_memory_is_short),
		cmocka_unit_test(test_none_goes_within_its_grace),
		cmocka_unit_test(test_with_room_none_goes),
	};

	return cmocka_run_group_tests_name("handshakes", tests, NULL, NULL);
}
