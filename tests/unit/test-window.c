/* SPDX-License-Identifier: Apache-2.0 */

/* Answers sorted: conversations as arrays of letters, and rings that wrap. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "client/report.h"
#include "client/window.h"

#define SIZE    40
#define TIMEOUT 100

struct bed {
	struct texts texts;
	struct tally tally;
	struct window window;
	uint64_t now;
};

static void bed_init(struct bed *bed, size_t ring, bool is_ordered)
{
	struct why why = {0};

	*bed = (struct bed){.now = 1000};
	assert_int_equal(texts_init(&bed->texts, NULL, SIZE, &why), 0);
	assert_int_equal(window_init(&bed->window, ring, UINT64_C(3) << 48), 0);
	bed->window.texts = &bed->texts;
	bed->window.tally = &bed->tally;
	bed->window.is_ordered = is_ordered;
}

static void bed_done(struct bed *bed)
{
	window_done(&bed->window);
	texts_done(&bed->texts);
}

static void ask(struct bed *bed)
{
	assert_false(window_is_full(&bed->window));
	window_ask(&bed->window, bed->now, bed->now);
}

/* The answer to question `index`, with a byte changed at `wrong_at` unless it is negative. */
static struct sorted answer(struct bed *bed, uint64_t index, int wrong_at)
{
	uint8_t text[SIZE];

	assert_int_equal(texts_write(&bed->texts, bed->window.base | index, text), SIZE);
	for (size_t i = 0; i < SIZE; i++)
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (uint8_t)(text[i] - 32);
	if (wrong_at >= 0)
		text[wrong_at] = '#';
	return window_take(&bed->window, text, SIZE, ++bed->now);
}

static enum fate fate(struct bed *bed, uint64_t index, int wrong_at)
{
	return answer(bed, index, wrong_at).fate;
}

static void test_each_fate(void **state)
{
	struct bed bed;
	uint8_t text[SIZE];

	bed_init(&bed, 16, false);
	for (int i = 0; i < 6; i++)
		ask(&bed);
	assert_int_equal(fate(&bed, 0, -1), FATE_RIGHT);
	assert_int_equal(fate(&bed, 0, -1), FATE_DOUBLED);
	assert_int_equal(fate(&bed, 1, 20), FATE_CORRUPTED);
	assert_int_equal(fate(&bed, 2, 3), FATE_CORRUPTED); /* its number is gone */
	texts_write(&bed.texts, bed.window.base | 3, text);
	assert_int_equal(window_take(&bed.window, text, SIZE, bed.now).fate, FATE_UNCHANGED);
	assert_int_equal(
		window_take(&bed.window, (const uint8_t *)"?", 1, bed.now).fate, FATE_UNKNOWN);
	assert_true(fate(&bed, 5, -1) == FATE_RIGHT && answer(&bed, 4, -1).is_reordered);
	assert_int_equal(tally_lost(&bed.tally), 0);
	assert_int_equal(bed.tally.reordered, 1);
	assert_int_equal(bed.window.n_waiting, 0);
	bed_done(&bed);
}

static void test_late(void **state)
{
	struct bed bed;

	bed_init(&bed, 16, false);
	ask(&bed);
	ask(&bed);
	assert_int_equal(window_expires_us(&bed.window, TIMEOUT), bed.now + TIMEOUT);
	assert_int_equal(window_expire(&bed.window, bed.now + TIMEOUT - 1, TIMEOUT), UINT64_MAX);
	assert_int_equal(window_expire(&bed.window, bed.now + TIMEOUT, TIMEOUT), 0);
	assert_int_equal(window_expire(&bed.window, bed.now + TIMEOUT, TIMEOUT), 1);
	assert_int_equal(window_expire(&bed.window, bed.now + TIMEOUT, TIMEOUT), UINT64_MAX);
	assert_int_equal(bed.window.n_waiting, 0);
	assert_int_equal(tally_lost(&bed.tally), 2);
	assert_int_equal(fate(&bed, 1, -1), FATE_LATE);
	assert_int_equal(fate(&bed, 1, -1), FATE_DOUBLED);
	assert_int_equal(tally_lost(&bed.tally), 1);
	assert_int_equal(bed.tally.reordered, 0);
	bed_done(&bed);
}

/* Many times round the ring, with as many under way as it holds. */
static void test_ring_wraps(void **state)
{
	struct bed bed;

	for (int is_ordered = 0; is_ordered < 2; is_ordered++) {
		bed_init(&bed, 16, is_ordered);
		for (uint64_t i = 0; i < 200; i++) {
			ask(&bed);
			if (i >= 15) {
				assert_true(window_is_full(&bed.window));
				assert_int_equal(window_waiting(&bed.window, 0), i - 15);
				assert_int_equal(fate(&bed, i - 15, -1), FATE_RIGHT);
			}
		}
		assert_int_equal(bed.window.n_waiting, 15);
		assert_int_equal(window_abandon(&bed.window), 15);
		assert_int_equal(tally_lost(&bed.tally), 15);
		assert_int_equal(bed.tally.right, 185);
		bed_done(&bed);
	}
}

/* A stream in pieces of any length, with an overdue answer first. */
static void test_stream_is_cut(void **state)
{
	for (size_t piece = 1; piece < 3 * SIZE; piece++) {
		uint8_t room[SIZE], text[3 * SIZE];
		struct part part = {.room = room};
		struct expect one;
		struct bed bed;
		size_t n = 0;

		bed_init(&bed, 16, true);
		for (uint64_t i = 0; i < 3; i++) {
			ask(&bed);
			texts_write(&bed.texts, bed.window.base | i, text + i * SIZE);
		}
		for (size_t i = 0; i < sizeof(text); i++)
			if (text[i] >= 'a' && text[i] <= 'z')
				text[i] = (uint8_t)(text[i] - 32);
		assert_int_equal(window_expire(&bed.window, bed.now + TIMEOUT, TIMEOUT), 0);
		assert_int_equal(bed.window.n_waiting, 3);
		for (size_t at = 0; at < sizeof(text); at += piece) {
			const uint8_t *from = text + at;
			const uint8_t *end =
				at + piece < sizeof(text) ? from + piece : text + sizeof(text);

			while (from < end && window_cut(&bed.window, &part, &from, end, &one)) {
				enum fate fate =
					window_take(&bed.window, one.text, one.len, bed.now).fate;

				assert_int_equal(fate, n++ ? FATE_RIGHT : FATE_LATE);
			}
		}
		assert_int_equal(n, 3);
		assert_int_equal(bed.window.n_waiting, 0);
		bed_done(&bed);
	}
}

static void test_texts(void **state)
{
	static const char *const names[] = {NULL, "latin", "greek", "cjk"};
	struct why why = {0};

	for (size_t i = 0; i < 4; i++) {
		for (size_t size = QUESTION_MIN; size < 200; size++) {
			struct expect right = {0};
			struct texts texts;
			uint8_t room[1000];
			size_t len;

			assert_int_equal(texts_init(&texts, names[i], size, &why), 0);
			assert_true(texts.longest <= sizeof(room));
			len = texts_write(&texts, 77, room);
			assert_int_equal(len, size);
			assert_int_equal(question_number(room, len), 77);
			assert_true(texts_is_unchanged(&texts, 77, room, len));
			assert_int_equal(expect_upper(&right, room, len), 0);
			assert_int_equal(texts_answer_len(&texts, 77), right.len);
			assert_true(texts_is_right(&texts, 77, right.text, right.len));
			assert_false(texts_is_right(&texts, 78, right.text, right.len));
			assert_int_equal(texts_distance(&texts, 77, right.text, right.len), 0);
			assert_int_equal(texts_distance(&texts, 77, right.text, right.len - 3), 3);
			expect_done(&right);
			texts_done(&texts);
		}
	}
	assert_int_equal(texts_init(&(struct texts){0}, "/no/such", 56, &why), CLIENT_E_USAGE);
}

/* A tag is read back whatever its number is, in either case; and any other byte in any place makes it none. */
static void test_tags(void **state)
{
	struct why why = {0};
	struct texts texts;
	uint8_t room[QUESTION_MIN];

	assert_int_equal(texts_init(&texts, NULL, QUESTION_MIN, &why), 0);
	for (unsigned i = 0; i < 64; i++) {
		uint64_t number = UINT64_C(0x0123456789abcdef) << i |
			UINT64_C(0xfedcba9876543210) >> (63 - i);

		texts_write(&texts, number, room);
		for (unsigned j = 0; j < QUESTION_TAG; j++)
			assert_int_equal(room[j], 'a' + (number >> (60 - 4 * j) & 15));
		assert_int_equal(question_number(room, sizeof(room)), number);
		room[i % QUESTION_TAG] ^= 0x20;
		assert_int_equal(question_number(room, sizeof(room)), number);
	}
	for (unsigned i = 0; i < QUESTION_TAG * 256; i++) {
		uint8_t lower = (uint8_t)(i / QUESTION_TAG) | 0x20;
		bool is_letter = lower >= 'a' && lower <= 'p';

		texts_write(&texts, 0, room);
		room[i % QUESTION_TAG] = (uint8_t)(i / QUESTION_TAG);
		assert_true((question_number(room, sizeof(room)) != UINT64_MAX) == is_letter);
	}
	assert_true(question_number(room, QUESTION_TAG - 1) == UINT64_MAX);
	texts_done(&texts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_fate),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_ring_wraps),
		cmocka_unit_test(test_stream_is_cut),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_tags),
	};

	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
