/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-casing with AVX-512, 64 bytes at a time and without a branch for each character. The table is
 * applied a row at a time: a row is 64 words, as many as one instruction picks from, and all characters
 * of a block that share their bytes but the last share a row. Ordinary text has one or two in a block.
 *
 * * A block ends before what is not UTF-8, is cut by an end, or has case and four bytes. The rest goes
 * the portable way, with all decisions about it. Loads and stores are masked: no byte beyond a span is
 * touched.
 *
 * * Processors with VBMI2 take long texts by strides (vbmi2_stride.h), and by these blocks what is left. */

#include <string.h>

#include "upper/avx512_block.h"
#include "upper/kernel.h"
#include "upper/upper_table.h"
#include "upper/vbmi2_stride.h"

enum {
	SOME = 64, /* bytes that go the portable way, where a block ended early */
	MANY = 16, /* blocks without strides, where a stride ended at once */
};

#define EVEN 0x5555555555555555u
#define ODD  (EVEN << 1)

_Static_assert(1 << UPPER_ROW_BITS == BLOCK, "a row is two registers of words");
_Static_assert(sizeof(upper_row_of) >= 0x10000 >> UPPER_ROW_BITS, "three bytes have their row");
_Static_assert(
	sizeof(upper_specials[0].bytes) == UPPER_LONGEST, "a special result is copied whole");

/* The first bytes of three, by their lower halves, that letters with case have. */
static const uint8_t three_with_case[16] = {[0x1] = 0x80, [0x2] = 0x80, [0xA] = 0x80, [0xF] = 0x80};

/* A row of the table, and its characters: the byte before the last, and the first of three or 0. */
struct avx512_row {
	uint8_t before, first;
	const uint16_t *entries;
};

/* The entries, as words, of characters whose last bytes are at even and at odd places. */
struct change {
	__m512i even, odd;
};

/* The last bytes of characters of two and three that may have case. */
_fast_ _inline_ __mmask64 with_case(const struct block *b)
{
	/* E0 to EF become 70 to 7F, and all else is above. */
	const __m512i three = _mm512_adds_epu8(_mm512_sub_epi8(b->back2, each(0xE0)), each(0x70));

	return is_within(b->back1, 0xC2, 0xD7 - 0xC2) |
		_mm512_movepi8_mask(look_up(three_with_case, three));
}

/* The second bytes of characters of four that may have case, as Deseret and Adlam; no emoji. */
_fast_ _inline_ __mmask64 with_case_in_four(const struct block *b)
{
	return is_byte(b->back1, 0xF0) & _mm512_cmplt_epu8_mask(b->bytes, each(0x9F));
}

_inline_ struct avx512_row row_for(const uint8_t *last)
{
	const uint8_t before = last[-1], first = before < 0xC0 ? last[-2] : 0;
	const int number = first ? (first & 0x0F) << 6 | (before & 0x3F) : before & 0x1F;

	return (struct avx512_row){before, first, upper_rows[upper_row_of[number]]};
}

/* All last bytes that a row is for. */
_fast_ _inline_ __mmask64 same_row(const struct block *b, const struct avx512_row *row)
{
	const __mmask64 same = is_byte(b->back1, row->before);

	return row->first ? same & is_byte(b->back2, row->first) : same;
}

/* Two look-ups, since entries are words: a last byte is the lower half of its word, or the upper. */
_fast_ _inline_ void apply_row(
	struct change *change, const struct block *b, const struct avx512_row *row, __mmask64 same)
{
	const __m512i low = _mm512_loadu_si512(row->entries);
	const __m512i high = _mm512_loadu_si512(row->entries + BLOCK / 2);
	const __m512i even = _mm512_maskz_permutex2var_epi16(
		(__mmask32)_pext_u64(same, EVEN), low, b->bytes, high);
	const __m512i odd = _mm512_maskz_permutex2var_epi16(
		(__mmask32)_pext_u64(same, ODD), low, _mm512_srli_epi16(b->bytes, 8), high);

	change->even = _mm512_or_si512(change->even, even);
	change->odd = _mm512_or_si512(change->odd, odd);
}

/* For `n` bytes. Begins with the row that came last, in the block before: to find another takes its
 * time, and text stays with its script. Bytes that are not UTF-8 may have any row, and so a row is for
 * `places` alone: bytes that are no letter's last are not to be touched. */
_fast_ _inline_ struct change change_of(const struct block *b, size_t n, struct avx512_row *known)
{
	struct change change = {_mm512_setzero_si512(), _mm512_setzero_si512()};
	__mmask64 same;

	for (__mmask64 places = with_case(b) & first_bits(n); places; places &= ~same) {
		same = same_row(b, known) & places;
		if (!same) {
			*known = row_for(b->at + _tzcnt_u64(places));
			same = same_row(b, known) & places;
		}
		apply_row(&change, b, known, same);
	}

	return change;
}

/* The last bytes of characters that change in more than their last two bytes, or in length. */
_fast_ _inline_ __mmask64 specials_in(const struct change *change)
{
	const __m512i special = _mm512_set1_epi16((short)UPPER_SPECIAL);

	return _pdep_u64(_mm512_cmpge_epu16_mask(change->even, special), EVEN) |
		_pdep_u64(_mm512_cmpge_epu16_mask(change->odd, special), ODD);
}

/* The lower half of an entry is for the last byte, the upper half for the byte before. At an odd
 * place the halves are the other way round; at an even one, the upper is two places too far. */
_fast_ _inline_ __m512i in_place(const struct change *change)
{
	const __m512i swap = _mm512_set4_epi32(0x0E0F0C0D, 0x0A0B0809, 0x06070405, 0x02030001);
	const __m512i lanes = _mm512_alignr_epi64(_mm512_setzero_si512(), change->even, 2);

	return _mm512_xor_si512(_mm512_shuffle_epi8(change->odd, swap),
		_mm512_mask_alignr_epi8(change->even, ODD, lanes, change->even, 2));
}

/* Stores `n` bytes but for the special characters among them, each of which moves what follows it:
 * `to` is where the block would begin if its next byte stood in its place. Returns the end. */
_fast_ _inline_ uint8_t *store_around(
	__mmask64 specials, const uint8_t *at, uint8_t *to, __m512i upper, size_t n)
{
	size_t done = 0;

	for (; specials; specials &= specials - 1) {
		const uint8_t *last = at + _tzcnt_u64(specials);
		const struct avx512_row row = row_for(last);
		const uint16_t number = row.entries[*last & 0x3F] - UPPER_SPECIAL;
		const size_t after = (size_t)(last + 1 - at), begin = after - (row.first ? 3 : 2);

		_mm512_mask_storeu_epi8(to, first_bits(begin) & ~first_bits(done), upper);
		memcpy(to + begin, upper_specials[number].bytes, UPPER_LONGEST);
		to += (ptrdiff_t)(begin + upper_specials[number].length - after);
		done = after;
	}

	_mm512_mask_storeu_epi8(to, first_bits(n) & ~first_bits(done), upper);
	return to + n;
}

/* How much of a whole block is left without the character that goes beyond it. By ordinary
 * instructions and without a branch, since the next block waits for it. */
_inline_ size_t whole_part(const uint8_t *at)
{
	const size_t one = at[BLOCK - 1] >= 0xC0;
	const size_t two = ~one & (at[BLOCK - 2] >= 0xE0);
	const size_t three = ~one & ~two & (at[BLOCK - 3] >= 0xF0);

	return BLOCK - one - 2 * two - 3 * three;
}

/* The first `n` bytes of a block, or fewer: to the first character that is not for this. */
_fast_ _inline_ size_t convert_characters(struct avx512_row *known, size_t n, __m512i bytes,
	struct upper_in *in, struct upper_out *out)
{
	if (n == BLOCK)
		n = whole_part(in->at);

	const struct block b = block_of(in->at, bytes);
	const struct change change = change_of(&b, n, known);
	const __mmask64 stops = errors_in(&b) | with_case_in_four(&b);
	const __mmask64 specials = specials_in(&change);
	const __m512i upper = _mm512_xor_si512(ascii_upper(bytes), in_place(&change));

	if (__builtin_expect((stops | specials) != 0, false)) {
		if (stops)
			n = beginning_of(&b, (size_t)_tzcnt_u64(stops));
		out->at = store_around(specials & first_bits(n), in->at, out->at, upper, n);
	} else {
		_mm512_mask_storeu_epi8(out->at, first_bits(n), upper);
		out->at += n;
	}

	in->at += n;
	return n;
}

/* One block, or less of it when there is no more or no room for three times as much; behind one of
 * ASCII also those that follow. Returns how much of the first it was. */
_fast_ _inline_ size_t convert_block(
	bool any_byte, struct avx512_row *known, struct upper_in *in, struct upper_out *out)
{
	const size_t left = (size_t)(in->end - in->at), room = (size_t)(out->end - out->at);
	size_t n = BLOCK;

	if (left < BLOCK || room < UPPER_EXPANSION * BLOCK)
		n = least_of(BLOCK, least_of(left, room / UPPER_EXPANSION));

	const __m512i bytes = _mm512_maskz_loadu_epi8(first_bits(n), in->at);
	if (!any_byte && _mm512_movepi8_mask(bytes))
		return convert_characters(known, n, bytes, in, out);

	_mm512_mask_storeu_epi8(out->at, first_bits(n), ascii_upper(bytes));
	in->at += n;
	out->at += n;
	convert_ascii(any_byte, in, out);
	return n;
}

/* The first guess at a row is Latin. The spans are copies, as they are in the portable way, and for
 * the same reason. */
_fast_ static void convert_blocks(bool any_byte, struct upper_in *in, struct upper_out *out)
{
	struct upper_in from = *in;
	struct upper_out to = *out;
	struct avx512_row known = {0xC3, 0, upper_rows[upper_row_of[0xC3 & 0x1F]]};
	size_t got = BLOCK;

	while (from.at < from.end && got + UPPER_UNFINISHED >= BLOCK)
		got = convert_block(any_byte, &known, &from, &to);

	*in = from;
	*out = to;
}

/* Some bytes the portable way: what ended a block, and what follows it. */
static int convert_some(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	if (in->end - in->at <= SOME)
		return upper_kernel_portable.convert(rule, last, in, out);

	struct upper_in part = {in->at, in->at + SOME};
	int r = upper_kernel_portable.convert(rule, false, &part, out);

	in->at = part.at;
	return r == UPPER_E_UNFINISHED ? 0 : r;
}

static int convert(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	int r = 0;

	while (r == 0 && in->at < in->end) {
		convert_blocks(rule->charset == UPPER_ASCII, in, out);
		if (in->at < in->end)
			r = convert_some(rule, last, in, out);
	}

	return r;
}

static bool supported(void)
{
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi2");
}

const struct upper_kernel upper_kernel_avx512 = {"avx512", supported, convert};

/* Behind the ASCII that a text begins with: strides, and between them a block that has what ended them; or many,
 * where nearly all have. */
_fast_ __attribute__((noinline)) static int convert_long(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	size_t next = BLOCK;
	int r = 0;

	convert_ascii(false, in, out);
	while (r == 0 && in->end - in->at >= 2 * BLOCK) {
		struct upper_in part = {
			in->at, in->at + least_of(next, (size_t)(in->end - in->at))};

		convert_blocks(false, &part, out);
		in->at = part.at;
		if (part.end - part.at > UPPER_UNFINISHED)
			r = convert_some(rule, last, in, out);
		else
			convert_strides(in, out);
		next = in->at == part.at ? MANY * BLOCK : BLOCK;
	}

	return r == 0 ? convert(rule, last, in, out) : r;
}

/* Short texts jump to the blocks before any register is saved for strides. */
static int convert_by_strides(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	if (in->end - in->at < 2 * BLOCK || rule->charset == UPPER_ASCII)
		return convert(rule, last, in, out);

	return convert_long(rule, last, in, out);
}

static bool supports_strides(void)
{
	return supported() && __builtin_cpu_supports("avx512vbmi") &&
		__builtin_cpu_supports("avx512vbmi2");
}

const struct upper_kernel upper_kernel_vbmi2 = {"vbmi2", supports_strides, convert_by_strides};
