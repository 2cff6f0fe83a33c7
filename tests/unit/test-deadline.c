/* SPDX-License-Identifier: Apache-2.0 */

/* Deadlines go off in the order of their moments, also when one was set as of an earlier time. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/deadline.h"

#define MANY 4

static struct loop loop;
static struct deadlines all;
static struct deadline deadlines[MANY];
static size_t order[MANY], n_gone;

static void on_deadline(struct deadline *deadline)
{
	assert_true(loop.now_ms >= deadline->at_ms);
	order[n_gone++] = (size_t)(deadline - deadlines);
	if (n_gone == MANY)
		loop_stop(&loop, 0);
}

static void test_earlier_ones_go_first(void **state)
{
	const uint64_t ages_ms[MANY] = {0, 40, 0, 20};
	const size_t expected[MANY] = {1, 3, 0, 2};

	loop = LOOP_INIT(loop);
	assert_int_equal(loop_init(&loop), 0);
	deadlines_init(&all, &loop, 60, on_deadline);
	for (size_t i = 0; i < MANY; i++)
		deadline_set_since(&all, &deadlines[i], loop.now_ms - ages_ms[i]);
	assert_int_equal(loop_run(&loop), 0);
	assert_memory_equal(order, expected, sizeof(expected));
	loop_done(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_earlier_ones_go_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
