/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libupper: text in upper case, any piece at a time. Pure, without state and without allocation. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* No character becomes longer than three times its bytes, and an unfinished one has at most three. */
#define UPPER_EXPANSION  3
#define UPPER_UNFINISHED 3

/* The longest that one character becomes: with this much room, something always gets done. */
#define UPPER_LONGEST 6

enum upper_charset {
	UPPER_UTF8,  /* the full Unicode default mapping */
	UPPER_ASCII, /* only a to z change; every other byte passes */
};

/* The treatment of bytes that are not UTF-8. */
enum upper_invalid {
	UPPER_KEEP,    /* they pass unchanged */
	UPPER_REPLACE, /* U+FFFD for each maximal subpart */
	UPPER_REJECT,  /* UPPER_E_INVALID */
};

struct upper_rule {
	enum upper_charset charset;
	enum upper_invalid invalid;
};

/* Spans. `at` advances as bytes are taken or written; it never passes `end`. */
struct upper_in {
	const uint8_t *at, *end;
};

struct upper_out {
	uint8_t *at, *end;
};

enum {
	UPPER_E_UNFINISHED =
		1,       /* what is left is the beginning of a character: at most three bytes */
	UPPER_E_ROOM,    /* the next character does not fit into what is left of `out` */
	UPPER_E_INVALID, /* `in->at` stands at the first bad byte; only with UPPER_REJECT */
};

/* Converts as much of `in` as fits into `out` and advances both; 0 when all of it is done.
 * Output never begins or ends inside a character. The spans must not overlap.
 * With `last`, no more input will follow: an unfinished character counts as invalid. */
int upper_convert(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out);

/* All of a text at once, as snprintf() does it: writes what fits into `size` bytes, whole characters only,
 * with a NUL behind it if `size` is not 0, and returns the length of the whole result without that NUL. A
 * result that is not smaller than `size` was cut. Bytes that are not UTF-8 pass unchanged. */
size_t upper_string(const char *text, size_t len, char *to, size_t size);

/* The version of Unicode that the mapping follows, such as "15.0.0". */
const char *upper_unicode_version(void);

#ifdef __cplusplus
}
#endif
