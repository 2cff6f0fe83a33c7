/* SPDX-License-Identifier: Apache-2.0 */

/* ClientHellos, whole and broken in every place, and the one answer to them that needs no memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "core/hello.h"
#include "guard.h"

static struct guard guard;

/* Where things are in a hello with a session id of no bytes. */
enum {
	TYPE = 0,
	EPOCH = 3,
	LENGTH = 11,
	MESSAGE = 13,
	OFFSET = 19,
	BODY = 25,
	RANDOM = 27,
	ID = 59
};

struct text {
	uint8_t data[512];
	size_t len;
};

static void put(struct text *text, const void *data, size_t len)
{
	memcpy(text->data + text->len, data, len);
	text->len += len;
}

static void set_length(struct text *text, size_t extra)
{
	size_t record = text->len - MESSAGE + extra, body = text->len - BODY + extra;

	text->data[LENGTH] = (uint8_t)(record >> 8);
	text->data[LENGTH + 1] = (uint8_t)record;
	text->data[MESSAGE + 2] = text->data[OFFSET + 4] = (uint8_t)(body >> 8);
	text->data[MESSAGE + 3] = text->data[OFFSET + 5] = (uint8_t)body;
}

static struct text hello_with(size_t cookie_len, bool extensions)
{
	static const uint8_t head[] = {22, 0xfe, 0xff, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, /**/
		1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, /**/ 0xfe, 0xfd};
	static const uint8_t tail[] = {0, 2, 0xc0, 0x2b, 1, 0}, more[] = {0, 4, 0, 23, 0, 0};
	struct text text = {.len = 0};
	uint8_t cookie[256], random[HELLO_RANDOM];

	memset(cookie, 'c', sizeof(cookie));
	memset(random, 'r', sizeof(random));
	cookie[0] = (uint8_t)cookie_len;
	put(&text, head, sizeof(head));
	put(&text, random, sizeof(random));
	put(&text, "\0", 1);
	put(&text, cookie, 1);
	put(&text, cookie + 1, cookie_len);
	put(&text, tail, sizeof(tail));
	if (extensions)
		put(&text, more, sizeof(more));
	set_length(&text, 0);
	return text;
}

/* In memory of exactly its size. */
static int parse(const struct text *text, size_t len, struct hello *hello)
{
	return hello_parse(guard_copy(guard, text->data, len), len, hello);
}

static void test_what_is_read_of_a_hello(void **state)
{
	struct text text = hello_with(5, true);
	struct hello hello;

	assert_int_equal(parse(&text, text.len, &hello), 0);
	assert_int_equal(hello.message_seq, 1);
	assert_memory_equal(hello.sequence, "\0\0\1\2\3\4\5\6", 8);
	assert_memory_equal(hello.random, "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", HELLO_RANDOM);
	assert_int_equal(hello.cookie.len, 5);
	assert_memory_equal(hello.cookie.data, "ccccc", 5);
	assert_int_equal(hello.before.len, 2 + HELLO_RANDOM + 1);
	assert_memory_equal(hello.before.data, "\xfe\xfdr", 3);
	assert_int_equal(hello.after.len, 6);
	assert_memory_equal(hello.after.data, "\0\2\xc0\x2b\1\0", 6);
}

static void test_the_shortest_is_as_short_as_is_said(void **state)
{
	struct text text = hello_with(0, false);
	struct hello hello;

	assert_int_equal(text.len, HELLO_LEAST);
	assert_int_equal(parse(&text, text.len, &hello), 0);
}

static void test_no_piece_of_one_is_taken_for_it(void **state)
{
	struct text whole = hello_with(32, true);
	struct hello hello;

	for (size_t len = 0; len < whole.len; len++) {
		struct text cut = whole;

		assert_int_not_equal(parse(&cut, len, &hello), 0);
		if (len <= BODY)
			continue;
		/* The same where the lengths outside do not give it away. Without its extensions it is whole. */
		cut.len = len;
		set_length(&cut, 0);
		assert_int_equal(
			parse(&cut, len, &hello), len == whole.len - 6 ? 0 : HELLO_E_MALFORMED);
	}
}

static void test_lengths_that_are_not_true(void **state)
{
	static const size_t lengths[] = {ID, ID + 1, ID + 3, ID + 6, ID + 9};
	struct hello hello;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct text text = hello_with(0, true);

		text.data[lengths[i]]++;
		assert_int_equal(parse(&text, text.len, &hello), HELLO_E_MALFORMED);
	}
}

static void test_what_is_no_hello(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		int outcome;
	} cases[] = {
		{TYPE, 19, HELLO_E_NO_RECORD},
		{TYPE, 24, HELLO_E_NO_RECORD},
		{TYPE, 20, HELLO_E_OTHER},
		{TYPE, 23, HELLO_E_OTHER},
		{TYPE + 1, 3, HELLO_E_NO_RECORD},
		{TYPE + 2, 0xfe, HELLO_E_NO_RECORD},
		{TYPE + 2, 0xfd, 0},
		{EPOCH, 1, HELLO_E_OTHER},
		{EPOCH + 1, 1, HELLO_E_OTHER},
		{LENGTH, 0x49, HELLO_E_NO_RECORD},
		{MESSAGE, 2, HELLO_E_OTHER},
		{MESSAGE + 3, 1, HELLO_E_PIECE},
		{OFFSET + 2, 1, HELLO_E_PIECE},
		{OFFSET + 5, 1, HELLO_E_PIECE},
		{BODY, 3, HELLO_E_MALFORMED},
		{RANDOM, 0, 0},
	};
	struct hello hello;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct text text = hello_with(3, true);

		text.data[cases[i].at] = cases[i].value;
		assert_int_equal(parse(&text, text.len, &hello), cases[i].outcome);
	}
}

static void test_a_hello_is_alone_in_its_datagram(void **state)
{
	struct text text = hello_with(0, true);
	struct hello hello;

	put(&text, text.data, text.len);
	assert_int_equal(parse(&text, text.len, &hello), HELLO_E_MALFORMED);
}

static void test_the_answer(void **state)
{
	static const uint8_t head[] = {22, 0xfe, 0xff, 0, 0, 1, 2, 3, 4, 5, 6, 0, 47, /**/
		3, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0, 35, /**/ 0xfe, 0xff, 32};
	struct text text = hello_with(0, false);
	uint8_t cookie[HELLO_COOKIE], out[HELLO_VERIFY];
	struct hello hello;

	memset(cookie, 'k', sizeof(cookie));
	assert_int_equal(parse(&text, text.len, &hello), 0);
	assert_int_equal(hello_verify(&hello, cookie, out), HELLO_VERIFY);
	assert_memory_equal(out, head, sizeof(head));
	assert_memory_equal(out + sizeof(head), cookie, sizeof(cookie));
}

static void test_cookies_are_compared_whole(void **state)
{
	struct text text = hello_with(HELLO_COOKIE, true), other = hello_with(31, true);
	uint8_t cookie[HELLO_COOKIE];
	struct hello hello;

	memset(cookie, 'c', sizeof(cookie));
	assert_int_equal(parse(&text, text.len, &hello), 0);
	assert_true(hello_has_cookie(&hello, cookie));
	for (size_t i = 0; i < sizeof(cookie); i++) {
		cookie[i] ^= 0x80;
		assert_false(hello_has_cookie(&hello, cookie));
		cookie[i] ^= 0x80;
	}
	assert_int_equal(parse(&other, other.len, &hello), 0);
	assert_false(hello_has_cookie(&hello, cookie));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_read_of_a_hello),
		cmocka_unit_test(test_the_shortest_is_as_short_as_is_said),
		cmocka_unit_test(test_no_piece_of_one_is_taken_for_it),
		cmocka_unit_test(test_lengths_that_are_not_true),
		cmocka_unit_test(test_what_is_no_hello),
		cmocka_unit_test(test_a_hello_is_alone_in_its_datagram),
		cmocka_unit_test(test_the_answer),
		cmocka_unit_test(test_cookies_are_compared_whole),
	};

	guard = guard_new();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
