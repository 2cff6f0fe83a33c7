/* SPDX-License-Identifier: Apache-2.0 */

/* Counting connections by client, and penalties that grow and are forgotten. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/clients.h"

static const struct siphash_key key = {{5, 6}};
static struct clients *clients;
static struct penalties *penalties;

static int setup(void **state)
{
	clients = calloc(1, sizeof(*clients));
	penalties = calloc(1, sizeof(*penalties));
	return clients && penalties ? 0 : -1;
}

static int teardown(void **state)
{
	free(clients);
	free(penalties);
	return 0;
}

static const uint8_t *host_of(const char *text)
{
	static uint8_t host[16];

	assert_int_equal(inet_pton(AF_INET6, text, host), 1);
	return host;
}

static int enter(const char *host, uint64_t limit)
{
	size_t slot;

	return clients_enter(clients, &key, host_of(host), limit, &slot);
}

static void leave(const char *host, uint64_t n)
{
	size_t slot;

	assert_int_equal(clients_find(clients, &key, host_of(host), &slot), 0);
	clients_leave(clients, slot, n);
}

static void test_limit_is_for_a_client(void **state)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(enter("2001:db8::1", 3), 0);
	assert_int_equal(enter("2001:db8::2", 3), CLIENTS_E_FULL);
	assert_int_equal(enter("2001:db8:0:1::1", 3), 0);
	assert_int_equal(enter("::ffff:192.0.2.1", 1), 0);
	assert_int_equal(enter("::ffff:192.0.2.1", 1), CLIENTS_E_FULL);
	assert_int_equal(enter("::ffff:192.0.2.2", 1), 0);
	assert_int_equal(enter("::ffff:192.0.2.1", 0), 0);
	leave("2001:db8::3", 1);
	assert_int_equal(enter("2001:db8::1", 3), 0);
}

static void test_more_cannot_leave_than_came(void **state)
{
	size_t slot;

	assert_int_equal(enter("2001:db8::1", 3), 0);
	leave("2001:db8::1", 1000);
	assert_int_equal(
		clients_find(clients, &key, host_of("2001:db8::1"), &slot), CLIENTS_E_NO_SLOT);
	assert_int_equal(enter("2001:db8::1", 1), 0);
}

/* Whoever finds no slot is told so, and nobody loses theirs. */
static void test_full_table(void **state)
{
	unsigned let_in = 0;
	uint8_t host[16] = {0x20};
	size_t slot;

	for (uint32_t i = 0; i < 4 * CLIENTS_SLOTS; i++) {
		memcpy(host + 2, &i, sizeof(i));
		let_in += clients_enter(clients, &key, host, 1, &slot) == 0;
	}
	assert_in_range(let_in, CLIENTS_SLOTS * 9 / 10, CLIENTS_SLOTS);
}

static bool is_away(const char *host, uint64_t now_ms)
{
	return penalties_has(penalties, &key, host_of(host), now_ms);
}

static void test_penalties_grow(void **state)
{
	static const uint64_t seconds[] = {
		0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600};
	uint64_t now_ms = 1000;

	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		assert_int_equal(penalties_add(penalties, &key, host_of("2001:db8::1"), now_ms),
			1000 * seconds[i]);
		assert_int_equal(is_away("2001:db8::9", now_ms), seconds[i] > 0);
		assert_false(is_away("2001:db8::1", now_ms + 1000 * seconds[i]));
		assert_false(is_away("2001:db8:1::1", now_ms));
	}
	assert_int_equal(penalties_clear(penalties), 1);
	assert_false(is_away("2001:db8::1", now_ms));
}

static void test_half_is_forgotten(void **state)
{
	uint64_t now_ms = 1000;

	for (int i = 0; i < 8; i++)
		penalties_add(penalties, &key, host_of("2001:db8::1"), now_ms);
	now_ms += PENALTY_HALF_MS;
	assert_int_equal(penalties_add(penalties, &key, host_of("2001:db8::1"), now_ms), 2000);
	now_ms += 10 * PENALTY_HALF_MS;
	assert_int_equal(penalties_add(penalties, &key, host_of("2001:db8::1"), now_ms), 0);
}

/* Workers count together, and the clock of one may be behind that of another. */
static void test_older_clock_forgets_nothing(void **state)
{
	for (uint64_t i = 0; i < PENALTY_FREE; i++)
		penalties_add(penalties, &key, host_of("2001:db8::1"), 1000 - i % 2);
	assert_int_equal(penalties_add(penalties, &key, host_of("2001:db8::1"), 998), 1000);
	assert_true(is_away("2001:db8::1", 999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_limit_is_for_a_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_cannot_leave_than_came, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_penalties_grow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_older_clock_forgets_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
