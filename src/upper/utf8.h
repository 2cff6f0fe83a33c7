/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The next character of UTF-8 text, or what stands there instead of one. The only decoder of the program;
 * base/text.c uses it too. In the header, since the loop that calls it is the hottest one there is. */

#include <stddef.h>
#include <stdint.h>

enum utf8_kind {
	UTF8_CHARACTER,
	UTF8_UNFINISHED, /* the beginning of a character, as far as the text goes */
	UTF8_BAD,        /* a maximal subpart: what one U+FFFD stands for (Unicode 3.9) */
};

struct utf8_piece {
	enum utf8_kind kind;
	size_t length;
	uint32_t code; /* only of a character */
};

static inline bool utf8_is_trail(uint8_t byte)
{
	return (byte & 0xC0) == 0x80;
}

/* The promise of a first byte: how many bytes, its own bits, and the bounds of the second byte.
 * The bounds keep out overlong forms, surrogates and what lies beyond U+10FFFF. */
struct utf8_lead {
	uint8_t length, bits, low, high;
};

static inline struct utf8_lead utf8_lead_of(uint8_t byte)
{
	if (byte < 0x80)
		return (struct utf8_lead){1, byte, 0, 0};
	if (byte < 0xC2 || byte > 0xF4)
		return (struct utf8_lead){0, 0, 0, 0};
	if (byte < 0xE0)
		return (struct utf8_lead){2, byte & 0x1F, 0x80, 0xBF};
	if (byte < 0xF0)
		return (struct utf8_lead){
			3, byte & 0x0F, byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF};

	return (struct utf8_lead){
		4, byte & 0x07, byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF};
}

/* Any piece. Looks at no more than `left` bytes, of which there is at least one. The loop stays one:
 * three copies of it would crowd what is common out of the registers. */
static inline struct utf8_piece utf8_next(const uint8_t *at, size_t left)
{
	struct utf8_lead lead = utf8_lead_of(at[0]);
	struct utf8_piece piece = {UTF8_CHARACTER, 1, lead.bits};

	if (lead.length == 0)
		return (struct utf8_piece){UTF8_BAD, 1, 0};

#pragma GCC unroll 1
	for (; piece.length < lead.length; piece.length++) {
		if (piece.length == left)
			return (struct utf8_piece){UTF8_UNFINISHED, left, 0};

		uint8_t byte = at[piece.length];
		if (byte < lead.low || byte > lead.high)
			return (struct utf8_piece){UTF8_BAD, piece.length, 0};

		piece.code = piece.code << 6 | (byte & 0x3F);
		lead.low = 0x80;
		lead.high = 0xBF;
	}

	return piece;
}

/* The same for the pieces that texts are made of; 0 for any other, which is not to say bad.
 * Looks at three bytes. Returns the length and leaves the code point in `ret_code`. */
static inline size_t utf8_common(const uint8_t at[static 3], uint32_t *ret_code)
{
	uint32_t code;

	if (!utf8_is_trail(at[1]))
		return 0;
	if (at[0] >= 0xC2 && at[0] < 0xE0) {
		*ret_code = (uint32_t)(at[0] & 0x1F) << 6 | (at[1] & 0x3F);
		return 2;
	}
	if ((at[0] & 0xF0) != 0xE0 || !utf8_is_trail(at[2]))
		return 0;

	code = (uint32_t)(at[0] & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
	if (code < 0x800 || code >> 11 == 0xD800 >> 11)
		return 0;

	*ret_code = code;
	return 3;
}
