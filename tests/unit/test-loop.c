/* SPDX-License-Identifier: Apache-2.0 */

/* Timers of a process that stood still for a while. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"

static struct loop loop;
static char fired[16];

struct named {
	struct timer timer;
	char name;
};

static void on_time(struct timer *timer, uint64_t now_ms)
{
	fired[strlen(fired)] = container_of(timer, struct named, timer)->name;
}

static void on_end(struct timer *timer, uint64_t now_ms)
{
	loop_stop(&loop, 0);
}

/* Turns the loop once, `late_ms` after the first timer was due; the others were due `after_ms` behind it. */
static uint64_t fire(struct named *patient, uint64_t late_ms, uint64_t after_ms)
{
	struct named first = {{.on_time = on_time}, 'f'}, plain = {{.on_time = on_time}, 'p'};
	struct timer end = {.on_time = on_end};
	uint64_t due_ms;

	assert_int_equal(loop_init(&loop), 0);
	memset(fired, 0, sizeof(fired));
	due_ms = loop.now_ms - late_ms;
	loop_set_timer(&loop, &first.timer, due_ms);
	loop_set_timer(&loop, &plain.timer, due_ms + after_ms);
	loop_set_timer(&loop, &patient->timer, due_ms + after_ms);
	loop_set_timer(&loop, &end, loop.now_ms);
	assert_int_equal(loop_run(&loop), 0);
	loop_clear_timer(&patient->timer);
	loop_done(&loop);
	return due_ms;
}

static void test_patience_lasts_longer_by_the_time_that_was_lost(void **state)
{
	struct named patient = {{.on_time = on_time, .is_patience = true}, 'x'};
	uint64_t due_ms = fire(&patient, 60000, 30000);

	assert_string_equal(fired, "fp");
	assert_true(patient.timer.at_ms >= due_ms + 30000 + 60000);
	assert_true(patient.timer.at_ms <= clock_ms() + 30000 + 2000);
}

static void test_patience_that_is_due_first_gets_a_moment(void **state)
{
	struct named patient = {{.on_time = on_time, .is_patience = true}, 'x'};

	fire(&patient, 60000, 0);
	assert_string_equal(fired, "fp");
	assert_true(patient.timer.at_ms > loop.now_ms);
}

static void test_patience_ends_when_nothing_stood_still(void **state)
{
	struct named patient = {{.on_time = on_time, .is_patience = true}, 'x'};

	fire(&patient, 1000, 500);
	assert_string_equal(fired, "fpx");
}

/* A descriptor whose event stays pending. */
struct pending {
	struct source source;
	struct pause pause;
	unsigned n;
};

static void on_pending(struct source *source, uint32_t events)
{
	struct pending *pending = container_of(source, struct pending, source);

	pending->n++;
	loop_pause(&loop, &pending->pause, source, EPOLLIN);
}

static void test_source_that_pauses_comes_back_and_does_not_spin(void **state)
{
	struct pending pending = {.source.on_event = on_pending};
	struct timer end = {.on_time = on_end};
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(loop_watch(&loop, &pending.source, pipes[0], EPOLLIN), 0);
	loop_set_timer(&loop, &end, loop.now_ms + 5 * LOOP_PAUSE_MS);
	assert_int_equal(loop_run(&loop), 0);
	assert_in_range(pending.n, 2, 5);
	pause_clear(&pending.pause);
	loop_done(&loop);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patience_lasts_longer_by_the_time_that_was_lost),
		cmocka_unit_test(test_patience_that_is_due_first_gets_a_moment),
		cmocka_unit_test(test_patience_ends_when_nothing_stood_still),
		cmocka_unit_test(test_source_that_pauses_comes_back_and_does_not_spin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
