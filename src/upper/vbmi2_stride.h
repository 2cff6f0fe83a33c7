/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text of many blocks, by AVX-512 VBMI and VBMI2, which look up 64 bytes in one step and close gaps in a
 * block. Private to the kernel that includes it.
 *
 * * A stride is 61 bytes, wherever characters begin, so no block waits for the end of the one before.
 * Characters that begin in a stride are whole in its block of 64, and are changed there. All of the
 * block is stored, but for the end of a character that the block before has changed; and the next one
 * stores the bytes after the stride again.
 *
 * * Two rows of the table, whose characters differ in one bit of the byte before the last, are applied
 * together: both of Greek, of Cyrillic, or of Latin with marks. Two such pairs are remembered.
 *
 * * Strides end where less than a block is left of either span, and in front of bytes that are not UTF-8,
 * of characters of four with case, and of those that become longer. The rest is for others. */

#include "upper/avx512_block.h"
#include "upper/kernel.h"
#include "upper/upper_table.h"
#include "upper/utf8.h"

#define _vbmi2_ __attribute__((target("avx512f,avx512bw,bmi,bmi2,avx512vbmi,avx512vbmi2")))

enum { STRIDE = BLOCK - UPPER_UNFINISHED };
enum { A_AND_B_AND_C = 0x80, A_XOR_B_XOR_C = 0x96, A_XOR_B_AND_C = 0x78 }; /* of three bits */

/* The first bytes of letters with case, by their lower six bits. */
static const uint8_t leads_with_case[BLOCK] = {
	[0x02 ... 0x16] = 0x80, [0x21 ... 0x22] = 0x80, [0x2A] = 0x80, [0x2F ... 0x30] = 0x80};

/* Two rows, taken apart into changes of the last byte and of the byte before; and their characters: the
 * byte before the last in each row, and the first of three. */
struct row_pair {
	bool of_three;
	__m512i first, before[2], last_change[2], before_change[2];
};

/* A block; its changes, both at the places of last bytes; and those of its bytes that are not to be stored:
 * the end of a character that the block before has changed, and what letters that become one byte leave. */
struct stride {
	__m512i bytes, last_change, before_change, upper;
	__mmask64 open, gaps;
};

/* A constant that stays in a register. Otherwise gcc makes it anew in each round, at the price of a shuffle. */
_vbmi2_ _inline_ __m512i held(__m512i constant)
{
	__asm__("" : "+v"(constant));
	return constant;
}

/* By the lower four bits of each byte. */
_vbmi2_ _inline_ __m512i look_up_low(const uint8_t table[static 16], __m512i bytes)
{
	const __m128i once = _mm_loadu_si128((const __m128i *)table);

	return _mm512_permutexvar_epi8(bytes, held(_mm512_broadcast_i32x4(once)));
}

/* As errors_in(), but there are bytes of the same text before the block. */
_vbmi2_ _inline_ bool has_errors(const uint8_t *at, __m512i bytes)
{
	const __m512i back1 = _mm512_loadu_si512(at - 1);
	const __m512i back2 = _mm512_loadu_si512(at - 2), back3 = _mm512_loadu_si512(at - 3);
	const __m512i wrong = _mm512_ternarylogic_epi64(look_up_low(first_low, back1),
		look_up_low(first_high, _mm512_srli_epi16(back1, 4)),
		look_up_low(second_high, _mm512_srli_epi16(bytes, 4)), A_AND_B_AND_C);
	const __m512i open = _mm512_or_si512(_mm512_subs_epu8(back2, held(each(0xE0 - 0x80))),
		_mm512_subs_epu8(back3, held(each(0xF0 - 0x80))));
	const __m512i errors =
		_mm512_ternarylogic_epi64(wrong, open, held(each(GOES_ON)), A_XOR_B_AND_C);

	return _mm512_test_epi8_mask(errors, errors) != 0;
}

/* The first bytes of characters that may have case. */
_vbmi2_ _inline_ __mmask64 leads_in(__m512i bytes)
{
	const __m512i cased = _mm512_permutexvar_epi8(bytes, _mm512_loadu_si512(leads_with_case));
	const __m512i second_bit = _mm512_add_epi8(bytes, bytes);

	return _mm512_movepi8_mask(
		_mm512_ternarylogic_epi64(cased, bytes, second_bit, A_AND_B_AND_C));
}

/* The lower halves of the words of a row. */
_vbmi2_ _inline_ __m512i lower_halves(__m512i low, __m512i high)
{
	return _mm512_inserti64x4(
		_mm512_castsi256_si512(_mm512_cvtepi16_epi8(low)), _mm512_cvtepi16_epi8(high), 1);
}

/* The pair for the character at `lead`. A character of four bytes has a row that changes nothing, for the
 * one second byte. */
_vbmi2_ _inline_ struct row_pair pair_for(const uint8_t *lead)
{
	const bool is_two = lead[0] < 0xE0, is_four = lead[0] >= 0xF0;
	const uint8_t before = is_two ? lead[0] : lead[1];
	struct row_pair pair = {.of_three = !is_two, .first = each(lead[0])};

	for (uint8_t i = 0; i < 2; i++) {
		const uint8_t byte = is_four ? before : (before & 0xFE) | i;
		const int row = is_two ? byte & 0x1F : (lead[0] & 0x0F) << 6 | (byte & 0x3F);
		const uint16_t *entries = upper_rows[upper_row_of[is_four ? 0 : row]];
		const __m512i low = _mm512_loadu_si512(entries);
		const __m512i high = _mm512_loadu_si512(entries + BLOCK / 2);

		pair.before[i] = each(byte);
		pair.last_change[i] = lower_halves(low, high);
		pair.before_change[i] =
			lower_halves(_mm512_srli_epi16(low, 8), _mm512_srli_epi16(high, 8));
	}

	return pair;
}

/* Looks up the letters of a pair that begin at `leads`, and returns the others. Both changes are left at
 * the place of the last byte. */
_vbmi2_ _inline_ __mmask64 apply_pair(
	struct stride *stride, const struct row_pair *pair, __mmask64 leads)
{
	__mmask64 firsts = leads;

	if (pair->of_three)
		firsts &= _mm512_cmpeq_epi8_mask(stride->bytes, pair->first);
	for (int i = 0; i < 2; i++) {
		const __mmask64 before = _mm512_cmpeq_epi8_mask(stride->bytes, pair->before[i]);
		const __mmask64 found = firsts & before >> pair->of_three;
		const __mmask64 last = found << pair->of_three << 1;

		stride->last_change = _mm512_mask_permutexvar_epi8(
			stride->last_change, last, stride->bytes, pair->last_change[i]);
		stride->before_change = _mm512_mask_permutexvar_epi8(
			stride->before_change, last, stride->bytes, pair->before_change[i]);
		leads &= ~found;
	}

	return leads;
}

/* The first bytes of Korean syllables that they share with letters that have case. */
_vbmi2_ _inline_ __mmask64 hangul_in(__m512i bytes)
{
	return is_byte(bytes, 0xEA) & _mm512_cmpge_epu8_mask(bytes, each(0xAF)) >> 1;
}

/* False if one of them has case and four bytes, as letters of Deseret and Adlam have. */
_vbmi2_ _inline_ bool look_up_letters(
	struct stride *stride, const uint8_t *at, struct row_pair known[static 2], __mmask64 leads)
{
	leads = apply_pair(stride, &known[0], leads);
	if (leads)
		leads = apply_pair(stride, &known[1], leads);
	while (leads) {
		const uint8_t *lead = at + _tzcnt_u64(leads);

		if (lead[0] == 0xF0 && lead[1] < 0x9F)
			return false;
		if (lead[0] == 0xEA && lead[1] >= 0xAF) {
			leads &= ~hangul_in(stride->bytes);
			continue;
		}
		known[1] = known[0];
		known[0] = pair_for(lead);
		leads = apply_pair(stride, &known[0], leads);
	}

	return true;
}

/* Dotless i and long s become one byte, where the first byte was there is a gap. False if there are other
 * specials. */
_vbmi2_ _inline_ bool make_gaps(struct stride *stride, __mmask64 specials)
{
	const __mmask64 dotless = is_byte(stride->bytes, 0xB1) & is_byte(stride->bytes, 0xC4) << 1;
	const __mmask64 long_s = is_byte(stride->bytes, 0xBF) & is_byte(stride->bytes, 0xC5) << 1;

	stride->upper = _mm512_mask_mov_epi8(stride->upper, specials & dotless, each('I'));
	stride->upper = _mm512_mask_mov_epi8(stride->upper, specials & long_s, each('S'));
	stride->gaps = specials >> 1;
	return (specials & ~(dotless | long_s)) == 0;
}

/* False if the strides end in front of this block. */
_vbmi2_ _inline_ bool stride_convert(
	struct stride *stride, const uint8_t *at, struct row_pair known[static 2])
{
	const __mmask64 leads = leads_in(stride->bytes) & first_bits(STRIDE);
	const __mmask64 trails = _mm512_cmplt_epi8_mask(stride->bytes, held(each(0xC0)));

	stride->upper = ascii_upper(stride->bytes);
	stride->open = trails & ~(trails + 1);
	stride->gaps = 0;
	if (has_errors(at, stride->bytes))
		return false;
	if (!leads)
		return true;

	stride->last_change = stride->before_change = _mm512_setzero_si512();
	if (!look_up_letters(stride, at, known, leads))
		return false;

	const __m512i change = stride->before_change;
	const __mmask64 specials = _mm512_cmpge_epu8_mask(change, held(each(UPPER_SPECIAL >> 8)));
	const __m512i lanes = _mm512_alignr_epi64(_mm512_setzero_si512(), change, 2);

	stride->upper = _mm512_ternarylogic_epi64(stride->upper, stride->last_change,
		_mm512_alignr_epi8(lanes, change, 1), A_XOR_B_XOR_C);
	return specials == 0 || make_gaps(stride, specials);
}

_vbmi2_ _inline_ void stride_store(const struct stride *stride, struct upper_out *out)
{
	const __mmask64 kept = ~(stride->open | stride->gaps);
	uint8_t *to = out->at;

	out->at += STRIDE;
	if (!stride->gaps) {
		_mm512_mask_storeu_epi8(to, kept, stride->upper);
		return;
	}

	_mm512_mask_storeu_epi8(to + __builtin_popcountll(stride->open),
		first_bits((size_t)__builtin_popcountll(kept)),
		_mm512_maskz_compress_epi8(kept, stride->upper));
	out->at -= __builtin_popcountll(stride->gaps);
}

/* From where a character begins, with three bytes of the same text before it, to where another does. */
_vbmi2_ static void convert_strides(struct upper_in *in, struct upper_out *out)
{
	struct upper_in from = *in;
	struct upper_out to = *out;
	struct row_pair known[2] = {0};
	struct stride stride;
	size_t open = 0; /* how many bytes the block before may have changed behind its stride */

	while (from.end - from.at >= BLOCK && to.end - to.at >= BLOCK) {
		stride.bytes = _mm512_loadu_si512(from.at);
		if (!_mm512_movepi8_mask(stride.bytes)) {
			convert_ascii(false, &from, &to);
			open = 0;
			continue;
		}
		if (!stride_convert(&stride, from.at, known))
			break;
		stride_store(&stride, &to);
		from.at += STRIDE;
		open = UPPER_UNFINISHED;
	}

	for (; open > 0 && utf8_is_trail(*from.at); open--, from.at++)
		to.at++;
	*in = from;
	*out = to;
}
