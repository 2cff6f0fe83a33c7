/* SPDX-License-Identifier: Apache-2.0 */

/* The exporter reads what the supervisor has written, whole, and at any moment. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "process/metrics_page.h"

#define EDITIONS 20000

static struct metrics_page page;
static const struct page_layout *layout;

static int make(void **state)
{
	return metrics_page_make(&page) == 0 && metrics_page_attach(page.fd, &layout) == 0 ? 0 : -1;
}

static int unmake(void **state)
{
	metrics_page_done(&page);
	metrics_page_done(&page);
	return 0;
}

/* A text of `len` bytes, each of them `byte`. */
static void write_text(char byte, size_t len)
{
	char *text = malloc(len);

	assert_non_null(text);
	memset(text, byte, len);
	metrics_page_begin(&page);
	metrics_page_put(&page, PAGE_OPENMETRICS, text, len);
	metrics_page_show(&page, byte != 'b');
	free(text);
}

static void test_nothing_is_there_at_first(void **state)
{
	char *text;
	size_t len;

	assert_int_equal(metrics_page_read(layout, PAGE_OPENMETRICS, &text, &len), -EAGAIN);
}

static void test_newest_is_read(void **state)
{
	for (size_t i = 1; i < 5; i++) {
		_cleanup_free_ char *text = NULL;
		size_t len;

		write_text((char)('a' + i), i);
		assert_int_equal(metrics_page_read(layout, PAGE_OPENMETRICS, &text, &len), 0);
		assert_int_equal(len, i);
		assert_int_equal(text[i - 1], 'a' + i);
	}
}

static void test_state_comes_with_the_edition(void **state)
{
	uint64_t age_ms;

	assert_false(metrics_page_is_ready(layout, &age_ms));
	write_text('a', 1);
	assert_true(metrics_page_is_ready(layout, &age_ms));
	assert_in_range(age_ms, 0, 60000);
	write_text('b', 1);
	assert_false(metrics_page_is_ready(layout, &age_ms));
}

static void test_text_that_is_too_long_is_left_out(void **state)
{
	char *text;
	size_t len;

	write_text('a', 17 << 20);
	assert_int_equal(metrics_page_read(layout, PAGE_OPENMETRICS, &text, &len), -EAGAIN);
	write_text('a', 16 << 20);
	assert_int_equal(metrics_page_read(layout, PAGE_OPENMETRICS, &text, &len), 0);
	free(text);
}

/* Written by a process that does nothing else, it is never half of one edition and half of another. */
static void test_a_text_is_whole(void **state)
{
	pid_t writer;
	int status;

	write_text('a', 1000);
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0) {
		for (size_t i = 1; i <= EDITIONS; i++)
			write_text((char)('a' + i % 26), 1000 + i % 26);
		_exit(0);
	}
	while (waitpid(writer, &status, WNOHANG) == 0) {
		_cleanup_free_ char *text = NULL;
		size_t len;

		assert_int_equal(metrics_page_read(layout, PAGE_OPENMETRICS, &text, &len), 0);
		assert_int_equal(len, 1000 + text[0] - 'a');
		for (size_t i = 0; i < len; i++)
			assert_int_equal(text[i], text[0]);
	}
	assert_int_equal(status, 0);
}

static void test_a_reader_cannot_write(void **state)
{
	assert_ptr_equal(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page.fd, 0), MAP_FAILED);
	assert_int_equal(write(page.fd, "lies", 4), -1);
}

static void test_other_memory_is_refused(void **state)
{
	_cleanup_close_ int small = -1;

	assert_int_equal(fd_shared("small", 16, &small), 0);
	assert_int_equal(metrics_page_attach(small, &layout), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_there_at_first, make, unmake),
		cmocka_unit_test_setup_teardown(test_state_comes_with_the_edition, make, unmake),
		cmocka_unit_test_setup_teardown(test_newest_is_read, make, unmake),
		cmocka_unit_test_setup_teardown(
			test_text_that_is_too_long_is_left_out, make, unmake),
		cmocka_unit_test_setup_teardown(test_a_text_is_whole, make, unmake),
		cmocka_unit_test_setup_teardown(test_a_reader_cannot_write, make, unmake),
		cmocka_unit_test(test_other_memory_is_refused),
	};

	return cmocka_run_group_tests_name("metrics-page", tests, NULL, NULL);
}
