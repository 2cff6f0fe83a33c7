/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes from anywhere, made safe to print; and words that look alike. */

#include <stdbool.h>
#include <stddef.h>

/* Writes `from` with everything but printable ASCII and whole UTF-8 characters above U+009F as
 * \xNN, and the backslash as \\; separators of lines and controls of the direction of writing are no exception. Cuts at `size`, always terminates; returns the length. */
size_t text_escape(const char *from, size_t len, char *to, size_t size);
/* The same as the inside of a JSON string: control characters become \u00NN, and a byte that is no
 * UTF-8 becomes the four characters \xNN, since JSON has no way to hold it. */
size_t text_escape_json(const char *from, size_t len, char *to, size_t size);

/* Characters, as opposed to bytes, between two places. */
unsigned text_characters(const char *from, const char *to);

/* How many single letters differ, are missing, or are swapped. */
size_t text_distance(const char *a, const char *b);
/* The candidate nearest to `word`, or NULL when none is near enough to be a slip of the hand. */
const char *text_nearest(const char *word, const char *const *candidates, size_t n);

/* `ret_bad`, where not NULL, gets the place of the first byte that is not. */
bool text_is_utf8(const char *text, size_t len, size_t *ret_bad);
