/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever is printed and was not written by us goes through here, so that no peer can write a
 * line of its own into a log or a sequence of its own onto a terminal. */

#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "upper/utf8.h"

/* Words are names of keys and the like; what is longer is not compared letter by letter. */
#define WORD_MAX 64

/* The longest that one character becomes, with the NUL: three bytes as \xNN. */
#define PIECE_MAX 13

/* Writes one character (`len` bytes, 0: a byte that is no character) and returns its length. */
typedef size_t (*escape_fn)(const char *from, size_t len, char to[static PIECE_MAX]);

/* The length of the UTF-8 character that starts here; 0 when none does. */
static size_t character_length(const char *text, size_t len)
{
	struct utf8_piece piece = utf8_next((const uint8_t *)text, len);

	return piece.kind == UTF8_CHARACTER ? piece.length : 0;
}

/* Not to be printed: C0, DEL and C1, which terminals obey; line and paragraph separators; and the controls
 * that turn the direction of writing, by which a text can look like another. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
		(c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Of a whole character. */
static uint32_t code_point(const char *from, size_t len)
{
	const unsigned char *byte = (const unsigned char *)from;
	uint32_t c = len == 1 ? byte[0] : byte[0] & (0x7fu >> len);

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (byte[i] & 0x3f);
	return c;
}

static size_t text_copy_bytes(const char *from, size_t len, char to[static PIECE_MAX])
{
	memcpy(to, from, len);
	return len;
}

/* `lead` is how the backslash itself is written. */
static size_t write_bytes(const char *from, size_t len, const char *lead, char to[static PIECE_MAX])
{
	size_t at = 0;

	for (size_t i = 0; i < len; i++)
		at += (size_t)snprintf(
			to + at, PIECE_MAX - at, "%sx%02x", lead, (unsigned)(unsigned char)from[i]);

	return at;
}

static size_t escape_plain(const char *from, size_t len, char to[static PIECE_MAX])
{
	if (len == 0 || is_control(code_point(from, len)))
		return write_bytes(from, len ? len : 1, "\\", to);
	if (*from == '\\')
		return text_copy_bytes("\\\\", 2, to);

	return text_copy_bytes(from, len, to);
}

static size_t escape_json(const char *from, size_t len, char to[static PIECE_MAX])
{
	if (len == 0)
		return write_bytes(from, 1, "\\\\", to);
	if (*from == '"')
		return text_copy_bytes("\\\"", 2, to);
	if (*from == '\\')
		return text_copy_bytes("\\\\", 2, to);
	if (*from == '\n')
		return text_copy_bytes("\\n", 2, to);
	if (is_control(code_point(from, len)))
		return (size_t)snprintf(to, PIECE_MAX, "\\u%04x", (unsigned)code_point(from, len));

	return text_copy_bytes(from, len, to);
}

static size_t escape(const char *from, size_t len, char *to, size_t size, escape_fn write)
{
	char piece[PIECE_MAX];
	size_t at = 0, done = 0;

	if (size == 0)
		return 0;

	while (done < len) {
		size_t taken = character_length(from + done, len - done);
		size_t made = write(from + done, taken, piece);

		if (made >= size - at)
			break;
		memcpy(to + at, piece, made);
		at += made;
		done += taken ? taken : 1;
	}

	to[at] = '\0';
	return at;
}

size_t text_escape(const char *from, size_t len, char *to, size_t size)
{
	return escape(from, len, to, size, escape_plain);
}

size_t text_escape_json(const char *from, size_t len, char *to, size_t size)
{
	return escape(from, len, to, size, escape_json);
}

bool text_is_utf8(const char *text, size_t len, size_t *ret_bad)
{
	size_t at = 0;

	while (at < len) {
		size_t n = character_length(text + at, len - at);

		if (n == 0) {
			if (ret_bad)
				*ret_bad = at;
			return false;
		}
		at += n;
	}

	return true;
}

unsigned text_characters(const char *from, const char *to)
{
	unsigned n = 0;

	for (; from < to; from++)
		n += ((unsigned char)*from & 0xc0) != 0x80;
	return n;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: row i holds what it costs to make the first i letters of `a` from each
 * beginning of `b`. Three rows will do, since a swap looks two back. */
size_t text_distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t len_a = strlen(a), len_b = strlen(b);

	if (len_a > WORD_MAX || len_b > WORD_MAX)
		return len_a > len_b ? len_a : len_b;

	for (size_t j = 0; j <= len_b; j++)
		rows[0][j] = j;

	for (size_t i = 1; i <= len_a; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t change = above[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = least(change, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}

	return rows[len_a % 3][len_b];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t n)
{
	size_t third = strlen(word) / 3;
	size_t best = third > 1 ? third : 1;
	const char *nearest = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t distance = text_distance(word, candidates[i]);

		if (distance < best || (distance == best && !nearest)) {
			best = distance;
			nearest = candidates[i];
		}
	}

	return nearest;
}
