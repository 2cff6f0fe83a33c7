/* SPDX-License-Identifier: Apache-2.0 */

/* Where messages end: conversations as rows, and a property over every way to split a text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <upper/frame.h>

#include "guard.h"

#define DONE (-1)

static struct guard guard;

/* Measures messages until there is none, with all of the text there from the beginning. */
struct conversation {
	const char *name;
	struct upper_frame frame;
	const char *text;
	bool last;
	size_t lengths[4]; /* of the messages in turn; 0 ends the list */
	int outcome;       /* of the call after them; DONE when the text is used up */
};

/* A row is a line. */
/* clang-format off */
static const struct conversation conversations[] = {
	{"stream takes what there is", {UPPER_STREAM, 0}, "one\ntwo", false, {7}, DONE},
	{"stream without anything", {UPPER_STREAM, 0}, "", false, {0}, UPPER_FRAME_E_MORE},
	{"stream at its end", {UPPER_STREAM, 0}, "", true, {0}, UPPER_FRAME_E_MORE},
	{"oneshot takes what there is", {UPPER_ONESHOT, 0}, "one\ntwo", false, {7}, DONE},
	{"oneshot without anything", {UPPER_ONESHOT, 0}, "", true, {0}, UPPER_FRAME_E_MORE},
	{"datagram is one message", {UPPER_DATAGRAM, 0}, "one\ntwo\n", true, {8}, DONE},
	{"lines", {UPPER_LINE, 9}, "one\ntwo\r\n\n", false, {4, 5, 1}, DONE},
	{"line to come", {UPPER_LINE, 9}, "one\ntw", false, {4}, UPPER_FRAME_E_MORE},
	{"line without anything", {UPPER_LINE, 9}, "", false, {0}, UPPER_FRAME_E_MORE},
	{"line at the end of input", {UPPER_LINE, 9}, "one\ntw", true, {4, 2}, DONE},
	{"no line at the end of input", {UPPER_LINE, 9}, "one\n", true, {4}, DONE},
	{"CR alone ends nothing", {UPPER_LINE, 9}, "one\rtwo\n", false, {8}, DONE},
	{"longest line", {UPPER_LINE, 3}, "one\ntwo\n", false, {4, 4}, DONE},
	{"a byte more", {UPPER_LINE, 3}, "one\nfour\n", false, {4}, UPPER_FRAME_E_TOO_LONG},
	{"its end would be one more", {UPPER_LINE, 3}, "four", false, {0}, UPPER_FRAME_E_TOO_LONG},
	{"nor does the end of input", {UPPER_LINE, 3}, "four", true, {0}, UPPER_FRAME_E_TOO_LONG},
	{"longest line without an end", {UPPER_LINE, 3}, "for", true, {3}, DONE},
	{"longest line, its end to come", {UPPER_LINE, 3}, "for", false, {0}, UPPER_FRAME_E_MORE},
	{"only empty lines fit", {UPPER_LINE, 0}, "\n\na", false, {1, 1}, UPPER_FRAME_E_TOO_LONG},
};
/* clang-format on */

static int next_of(const struct upper_frame *frame, const char *text, size_t length, size_t seen,
	bool last, size_t *ret_len)
{
	const uint8_t *begin = guard_copy(guard, text, length);
	const struct upper_in in = {begin, begin + length};

	return upper_frame_next(frame, &in, seen, last, ret_len);
}

static void hold(const struct conversation *c)
{
	size_t left = strlen(c->text), length = 0;
	const char *at = c->text;

	for (size_t i = 0; c->lengths[i] > 0; i++) {
		assert_int_equal(next_of(&c->frame, at, left, 0, c->last, &length), 0);
		assert_int_equal(length, c->lengths[i]);
		at += length;
		left -= length;
	}

	length = 12345;
	if (c->outcome == DONE) {
		assert_int_equal(left, 0);
	} else {
		assert_int_equal(next_of(&c->frame, at, left, 0, c->last, &length), c->outcome);
		assert_int_equal(length, 12345);
	}
}

static void test_conversations(void **state)
{
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		print_message("# %s\n", conversations[i].name);
		hold(&conversations[i]);
	}
}

static void test_an_empty_datagram_is_a_message(void **state)
{
	const struct upper_frame frame = {UPPER_DATAGRAM, 0};
	size_t length = 1;

	assert_int_equal(next_of(&frame, "", 0, 0, true, &length), 0);
	assert_int_equal(length, 0);
}

static void test_what_was_seen_is_not_searched_again(void **state)
{
	const struct upper_frame frame = {UPPER_LINE, 9};
	size_t length = 0;

	assert_int_equal(next_of(&frame, "a\nb\n", 4, 2, false, &length), 0);
	assert_int_equal(length, 4);
}

/* Byte after byte, remembering what was seen, gives the lines that one call would. */
static void test_arriving_byte_by_byte(void **state)
{
	const struct upper_frame frame = {UPPER_LINE, 6};
	const char *text = "one\n\ntwo\r\nthree\nfour";
	size_t lengths[8], count = 0, begin = 0, seen = 0;

	for (size_t end = 0; end <= strlen(text); end++) {
		bool last = end == strlen(text);
		int r = next_of(&frame, text + begin, end - begin, seen, last, &lengths[count]);

		seen = r == 0 ? 0 : end - begin;
		if (r == 0)
			begin += lengths[count++];
		else
			assert_int_equal(r, UPPER_FRAME_E_MORE);
	}

	const size_t expected[] = {4, 1, 5, 6, 4};
	assert_int_equal(count, 5);
	assert_memory_equal(lengths, expected, sizeof(expected));
}

static int set_up(void **state)
{
	guard = guard_new();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversations),
		cmocka_unit_test(test_an_empty_datagram_is_a_message),
		cmocka_unit_test(test_what_was_seen_is_not_searched_again),
		cmocka_unit_test(test_arriving_byte_by_byte),
	};

	return cmocka_run_group_tests_name("frame", tests, set_up, NULL);
}
