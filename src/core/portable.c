/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-casing on any processor. Blocks of ASCII go as a whole, in loops of a fixed length, which
 * compilers turn into vector instructions; everything else goes character by character through
 * the table. Reads nothing beyond `in->end`, and never half a character into `out`. */

#include "core/kernel.h"
#include "core/upper_table.h"
#include "core/utf8.h"

enum {
	BLOCK = 64,
	ROW_MASK = (1 << UPPER_ROW_BITS) - 1,
	ROW_COUNT = sizeof(upper_row_of) / sizeof(upper_row_of[0]),
};

_Static_assert(sizeof(upper_specials[0].bytes) == UPPER_LONGEST, "no result is cut short");

static const uint8_t replacement[] = {0xEF, 0xBF, 0xBD};

static inline size_t left_in(const struct upper_in *in)
{
	return (size_t)(in->end - in->at);
}

static inline size_t room_in(const struct upper_out *out)
{
	return (size_t)(out->end - out->at);
}

/* Of the letters of ASCII, and of them alone, upper and lower case differ in this one bit. */
static inline uint8_t ascii_upper(uint8_t byte)
{
	return (uint8_t)(byte - 'a') < 26 ? byte ^ 0x20 : byte;
}

static inline bool block_is_ascii(const uint8_t *at)
{
	uint8_t any = 0;

	for (size_t i = 0; i < BLOCK; i++)
		any |= at[i];

	return any < 0x80;
}

static inline void block_convert(uint8_t *restrict to, const uint8_t *restrict from)
{
	for (size_t i = 0; i < BLOCK; i++)
		to[i] = ascii_upper(from[i]);
}

static inline void convert_blocks(bool any_byte, struct upper_in *in, struct upper_out *out)
{
	while (left_in(in) >= BLOCK && room_in(out) >= BLOCK) {
		if (!any_byte && !block_is_ascii(in->at))
			return;

		block_convert(out->at, in->at);
		in->at += BLOCK;
		out->at += BLOCK;
	}
}

/* Writes `to_length` bytes in place of the next `from_length`, or neither takes nor writes any. */
static inline int answer(struct upper_in *in, size_t from_length, struct upper_out *out,
	const uint8_t *to, size_t to_length)
{
	if (room_in(out) < to_length)
		return UPPER_E_ROOM;

	for (size_t i = 0; i < to_length; i++)
		out->at[i] = to[i];
	in->at += from_length;
	out->at += to_length;
	return 0;
}

static int convert_bad(
	enum upper_invalid invalid, size_t length, struct upper_in *in, struct upper_out *out)
{
	switch (invalid) {
	case UPPER_REPLACE:
		return answer(in, length, out, replacement, sizeof(replacement));
	case UPPER_REJECT:
		return UPPER_E_INVALID;
	case UPPER_KEEP:
	default:
		return answer(in, length, out, in->at, length);
	}
}

/* Inlined with `length` known, so that each length has code of its own without a loop. */
__attribute__((always_inline)) static inline int convert_character(
	uint32_t code, const size_t length, struct upper_in *in, struct upper_out *out)
{
	const uint32_t number = code >> UPPER_ROW_BITS;
	uint16_t entry = 0;

	if (number < ROW_COUNT)
		entry = upper_rows[upper_row_of[number]][code & ROW_MASK];
	if (entry & UPPER_SPECIAL) {
		const struct upper_special *special = &upper_specials[entry & ~UPPER_SPECIAL];
		return answer(in, length, out, special->bytes, special->length);
	}

	if (room_in(out) < length)
		return UPPER_E_ROOM;

	for (size_t i = 0; i < length - 2; i++)
		out->at[i] = in->at[i];
	out->at[length - 2] = in->at[length - 2] ^ (uint8_t)(entry >> 8);
	out->at[length - 1] = in->at[length - 1] ^ (uint8_t)entry;
	in->at += length;
	out->at += length;
	return 0;
}

/* Characters of four bytes, the edges of the input, and what is not UTF-8. */
static int convert_uncommon(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	struct utf8_piece piece = utf8_next(in->at, left_in(in));

	if (piece.kind == UTF8_CHARACTER)
		return convert_character(piece.code, piece.length, in, out);
	if (piece.kind == UTF8_UNFINISHED && !last)
		return UPPER_E_UNFINISHED;

	return convert_bad(rule->invalid, piece.length, in, out);
}

static inline int convert_next(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	uint32_t code = 0;
	uint8_t byte = in->at[0];

	if (byte < 0x80 || rule->charset == UPPER_ASCII) {
		byte = ascii_upper(byte);
		return answer(in, 1, out, &byte, 1);
	}

	switch (left_in(in) >= 3 ? utf8_common(in->at, &code) : 0) {
	case 2:
		return convert_character(code, 2, in, out);
	case 3:
		return convert_character(code, 3, in, out);
	default:
		return convert_uncommon(rule, last, in, out);
	}
}

/* The spans are copies: `out` may point to any byte, and the compiler could keep nothing in
 * registers if the caller's own spans had to be up to date at every write. */
static int convert(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	const struct upper_rule how = *rule;
	struct upper_in from = *in;
	struct upper_out to = *out;
	int r = 0;

	while (r == 0 && from.at < from.end) {
		convert_blocks(how.charset == UPPER_ASCII, &from, &to);

		/* A block with something else in it: through it, and then blocks again. */
		size_t step = left_in(&from) < BLOCK ? left_in(&from) : BLOCK;
		for (const uint8_t *until = from.at + step; r == 0 && from.at < until;)
			r = convert_next(&how, last, &from, &to);
	}

	*in = from;
	*out = to;
	return r;
}

static bool supported(void)
{
	return true;
}

const struct upper_kernel upper_kernel_portable = {"portable", supported, convert};
