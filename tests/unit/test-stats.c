/* SPDX-License-Identifier: Apache-2.0 */

/* Statistics survive an upgrade, also to a build that counts other things. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "supervisor/stats.h"

/* The handover of `before`, taken up by `after` line by line. */
static void hand_over(const struct stats *before, struct stats *after)
{
	_cleanup_free_ char *text = NULL;
	char *line, *rest = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	stats_describe(before, &before->history, out);
	fclose(out);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "lasting ", 8) == 0)
			stats_take_lasting(after, line + 8);
		else if (strncmp(line, "listener ", 9) == 0)
			stats_take_listener(after, line + 9);
		else if (strncmp(line, "started ", 8) == 0)
			stats_take_started(after, line + 8);
		else if (strncmp(line, "common ", 7) == 0)
			stats_take_common(after, line + 7);
		else
			fail_msg("%s", line);
	}
}

static void test_everything_is_handed_over(void **state)
{
	struct stats before = {.started_ms = 4711,
		.lasting = {.started = 1795229903,
			.generation = 7,
			.reloads = 5,
			.failed_reloads = 2,
			.replaced = {[ROLE_KEEPER] = 9}}};
	struct stats after = {0};
	struct listener_counters counters;

	for (int i = 0; i < N_COUNTERS; i++)
		counters.counted[i] = 1000 + (unsigned)i;
	for (int i = 0; i < N_REASONS; i++)
		counters.reasons[i] = 2000 + (unsigned)i;
	memset(&counters.handshakes, 3,
		sizeof(counters) - offsetof(struct listener_counters, handshakes));
	memset(&before.history.common, 5, sizeof(before.history.common));
	sums_add(&before.history, "a name", &counters);
	sums_add(&before.history, "name", &counters);
	hand_over(&before, &after);
	assert_int_equal(after.started_ms, before.started_ms);
	assert_memory_equal(&after.lasting, &before.lasting, sizeof(after.lasting));
	assert_int_equal(after.history.n, 2);
	assert_string_equal(after.history.list[0].name, "a name");
	assert_string_equal(after.history.list[1].name, "name");
	/* Open connections stay with the program before. */
	counters.counted[COUNT_closed] = counters.counted[COUNT_connections];
	assert_memory_equal(&after.history.list[1].counters, &counters, sizeof(counters));
	assert_memory_equal(
		&after.history.common, &before.history.common, sizeof(struct common_counters));
	sums_done(&before.history);
	sums_done(&after.history);
}

static void test_words_of_another_build_are_skipped(void **state)
{
	char lasting[] = "new 8 reloads 3 replaced_janitor 8 replaced_worker 6";
	char listener[] = "messages 5 marvels 7 ended_boredom 2 ended_idle 4 name a";
	char broken[] = "messages";
	struct stats stats = {0};

	stats_take_lasting(&stats, lasting);
	assert_int_equal(stats.lasting.reloads, 3);
	assert_int_equal(stats.lasting.replaced[ROLE_WORKER], 6);
	stats_take_listener(&stats, listener);
	stats_take_listener(&stats, broken);
	assert_int_equal(stats.history.n, 1);
	assert_int_equal(stats.history.list[0].counters.counted[COUNT_messages], 5);
	assert_int_equal(stats.history.list[0].counters.reasons[REASON_idle], 4);
	sums_done(&stats.history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_is_handed_over),
		cmocka_unit_test(test_words_of_another_build_are_skipped),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
