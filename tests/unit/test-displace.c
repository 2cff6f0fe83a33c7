/* SPDX-License-Identifier: Apache-2.0 */

/* Two workers that share a page: the connection that has been idle longest in either of them gives way, and a
 * worker that does not answer is not waited for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "net/displace.h"

#define IDLE_MS  900000
#define LIMIT    2
#define START_MS 5000000

static struct worker {
	struct loop loop;
	struct displacer displacer;
	struct idle_queue queue;
	struct deadlines idle;
	struct deadline deadline;
	unsigned displaced;
} workers[2];

static struct shared *shared;

static void on_idle(struct deadline *deadline)
{
	fail();
}

static void on_displace(struct deadline *deadline)
{
	struct worker *w = container_of(deadline, struct worker, deadline);

	deadline_clear(deadline);
	w->displaced++;
}

/* Each has one connection, which has been idle since then; 0: it has none. */
static void begin(uint64_t first_ms, uint64_t second_ms)
{
	const uint64_t since_ms[] = {first_ms, second_ms};

	memset(shared, 0, sizeof(*shared));
	atomic_store(&shared->open, LIMIT);
	for (int i = 0; i < 2; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){0};
		w->loop = LOOP_INIT(w->loop);
		w->loop.now_ms = START_MS;
		displacer_init(&w->displacer, &w->loop);
		w->displacer.shared = shared;
		deadlines_init(&w->idle, &w->loop, IDLE_MS, on_idle);
		w->queue = (struct idle_queue){.idle = &w->idle, .displace = on_displace};
		displacer_add(&w->displacer, &w->queue);
		if (since_ms[i] > 0)
			deadline_set_since(&w->idle, &w->deadline, since_ms[i]);
		displacer_look(&w->displacer, LIMIT);
	}
	displacer_look(&workers[0].displacer, LIMIT);
}

/* The next look of a worker, so many milliseconds later. */
static void look(struct worker *w, uint64_t later_ms)
{
	w->loop.now_ms += later_ms;
	w->displacer.look.on_time(&w->displacer.look, w->loop.now_ms);
}

static void test_none_is_idle_for_long_enough(void **state)
{
	begin(START_MS - DISPLACE_IDLE_MS + 1, 0);
	assert_int_equal(displacer_where(&workers[0].displacer), DISPLACE_NOWHERE);
	assert_int_equal(displacer_where(&workers[1].displacer), DISPLACE_NOWHERE);
}

static void test_the_one_idle_longest_is_here(void **state)
{
	begin(START_MS - 20000, START_MS - 15000);
	assert_int_equal(displacer_where(&workers[0].displacer), DISPLACE_HERE);
	displacer_displace(&workers[0].displacer);
	assert_int_equal(workers[0].displaced, 1);
	look(&workers[1], 20);
	assert_int_equal(workers[1].displaced, 0);
	assert_int_equal(displacer_where(&workers[0].displacer), DISPLACE_ELSEWHERE);
}

static void test_the_one_idle_longest_is_elsewhere(void **state)
{
	begin(START_MS - 20000, START_MS - 15000);
	assert_int_equal(displacer_where(&workers[1].displacer), DISPLACE_ELSEWHERE);
	assert_true(displacer_ask(&workers[1].displacer));
	look(&workers[1], 20);
	assert_int_equal(workers[1].displaced, 0);
	look(&workers[0], 20);
	assert_int_equal(workers[0].displaced, 1);
	look(&workers[0], 20);
	assert_int_equal(workers[0].displaced, 1);
	assert_int_equal(displacer_where(&workers[1].displacer), DISPLACE_HERE);
}

static void test_a_worker_that_does_not_answer_is_not_waited_for(void **state)
{
	begin(START_MS - 20000, START_MS - 15000);
	assert_true(displacer_ask(&workers[1].displacer));
	workers[1].loop.now_ms += 1000;
	assert_false(displacer_ask(&workers[1].displacer));
	assert_int_equal(displacer_where(&workers[1].displacer), DISPLACE_HERE);
}

static void test_a_number_that_is_left_behind_is_cleared(void **state)
{
	begin(0, START_MS - 15000);
	atomic_store(&shared->idle_since_ms, 1);
	assert_int_equal(displacer_where(&workers[1].displacer), DISPLACE_ELSEWHERE);
	assert_true(displacer_ask(&workers[1].displacer));
	workers[1].loop.now_ms += 1000;
	assert_false(displacer_ask(&workers[1].displacer));
	assert_int_equal(displacer_where(&workers[1].displacer), DISPLACE_HERE);
}

static void test_with_room_no_worker_looks(void **state)
{
	begin(START_MS - 20000, START_MS - 15000);
	assert_int_equal(atomic_load(&shared->idle_since_ms), START_MS - 20000);
	atomic_store(&shared->open, 0);
	displacer_look(&workers[0].displacer, LIMIT);
	assert_int_equal(atomic_load(&shared->idle_since_ms), 0);
	assert_true(list_is_empty(&workers[0].displacer.look.node));
}

static int set_up(void **state)
{
	shared = calloc(1, sizeof(*shared));
	return shared ? 0 : -1;
}

static int tear_down(void **state)
{
	free(shared);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_is_idle_for_long_enough),
		cmocka_unit_test(test_the_one_idle_longest_is_here),
		cmocka_unit_test(test_the_one_idle_longest_is_elsewhere),
		cmocka_unit_test(test_a_worker_that_does_not_answer_is_not_waited_for),
		cmocka_unit_test(test_a_number_that_is_left_behind_is_cleared),
		cmocka_unit_test(test_with_room_no_worker_looks),
	};

	return cmocka_run_group_tests_name("displace", tests, set_up, tear_down);
}
