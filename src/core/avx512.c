/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-casing with AVX-512, 64 bytes at a time and without a branch per character. What is beyond
 * ASCII is validated as bit masks, a bit for each byte. Then the table is applied a row at a time:
 * a row is 64 words, as many as one instruction picks from, and all characters of a block that share
 * their bytes but the last share a row; ordinary text has one or two rows in a block.
 *
 * What is longer or shorter in upper case, is not UTF-8 or is cut by an end is left to the portable
 * way, and so are all decisions about it. Loads and stores are masked: no byte beyond a span is
 * touched. */

#include <immintrin.h>

#include "core/kernel.h"
#include "core/upper_table.h"

#define _fast_   __attribute__((target("avx512f,avx512bw,bmi,bmi2")))
#define _inline_ __attribute__((always_inline)) static inline

enum {
	BLOCK = 64,
	ROW_COUNT = sizeof(upper_row_of) / sizeof(upper_row_of[0]),
};

_Static_assert(1 << UPPER_ROW_BITS == BLOCK, "a row is two registers of words");

/* 64 bytes, and where in them characters begin and go on. */
struct block {
	const uint8_t *at;
	__m512i bytes;
	__mmask64 trail, two, three, four; /* `two` to `four`: first bytes, by length */
};

/* What is to be XORed with last bytes and, standing in the same places, with the bytes before. */
struct change {
	__m512i last, before;
};

_fast_ _inline_ __mmask64 first_bits(size_t n)
{
	return n < BLOCK ? ((__mmask64)1 << n) - 1 : ~(__mmask64)0;
}

_fast_ _inline_ __mmask64 is_byte(__m512i bytes, uint8_t byte)
{
	return _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8((char)byte));
}

_fast_ _inline_ __mmask64 is_below(__m512i bytes, uint8_t bound)
{
	return _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8((char)bound));
}

_fast_ _inline_ __m512i ascii_upper(__m512i bytes)
{
	const __m512i from_a = _mm512_sub_epi8(bytes, _mm512_set1_epi8('a'));

	return _mm512_mask_sub_epi8(bytes, is_below(from_a, 26), bytes, _mm512_set1_epi8(0x20));
}

/* How much of the first `n` bytes is whole characters, as far as their last three can tell. By
 * ordinary instructions, since the next block waits for it. */
static inline size_t whole_part(const uint8_t *at, size_t n)
{
	if (n >= 1 && at[n - 1] >= 0xC0)
		return n - 1;
	if (n >= 2 && at[n - 2] >= 0xE0)
		return n - 2;
	if (n >= 3 && at[n - 3] >= 0xF0)
		return n - 3;
	return n;
}

_fast_ _inline_ struct block block_of(const uint8_t *at, __m512i bytes, __mmask64 beyond_ascii)
{
	const __mmask64 from_two = ~is_below(bytes, 0xC0);
	const __mmask64 from_three = ~is_below(bytes, 0xE0);
	const __mmask64 four = ~is_below(bytes, 0xF0);

	return (struct block){
		.at = at,
		.bytes = bytes,
		.trail = beyond_ascii & ~from_two,
		.two = from_two & ~from_three,
		.three = from_three & ~four,
		.four = four,
	};
}

/* The places where it turns out not to be UTF-8: none lies before the first byte of a bad piece. */
_fast_ _inline_ __mmask64 errors_in(const struct block *b)
{
	const __mmask64 longer = b->three | b->four;
	const __mmask64 due = (b->two | longer) << 1 | longer << 2 | b->four << 3;
	__mmask64 errors = (b->trail ^ due) | (b->two & is_below(b->bytes, 0xC2)) |
		(b->four & ~is_below(b->bytes, 0xF5));

	/* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
	if (longer) {
		const __mmask64 below_a0 = is_below(b->bytes, 0xA0);
		const __mmask64 below_90 = is_below(b->bytes, 0x90);

		errors |= is_byte(b->bytes, 0xE0) << 1 & below_a0;
		errors |= is_byte(b->bytes, 0xED) << 1 & ~below_a0;
		errors |= is_byte(b->bytes, 0xF0) << 1 & below_90;
		errors |= is_byte(b->bytes, 0xF4) << 1 & ~below_90;
	}

	return errors;
}

/* Where the character begins that ends at or before `place`, or is broken there. */
_fast_ _inline_ size_t beginning_of(const struct block *b, size_t place)
{
	const __mmask64 firsts = ~b->trail & first_bits(place);

	return firsts ? 63 - (size_t)__builtin_clzll(firsts) : 0;
}

/* The last bytes of characters that may have case: most scripts do not, and emoji do not. */
_fast_ _inline_ __mmask64 with_case(const struct block *b)
{
	__mmask64 places = (b->two & is_below(b->bytes, 0xD7)) << 1;

	if (b->three)
		places |= (is_byte(b->bytes, 0xE1) | is_byte(b->bytes, 0xE2) |
				  is_byte(b->bytes, 0xEA) | is_byte(b->bytes, 0xEF))
			<< 2;
	if (b->four)
		places |= (is_byte(b->bytes, 0xF0) << 1 & is_below(b->bytes, 0x9F)) << 2;
	return places;
}

/* The row for the character whose last byte is at `place`, and all last bytes that it is for. */
_fast_ _inline_ const uint16_t *row_at(const struct block *b, size_t place, __mmask64 *ret_same)
{
	const uint8_t *last = b->at + place;
	uint32_t number = last[-1] & 0x3F;

	*ret_same = is_byte(b->bytes, last[-1]) << 1;
	if (last[-1] >= 0xC0) {
		number &= 0x1F;
	} else {
		*ret_same &= is_byte(b->bytes, last[-2]) << 2;
		if (last[-2] >= 0xE0) {
			number |= (uint32_t)(last[-2] & 0x0F) << 6;
		} else {
			*ret_same &= is_byte(b->bytes, last[-3]) << 3;
			number |= (uint32_t)(last[-3] & 0x07) << 12 |
				(uint32_t)(last[-2] & 0x3F) << 6;
		}
	}

	return upper_rows[number < ROW_COUNT ? upper_row_of[number] : 0];
}

/* Looks all bytes up at once, those at even and at odd places apart, since entries are words. */
_fast_ _inline_ void apply_row(
	struct change *change, const struct block *b, const uint16_t *row, __mmask64 same)
{
	const __m512i low = _mm512_loadu_si512(row), high = _mm512_loadu_si512(row + 32);
	const __m512i even = _mm512_permutex2var_epi16(low, b->bytes, high);
	const __m512i odd = _mm512_permutex2var_epi16(low, _mm512_srli_epi16(b->bytes, 8), high);
	const __mmask64 at_odd = 0xAAAAAAAAAAAAAAAA;

	change->last = _mm512_mask_mov_epi8(change->last, same & ~at_odd, even);
	change->last = _mm512_mask_mov_epi8(change->last, same & at_odd, _mm512_slli_epi16(odd, 8));
	change->before =
		_mm512_mask_mov_epi8(change->before, same & ~at_odd, _mm512_srli_epi16(even, 8));
	change->before = _mm512_mask_mov_epi8(change->before, same & at_odd, odd);
}

_fast_ _inline_ struct change change_of(const struct block *b, __mmask64 places)
{
	struct change change = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	while (places) {
		__mmask64 same;
		const uint16_t *row = row_at(b, (size_t)__builtin_ctzll(places), &same);

		places &= ~same;
		if (row != upper_rows[0])
			apply_row(&change, b, row, same);
	}

	return change;
}

/* Each byte to the place before its own. */
_fast_ _inline_ __m512i one_back(__m512i bytes)
{
	const __m512i lanes = _mm512_alignr_epi64(_mm512_setzero_si512(), bytes, 2);

	return _mm512_alignr_epi8(lanes, bytes, 1);
}

/* Converts the first `n` bytes, or fewer: as many as are characters that stay as long. */
_fast_ _inline_ size_t convert_block(bool any_byte, const uint8_t *at, uint8_t *to, size_t n)
{
	if (!any_byte)
		n = whole_part(at, n);

	const __m512i bytes = _mm512_maskz_loadu_epi8(first_bits(n), at);
	const __mmask64 beyond_ascii = _mm512_movepi8_mask(bytes);
	const __m512i upper = ascii_upper(bytes);

	if (!beyond_ascii || any_byte) {
		_mm512_mask_storeu_epi8(to, first_bits(n), upper);
		return n;
	}

	const struct block b = block_of(at, bytes, beyond_ascii);
	const __mmask64 errors = errors_in(&b);
	if (errors)
		n = beginning_of(&b, (size_t)__builtin_ctzll(errors));

	const struct change change = change_of(&b, with_case(&b) & first_bits(n));
	const __mmask64 special = ~is_below(change.before, UPPER_SPECIAL >> 8);
	if (special)
		n = beginning_of(&b, (size_t)__builtin_ctzll(special));

	const __m512i changes = _mm512_xor_si512(change.last, one_back(change.before));
	_mm512_mask_storeu_epi8(to, first_bits(n), _mm512_xor_si512(upper, changes));
	return n;
}

/* Blocks of ASCII, or of any bytes that are to be taken for it; how far that went. */
_fast_ _inline_ size_t convert_ascii(bool any_byte, const uint8_t *at, uint8_t *to, size_t n)
{
	size_t done = 0;

	for (; n - done >= BLOCK; done += BLOCK) {
		const __m512i bytes = _mm512_loadu_si512(at + done);

		if (!any_byte && _mm512_movepi8_mask(bytes))
			break;
		_mm512_storeu_si512(to + done, ascii_upper(bytes));
	}

	return done;
}

/* Some bytes the portable way: what stopped a block, and a little of what follows it. */
static int convert_some(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	const size_t some = BLOCK;

	if ((size_t)(in->end - in->at) <= some)
		return upper_kernel_portable.convert(rule, last, in, out);

	struct upper_in part = {in->at, in->at + some};
	int r = upper_kernel_portable.convert(rule, false, &part, out);

	in->at = part.at;
	return r == UPPER_E_UNFINISHED ? 0 : r;
}

/* As much as both spans have room for; it ends at what is for the portable way. */
_fast_ static size_t convert_blocks(bool any_byte, const uint8_t *at, uint8_t *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		const size_t step = n - done < BLOCK ? n - done : BLOCK;
		const size_t got = convert_block(any_byte, at + done, to + done, step);

		done += got;
		if (got < step && got < BLOCK - UPPER_UNFINISHED)
			break;
		done += convert_ascii(any_byte, at + done, to + done, n - done);
	}

	return done;
}

static int convert(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	int r = 0;

	while (r == 0 && in->at < in->end) {
		const size_t left = (size_t)(in->end - in->at), room = (size_t)(out->end - out->at);
		const size_t done = convert_blocks(
			rule->charset == UPPER_ASCII, in->at, out->at, left < room ? left : room);

		in->at += done;
		out->at += done;
		if (done < left)
			r = convert_some(rule, last, in, out);
	}

	return r;
}

static bool supported(void)
{
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi2");
}

const struct upper_kernel upper_kernel_avx512 = {"avx512", supported, convert};
