/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include <upper/upper.h>

#include "client/cut.h"

static bool is_continuation(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

/* Steps back over the beginning of a character, unless it is too long to be one. */
static size_t before_character(const uint8_t *text, size_t len)
{
	for (size_t back = 0; back <= UPPER_UNFINISHED; back++)
		if (!is_continuation(text[len - back]))
			return len - back;
	return len;
}

size_t cut_next(const uint8_t *text, size_t len, bool is_end)
{
	size_t most = len < CUT_MAX ? len : CUT_MAX;
	const uint8_t *line_end;

	if (len == 0)
		return 0;
	line_end = memrchr(text, '\n', most);
	if (line_end)
		return (size_t)(line_end - text) + 1;
	if (len > CUT_MAX)
		return before_character(text, CUT_MAX);
	return is_end ? len : 0;
}
