/* SPDX-License-Identifier: Apache-2.0 */

/* How many are let through, for one client, for its networks, and beside a flood. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/quota.h"

#define RATE 10

static const struct siphash_key key = {{3, 4}};

struct bench {
	struct quota *quota;
	uint64_t now_ms;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->quota = calloc(1, sizeof(*b->quota));
	b->now_ms = 1000000;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	free(b->quota);
	free(b);
	return 0;
}

static bool take_bytes(struct bench *b, const uint8_t address[static 16])
{
	const struct quota_request request = {QUOTA_DATAGRAMS, RATE, QUOTA_LEVELS, b->now_ms};

	return quota_take(b->quota, &key, address, &request) == 0;
}

static bool take(struct bench *b, const char *host)
{
	uint8_t address[16];

	assert_int_equal(inet_pton(AF_INET6, host, address), 1);
	return take_bytes(b, address);
}

/* How many of `n` requests at this moment are granted. */
static unsigned take_many(struct bench *b, const char *host, unsigned n)
{
	unsigned granted = 0;

	for (unsigned i = 0; i < n; i++)
		granted += take(b, host);
	return granted;
}

static void test_burst_is_twice_the_rate_and_comes_back(void **state)
{
	struct bench *b = *state;

	assert_int_equal(take_many(b, "::ffff:192.0.2.1", 1000), 2 * RATE);
	b->now_ms += 500;
	assert_int_equal(take_many(b, "::ffff:192.0.2.1", 1000), RATE / 2);
	b->now_ms += 60000;
	assert_int_equal(take_many(b, "::ffff:192.0.2.1", 1000), 2 * RATE);
}

static void test_client_of_ipv6_is_its_64(void **state)
{
	struct bench *b = *state;

	assert_int_equal(take_many(b, "2001:db8::1", 1000), 2 * RATE);
	assert_int_equal(take_many(b, "2001:db8::ffff:0:0:2", 1000), 0);
	assert_int_equal(take_many(b, "2001:db8:0:1::1", 1000), 2 * RATE);
}

/* What is granted to hosts that differ in one byte, all together. */
static unsigned take_each(struct bench *b, const char *host, unsigned byte, unsigned hosts)
{
	unsigned granted = 0;
	uint8_t address[16];

	assert_int_equal(inet_pton(AF_INET6, host, address), 1);
	for (unsigned i = 1; i <= hosts; i++) {
		address[byte] = (uint8_t)i;
		for (unsigned j = 0; j < 100; j++)
			granted += take_bytes(b, address);
	}
	return granted;
}

static void test_networks_share_a_multiple(void **state)
{
	struct bench *b = *state;

	assert_int_equal(take_each(b, "::ffff:192.0.2.0", 15, 250), 4 * 2 * RATE);
	assert_int_equal(take_each(b, "2001:db8::1", 7, 255), 4 * 2 * RATE);
	assert_int_equal(take_each(b, "::ffff:10.0.0.1", 14, 15), 15 * 2 * RATE);
	assert_int_equal(take_each(b, "::ffff:10.1.0.1", 14, 255), 255 * 2 * RATE);
	assert_int_equal(take_each(b, "::ffff:10.2.64.1", 14, 15), 15 * 2 * RATE);
	assert_int_equal(take_each(b, "2001:db8:1::1", 6, 255), 16 * 2 * RATE);
}

/* The network that is short, the nearest first, and what it may have. */
static void test_the_network_that_is_short_is_found(void **state)
{
	struct bench *b = *state;
	const struct quota_request request = {QUOTA_DATAGRAMS, RATE, QUOTA_LEVELS, b->now_ms};
	struct quota_spent spent;
	uint8_t host[16];

	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", host), 1);
	take_many(b, "::ffff:192.0.2.1", 1000);
	spent = quota_find_spent(b->quota, &key, host, &request);
	assert_int_equal(spent.bits, 128);
	assert_int_equal(spent.per_second, RATE);

	take_each(b, "::ffff:192.0.2.0", 15, 250);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.255", host), 1);
	spent = quota_find_spent(b->quota, &key, host, &request);
	assert_int_equal(spent.bits, 120);
	assert_int_equal(spent.per_second, 4 * RATE);

	take_each(b, "2001:db8:1::1", 6, 255);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:ffff::1", host), 1);
	spent = quota_find_spent(b->quota, &key, host, &request);
	assert_int_equal(spent.bits, 48);
	assert_int_equal(spent.per_second, 16 * RATE);
}

static void test_kinds_are_counted_apart(void **state)
{
	struct bench *b = *state;
	const struct quota_request other = {QUOTA_UNCHANGED, RATE, 1, b->now_ms};
	const uint8_t host[16] = {0x20, 0x01};

	take_many(b, "2001::", 1000);
	assert_int_equal(quota_take(b->quota, &key, host, &other), 0);
}

/* A million addresses of everywhere, in a second, beside a network that is held and a client that asks
 * as often as it may. */
static void test_flood_washes_nothing_out(void **state)
{
	struct bench *b = *state;
	unsigned honest = 0, held = 0;
	uint8_t host[16] = {[10] = 0xff, [11] = 0xff};

	for (unsigned i = 0; i < 1000000; i++) {
		uint32_t random = i * 2654435761u;

		memcpy(host + 12, &random, sizeof(random));
		take_bytes(b, host);
		if (i % 1000 == 0)
			b->now_ms++;
		if (i % (1000000 / RATE) == 0)
			honest += take(b, "2001:db8:5::1");
		if (i % 100 == 0)
			held += take(b, "2001:db8:6::1");
	}
	assert_int_equal(honest, RATE);
	assert_in_range(held, 3 * RATE - 1, 3 * RATE + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_burst_is_twice_the_rate_and_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_of_ipv6_is_its_64, setup, teardown),
		cmocka_unit_test_setup_teardown(test_networks_share_a_multiple, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_the_network_that_is_short_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_are_counted_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood_washes_nothing_out, setup, teardown),
	};

	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
