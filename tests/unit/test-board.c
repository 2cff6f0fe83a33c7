/* SPDX-License-Identifier: Apache-2.0 */

/* What the supervisor puts up is what the exporter reads, whole, and at any moment. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "supervisor/board.h"

#define EDITIONS 20000

static struct board board;
static const struct board_page *page;

static int make(void **state)
{
	return board_make(&board, 2) == 0 && board_attach(board.fd, &page) == 0 ? 0 : -1;
}

static int unmake(void **state)
{
	board_done(&board);
	board_done(&board);
	return 0;
}

/* Everything on it is `number`. */
static void write_all(uint64_t number, size_t listeners)
{
	static const char *const names[] = {"a", "b", "c"};
	struct figures figures = {.generation = number, .open = number};
	struct listener_counters counters;
	struct totals totals = {.records_lost = number};

	for (int i = 0; i < N_COUNTERS; i++)
		counters.counted[i] = number;
	for (int i = 0; i < N_REASONS; i++)
		counters.reasons[i] = number;
	for (size_t i = 0; i < listeners; i++)
		totals_add(&totals, names[i], &counters);
	board_write(&board, &figures, &totals);
	totals_done(&totals);
}

/* The number that is everywhere on it; UINT64_MAX when there are several. */
static uint64_t read_all(size_t *ret_listeners)
{
	struct totals totals = TOTALS_EMPTY;
	struct figures figures;
	uint64_t number;
	bool same;

	assert_int_equal(board_read(page, &figures, &totals), 0);
	number = figures.generation;
	same = figures.open == number && totals.records_lost == number;
	for (size_t i = 0; i < totals.n; i++) {
		same = same && totals.list[i].counters.counted[0] == number;
		same = same && totals.list[i].counters.reasons[N_REASONS - 1] == number;
	}
	*ret_listeners = totals.n;
	totals_done(&totals);
	return same ? number : UINT64_MAX;
}

static void test_nothing_is_there_at_first(void **state)
{
	struct totals totals = TOTALS_EMPTY;
	struct figures figures;

	assert_int_equal(board_read(page, &figures, &totals), -EAGAIN);
}

static void test_newest_is_read(void **state)
{
	size_t n;

	for (uint64_t i = 1; i < 5; i++) {
		write_all(i, 2);
		assert_int_equal(read_all(&n), i);
		assert_int_equal(n, 2);
	}
}

static void test_too_many_are_left_out(void **state)
{
	size_t n;

	write_all(1, 3);
	assert_int_equal(read_all(&n), 1);
	assert_int_equal(n, 2);
}

/* Written by a process that does nothing else, it is never half of one edition and half of another. */
static void test_what_is_read_is_whole(void **state)
{
	uint64_t last = 0;
	pid_t writer;
	int status;
	size_t n;

	write_all(1, 1);
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0) {
		for (uint64_t i = 2; i <= EDITIONS; i++)
			write_all(i, i % 3);
		_exit(0);
	}
	while (last < EDITIONS) {
		uint64_t number = read_all(&n);

		assert_in_range(number, last, EDITIONS);
		assert_int_equal(n, number % 3);
		last = number;
	}
	assert_int_equal(waitpid(writer, &status, 0), writer);
	assert_int_equal(status, 0);
}

static void test_what_is_no_board_is_refused(void **state)
{
	_cleanup_close_ int small = -1, odd = -1;

	assert_int_equal(fd_shared("small", 16, &small), 0);
	assert_int_equal(board_attach(small, &page), -EINVAL);
	assert_int_equal(fd_shared("odd", 1 << 20, &odd), 0);
	assert_int_equal(board_attach(odd, &page), -EINVAL);
}

static void test_words_of_an_upgrade(void **state)
{
	struct figures before = {.started = 1795229903,
		.generation = 7,
		.reloads = 5,
		.failed_reloads = 2,
		.replaced = {[ROLE_KEEPER] = 9}};
	struct figures after = {0}, other = {0};
	_cleanup_free_ char *text = NULL;
	char strange[] = "4 3 2 1 janitor 8 worker 6";
	size_t len;
	struct handover h = {.state = open_memstream(&text, &len)};

	assert_non_null(h.state);
	figures_hand_over(&before, &h);
	fclose(h.state);
	text[len - 1] = '\0';
	figures_resume(&after, text + strlen("figures "));
	assert_memory_equal(&after, &before, sizeof(after));

	figures_resume(&other, strange);
	assert_int_equal(other.failed_reloads, 1);
	assert_int_equal(other.replaced[ROLE_WORKER], 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_there_at_first, make, unmake),
		cmocka_unit_test_setup_teardown(test_newest_is_read, make, unmake),
		cmocka_unit_test_setup_teardown(test_too_many_are_left_out, make, unmake),
		cmocka_unit_test_setup_teardown(test_what_is_read_is_whole, make, unmake),
		cmocka_unit_test(test_what_is_no_board_is_refused),
		cmocka_unit_test(test_words_of_an_upgrade),
	};

	return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
