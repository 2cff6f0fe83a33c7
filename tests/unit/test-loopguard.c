/* SPDX-License-Identifier: Apache-2.0 */

/* Who is never answered, as rows; and when a row of the same datagrams is a loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loopguard.h"

static const struct siphash_key key = {{1, 2}};
static struct own_ports own;

static struct datagram_ends ends_of(const char *source, uint16_t port, const char *destination)
{
	struct datagram_ends ends = {.source_port = port};

	assert_int_equal(inet_pton(AF_INET6, source, ends.source), 1);
	assert_int_equal(inet_pton(AF_INET6, destination, ends.destination), 1);
	return ends;
}

struct row {
	const char *source;
	uint16_t port;
	const char *destination;
	bool broadcast;
	int outcome;
};

/* clang-format off */
static const struct row rows[] = {
	{"::ffff:192.0.2.1", 1024, "::ffff:192.0.2.2", false, 0},
	{"2001:db8::1", 65535, "2001:db8::2", false, 0},
	{"::1", 5000, "::1", false, 0},
	{"::ffff:192.0.2.1", 0, "::ffff:192.0.2.2", false, LOOPGUARD_E_PORT},
	{"::ffff:192.0.2.1", 1023, "::ffff:192.0.2.2", false, LOOPGUARD_E_PORT},
	{"::ffff:192.0.2.1", 12000, "::ffff:192.0.2.2", false, LOOPGUARD_E_PORT},
	{"::ffff:192.0.2.1", 12001, "::ffff:192.0.2.2", false, 0},
	{"::ffff:192.0.2.1", 11999, "::ffff:192.0.2.2", false, 0},
	{"::ffff:192.0.2.1", 5000, "::ffff:192.0.2.255", true, LOOPGUARD_E_MULTICAST},
	{"::ffff:224.0.0.1", 5000, "::ffff:192.0.2.2", false, LOOPGUARD_E_MULTICAST},
	{"::ffff:255.255.255.255", 5000, "::ffff:192.0.2.2", false, LOOPGUARD_E_MULTICAST},
	{"::ffff:0.0.0.0", 5000, "::ffff:192.0.2.2", false, LOOPGUARD_E_MULTICAST},
	{"::", 5000, "2001:db8::2", false, LOOPGUARD_E_MULTICAST},
	{"ff02::1", 5000, "2001:db8::2", false, LOOPGUARD_E_MULTICAST},
	{"2001:db8::1", 5000, "ff02::1", false, LOOPGUARD_E_MULTICAST},
	{"::ffff:192.0.2.1", 5000, "::ffff:239.0.0.1", false, LOOPGUARD_E_MULTICAST},
};
/* clang-format on */

static void test_rows(void **state)
{
	static const struct loopguard empty;

	own_ports_add(&own, 12000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct datagram_ends ends =
			ends_of(rows[i].source, rows[i].port, rows[i].destination);

		ends.broadcast = rows[i].broadcast;
		assert_int_equal(loopguard_ask(&empty, &key, &own, &ends, 1000), rows[i].outcome);
	}
}

static int send_many(
	struct loopguard *guard, const char *text, unsigned n, uint64_t every_ms, uint64_t *now_ms)
{
	const struct datagram_ends ends = ends_of("2001:db8::1", 5000, "2001:db8::2");
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++) {
		r = loopguard_unchanged(guard, &key, &ends, text, strlen(text), *now_ms);
		*now_ms += every_ms;
	}
	return r;
}

static int ask(const struct loopguard *guard, uint16_t port, uint64_t now_ms)
{
	const struct datagram_ends ends = ends_of("2001:db8::1", port, "2001:db8::2");

	return loopguard_ask(guard, &key, &own, &ends, now_ms);
}

static void test_sixteen_are_a_loop(void **state)
{
	struct loopguard *guard = calloc(1, sizeof(*guard));
	uint64_t now_ms = 1000000;

	assert_int_equal(send_many(guard, "A", LOOPGUARD_RUN - 1, 10, &now_ms), 0);
	assert_int_equal(ask(guard, 5000, now_ms), 0);
	assert_int_equal(send_many(guard, "A", 1, 0, &now_ms), LOOPGUARD_E_LOOP);
	assert_int_equal(ask(guard, 5000, now_ms), LOOPGUARD_E_SILENCED);
	assert_int_equal(ask(guard, 5001, now_ms), 0);
	assert_int_equal(
		ask(guard, 5000, now_ms + LOOPGUARD_SILENT_MS - 1000), LOOPGUARD_E_SILENCED);
	assert_int_equal(ask(guard, 5000, now_ms + LOOPGUARD_SILENT_MS + 1000), 0);
	free(guard);
}

static void test_rows_do_not_break_each_other(void **state)
{
	struct loopguard *guard = calloc(1, sizeof(*guard));
	uint64_t now_ms = 1000000;
	int r = 0;

	for (unsigned round = 0; round < LOOPGUARD_RUN; round++)
		for (unsigned i = 0; i < 500 && r == 0; i++) {
			char text[16];

			snprintf(text, sizeof(text), "loop %u", i);
			r = send_many(guard, text, 1, 0, &now_ms);
		}
	assert_int_equal(r, LOOPGUARD_E_LOOP);
	free(guard);
}

static void test_a_pause_ends_a_row(void **state)
{
	struct loopguard *guard = calloc(1, sizeof(*guard));
	uint64_t now_ms = 1000000;

	assert_int_equal(send_many(guard, "A", 1000, LOOPGUARD_GAP_MS + 256, &now_ms), 0);
	assert_int_equal(
		send_many(guard, "A", 1000, LOOPGUARD_GAP_MS / 2, &now_ms), LOOPGUARD_E_LOOP);
	free(guard);
}

/* Its neighbour is a moment ahead, and in the next of the ticks by which entries are told. */
static void test_older_clock_breaks_no_row(void **state)
{
	struct loopguard *guard = calloc(1, sizeof(*guard));
	uint64_t now_ms = 256 * 4000, behind_ms = now_ms - 1;

	for (unsigned i = 0; i < LOOPGUARD_RUN / 2 - 1; i++) {
		assert_int_equal(send_many(guard, "A", 1, 0, &now_ms), 0);
		assert_int_equal(send_many(guard, "A", 1, 0, &behind_ms), 0);
	}
	assert_int_equal(send_many(guard, "A", 1, 0, &now_ms), 0);
	assert_int_equal(send_many(guard, "A", 1, 0, &now_ms), LOOPGUARD_E_LOOP);
	assert_int_equal(ask(guard, 5000, now_ms - 1), LOOPGUARD_E_SILENCED);
	free(guard);
}

/* The table is small, and whoever fills it must not lift a silence with that. */
static void test_a_flood_lifts_no_silence(void **state)
{
	struct loopguard *guard = calloc(1, sizeof(*guard));
	uint64_t now_ms = 1000000;

	assert_int_equal(send_many(guard, "A", LOOPGUARD_RUN, 0, &now_ms), LOOPGUARD_E_LOOP);
	for (unsigned i = 0; i < 100000; i++) {
		struct datagram_ends ends = ends_of("2001:db8::3", 6000, "2001:db8::2");

		loopguard_unchanged(guard, &key, &ends, &i, sizeof(i), now_ms + i / 1000);
	}
	assert_int_equal(ask(guard, 5000, now_ms + 200), LOOPGUARD_E_SILENCED);
	free(guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_sixteen_are_a_loop),
		cmocka_unit_test(test_rows_do_not_break_each_other),
		cmocka_unit_test(test_a_pause_ends_a_row),
		cmocka_unit_test(test_older_clock_breaks_no_row),
		cmocka_unit_test(test_a_flood_lifts_no_silence),
	};

	return cmocka_run_group_tests_name("loopguard", tests, NULL, NULL);
}
