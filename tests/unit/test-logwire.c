/* SPDX-License-Identifier: Apache-2.0 */

/* Records on their way to the supervisor: what was packed comes back, and what a hostile sender
 * could send instead is refused or harmless. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/logwire.h"
#include "seed.h"

#define ROUNDS 50000

/* Where the fixed head holds what, and where it ends. */
enum { AT_EVENT = 8, AT_ERROR = 16, AT_PEER_LEN = 20, AT_PEER = 24 };

static struct log_record sample(const char *peer)
{
	static struct addr addr;
	struct log_record record = {.event = EVENT_PEER_REFUSED,
		.level = LOG_LEVEL_NOTICE,
		.about = {.listener = "tls", .role = "worker 1", .pid = 77, .error = -104},
		.suppressed = UINT64_C(1) << 40,
		.text = "too many connections at once from one network, which is what this limit "
			"is "
			"for; the sentence is longer than the largest address, so that a wrong "
			"length of one finds enough to read"};

	if (peer && (*peer == '/' || *peer == '@'))
		assert_int_equal(addr_parse_unix(peer, &addr), 0);
	else if (peer)
		assert_int_equal(addr_parse(peer, 4242, &addr), 0);
	record.about.peer = peer ? &addr : NULL;

	return record;
}

static void same_string(const char *a, const char *b)
{
	if (a && b)
		assert_string_equal(a, b);
	else
		assert_ptr_equal(a, b);
}

static void same_record(const struct log_record *a, const struct log_record *b)
{
	assert_int_equal(a->event, b->event);
	assert_int_equal(a->level, b->level);
	assert_int_equal(a->suppressed, b->suppressed);
	assert_int_equal(a->about.pid, b->about.pid);
	assert_int_equal(a->about.error, b->about.error);
	same_string(a->about.listener, b->about.listener);
	same_string(a->about.role, b->about.role);
	same_string(a->about.reason, b->about.reason);
	same_string(a->text, b->text);
	assert_int_equal(!a->about.peer, !b->about.peer);
	if (a->about.peer)
		assert_true(addr_equal(a->about.peer, b->about.peer));
}

static void test_round_trip(void **state)
{
	static const char *const peers[] = {
		NULL, "192.0.2.1", "2001:db8::1", "fe80::1%2", "/run/x", "@x"};

	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		struct log_record record = sample(peers[i]), back;
		unsigned char wire[LOGWIRE_MAX];
		struct addr peer;
		size_t len = logwire_pack(&record, wire);

		assert_int_equal(logwire_unpack(wire, len, &back, &peer), 0);
		same_record(&record, &back);
	}
}

static void test_long_strings_are_cut(void **state)
{
	struct log_record record = sample("@x"), back;
	unsigned char wire[LOGWIRE_MAX];
	char longest[2 * LOG_TEXT];
	struct addr peer;
	size_t len;

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	record.text = longest;
	record.about.listener = record.about.role = record.about.reason = longest;

	len = logwire_pack(&record, wire);
	assert_int_equal(logwire_unpack(wire, len, &back, &peer), 0);
	assert_int_equal(strlen(back.about.listener), LOGWIRE_WORD);
	assert_int_equal(strlen(back.about.reason), LOGWIRE_WORD);
	assert_int_equal(strlen(back.text), LOG_TEXT - 1);
}

/* One length alone is whole: neither a byte less nor a byte more. */
static void test_every_other_length(void **state)
{
	struct log_record record = sample("2001:db8::1"), back = {.text = "untouched"};
	unsigned char wire[LOGWIRE_MAX + 1] = {0};
	struct addr peer;
	size_t len = logwire_pack(&record, wire);

	for (size_t i = 0; i <= sizeof(wire); i++) {
		if (i == len)
			continue;
		assert_int_equal(logwire_unpack(wire, i, &back, &peer), LOGWIRE_E_MALFORMED);
		assert_string_equal(back.text, "untouched");
	}
}

static void refuse_with(size_t at, uint32_t value, size_t size)
{
	struct log_record record = sample("192.0.2.1"), back;
	unsigned char wire[LOGWIRE_MAX];
	struct addr peer;
	size_t len = logwire_pack(&record, wire);

	assert_int_equal(logwire_unpack(wire, len, &back, &peer), 0);
	memcpy(wire + at, &value, size);
	assert_int_equal(logwire_unpack(wire, len, &back, &peer), LOGWIRE_E_MALFORMED);
}

static void test_refused(void **state)
{
	const size_t listener = AT_PEER + sizeof(struct sockaddr_in);

	refuse_with(AT_EVENT, N_LOG_EVENTS, 4);
	refuse_with(AT_EVENT, UINT32_MAX, 4);
	refuse_with(AT_ERROR, (uint32_t)INT32_MIN, 4);
	refuse_with(AT_ERROR, 4096, 4);
	refuse_with(AT_PEER_LEN, 0, 4);
	refuse_with(AT_PEER_LEN, 1, 4);
	refuse_with(AT_PEER_LEN, sizeof(struct sockaddr_in) - 1, 4);
	refuse_with(AT_PEER_LEN, sizeof(struct addr) + 16, 4);
	refuse_with(AT_PEER_LEN, UINT32_MAX, 4);
	refuse_with(AT_PEER, AF_INET6, 2);
	refuse_with(AT_PEER, AF_NETLINK, 2);
	refuse_with(listener, 3, 2); /* one less than "tls" and its NUL */
	refuse_with(listener, 5, 2);
	refuse_with(listener, UINT16_MAX, 2);
	refuse_with(listener + 3, 0, 1);   /* a NUL within */
	refuse_with(listener + 5, 'x', 1); /* no NUL at the end */
}

/* Addresses that no call of the kernel's would have returned. */
static void test_peers_refused(void **state)
{
	static const struct {
		sa_family_t family;
		socklen_t len;
	} cases[] = {
		{AF_UNSPEC, sizeof(sa_family_t)},
		{AF_UNIX, sizeof(sa_family_t) - 1},
		{AF_UNIX, sizeof(struct sockaddr_un) + 1},
		{AF_INET, sizeof(struct sockaddr_in) - 1},
		{AF_INET, sizeof(struct sockaddr_in6)},
		{AF_INET6, sizeof(struct sockaddr_in6) - 1},
		{AF_NETLINK, sizeof(struct sockaddr_in)},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct addr peer = {
			.len = cases[i].len, .sa = {.sa_family = cases[i].family}};
		struct log_record record = sample(NULL), back;
		unsigned char wire[LOGWIRE_MAX];
		struct addr from;

		record.about.peer = &peer;
		assert_int_equal(logwire_unpack(wire, logwire_pack(&record, wire), &back, &from),
			LOGWIRE_E_MALFORMED);
	}
}

/* The bounds hold for who reads too: here a word one longer than any sender of ours would make. */
static void test_long_word_refused(void **state)
{
	const uint16_t size = LOGWIRE_WORD + 2;
	struct log_record record = sample(NULL), back;
	unsigned char wire[LOGWIRE_MAX], longer[2 * LOGWIRE_MAX];
	struct addr peer;
	size_t len, rest = AT_PEER + 2;

	record.about.listener = NULL;
	len = logwire_pack(&record, wire);

	memset(longer, 'x', sizeof(longer));
	memcpy(longer, wire, AT_PEER);
	memcpy(longer + AT_PEER, &size, 2);
	longer[rest + size - 1] = '\0';
	memcpy(longer + rest + size, wire + rest, len - rest);
	assert_int_equal(logwire_unpack(longer, len + size, &back, &peer), LOGWIRE_E_MALFORMED);
}

static void test_text_is_a_must(void **state)
{
	struct log_record record = sample(NULL), back;
	unsigned char wire[LOGWIRE_MAX];
	struct addr peer;

	record.text = NULL;
	assert_int_equal(logwire_unpack(wire, logwire_pack(&record, wire), &back, &peer),
		LOGWIRE_E_MALFORMED);
}

/* Whatever is accepted packs to the very same bytes: so there is one form, and nothing is read that
 * was not sent. The copy has the exact size, for the sanitizers to watch its end. */
static void check_accepted(const unsigned char *wire, size_t len)
{
	unsigned char *copy = test_malloc(len ? len : 1), again[LOGWIRE_MAX];
	struct log_record record;
	struct addr peer;

	memcpy(copy, wire, len);
	if (logwire_unpack(copy, len, &record, &peer) == 0) {
		assert_int_equal(logwire_pack(&record, again), len);
		assert_memory_equal(again, copy, len);
	}
	test_free(copy);
}

static void test_hostile(void **state)
{
	uint64_t seed = seed_new("hostile");

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct log_record record = sample(seed_below(&seed, 2) ? "@x" : "192.0.2.1");
		unsigned char wire[LOGWIRE_MAX];
		size_t len = logwire_pack(&record, wire);

		for (size_t changes = 1 + seed_below(&seed, 3); changes > 0; changes--)
			wire[seed_below(&seed, len)] = (unsigned char)seed_below(
				&seed, seed_below(&seed, 8) == 0 ? 256 : 16);
		check_accepted(wire, seed_below(&seed, 4) == 0 ? seed_below(&seed, len) : len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_long_strings_are_cut),
		cmocka_unit_test(test_every_other_length),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_peers_refused),
		cmocka_unit_test(test_long_word_refused),
		cmocka_unit_test(test_text_is_a_must),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
