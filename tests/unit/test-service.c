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
	const struct service *service;
	const char *text;
	size_t room;
	const char *expected;
	size_t taken;
	int outcome;
};

static const struct conversation conversations[] = {
	{&service_uppercase, "stra\u00DFe\n", 9, "STRASSE\n", 8, 0},
	{&service_uppercase, "stra\u00DFe\n", 5, "STRA", 4, UPPER_E_ROOM},
	{&service_uppercase, "\xC3", 9, "", 0, UPPER_E_UNFINISHED},
	{&service_uppercase, "", 0, "", 0, 0},
	{&service_echo, "stra\u00DFe\xFF", 9, "stra\u00DFe\xFF", 8, 0},
	{&service_echo, "\xC3", 9, "\xC3", 1, 0},
	{&service_echo, "echo", 3, "ech", 3, UPPER_E_ROOM},
	{&service_echo, "echo", 0, "", 0, UPPER_E_ROOM},
	{&service_echo, "", 0, "", 0, 0},
	{&service_acknowledge, "any", 17, "Message received.", 3, 0},
	{&service_acknowledge, "any", 16, "", 0, UPPER_E_ROOM},
	{&service_acknowledge, "\xFF\n\n", 100, "Message received.", 3, 0},
	{&service_acknowledge, "", 100, "", 0, 0},
};

static void hold(const struct conversation *c)
{
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	const uint8_t *text = guard_copy(input, c->text, strlen(c->text));
	uint8_t *room = guard_tail(output, c->room);
	struct upper_in in = {text, text + strlen(c->text)};
	struct upper_out out = {room, room + c->room};

	assert_int_equal(c->service->answer(&rule, false, &in, &out), c->outcome);
	assert_int_equal(in.at - text, c->taken);
	assert_int_equal(out.at - room, strlen(c->expected));
	assert_memory_equal(room, c->expected, strlen(c->expected));
}

static void test_conversations(void **state)
{
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		print_message("# %s, row %zu\n", conversations[i].service->name, i);
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

		assert_true(service_uppercase.is_bytewise(copy, len));
		for (size_t at = 0; at < len; at++) {
			text[at] = 0x80;
			copy = guard_copy(input, text, len);
			assert_false(service_uppercase.is_bytewise(copy, len));
			text[at] = 'a';
		}
	}
	assert_null(service_echo.is_bytewise);
	assert_null(service_acknowledge.is_bytewise);
}

static void test_names_and_manners(void **state)
{
	assert_string_equal(service_uppercase.name, "uppercase");
	assert_string_equal(service_echo.name, "echo");
	assert_string_equal(service_acknowledge.name, "acknowledge");
	assert_false(service_uppercase.whole);
	assert_false(service_echo.whole);
	assert_true(service_acknowledge.whole);
}

static void test_no_spans_at_all(void **state)
{
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	const struct service *services[] = {
		&service_uppercase, &service_echo, &service_acknowledge};
	struct upper_in in = {NULL, NULL};
	struct upper_out out = {NULL, NULL};

	for (size_t i = 0; i < 3; i++)
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
		cmocka_unit_test(test_names_and_manners),
		cmocka_unit_test(test_no_spans_at_all),
	};

	return cmocka_run_group_tests_name("service", tests, set_up, NULL);
}
