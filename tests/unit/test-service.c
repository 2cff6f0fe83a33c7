/* SPDX-License-Identifier: Apache-2.0 */

/* Each service against a message, in one piece and with too little room. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/service.h"
#include "guard.h"

static struct guard input, output;

struct conversation {
	enum service_kind service;
	const char *text;
	size_t room;
	const char *expected;
	size_t taken;
	int outcome;
};

static const struct conversation conversations[] = {
	{SERVICE_uppercase, "stra\u00DFe\n", 9, "STRASSE\n", 8, 0},
	{SERVICE_uppercase, "stra\u00DFe\n", 5, "STRA", 4, UPPER_E_ROOM},
	{SERVICE_uppercase, "\xC3", 9, "", 0, UPPER_E_UNFINISHED},
	{SERVICE_uppercase, "", 0, "", 0, 0},
	{SERVICE_echo, "stra\u00DFe\xFF", 9, "stra\u00DFe\xFF", 8, 0},
	{SERVICE_echo, "\xC3", 9, "\xC3", 1, 0},
	{SERVICE_echo, "echo", 3, "ech", 3, UPPER_E_ROOM},
	{SERVICE_echo, "echo", 0, "", 0, UPPER_E_ROOM},
	{SERVICE_echo, "", 0, "", 0, 0},
	{SERVICE_acknowledge, "any", 17, "Message received.", 3, 0},
	{SERVICE_acknowledge, "any", 16, "", 0, UPPER_E_ROOM},
	{SERVICE_acknowledge, "\xFF\n\n", 100, "Message received.", 3, 0},
	{SERVICE_acknowledge, "", 100, "", 0, 0},
};

static void hold(const struct conversation *c)
{
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	const uint8_t *text = guard_copy(input, c->text, strlen(c->text));
	uint8_t *room = guard_tail(output, c->room);
	struct upper_in in = {text, text + strlen(c->text)};
	struct upper_out out = {room, room + c->room};

	assert_int_equal(services[c->service]->answer(&rule, false, &in, &out), c->outcome);
	assert_int_equal(in.at - text, c->taken);
	assert_int_equal(out.at - room, strlen(c->expected));
	assert_memory_equal(room, c->expected, strlen(c->expected));
}

static void test_conversations(void **state)
{
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		print_message("# row %zu\n", i);
		hold(&conversations[i]);
	}
}

/* With the one byte that is not ASCII at every place. */
static void test_only_ascii_goes_byte_by_byte(void **state)
{
	uint8_t text[150];

	memset(text, 'a', sizeof(text));
	for (size_t len = 0; len <= sizeof(text); len++) {
		const uint8_t *copy = guard_copy(input, text, len);

		assert_true(services[SERVICE_uppercase]->is_bytewise(copy, len));
		for (size_t at = 0; at < len; at++) {
			text[at] = 0x80;
			copy = guard_copy(input, text, len);
			assert_false(services[SERVICE_uppercase]->is_bytewise(copy, len));
			text[at] = 'a';
		}
	}
	assert_null(services[SERVICE_echo]->is_bytewise);
	assert_null(services[SERVICE_acknowledge]->is_bytewise);
}

/* One that is a row of SERVICES and in no conversation has not been tried. */
static void test_each_service_is_tried(void **state)
{
	for (int kind = 0; kind < N_SERVICES; kind++) {
		size_t n = 0;

		for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++)
			n += conversations[i].service == (enum service_kind)kind;
		assert_true(n >= 3);
	}
}

static void test_no_spans_at_all(void **state)
{
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	struct upper_in in = {NULL, NULL};
	struct upper_out out = {NULL, NULL};

	for (size_t i = 0; i < N_SERVICES; i++)
		assert_int_equal(services[i]->answer(&rule, true, &in, &out), 0);
}

static int set_up(void **state)
{
	input = guard_new();
	output = guard_new();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversations),
		cmocka_unit_test(test_only_ascii_goes_byte_by_byte),
		cmocka_unit_test(test_each_service_is_tried),
		cmocka_unit_test(test_no_spans_at_all),
	};

	return cmocka_run_group_tests_name("service", tests, set_up, NULL);
}
