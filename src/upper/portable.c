/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-casing on any processor. A block is first converted as if it were all ASCII, in vectors as
 * compilers know them; then the characters beyond ASCII are patched, one by one, where a bit for each
 * byte says that they are. Text that does not fit that, because its length changes, it is not UTF-8 or an
 * end is near, goes piece by piece. Reads nothing beyond `in->end`, and takes no more of `out` than
 * whole characters. */

#include <string.h>

#include "upper/kernel.h"
#include "upper/upper_table.h"
#include "upper/utf8.h"

enum {
	WORD = 8,
	BLOCK = 64,
	EDGE = 3, /* how far a character that begins in a block may reach beyond it */
	ROW_MASK = (1 << UPPER_ROW_BITS) - 1,
	ROW_COUNT = sizeof(upper_row_of) / sizeof(upper_row_of[0]),
};

/* A size that nearly all processors take at once; for others the compiler takes it apart. */
typedef uint8_t vector __attribute__((vector_size(16)));
typedef int8_t signed_vector __attribute__((vector_size(16)));
typedef uint64_t word_pair __attribute__((vector_size(16)));

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

/* Of the letters of ASCII, and of them alone, upper and lower case differ in this one bit. Adding 5
 * makes them the greatest of signed bytes: one comparison, of the kind that vectors have. */
static inline uint8_t ascii_upper(uint8_t byte)
{
	return (uint8_t)(byte ^ ((int8_t)(uint8_t)(byte + 5) > 101 ? 0x20 : 0));
}

static inline vector vector_upper(vector bytes)
{
	return bytes ^ ((vector)((signed_vector)(bytes + 5) > 101) & 0x20);
}

/* True if all of it was ASCII. */
static inline bool block_convert(uint8_t *restrict to, const uint8_t *restrict from)
{
	vector bytes, any = {0};

	for (size_t i = 0; i < BLOCK; i += sizeof(vector)) {
		memcpy(&bytes, from + i, sizeof(vector));
		any |= bytes;
		bytes = vector_upper(bytes);
		memcpy(to + i, &bytes, sizeof(vector));
	}

	const word_pair words = (word_pair)any;
	return ((words[0] | words[1]) & 0x8080808080808080) == 0;
}

/* Eight bytes in one register, of which none may have its highest bit set. */
static inline uint64_t word_upper(uint64_t word)
{
	const uint64_t each = 0x0101010101010101;
	uint64_t from_a = word + (0x80 - 'a') * each, above_z = word + (0x7F - 'z') * each;

	return word ^ ((from_a & ~above_z & 0x80 * each) >> 2);
}

static inline uint64_t word_load(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* A bit for each byte of a block that is not ASCII, the first in the lowest. */
static inline uint64_t block_mask(const uint8_t *at)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < BLOCK; i += WORD) {
		uint64_t word = word_load(at + i);

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		word = __builtin_bswap64(word);
#endif
		/* The highest bits of all bytes meet in the highest byte of the product. */
		mask |= (((word >> 7 & 0x0101010101010101) * 0x0102040810204080) >> 56) << i;
	}

	return mask;
}

static inline uint16_t entry_of(uint32_t code)
{
	const uint32_t number = code >> UPPER_ROW_BITS;

	return number < ROW_COUNT ? upper_rows[upper_row_of[number]][code & ROW_MASK] : 0;
}

/* Inlined with `length` known, so that each length has code of its own without a loop. */
__attribute__((always_inline)) static inline void change(
	uint8_t *to, const uint8_t *at, const size_t length, uint16_t entry)
{
	for (size_t i = 0; i < length - 2; i++)
		to[i] = at[i];
	to[length - 2] = at[length - 2] ^ (uint8_t)(entry >> 8);
	to[length - 1] = at[length - 1] ^ (uint8_t)entry;
}

/* The same: writes the answer to one character, unless it is longer or shorter; says how long. */
__attribute__((always_inline)) static inline size_t patch_character(
	uint8_t *to, const uint8_t *at, const size_t length, uint32_t code)
{
	const uint16_t entry = entry_of(code);

	if (entry >= UPPER_SPECIAL) {
		const struct upper_special *special = &upper_specials[entry - UPPER_SPECIAL];

		if (special->length != length)
			return 0;
		memcpy(to, special->bytes, length);
		return length;
	}

	change(to, at, length, entry);
	return length;
}

/* The same for what stands at `at`, which may also be nothing to patch. Looks at four bytes. */
static inline size_t patch(uint8_t *to, const uint8_t at[static UPPER_UNFINISHED + 1])
{
	uint32_t code = 0;

	switch (utf8_common(at, &code)) {
	case 2:
		return patch_character(to, at, 2, code);
	case 3:
		return patch_character(to, at, 3, code);
	default:;
		struct utf8_piece piece = utf8_next(at, UPPER_UNFINISHED + 1);
		return piece.kind == UTF8_CHARACTER ? patch_character(to, at, 4, piece.code) : 0;
	}
}

/* Patches what is not ASCII in a block; how far it came, which is less than the block when it met
 * something that cannot be patched, and more when its last character goes beyond. */
static inline size_t block_patch(uint8_t *to, const uint8_t *from)
{
	uint64_t mask = block_mask(from);
	size_t reached = BLOCK;

	while (mask > 0) {
		size_t at = (size_t)__builtin_ctzll(mask);
		size_t length = patch(to + at, from + at);

		if (length == 0)
			return at;
		if (at + length > BLOCK)
			reached = at + length;
		mask &= ~((((uint64_t)1 << length) - 1) << at);
	}

	return reached;
}

/* Stops with an end near, or at something that is not for blocks. */
static inline void convert_blocks(bool any_byte, struct upper_in *in, struct upper_out *out)
{
	while (left_in(in) >= BLOCK + EDGE && room_in(out) >= BLOCK + EDGE) {
		size_t reached = BLOCK;

		if (!block_convert(out->at, in->at) && !any_byte)
			reached = block_patch(out->at, in->at);
		in->at += reached;
		out->at += reached;
		if (reached < BLOCK)
			return;
	}
}

/* The same for ASCII alone, in small steps. */
static inline void convert_words(struct upper_in *in, struct upper_out *out)
{
	while (left_in(in) >= WORD && room_in(out) >= WORD) {
		uint64_t word = word_load(in->at);

		if (word & 0x8080808080808080)
			return;
		word = word_upper(word);
		memcpy(out->at, &word, WORD);
		in->at += WORD;
		out->at += WORD;
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
	const uint16_t entry = entry_of(code);

	if (entry >= UPPER_SPECIAL) {
		const struct upper_special *special = &upper_specials[entry - UPPER_SPECIAL];
		return answer(in, length, out, special->bytes, special->length);
	}

	if (room_in(out) < length)
		return UPPER_E_ROOM;

	change(out->at, in->at, length, entry);
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
		for (const uint8_t *until = from.at + step; r == 0 && from.at < until;) {
			convert_words(&from, &to);
			if (from.at < until)
				r = convert_next(&how, last, &from, &to);
		}
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
