/* SPDX-License-Identifier: Apache-2.0 */

/* Every kernel that this machine can run against the portable one, to the byte: outcome, how much was
 * taken, and what was made; and the portable one against itself, fed so few bytes at a time that it knows
 * no blocks. Exhaustive where kernels that go by blocks have their edges, and random elsewhere. The texts
 * lie between pages without access. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "guard.h"
#include "seed.h"
#include "upper/kernel.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PIECE = 24 };

static const struct upper_kernel *kernel;
static struct guard input, output, expected;

static const struct upper_rule rules[] = {
	{UPPER_UTF8, UPPER_KEEP},
	{UPPER_UTF8, UPPER_REPLACE},
	{UPPER_UTF8, UPPER_REJECT},
	{UPPER_ASCII, UPPER_REJECT},
};

/* What decides: the first and the last of each kind of byte, and bytes of characters that become
 * longer or shorter. */
static const uint8_t alphabet[] = {'a', 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xB1, 0xBF, 0xC1, 0xC2, 0xC4,
	0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF4, 0xF5};

enum { STRINGS = COUNT(alphabet) * COUNT(alphabet) * COUNT(alphabet) * COUNT(alphabet) };

/* Letters that share rows with what the alphabet spells, some of which become longer or shorter; and in
 * front of a string, characters whose beginnings others may be taken for. */
static const char before[] = "\U0010FFFF\U00030000\u3B40";
static const char behind[] = "\u0131\u00DF\u1FC3\uFB03\u00E4\u03B1q";

static void fail_text(const uint8_t *text, size_t length, bool last, size_t room)
{
	print_message("# %s, room %zu, last %d:", kernel->name, room, last);
	for (size_t i = 0; i < length; i++)
		print_message(" %02x", text[i]);
	print_message("\n");
	fail();
}

/* Less than a block at a time; what is unfinished comes again with the next piece. */
static int convert_piecewise(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	int r = 0;

	while (r == 0 && in->at < in->end) {
		const size_t left = (size_t)(in->end - in->at);
		struct upper_in piece = {in->at, in->at + (left < PIECE ? left : PIECE)};
		const bool is_all = piece.end == in->end;

		r = upper_kernel_portable.convert(rule, last && is_all, &piece, out);
		if (r == UPPER_E_UNFINISHED && !is_all)
			r = 0;
		in->at = piece.at;
	}

	return r;
}

static int convert_otherwise(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	if (kernel == &upper_kernel_portable)
		return convert_piecewise(rule, last, in, out);

	return upper_kernel_portable.convert(rule, last, in, out);
}

static void hold(
	const struct upper_rule *rule, bool last, const uint8_t *text, size_t length, size_t room)
{
	struct upper_in in = {text, text + length}, in_other = in;
	struct upper_out out = {guard_tail(output, room), output.end};
	struct upper_out out_other = {guard_tail(expected, room), expected.end};
	const uint8_t *to = out.at, *to_other = out_other.at;
	const int r = kernel->convert(rule, last, &in, &out);

	if (r != convert_otherwise(rule, last, &in_other, &out_other) || in.at != in_other.at ||
		out.at - to != out_other.at - to_other ||
		memcmp(to, to_other, (size_t)(out.at - to)) != 0)
		fail_text(text, length, last, room);
}

static void hold_by_all_rules(const uint8_t *bytes, size_t length)
{
	const uint8_t *text = guard_copy(input, bytes, length);

	for (size_t i = 0; i < COUNT(rules); i++)
		hold(&rules[i], i % 2, text, length, UPPER_EXPANSION * length);
}

/* The `number`th string of four over the alphabet. */
static void string_of(size_t number, uint8_t to[static 4])
{
	for (size_t i = 0; i < 4; i++, number /= COUNT(alphabet))
		to[i] = alphabet[number % COUNT(alphabet)];
}

/* At the beginning, at the end of a block, behind it, and where the text ends with it. */
static void test_every_four_bytes_at_every_edge(void **state)
{
	static const size_t places[] = {0, sizeof(before) - 1, 60, 61, 62, 63};
	uint8_t text[256];

	for (size_t p = 0; p < COUNT(places); p++) {
		uint8_t *string = text + places[p];

		memset(text, 'q', sizeof(text));
		if (p > 0)
			memcpy(text, before, sizeof(before) - 1);
		memcpy(string + 4, behind, sizeof(behind) - 1);
		for (size_t i = 0; i < STRINGS; i++) {
			string_of(i, string);
			if (i % COUNT(places) == p)
				hold_by_all_rules(text, places[p] + 4);
			hold_by_all_rules(text, places[p] + 4 + sizeof(behind) - 1);
		}
	}
}

/* The same in a long text: behind its first block, and around the place 61 bytes further on, where a kernel
 * that goes by strides begins another. */
static void test_every_four_bytes_at_every_edge_of_a_stride(void **state)
{
	static const size_t places[] = {64, 120, 121, 122, 123, 124, 125};
	uint8_t text[200];

	for (size_t p = 0; p < COUNT(places); p++) {
		uint8_t *string = text + places[p];

		memset(text, 'q', sizeof(text));
		memcpy(text, before, sizeof(before) - 1);
		memcpy(string + 4, behind, sizeof(behind) - 1);
		for (size_t i = 0; i < STRINGS; i++) {
			string_of(i, string);
			hold(&rules[0], i % 2, guard_copy(input, text, sizeof(text)), sizeof(text),
				UPPER_EXPANSION * sizeof(text));
		}
	}
}

/* The same in a block that is full of characters of two bytes, or of three: at its ends, and where vectors of 16
 * bytes meet that look at it. */
static void test_every_four_bytes_among_many(void **state)
{
	static const char *const many[] = {"\u03B1", "\u0928"};
	static const size_t places[] = {0, 1, 2, 14, 45, 59, 60, 61, 62, 63};
	uint8_t text[100];

	for (size_t p = 0; p < COUNT(many) * COUNT(places); p++) {
		const size_t place = places[p / COUNT(many)];
		const char *filler = many[p % COUNT(many)];
		const size_t length = strlen(filler);
		uint8_t *string = text + place;

		memset(text, 'q', sizeof(text));
		for (size_t at = place % length; at < place; at += length)
			memcpy(text + at, filler, length);
		memcpy(string + 4, behind, sizeof(behind) - 1);
		for (size_t at = place + 4 + sizeof(behind) - 1; at + length <= sizeof(text);
			at += length)
			memcpy(text + at, filler, length);
		for (size_t i = 0; i < STRINGS; i++) {
			string_of(i, string);
			hold(&rules[1], i % 2, guard_copy(input, text, sizeof(text)), sizeof(text),
				UPPER_EXPANSION * sizeof(text));
		}
	}
}

/* Each character of three bytes and fewer behind another of the same row, where there is one. */
static void test_every_character_at_both_places_of_a_word(void **state)
{
	uint8_t text[480];

	for (uint32_t code = 0x80; code < 0x10000; code++) {
		size_t length = 0;

		for (size_t i = 0; i < 140; i++) {
			if (i % 5 == 0)
				text[length++] = 'q';
			if (code >= 0x800)
				text[length++] = (uint8_t)(0xE0 | code >> 12);
			text[length++] = (uint8_t)(code < 0x800 ? 0xC0 | code >> 6
								: 0x80 | (code >> 6 & 0x3F));
			text[length++] = (uint8_t)(0x80 | ((code + i) & 0x3F));
		}
		hold_by_all_rules(text, length);
	}
}

/* Words of many scripts, in which some bytes are then changed. Many a text has the first few kinds alone, and
 * no change, so that nothing holds up a kernel before its end. */
static size_t random_text(uint64_t *seed, uint8_t *text, size_t size)
{
	static const char *const words[] = {"a run of ordinary letters ", "stra\u00DFe ",
		"k\u0131\u015F ", "\u03B1\u03C9 ", "\u0431\u044F", "\u0928\u0940", "\u3B40",
		"\U0001F600", "\u1FC3", "\u1FC0", "\uFB03", "\U00010428", "\U0001E922",
		"\U00030000", "\U0010FFFF"};
	const size_t kinds = 1 + seed_below(seed, COUNT(words));
	size_t length = 0;

	for (size_t left = seed_below(seed, 80); left > 0; left--) {
		const char *word = words[seed_below(seed, kinds)];

		while (*word && length < size)
			text[length++] = (uint8_t)*word++;
	}
	for (size_t left = seed_below(seed, 2) * seed_below(seed, 8); left > 0 && length > 0;
		left--) {
		const size_t place = seed_below(seed, length);
		const bool likely = seed_below(seed, 2) == 0;

		text[place] = likely ? alphabet[seed_below(seed, COUNT(alphabet))]
				     : (uint8_t)seed_below(seed, 256);
	}

	return length;
}

static void test_random_texts_in_any_room(void **state)
{
	uint64_t seed = seed_new("kernels");
	uint8_t bytes[512];

	for (size_t i = 0; i < 100000; i++) {
		const size_t length = random_text(&seed, bytes, sizeof(bytes));
		const uint8_t *text = guard_copy(input, bytes, length);

		if (seed_below(&seed, 2) == 0)
			text = memcpy(input.begin, bytes, length);
		hold(&rules[i % COUNT(rules)], seed_below(&seed, 2), text, length,
			seed_below(&seed, UPPER_EXPANSION * length + 1));
		hold(&rules[i % COUNT(rules)], seed_below(&seed, 2), text, length,
			UPPER_EXPANSION * length);
	}
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
	TEST(test_every_four_bytes_at_every_edge),
	TEST(test_every_four_bytes_at_every_edge_of_a_stride),
	TEST(test_every_four_bytes_among_many),
	TEST(test_every_character_at_both_places_of_a_word),
	TEST(test_random_texts_in_any_room),
};

/* One group, since a group is what a runner takes for a program. */
int main(void)
{
	static struct CMUnitTest all[4 * COUNT(tests)];
	size_t count = 0;

	input = guard_new();
	output = guard_new();
	expected = guard_new();
	for (size_t i = 0; upper_kernels[i]; i++) {
		if (!upper_kernels[i]->supported())
			continue;
		for (size_t t = 0; t < COUNT(tests); t++) {
			all[count] = tests[t];
			all[count++].initial_state = (void *)(uintptr_t)upper_kernels[i];
		}
	}

	return _cmocka_run_group_tests("kernels", all, count, NULL, NULL);
}
