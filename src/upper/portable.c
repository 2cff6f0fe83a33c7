/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-casing on any processor, in vectors that the compiler turns into SSE2, NEON or others.
 *
 * * A block of 64 bytes is first converted as if it were all ASCII. The characters beyond ASCII are then
 * patched, where a mask with a bit for each byte says that they begin. Three kinds of blocks are told apart:
 *
 *   narrow  no character of three or four bytes (Greek, Cyrillic, German, Arabic). Vectors check that all of it
 *           is UTF-8; then each character is replaced by its result in a table, without a further question.
 *   wide    Vectors check all of it and find the letters that may have case, of which Hindi, Chinese or emoji
 *           have none: then nothing is patched.
 *   sparse  wide, but nearly ASCII (English with typographic quotes). To check each character by itself
 *           costs less than to check all of the block.
 *
 * * A block ends early before a character that is cut by its end, and before what is not UTF-8. This, and
 * text that is shorter than a block, goes piece by piece: convert_next() decides what becomes of it, alone.
 *
 * * Reads nothing beyond `in->end`, and takes no more of `out` than whole characters. */

#include <string.h>

#include "upper/kernel.h"
#include "upper/upper_table.h"
#include "upper/utf8.h"

enum {
	WORD = 8,
	BLOCK = 64,
	EDGE = 3,  /* how far a character that begins in a sparse block may reach beyond it */
	FEW = 18,  /* bytes beyond ASCII that a sparse block may have */
	MANY = 16, /* blocks that go piece by piece, after one of which nothing could be taken */
	ROW_MASK = (1 << UPPER_ROW_BITS) - 1,
	ROW_COUNT = sizeof(upper_row_of) / sizeof(upper_row_of[0]),
};

/* A size that nearly all processors take at once; for others the compiler takes it apart. */
typedef uint8_t vector __attribute__((vector_size(16)));
typedef int8_t signed_vector __attribute__((vector_size(16)));
typedef uint64_t word_pair __attribute__((vector_size(16)));

enum { VECTORS = BLOCK / sizeof(vector) };

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

static inline vector vector_load(const uint8_t *at)
{
	vector bytes;

	memcpy(&bytes, at, sizeof(bytes));
	return bytes;
}

/* Comparisons answer in the highest bit of each byte; other bits may be anything. */
static inline vector vector_is(vector bytes, uint8_t byte)
{
	return (vector)(bytes == byte);
}

/* From 0x80 to below `bound`: for these, the order of signed bytes is the same. */
static inline vector vector_below(vector bytes, uint8_t bound)
{
	return (vector)((signed_vector)bytes < (int8_t)bound);
}

/* From `bound`, which is at least 0x80, to 0xFF. */
static inline vector vector_from(vector bytes, uint8_t bound)
{
	return bytes & ~vector_below(bytes, bound);
}

static inline bool has_any(vector answers)
{
	const word_pair words = (word_pair)answers;

	return ((words[0] | words[1]) & 0x8080808080808080) != 0;
}

/* True if all of it was ASCII. */
static inline bool block_convert(uint8_t *restrict to, const uint8_t *restrict from)
{
	vector bytes, any = {0};

	for (size_t i = 0; i < BLOCK; i += sizeof(vector)) {
		bytes = vector_load(from + i);
		any |= bytes;
		bytes = vector_upper(bytes);
		memcpy(to + i, &bytes, sizeof(vector));
	}

	return !has_any(any);
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

/* A bit for each byte of a block whose `ones` highest bits are set, the first byte in the lowest: with one, all
 * that is not ASCII; with two, the first bytes of characters. */
static inline uint64_t block_mask(const uint8_t *at, const unsigned ones)
{
	uint64_t mask = 0;

#pragma GCC unroll 8
	for (size_t i = 0; i < BLOCK; i += WORD) {
		uint64_t word = word_load(at + i);

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		word = __builtin_bswap64(word);
#endif
		uint64_t found = word & 0x8080808080808080;
		for (unsigned n = 1; n < ones; n++)
			found &= word << n;
		/* The highest bits of all bytes meet in the highest byte of the product. */
		mask |= (found * 0x0002040810204081 >> 56) << i;
	}

	return mask;
}

/* As __builtin_popcountll(), which is a call where the processor may lack the instruction. */
static inline unsigned count_bits(uint64_t mask)
{
	mask -= mask >> 1 & 0x5555555555555555;
	mask = (mask & 0x3333333333333333) + (mask >> 2 & 0x3333333333333333);
	mask = (mask + (mask >> 4)) & 0x0F0F0F0F0F0F0F0F;

	return (unsigned)(mask * 0x0101010101010101 >> 56);
}

static inline bool block_is_wide(const uint8_t *at)
{
	vector wide = {0};

#pragma GCC unroll 4
	for (size_t i = 0; i < VECTORS; i++)
		wide |= vector_from(vector_load(at + i * sizeof(vector)), 0xE0);

	return has_any(wide);
}

/* Where a vector begins, of those that look at each byte and at `ahead` bytes behind it, and not beyond the
 * block: the last one overlaps the one before it. */
static inline size_t place_of(size_t number, size_t ahead)
{
	const size_t place = number * sizeof(vector), last = BLOCK - ahead - sizeof(vector);

	return place < last ? place : last;
}

/* Whether a narrow block is UTF-8: there is a trail behind each first byte, and nowhere else. */
static inline bool narrow_is_valid(const uint8_t *at)
{
	vector wrong = {0};

#pragma GCC unroll 4
	for (size_t i = 0; i < VECTORS; i++) {
		const uint8_t *from = at + place_of(i, 1);
		const vector first = vector_load(from), second = vector_load(from + 1);

		wrong |= vector_is(first & 0xFE, 0xC0) |
			(vector_from(first, 0xC0) ^ vector_below(second, 0xC0));
	}

	return !has_any(wrong) && !utf8_is_trail(at[0]);
}

/* All of a narrow block but for a first byte at its end. */
static inline size_t narrow_length(const uint8_t *at)
{
	return BLOCK - (at[BLOCK - 1] >= 0xC0);
}

/* The first bytes of characters that may have case. Left out are symbols and punctuation that are frequent, and
 * emoji; to take another for a letter does no harm. */
static inline vector vector_cased(vector first, vector second)
{
	const vector four = vector_below(second, 0x9F) & ~vector_is(second, 0x9D);

	return vector_is(first & 0xE0, 0xC0) | vector_is(first, 0xE1) |
		(vector_is(first, 0xE2) & ~vector_below(second, 0x85)) | vector_is(first, 0xEA) |
		vector_is(first, 0xEF) | (vector_is(first, 0xF0) & four);
}

/* Whether a block of any kind is UTF-8, as far as characters go that begin in front of its last three bytes; all
 * from F1 on are refused. Marks those that may have case. */
static inline bool wide_is_valid(
	const uint8_t *at, uint8_t marks[static BLOCK], bool *ret_is_marked)
{
	vector wrong = {0}, any = {0};

	memset(&marks[BLOCK - sizeof(vector)], 0, sizeof(vector));
#pragma GCC unroll 4
	for (size_t i = 0; i < VECTORS; i++) {
		const uint8_t *from = at + place_of(i, UPPER_UNFINISHED);
		const vector first = vector_load(from), second = vector_load(from + 1);
		const vector third = vector_load(from + 2), fourth = vector_load(from + 3);
		const vector cased = vector_cased(first, second), low = vector_below(second, 0xA0);
		const vector due = vector_from(first, 0xF0) | vector_from(second, 0xE0) |
			vector_from(third, 0xC0);

		wrong |= vector_is(first & 0xFE, 0xC0) | (vector_is(first, 0xE0) & low) |
			(vector_is(first, 0xED) & ~low) | vector_from(first, 0xF1) |
			(due ^ vector_below(fourth, 0xC0));
		any |= cased;
		memcpy(marks + (from - at), &cased, sizeof(cased));
	}

	/* The vectors above say nothing about trails among the first three bytes. */
	*ret_is_marked = has_any(any);
	return !has_any(wrong) && !utf8_is_trail(at[0]) &&
		utf8_is_trail(at[1]) == (at[0] >= 0xC0) &&
		utf8_is_trail(at[2]) == (at[0] >= 0xE0 || at[1] >= 0xC0);
}

/* To the end of the last character that begins in front of the last three bytes, without a branch. */
static inline size_t wide_length(const uint8_t *at)
{
	const size_t one = utf8_is_trail(at[BLOCK - 3]), two = one & utf8_is_trail(at[BLOCK - 2]);

	return BLOCK - 3 + one + two + (two & utf8_is_trail(at[BLOCK - 1]));
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

/* Patches what a mask says is not ASCII, each character checked by itself. Returns how far it came, which is
 * less than the block when it met something that cannot be patched, and more when its last character goes
 * beyond. */
static inline size_t patch_sparse(uint64_t mask, uint8_t *to, const uint8_t *from, bool *ret_wide)
{
	size_t reached = BLOCK;

	*ret_wide = false;
	while (mask > 0) {
		size_t at = (size_t)__builtin_ctzll(mask);
		size_t length = patch(to + at, from + at);

		*ret_wide |= length != 2;
		if (length == 0)
			return at;
		if (at + length > BLOCK)
			reached = at + length;
		mask &= ~((((uint64_t)1 << length) - 1) << at);
	}

	return reached;
}

/* The result for a character of two bytes. One index for both, since the compiler makes less of two. */
static inline const uint8_t *pair_for(const uint8_t *at)
{
	return upper_pairs[0] + 2 * ((size_t)at[0] * 64 + at[1] - (0xC0 * 64 + 0x80));
}

/* Patches whole and valid characters, which begin at `places` among the first `length` bytes, and takes all of
 * these bytes, or those in front of a character that cannot be patched. One of two bytes that becomes longer or
 * shorter moves what follows: the rest of the block is converted once more, to where it belongs now. */
static inline size_t patch_valid(
	uint64_t places, size_t length, struct upper_in *in, struct upper_out *out)
{
	const uint8_t *from = in->at;
	uint8_t *to = out->at;

	for (; places; places &= places - 1) {
		const size_t at = (unsigned)__builtin_ctzll(places);
		uint8_t pair[2];

		if (__builtin_expect(from[at] >= 0xE0, false)) {
			if (patch(to + at, from + at) > 0)
				continue;
			length = at;
			break;
		}

		memcpy(pair, pair_for(from + at), sizeof(pair));
		if (__builtin_expect(pair[0] != 0, true)) {
			memcpy(to + at, pair, sizeof(pair));
			continue;
		}

		const struct upper_special *special = &upper_specials[pair[1]];
		const uint8_t *rest = from + at + sizeof(pair);
		if (in->end - rest < BLOCK || out->end - (to + at) < UPPER_LONGEST + BLOCK) {
			length = at;
			break;
		}
		memcpy(to + at, special->bytes, UPPER_LONGEST);
		block_convert(to + at + special->length, rest);
		to += special->length - (ptrdiff_t)sizeof(pair);
	}

	in->at = from + length;
	out->at = to + length;
	return length;
}

/* Patches a block that is not all ASCII, and returns how much of it is done. `wide` remembers the kind of the
 * block before: text stays with its script. */
static inline size_t block_patch(bool *wide, struct upper_in *in, struct upper_out *out)
{
	uint8_t marks[BLOCK];
	bool is_marked;

	if (!*wide && !block_is_wide(in->at))
		return narrow_is_valid(in->at)
			? patch_valid(block_mask(in->at, 2) & ~(uint64_t)0 >> 1,
				  narrow_length(in->at), in, out)
			: 0;

	const uint64_t mask = block_mask(in->at, 1);
	*wide = true;
	if (count_bits(mask) <= FEW && left_in(in) >= BLOCK + EDGE &&
		room_in(out) >= BLOCK + EDGE) {
		const size_t reached = patch_sparse(mask, out->at, in->at, wide);

		in->at += reached;
		out->at += reached;
		return reached;
	}

	if (!wide_is_valid(in->at, marks, &is_marked))
		return 0;
	return patch_valid(is_marked ? block_mask(marks, 1) : 0, wide_length(in->at), in, out);
}

/* Stops with an end near, or at something that is not for blocks. The spans are copies, as in convert(), and this
 * is a function of its own, so that neither loop crowds the other out of the registers. */
__attribute__((noinline)) static void convert_blocks(
	bool any_byte, struct upper_in *in, struct upper_out *out)
{
	struct upper_in from = *in;
	struct upper_out to = *out;
	bool wide = false;

	while (true) {
		const size_t left = left_in(&from), room = room_in(&to);
		const uint8_t *end = from.at + (left < room ? left : room) / BLOCK * BLOCK;

		while (from.at < end && (block_convert(to.at, from.at) || any_byte)) {
			from.at += BLOCK;
			to.at += BLOCK;
		}
		if (from.at == end || block_patch(&wide, &from, &to) < BLOCK - UPPER_UNFINISHED)
			break;
	}

	*in = from;
	*out = to;
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
		size_t step = MANY * BLOCK;

		if (left_in(&from) >= BLOCK) {
			*in = from;
			*out = to;
			convert_blocks(how.charset == UPPER_ASCII, in, out);
			step = in->at > from.at ? BLOCK : MANY * BLOCK;
			from = *in;
			to = *out;
		}

		/* Through what ended the blocks, and then blocks again. */
		if (left_in(&from) < step)
			step = left_in(&from);
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
