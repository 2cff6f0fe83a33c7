/* SPDX-License-Identifier: Apache-2.0 */

/* Follows table 3-7 of the Unicode standard, "Well-Formed UTF-8 Byte Sequences", row by row. */

#include "slow.h"

#include <string.h>

#include "upper/upper_table.h"

struct row {
	size_t length;
	uint8_t bounds[4][2]; /* of each byte, both ends included */
};

static const struct row rows[] = {
	{1, {{0x00, 0x7F}}},
	{2, {{0xC2, 0xDF}, {0x80, 0xBF}}},
	{3, {{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}}},
	{3, {{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}}},
	{3, {{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}}},
	{3, {{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}}},
	{4, {{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}},
	{4, {{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}},
	{4, {{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}}},
};

/* How many bytes from the beginning are as the row wants them. */
static size_t matching(const struct row *row, const uint8_t *from, size_t size)
{
	size_t length = 0;

	while (length < row->length && length < size && from[length] >= row->bounds[length][0] &&
		from[length] <= row->bounds[length][1])
		length++;

	return length;
}

static uint32_t code_of(const uint8_t *from, size_t length)
{
	static const uint8_t lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
	uint32_t code = from[0] & lead_bits[length];

	for (size_t i = 1; i < length; i++)
		code = code * 64 + from[i] % 64;

	return code;
}

static size_t convert_character(const uint8_t *from, size_t length, uint8_t *to)
{
	uint32_t code = code_of(from, length);
	uint16_t entry = 0;

	memcpy(to, from, length);
	if (length == 1) {
		if (code >= 'a' && code <= 'z')
			to[0] = (uint8_t)(code - 'a' + 'A');
		return 1;
	}
	if (code / 64 < sizeof(upper_row_of))
		entry = upper_rows[upper_row_of[code / 64]][code % 64];
	if (entry >= UPPER_SPECIAL) {
		const struct upper_special *special = &upper_specials[entry - UPPER_SPECIAL];
		memcpy(to, special->bytes, special->length);
		return special->length;
	}

	to[length - 2] = (uint8_t)(from[length - 2] ^ entry / 256);
	to[length - 1] = (uint8_t)(from[length - 1] ^ entry % 256);
	return length;
}

static size_t convert_bad(enum upper_invalid invalid, const uint8_t *from, size_t size, uint8_t *to)
{
	static const uint8_t replacement[] = {0xEF, 0xBF, 0xBD};

	if (invalid == UPPER_REPLACE) {
		memcpy(to, replacement, sizeof(replacement));
		return sizeof(replacement);
	}

	memcpy(to, from, size);
	return size;
}

size_t slow_convert(enum upper_invalid invalid, const uint8_t *from, size_t size, uint8_t *to,
	bool *ret_invalid)
{
	size_t taken = 0, made = 0;

	*ret_invalid = false;
	while (taken < size && !*ret_invalid) {
		size_t longest = 0;
		bool whole = false;

		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			size_t length = matching(&rows[i], from + taken, size - taken);
			whole = whole || length == rows[i].length;
			longest = length > longest ? length : longest;
		}
		if (longest == 0)
			longest = 1;
		if (whole)
			made += convert_character(from + taken, longest, to + made);
		else if (invalid == UPPER_REJECT)
			*ret_invalid = true;
		else
			made += convert_bad(invalid, from + taken, longest, to + made);
		taken += longest;
	}

	return made;
}
