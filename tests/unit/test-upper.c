/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-casing, by every kernel that this machine can run: conversations as rows, what is not
 * UTF-8 under each policy, every size of room, and random ways to split a text. What each single
 * character becomes is for oracle.py to say. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guard.h"
#include "seed.h"
#include "upper/kernel.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define REPLACEMENT  "\uFFFD"

static const struct upper_kernel *kernel;
static struct guard input, output;

static const struct upper_rule keep = {UPPER_UTF8, UPPER_KEEP};
static const struct upper_rule replace = {UPPER_UTF8, UPPER_REPLACE};
static const struct upper_rule reject = {UPPER_UTF8, UPPER_REJECT};
static const struct upper_rule ascii = {UPPER_ASCII, UPPER_REJECT};

/* One call: `taken` and `made` are how far it came, `bytes` what it wrote, still in the guard. */
struct result {
	int outcome;
	size_t taken, made;
	const uint8_t *bytes;
};

static struct result call(
	const struct upper_rule *rule, bool last, const void *text, size_t length, size_t room)
{
	const uint8_t *from = guard_copy(input, text, length);
	uint8_t *to = guard_tail(output, room);
	struct upper_in in = {from, from + length};
	struct upper_out out = {to, to + room};
	int outcome = kernel->convert(rule, last, &in, &out);

	assert_ptr_equal(in.end, from + length);
	assert_ptr_equal(out.end, to + room);
	return (struct result){outcome, (size_t)(in.at - from), (size_t)(out.at - to), to};
}

static void assert_made(const struct result *result, const char *expected)
{
	assert_int_equal(result->made, strlen(expected));
	assert_memory_equal(result->bytes, expected, result->made);
}

struct conversation {
	const char *name;
	const struct upper_rule *rule;
	bool last;
	const char *text, *expected;
	int outcome; /* 0, and nothing left, where the row ends before */
	size_t left;
};

/* A row is a line. */
/* clang-format off */
static const struct conversation conversations[] = {
	{"nothing", &keep, false, "", ""},
	{"nothing, and no more", &reject, true, "", ""},
	{"ASCII", &keep, false, "@az[`AZ{ 09\t\n", "@AZ[`AZ{ 09\t\n"},
	{"one character, two", &keep, true, "stra\u00DFe", "STRASSE"},
	{"two bytes, three", &keep, true, "\u0149\u0250", "\u02BCN\u2C6F"},
	{"two bytes, six", &keep, true, "\u03B0", "\u03A5\u0308\u0301"},
	{"three bytes, six", &keep, true, "\u1FB7", "\u0391\u0342\u0399"},
	{"three bytes of ASCII", &keep, true, "\uFB03", "FFI"},
	{"two bytes, one", &keep, true, "\u0131\u017F", "IS"},
	{"another first byte", &keep, true, "\uAB70\u2D00", "\u13A0\u10A0"},
	{"no final sigma", &keep, true, "\u03C2\u03C3", "\u03A3\u03A3"},
	{"beyond 16 bits", &keep, true, "\U00010428\U0001E943", "\U00010400\U0001E921"},
	{"no case", &keep, true, "\u6F22 \U0001F600", "\u6F22 \U0001F600"},
	{"first of two", &reject, true, "\xC2\x80", "\xC2\x80"},
	{"first of more", &reject, true, "\u0800\U00010000", "\u0800\U00010000"},
	{"last of each", &reject, true, "\u07FF\uFFFF\U0010FFFF", "\u07FF\uFFFF\U0010FFFF"},
	{"next to the surrogates", &reject, true, "\uD7FF\uE000", "\uD7FF\uE000"},
	{"one of two", &keep, false, "a\xC3", "A", UPPER_E_UNFINISHED, 1},
	{"two of three", &replace, false, "a\xE1\xBF", "A", UPPER_E_UNFINISHED, 2},
	{"three of four", &reject, false, "a\xF0\x90\x90", "A", UPPER_E_UNFINISHED, 3},
	{"never finished, kept", &keep, true, "a\xF0\x90\x90", "A\xF0\x90\x90"},
	{"never finished, replaced", &replace, true, "a\xF0\x90\x90", "A" REPLACEMENT},
	{"never finished, rejected", &reject, true, "a\xF0\x90\x90", "A", UPPER_E_INVALID, 3},
	{"ASCII alone changes", &ascii, false, "az\u00E4\xFF\xC3", "AZ\u00E4\xFF\xC3"},
};
/* clang-format on */

static void test_conversations(void **state)
{
	for (size_t i = 0; i < COUNT(conversations); i++) {
		const struct conversation *c = &conversations[i];
		print_message("# %s\n", c->name);

		size_t length = strlen(c->text);
		struct result result =
			call(c->rule, c->last, c->text, length, UPPER_EXPANSION * length);
		assert_int_equal(result.outcome, c->outcome);
		assert_int_equal(length - result.taken, c->left);
		assert_made(&result, c->expected);
	}
}

/* What is not UTF-8, and in how many subparts: what Python and browsers make of the same bytes. */
static const struct {
	const char *name, *bytes;
	size_t subparts;
} invalids[] = {
	{"trail byte alone", "\x80", 1},
	{"two of them", "\xBF\x80", 2},
	{"never a first byte", "\xFF\xFE\xF5\xF8", 4},
	{"overlong of two", "\xC0\xAF", 2},
	{"overlong of two, the last", "\xC1\xBF", 2},
	{"overlong of three", "\xE0\x9F\xBF", 3},
	{"overlong of four", "\xF0\x8F\xBF\xBF", 4},
	{"first surrogate", "\xED\xA0\x80", 3},
	{"last surrogate", "\xED\xBF\xBF", 3},
	{"a pair of them", "\xED\xA0\xBD\xED\xB8\x80", 6},
	{"beyond U+10FFFF", "\xF4\x90\x80\x80", 4},
	{"one of two", "\xC3", 1},
	{"one of three", "\xE1", 1},
	{"two of three", "\xE1\xBF", 1},
	{"one of four", "\xF1", 1},
	{"two of four", "\xF1\x80", 1},
	{"three of four", "\xF1\x80\x80", 1},
	{"three of the last four", "\xF4\x8F\xBF", 1},
	{"another begins instead", "\xF1\x80\xE1\x80\xC3", 3},
};

static void hold_invalid(const char *bytes, size_t subparts)
{
	char text[32], kept[32];
	size_t length = strlen(bytes) + 2;

	snprintf(text, sizeof(text), "a%sz", bytes);
	snprintf(kept, sizeof(kept), "A%sZ", bytes);
	for (int last = 0; last < 2; last++) {
		struct result result = call(&keep, last, text, length, length);
		assert_int_equal(result.outcome, 0);
		assert_made(&result, kept);

		result = call(&reject, last, text, length, 1);
		assert_int_equal(result.outcome, UPPER_E_INVALID);
		assert_int_equal(result.taken, 1);
		assert_made(&result, "A");

		result = call(&replace, last, text, length, UPPER_EXPANSION * length);
		assert_int_equal(result.outcome, 0);
		assert_int_equal(result.made, 2 + subparts * strlen(REPLACEMENT));
	}
}

static void test_invalid(void **state)
{
	for (size_t i = 0; i < COUNT(invalids); i++) {
		print_message("# %s\n", invalids[i].name);
		hold_invalid(invalids[i].bytes, invalids[i].subparts);
	}
}

/* A character of a script with case, and then a surrogate, a beginning, and another beginning. */
static void test_bad_bytes_behind_a_good_character(void **state)
{
	const char *text = "\xE1\xBF\x80\xED\xA0\x80\xE1\xBF\xC3\xC3\xA4\xC9\x90";
	struct result result = call(&replace, true, text, strlen(text), 3 * strlen(text));

	assert_made(&result,
		"\xE1\xBF\x80" REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT
		"\u00C4\u2C6F");
}

static void test_replaced_to_the_byte(void **state)
{
	const char *text = "a\xF0\x80\x80\x41\xE1\xBFz";
	struct result result = call(&replace, false, text, strlen(text), 3 * strlen(text));

	assert_made(&result, "A" REPLACEMENT REPLACEMENT REPLACEMENT "A" REPLACEMENT "Z");
}

/* Texts for what follows: every length in and out, and what is not UTF-8. */
static const char *const pieces[] = {"a", "Z", "lower case ", "\n", "\u00E4", "\u00DF", "\u0390",
	"\u0131", "\u0250", "\u20AC", "\u1E9E", "\uFB03", "\u1FB7", "\uAB70", "\U00010428",
	"\U0001F600", "\x80", "\xC3", "\xE0", "\xE1\xBF", "\xF0\x90\x90", "\xED\xA0\x80",
	"\xF4\x90", "\xFF",
	"a run of letters that is long enough to fill a whole block of sixty-four and then some"};

static size_t random_text(uint64_t *seed, uint8_t *text, size_t size)
{
	size_t length = 0;

	for (size_t left = seed_below(seed, 12); left > 0; left--) {
		const char *piece = pieces[seed_below(seed, COUNT(pieces))];

		while (*piece && length < size)
			text[length++] = (uint8_t)*piece++;
	}

	return length;
}

/* Feeds a text as it might arrive, and takes the answer as a peer might: the bytes are `ret`, the
 * result is the last call's, with the sums of what all calls took and made. */
static struct result in_random_pieces(uint64_t *seed, const struct upper_rule *rule,
	const uint8_t *text, size_t length, uint8_t *ret)
{
	struct result sum = {.bytes = ret};
	size_t arrived = 0;

	while (true) {
		bool last = arrived == length;
		struct result result = call(rule, last, text + sum.taken, arrived - sum.taken,
			seed_below(seed, 2 * UPPER_LONGEST));

		memcpy(ret + sum.made, result.bytes, result.made);
		sum.taken += result.taken;
		sum.made += result.made;
		sum.outcome = result.outcome;
		if (result.outcome == UPPER_E_ROOM)
			continue;
		if (result.outcome == UPPER_E_UNFINISHED)
			assert_in_range(arrived - sum.taken, 1, UPPER_UNFINISHED);
		if (last || result.outcome == UPPER_E_INVALID)
			return sum;
		arrived += 1 + seed_below(seed, length - arrived < 9 ? length - arrived : 9);
	}
}

static void test_any_split_gives_the_same_bytes(void **state)
{
	const struct upper_rule *rules[] = {&keep, &replace, &reject, &ascii};
	uint64_t seed = seed_new("splits");
	uint8_t bytes[UPPER_EXPANSION * 512], text[512];

	for (size_t i = 0; i < 4000; i++) {
		const struct upper_rule *rule = rules[i % COUNT(rules)];
		size_t length = random_text(&seed, text, sizeof(text));
		struct result split = in_random_pieces(&seed, rule, text, length, bytes);
		struct result whole = call(rule, true, text, length, UPPER_EXPANSION * length);

		assert_int_equal(split.outcome, whole.outcome);
		assert_int_equal(split.taken, whole.taken);
		assert_int_equal(split.made, whole.made);
		assert_memory_equal(split.bytes, whole.bytes, whole.made);
	}
}

/* Whatever the room, what is written is whole characters, and the most of them that fit. */
static void test_every_size_of_room(void **state)
{
	static const struct {
		const char *text, *expected;
	} characters[] = {
		{"a", "A"},
		{"\u0390", "\u0399\u0308\u0301"},
		{"\u0131", "I"},
		{"\u20AC", "\u20AC"},
		{"\U00010428", "\U00010400"},
		{"\xFF", REPLACEMENT},
		{"\uFB03", "FFI"},
	};
	const char *text = "a\u0390\u0131\u20AC\U00010428\xFF\uFB03";

	for (size_t room = 0; room < 3 * strlen(text); room++) {
		struct result result = call(&replace, true, text, strlen(text), room);
		size_t taken = 0, made = 0, i = 0;

		for (; i < COUNT(characters); i++) {
			if (made + strlen(characters[i].expected) > room)
				break;
			taken += strlen(characters[i].text);
			made += strlen(characters[i].expected);
		}
		assert_int_equal(result.outcome, i < COUNT(characters) ? UPPER_E_ROOM : 0);
		assert_int_equal(result.taken, taken);
		assert_int_equal(result.made, made);
	}
}

/* A character at each place in and around two blocks; those who go by blocks must see it. */
static void test_every_place_in_a_block(void **state)
{
	uint8_t text[140], expected[140];

	for (size_t place = 0; place + 2 <= sizeof(text); place++) {
		memset(text, 'q', sizeof(text));
		memset(expected, 'Q', sizeof(expected));
		text[place] = expected[place] = 0xC3;
		text[place + 1] = 0xA4;
		expected[place + 1] = 0x84;

		struct result result = call(&keep, true, text, sizeof(text), sizeof(expected));
		assert_int_equal(result.outcome, 0);
		assert_int_equal(result.made, sizeof(expected));
		assert_memory_equal(result.bytes, expected, sizeof(expected));
	}
}

static void test_every_size_of_room_for_blocks(void **state)
{
	char text[140], expected[140];

	memset(text, 'q', sizeof(text));
	memset(expected, 'Q', sizeof(expected));
	for (size_t room = 0; room < sizeof(text); room++) {
		struct result result = call(&keep, true, text, sizeof(text), room);

		assert_int_equal(result.outcome, UPPER_E_ROOM);
		assert_int_equal(result.taken, room);
		assert_int_equal(result.made, room);
		assert_memory_equal(result.bytes, expected, room);
	}
}

static void test_every_byte_as_ascii(void **state)
{
	uint8_t text[256], expected[256];

	for (size_t i = 0; i < sizeof(text); i++) {
		text[i] = (uint8_t)i;
		expected[i] = (uint8_t)(i >= 'a' && i <= 'z' ? i - 32 : i);
	}
	for (size_t skip = 0; skip < 64; skip++) {
		size_t length = sizeof(text) - skip;
		struct result result = call(&ascii, false, text + skip, length, length);

		assert_int_equal(result.outcome, 0);
		assert_int_equal(result.made, length);
		assert_memory_equal(result.bytes, expected + skip, length);
	}
}

/* Between two pages without access, and from either of them: a kernel that looks before the first
 * byte, or behind the last, does not live through this. What it makes is what the portable one does. */
static void test_nothing_beyond_the_spans(void **state)
{
	uint64_t seed = seed_new("spans");
	uint8_t text[512];

	for (size_t i = 0; i < 4000; i++) {
		size_t length = random_text(&seed, text, sizeof(text));
		size_t room = seed_below(&seed, UPPER_EXPANSION * length + 1);
		struct result result = call(&replace, true, text, length, room);
		struct upper_in in = {memcpy(input.begin, text, length), input.begin + length};
		struct upper_out out = {output.begin, output.begin + room};

		assert_int_equal(kernel->convert(&replace, true, &in, &out), result.outcome);
		assert_ptr_equal(in.at, input.begin + result.taken);
		assert_ptr_equal(out.at, output.begin + result.made);
		assert_memory_equal(output.begin, result.bytes, result.made);

		in.at = input.begin;
		out.at = output.begin;
		memset(output.begin, 0, room);
		assert_int_equal(
			upper_kernel_portable.convert(&replace, true, &in, &out), result.outcome);
		assert_ptr_equal(out.at, output.begin + result.made);
		assert_memory_equal(output.begin, result.bytes, result.made);
	}
}

static void test_public_face(void **state)
{
	uint8_t from[] = "a", to[1];
	struct upper_in in = {from, from + 1};
	struct upper_out out = {to, to + 1};

	assert_int_equal(upper_convert(&keep, true, &in, &out), 0);
	assert_int_equal(to[0], 'A');
	assert_non_null(strchr(upper_unicode_version(), '.'));
}

static int pick_kernel(void **state)
{
	kernel = *state;
	print_message("# by the kernel %s\n", kernel->name);
	return 0;
}

#define TEST(name)                                   \
	{                                            \
#name, name, pick_kernel, NULL, NULL \
	}

static const struct CMUnitTest tests[] = {
	TEST(test_conversations),
	TEST(test_invalid),
	TEST(test_bad_bytes_behind_a_good_character),
	TEST(test_replaced_to_the_byte),
	TEST(test_any_split_gives_the_same_bytes),
	TEST(test_every_size_of_room),
	TEST(test_every_place_in_a_block),
	TEST(test_every_size_of_room_for_blocks),
	TEST(test_every_byte_as_ascii),
	TEST(test_nothing_beyond_the_spans),
	TEST(test_public_face),
};

/* All tests by all kernels are one group, since a group is what a runner takes for a program. */
int main(void)
{
	static struct CMUnitTest all[4 * COUNT(tests)];
	size_t count = 0;

	input = guard_new();
	output = guard_new();
	for (size_t i = 0; upper_kernels[i]; i++) {
		if (!upper_kernels[i]->supported())
			continue;
		for (size_t t = 0; t < COUNT(tests); t++) {
			all[count] = tests[t];
			all[count++].initial_state = (void *)(uintptr_t)upper_kernels[i];
		}
	}

	return _cmocka_run_group_tests("upper", all, count, NULL, NULL);
}
