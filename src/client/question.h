/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Questions that carry a number, and the right answer to any question: libupper asked here, with the
 * rule that servers follow by default. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct expect {
	uint8_t *text;
	size_t len;
};

/* Fills an empty one with `text` in upper case. */
int expect_upper(struct expect *expect, const void *text, size_t len);
void expect_done(struct expect *expect);
bool expect_is(const struct expect *expect, const void *answer, size_t len);

#define _cleanup_expect_ __attribute__((cleanup(expect_done)))

/* The shortest numbered question: its tag, one letter and the line end. */
#define QUESTION_MIN 18

/* Writes question number `number` into all of `text`: lower-case letters that no other question
 * shares, and a line end, since some servers answer lines only. `size` is at least QUESTION_MIN. */
void question_write(uint8_t *text, size_t size, uint64_t number);

/* The number in an answer; UINT64_MAX when it has none. */
uint64_t question_number(const uint8_t *answer, size_t len);
