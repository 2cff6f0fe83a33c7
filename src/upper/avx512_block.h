/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* 64 bytes at once, by AVX-512: looking at them, and where they are not UTF-8, which is found by
 * looking up every pair of neighbours, and without a branch. Private to the kernel that includes it. */

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include <upper/upper.h>

#define _fast_   __attribute__((target("avx512f,avx512bw,bmi,bmi2")))
#define _inline_ __attribute__((always_inline)) static inline

enum { BLOCK = 64 };

/* The faults of two neighbours. There is one when three look-ups agree: by the upper half of the
 * first byte, by its lower half, and by the upper half of the second. */
enum {
	STRAY = 1 << 0,      /* ASCII, and then a byte that goes on */
	CUT = 1 << 1,        /* a first byte, and then none that goes on */
	TWO_LOW = 1 << 2,    /* C0 and C1: overlong */
	THREE_LOW = 1 << 3,  /* E0 and below A0: overlong */
	THREE_HIGH = 1 << 4, /* ED and from A0: a surrogate */
	FOUR_LOW = 1 << 5,   /* F0 and below 90: overlong; F5 and beyond */
	FOUR_HIGH = 1 << 6,  /* F4 and from 90: above U+10FFFF; F5 and beyond */
	GOES_ON = 1 << 7,    /* both go on: wrong, unless a character of three or four is open */

	ANY_LOW = STRAY | CUT | GOES_ON,
	BEYOND = ANY_LOW | FOUR_LOW | FOUR_HIGH,
	TRAIL = STRAY | TWO_LOW | GOES_ON,
};

static const uint8_t first_high[16] = {
	[0x0 ... 0x7] = STRAY,
	[0x8 ... 0xB] = GOES_ON,
	[0xC] = CUT | TWO_LOW,
	[0xD] = CUT,
	[0xE] = CUT | THREE_LOW | THREE_HIGH,
	[0xF] = CUT | FOUR_LOW | FOUR_HIGH,
};
static const uint8_t first_low[16] = {
	[0x0] = ANY_LOW | TWO_LOW | THREE_LOW | FOUR_LOW,
	[0x1] = ANY_LOW | TWO_LOW,
	[0x2 ... 0x3] = ANY_LOW,
	[0x4] = ANY_LOW | FOUR_HIGH,
	[0x5 ... 0xC] = BEYOND,
	[0xD] = BEYOND | THREE_HIGH,
	[0xE ... 0xF] = BEYOND,
};
static const uint8_t second_high[16] = {
	[0x0 ... 0x7] = CUT,
	[0x8] = TRAIL | THREE_LOW | FOUR_LOW,
	[0x9] = TRAIL | THREE_LOW | FOUR_HIGH,
	[0xA ... 0xB] = TRAIL | THREE_HIGH | FOUR_HIGH,
	[0xC ... 0xF] = CUT,
};

/* 64 bytes, and in the place of each the byte that is one, two and three places before it. */
struct block {
	const uint8_t *at;
	__m512i bytes, back1, back2, back3;
};

_fast_ _inline_ __mmask64 first_bits(size_t n)
{
	return _bzhi_u64(~(uint64_t)0, (uint32_t)n);
}

_fast_ _inline_ __m512i each(uint8_t byte)
{
	return _mm512_set1_epi8((char)byte);
}

_fast_ _inline_ __mmask64 is_byte(__m512i bytes, uint8_t byte)
{
	return _mm512_cmpeq_epi8_mask(bytes, each(byte));
}

/* From `low` on, `count` of them. */
_fast_ _inline_ __mmask64 is_within(__m512i bytes, uint8_t low, uint8_t count)
{
	return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, each(low)), each(count));
}

_fast_ _inline_ __m512i ascii_upper(__m512i bytes)
{
	return _mm512_mask_sub_epi8(bytes, is_within(bytes, 'a', 26), bytes, each(0x20));
}

/* By the lower half of each byte; 0 for a byte from 0x80 on. */
_fast_ _inline_ __m512i look_up(const uint8_t table[static 16], __m512i bytes)
{
	const __m128i once = _mm_loadu_si128((const __m128i *)table);

	return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(once), bytes);
}

_fast_ _inline_ struct block block_of(const uint8_t *at, __m512i bytes)
{
	const __m512i lanes = _mm512_alignr_epi64(bytes, _mm512_setzero_si512(), 6);

	return (struct block){
		.at = at,
		.bytes = bytes,
		.back1 = _mm512_alignr_epi8(bytes, lanes, 15),
		.back2 = _mm512_alignr_epi8(bytes, lanes, 14),
		.back3 = _mm512_alignr_epi8(bytes, lanes, 13),
	};
}

/* Where it turns out not to be UTF-8: behind the first byte of each bad piece. */
_fast_ _inline_ __mmask64 errors_in(const struct block *b)
{
	const __m512i half = each(0x0F);
	const __m512i high1 = _mm512_and_si512(_mm512_srli_epi16(b->back1, 4), half);
	const __m512i low1 = _mm512_and_si512(b->back1, half);
	const __m512i high = _mm512_and_si512(_mm512_srli_epi16(b->bytes, 4), half);
	const __m512i first =
		_mm512_and_si512(look_up(first_high, high1), look_up(first_low, low1));
	const __m512i wrong = _mm512_and_si512(first, look_up(second_high, high));

	/* The third byte of three or four, and the fourth, have the highest bit here. */
	const __m512i open = _mm512_or_si512(_mm512_subs_epu8(b->back2, each(0xE0 - 0x80)),
		_mm512_subs_epu8(b->back3, each(0xF0 - 0x80)));
	const __m512i errors = _mm512_xor_si512(wrong, _mm512_and_si512(open, each(GOES_ON)));

	return _mm512_test_epi8_mask(errors, errors);
}

/* Where the character begins that is found to be broken at `place`. */
_fast_ _inline_ size_t beginning_of(const struct block *b, size_t place)
{
	const __mmask64 trails = _mm512_cmplt_epi8_mask(b->bytes, each(0xC0));
	const __mmask64 firsts = ~trails & first_bits(place);

	return firsts ? 63 - (size_t)__builtin_clzll(firsts) : 0;
}

_inline_ size_t least_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Whole blocks of ASCII, or of any bytes that are to be taken for it. */
_fast_ _inline_ void convert_ascii(bool any_byte, struct upper_in *in, struct upper_out *out)
{
	const size_t n = least_of((size_t)(in->end - in->at), (size_t)(out->end - out->at));
	const uint8_t *from = in->at;
	uint8_t *to = out->at;
	size_t done = 0;

	for (; n - done >= BLOCK; done += BLOCK) {
		const __m512i bytes = _mm512_loadu_si512(from + done);

		if (!any_byte && _mm512_movepi8_mask(bytes))
			break;
		_mm512_storeu_si512(to + done, ascii_upper(bytes));
	}

	in->at += done;
	out->at += done;
}
