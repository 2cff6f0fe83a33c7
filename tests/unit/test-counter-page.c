/* SPDX-License-Identifier: Apache-2.0 */

/* Counters that a child of another program goes on writing: known by their names, whatever the child writes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "upgrade/counter_page.h"

#define NUMBERS 512

static uint64_t *numbers; /* as the child sees them */
static struct counter_page page;
static struct sums sums;
static int page_fd;

static int set_up(void **state)
{
	if (fd_shared("page", NUMBERS * 8, &page_fd) < 0)
		return -1;
	numbers = mmap(NULL, NUMBERS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
	page = COUNTER_PAGE_EMPTY;
	sums = SUMS_EMPTY;
	return numbers == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
	counter_page_done(&page);
	sums_done(&sums);
	munmap(numbers, NUMBERS * 8);
	close(page_fd);
	return 0;
}

static int take(const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "%s", line);
	return counter_page_take(&page, text);
}

static int take_fd_line(int fd, size_t open_at)
{
	char text[64];

	snprintf(text, sizeof(text), "fd %d %zu", fcntl(fd, F_DUPFD_CLOEXEC, 0), open_at);
	return take(text);
}

static void take_all(void)
{
	assert_int_equal(take_fd_line(page_fd, 0), 0);
	assert_int_equal(take("words records_lost marvels keeper_3"), 0);
	assert_int_equal(take("part 8 0 "), 0);
	/* In another order than here, with one that is not known here, and without most. */
	assert_int_equal(take("words bytes_in marvels messages ended_idle connections"), 0);
	assert_int_equal(take("part 80 1 one"), 0);
	assert_int_equal(take("part 160 2 another name"), 0);
}

static const struct listener_counters *counters_of(const char *name)
{
	for (size_t i = 0; i < sums.n; i++)
		if (strcmp(sums.list[i].name, name) == 0)
			return &sums.list[i].counters;
	fail_msg("%s is not there", name);
	return NULL;
}

static void test_numbers_are_known_by_their_names(void **state)
{
	const struct listener_counters *c;

	take_all();
	for (unsigned i = 0; i < NUMBERS; i++)
		numbers[i] = 1000 + i;
	counter_page_add(&page, false, &sums);
	assert_int_equal(sums.common.records_lost, 1001);
	assert_int_equal(((uint64_t *)&sums.common)[3], 1003);
	c = counters_of("another name");
	assert_int_equal(c->counted[COUNT_bytes_in], 1020);
	assert_int_equal(c->counted[COUNT_messages], 1022);
	assert_int_equal(c->reasons[REASON_idle], 1023);
	assert_int_equal(c->counted[COUNT_connections], 1024);
	assert_int_equal(c->counted[COUNT_closed], 0);
	assert_int_equal(c->counted[COUNT_replies], 0);
	assert_int_equal(sums.list[1].transport, 2);
	assert_int_equal(counter_page_open(&page, 5000), 1000);
}

static void test_numbers_go_on(void **state)
{
	take_all();
	numbers[12] = 5;
	counter_page_add(&page, false, &sums);
	numbers[12] = 7;
	sums_done(&sums);
	counter_page_add(&page, false, &sums);
	assert_int_equal(counters_of("one")->counted[COUNT_messages], 7);
}

static void test_nothing_is_open_in_the_end(void **state)
{
	take_all();
	numbers[14] = 9;
	counter_page_add(&page, true, &sums);
	assert_int_equal(counters_of("one")->counted[COUNT_closed], 9);
}

/* A sum that began anew would be below what the others have counted. */
static void test_a_child_may_write_any_number(void **state)
{
	struct listener_counters honest = {.counted = {[COUNT_messages] = 100}};

	take_all();
	memset(numbers, 0xff, NUMBERS * 8);
	sums_add(&sums, "one", &honest);
	counter_page_add(&page, false, &sums);
	assert_int_equal(counters_of("one")->counted[COUNT_messages], UINT64_MAX);
	assert_int_equal(counter_page_open(&page, 4096), 4096);
}

/* The page of a child of this program, twice handed on. */
static void test_own_page_is_described(void **state)
{
	char one[] = "one", two[] = "two words";
	struct conf_listener listeners[] = {
		{.name = one, .transport = CONF_TCP}, {.name = two, .transport = CONF_DTLS}};
	const struct conf conf = {.listeners = listeners, .n_listeners = 2};
	size_t size = counters_size(2);
	struct counters *counters = NULL;
	struct handover h;
	int fd = -1;

	assert_int_equal(fd_shared("page", size, &fd), 0);
	counters = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(counters != MAP_FAILED);
	for (unsigned turn = 0; turn < 2; turn++) {
		char *line, *rest = NULL;

		h = HANDOVER_EMPTY;
		assert_int_equal(handover_begin(&h, 0), 0);
		if (turn == 0)
			counter_page_describe_own(&h, fd, &conf);
		else
			counter_page_describe(&h, &page);
		fflush(h.state);
		counter_page_done(&page);
		for (line = strtok_r(h.text, "\n", &rest); line;
			line = strtok_r(NULL, "\n", &rest)) {
			assert_memory_equal(line, "page ", 5);
			assert_int_equal(counter_page_take(&page, line + 5), 0);
		}
		h.n_fds = 0; /* the page owns it now */
		handover_done(&h);
	}
	memset(&counters->common, 1, sizeof(counters->common));
	memset(counters->listeners, 2, 2 * sizeof(counters->listeners[0]));
	counters->open = 11;
	counter_page_add(&page, false, &sums);
	assert_memory_equal(&sums.common, &counters->common, sizeof(sums.common));
	assert_memory_equal(
		counters_of("one"), &counters->listeners[0], sizeof(struct listener_counters));
	assert_memory_equal(counters_of("two words"), &counters->listeners[1],
		sizeof(struct listener_counters));
	assert_int_equal(sums.list[1].transport, CONF_DTLS);
	assert_int_equal(counter_page_open(&page, 100), 11);
	munmap(counters, size);
	close(fd);
}

static void test_lines_without_sense(void **state)
{
	int soft = memfd_create("soft", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(take(""), -EINVAL);
	assert_int_equal(take("words"), -EINVAL);
	assert_int_equal(take("part 0 0 one"), -EINVAL); /* no page yet */
	assert_int_equal(take("fd 9999 0"), -EINVAL);
	assert_int_equal(take("fd x 0"), -EINVAL);
	assert_int_equal(ftruncate(soft, NUMBERS * 8), 0);
	assert_int_equal(take_fd_line(soft, 0), -EINVAL); /* it may shrink */
	counter_page_done(&page);
	assert_int_equal(take_fd_line(page_fd, NUMBERS * 8), -EINVAL);
	counter_page_done(&page);
	assert_int_equal(take_fd_line(page_fd, 4), -EINVAL);
	counter_page_done(&page);
	assert_int_equal(take_fd_line(page_fd, NUMBERS * 8 - 8), 0);
	assert_int_equal(take("part 0 0 one"), -EINVAL); /* no words yet */
	assert_int_equal(take("words messages replies"), 0);
	assert_int_equal(take("part 4088 0 one"), -EINVAL);
	assert_int_equal(take("part 4096 0 one"), -EINVAL);
	assert_int_equal(take("part -8 0 one"), -EINVAL);
	assert_int_equal(take("part 9223372036854775800 0 one"), -EINVAL);
	assert_int_equal(take("part 12 0 one"), -EINVAL);
	assert_int_equal(take("part 8 99 one"), -EINVAL);
	assert_int_equal(take("part 4080 1 one"), 0);
	counter_page_add(&page, false, &sums);
	close(soft);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
		TEST(numbers_are_known_by_their_names),
		TEST(numbers_go_on),
		TEST(nothing_is_open_in_the_end),
		TEST(a_child_may_write_any_number),
		TEST(own_page_is_described),
		TEST(lines_without_sense),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
