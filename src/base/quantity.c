/* SPDX-License-Identifier: Apache-2.0 */

/* Nothing is rounded: a text means a whole number of bytes or milliseconds, or it is refused. */

#include "base/quantity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* More decimals than this never shorten a 64-bit number, and fewer cannot overflow one. */
#define DECIMALS_MAX 18

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"", 1},
	{"k", UINT64_C(1) << 10},
	{"M", UINT64_C(1) << 20},
	{"G", UINT64_C(1) << 30},
};

static const struct unit time_units[] = {
	{"ms", 1},
	{"s", 1000},
	{"m", 60 * 1000},
	{"h", 60 * 60 * 1000},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const struct unit *unit_find(const struct unit *units, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(units[i].name, name) == 0)
			return &units[i];

	return NULL;
}

/* Reads digits from `*at` on, of which there must be one. */
static int parse_digits(const char **at, uint64_t *ret_number)
{
	const char *c = *at;
	uint64_t number = 0;

	if (!is_digit(*c))
		return QUANTITY_E_SYNTAX;

	for (; is_digit(*c); c++)
		if (__builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, (uint64_t)(*c - '0'), &number))
			return QUANTITY_E_RANGE;

	*at = c;
	*ret_number = number;
	return 0;
}

/* The decimals after a point, as a numerator over `*ret_of`; nothing at `*at` is 0 over 1. */
static int parse_decimals(const char **at, uint64_t *ret_part, uint64_t *ret_of)
{
	const char *c = *at;
	uint64_t part = 0, of = 1;
	int r;

	if (*c == '.') {
		const char *first = ++c;

		r = parse_digits(&c, &part);
		if (r != 0)
			return r;
		if (c - first > DECIMALS_MAX)
			return QUANTITY_E_RANGE;
		for (; first < c; first++)
			of *= 10;
	}

	*at = c;
	*ret_part = part;
	*ret_of = of;
	return 0;
}

int quantity_parse_size(const char *text, uint64_t *ret_bytes)
{
	uint64_t whole, part, of, bytes;
	unsigned __int128 scaled;
	const struct unit *unit;
	int r;

	r = parse_digits(&text, &whole);
	if (r != 0)
		return r;
	r = parse_decimals(&text, &part, &of);
	if (r != 0)
		return r;

	unit = unit_find(size_units, N_ELEMENTS(size_units), text);
	if (!unit)
		return QUANTITY_E_SYNTAX;

	scaled = (unsigned __int128)part * unit->factor;
	if (scaled % of != 0)
		return QUANTITY_E_SYNTAX;
	if (__builtin_mul_overflow(whole, unit->factor, &bytes))
		return QUANTITY_E_RANGE;

	/* Cannot wrap: it is less than one unit, and 2^64 is a multiple of every unit. */
	*ret_bytes = bytes + (uint64_t)(scaled / of);
	return 0;
}

int quantity_parse_time(const char *text, uint64_t *ret_ms)
{
	const struct unit *unit;
	uint64_t number, ms = 0;
	int r;

	r = parse_digits(&text, &number);
	if (r != 0)
		return r;

	if (number != 0 || *text != '\0') {
		unit = unit_find(time_units, N_ELEMENTS(time_units), text);
		if (!unit)
			return QUANTITY_E_SYNTAX;
		if (__builtin_mul_overflow(number, unit->factor, &ms))
			return QUANTITY_E_RANGE;
	}

	*ret_ms = ms;
	return 0;
}

const char *quantity_format_time(uint64_t ms, char text[static QUANTITY_TEXT])
{
	const struct unit *unit = &time_units[0];

	if (ms == 0)
		return memcpy(text, "0", 2);

	/* The largest unit that comes out even is also the shortest to write. */
	for (size_t i = 1; i < N_ELEMENTS(time_units); i++)
		if (ms % time_units[i].factor == 0)
			unit = &time_units[i];

	snprintf(text, QUANTITY_TEXT, "%" PRIu64 "%s", ms / unit->factor, unit->name);
	return text;
}
