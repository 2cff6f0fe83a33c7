/* SPDX-License-Identifier: Apache-2.0 */

/* What of a flood gets written, and that the rest is counted. Time is moved by moving the window of
 * a site back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/logtext.h"

/* What the sink was given last, and how often. */
static struct {
	unsigned n;
	struct log_record record;
	char text[LOG_TEXT];
} seen;

static void remember(void *userdata, const struct log_record *record)
{
	assert_ptr_equal(userdata, &seen);
	seen.n++;
	seen.record = *record;
	snprintf(seen.text, sizeof(seen.text), "%s", record->text);
	errno = EDOM;
}

static int set_up(void **state)
{
	memset(&seen, 0, sizeof(seen));
	log_set_sink(remember, &seen);
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

static int tear_down(void **state)
{
	log_flush(UINT64_MAX);
	log_set_sink(NULL, NULL);
	return 0;
}

static void write_times(struct log_site *site, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		log_write(site, EVENT_PEER_REFUSED, ABOUT_NOTHING, "record %u", i);
}

static void test_record(void **state)
{
	const struct addr peer = {0};

	log_event(EVENT_ACCEPT_PAUSED,
		ABOUT(.listener = "tls", .peer = &peer, .error = -EMFILE, .reason = "files"),
		"out of %s", "descriptors");

	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.record.event, EVENT_ACCEPT_PAUSED);
	assert_int_equal(seen.record.level, LOG_LEVEL_WARNING);
	assert_string_equal(seen.record.about.listener, "tls");
	assert_ptr_equal(seen.record.about.peer, &peer);
	assert_int_equal(seen.record.about.error, -EMFILE);
	assert_string_equal(seen.record.about.reason, "files");
	assert_string_equal(seen.text, "out of descriptors");
	assert_int_equal(seen.record.suppressed, 0);
}

static void test_long_text_is_cut(void **state)
{
	log_event(EVENT_NOTICE, ABOUT_NOTHING, "%5000s", "x");

	assert_int_equal(strlen(seen.text), LOG_TEXT - 1);
}

static void test_errno_survives(void **state)
{
	static struct log_site site;

	for (unsigned i = 0; i <= LOG_BURST; i++) {
		errno = ENOENT;
		log_write(&site, EVENT_NOTICE, ABOUT_NOTHING, "%m");
		assert_int_equal(errno, ENOENT);
		assert_string_equal(seen.text, "No such file or directory");
	}
}

static void test_level(void **state)
{
	static struct log_site site;
	const struct log_record passed = {.level = LOG_LEVEL_DEBUG, .text = "x"};

	log_set_level(LOG_LEVEL_WARNING);
	assert_true(log_wants(EVENT_ACCEPT_PAUSED));
	assert_false(log_wants(EVENT_PEER_REFUSED));

	write_times(&site, 1);
	log_pass(&passed);
	assert_int_equal(seen.n, 0);

	/* What the level keeps out does not count against the rate. */
	assert_int_equal(site.written, 0);
	log_set_level(LOG_LEVEL_DEBUG);
	log_pass(&passed);
	assert_int_equal(seen.n, 1);
}

static void test_burst(void **state)
{
	static struct log_site flooded, other;

	write_times(&flooded, LOG_BURST + 7);
	assert_int_equal(seen.n, LOG_BURST);
	assert_string_equal(seen.text, "record 9");

	write_times(&other, 1);
	assert_int_equal(seen.n, LOG_BURST + 1);
}

static void test_next_window_tells(void **state)
{
	static struct log_site site;

	write_times(&site, LOG_BURST + 7);
	site.window_ms -= LOG_WINDOW_MS;
	write_times(&site, 1);
	assert_int_equal(seen.n, LOG_BURST + 1);
	assert_int_equal(seen.record.suppressed, 7);

	write_times(&site, 1);
	assert_int_equal(seen.record.suppressed, 0);

	/* All has been told, so nothing is left to say. */
	log_flush(clock_ms() + LOG_WINDOW_MS);
	assert_int_equal(seen.n, LOG_BURST + 2);
}

static void test_flush_tells_the_rest(void **state)
{
	static struct log_site first, second, quiet;

	write_times(&first, LOG_BURST + 3);
	write_times(&second, LOG_BURST + 4);
	write_times(&quiet, 1);
	assert_int_equal(seen.n, 2 * LOG_BURST + 1);

	log_flush(clock_ms());
	assert_int_equal(seen.n, 2 * LOG_BURST + 1);

	first.window_ms -= LOG_WINDOW_MS;
	log_flush(clock_ms());
	assert_int_equal(seen.n, 2 * LOG_BURST + 2);
	assert_int_equal(seen.record.suppressed, 3);
	assert_int_equal(seen.record.event, EVENT_PEER_REFUSED);

	second.window_ms -= LOG_WINDOW_MS;
	log_flush(clock_ms());
	assert_int_equal(seen.record.suppressed, 4);
	log_flush(clock_ms());
	assert_int_equal(seen.n, 2 * LOG_BURST + 3);

	/* A site that was told about is listed anew by its next flood. */
	write_times(&first, LOG_BURST + 5);
	first.window_ms -= LOG_WINDOW_MS;
	log_flush(clock_ms());
	assert_int_equal(seen.record.suppressed, 5);
}

static void test_tables(void **state)
{
	for (unsigned i = 0; i < N_LOG_EVENTS; i++) {
		enum log_event event = (enum log_event)i;

		assert_int_equal(strlen(log_event_id(event)), 32);
		assert_int_equal(strspn(log_event_id(event), "0123456789abcdef"), 32);
		assert_non_null(log_event_name(event));
		for (unsigned j = 0; j < i; j++) {
			assert_string_not_equal(
				log_event_id(event), log_event_id((enum log_event)j));
			assert_string_not_equal(
				log_event_name(event), log_event_name((enum log_event)j));
		}
	}
	assert_int_equal(log_event_level(EVENT_CHILD_DIED), LOG_LEVEL_ERROR);
	assert_string_equal(log_level_name(LOG_LEVEL_DEBUG), "debug");
}

/* Writes through the sink of main() while stderr is the pipe `to`. */
static void write_to_pipe(int to, const char *text)
{
	_cleanup_close_ int saved = dup(STDERR_FILENO);
	const struct log_record record = {
		.event = EVENT_NOTICE, .level = LOG_LEVEL_NOTICE, .text = text};

	log_set_sink(logtext_to_stderr, NULL);
	dup2(to, STDERR_FILENO);
	log_pass(&record);
	dup2(saved, STDERR_FILENO);
}

static void test_stderr(void **state)
{
	_cleanup_close_ int from = -1, to = -1;
	char text[128] = "";
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	from = ends[0];
	to = ends[1];

	write_to_pipe(to, "one\ntwo");
	assert_true(read(from, text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, " notice notice: one\\x0atwo\n"));

	/* The pipe is blocking and full: this returns, or the alarm ends the test. */
	assert_true(fcntl(to, F_SETPIPE_SZ, 4096) == 4096);
	assert_int_equal(write(to, (char[4096]){0}, 4096), 4096);
	alarm(60);
	write_to_pipe(to, "lost");
	alarm(0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_record),
		TEST(test_long_text_is_cut),
		TEST(test_errno_survives),
		TEST(test_level),
		TEST(test_burst),
		TEST(test_next_window_tells),
		TEST(test_flush_tells_the_rest),
		TEST(test_tables),
		TEST(test_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
