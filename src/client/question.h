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

/* A question begins with its number, one letter for each four bits, which no other question shares. */
#define QUESTION_TAG 16
/* The shortest question: its tag, one letter and the line end. */
#define QUESTION_MIN (QUESTION_TAG + 2)

/* Number of an answer, or of a question that came back unchanged; UINT64_MAX when it has none. */
uint64_t question_number(const uint8_t *answer, size_t len);

/* The text of a question after its tag, with a line end, since some servers answer lines only; and in
 * upper case. */
struct text {
	struct expect question, answer;
};

/* The texts that questions have in turn. */
struct texts {
	struct text *all;
	size_t n;
	size_t longest; /* question or answer, with the tag */
};

/* Fills `texts` with one text of `size` bytes, tag included: lower-case ASCII letters, or, when `name` is
 * not NULL, a language ("latin", "greek", "cjk"); or with pieces of about `size` bytes of the file of that
 * name. CLIENT_E_USAGE and why. */
struct why;
int texts_init(struct texts *texts, const char *name, size_t size, struct why *why);
void texts_done(struct texts *texts);

/* Writes question `number`; `room` has texts->longest bytes. Returns its length. */
size_t texts_write(const struct texts *texts, uint64_t number, uint8_t *room);
size_t texts_question_len(const struct texts *texts, uint64_t number);
size_t texts_answer_len(const struct texts *texts, uint64_t number);
/* Whether `answer` is right for question `number`, tag included. */
bool texts_is_right(const struct texts *texts, uint64_t number, const uint8_t *answer, size_t len);
/* Whether it is the question itself. */
bool texts_is_unchanged(
	const struct texts *texts, uint64_t number, const uint8_t *answer, size_t len);
/* The number of bytes in which it differs from the right answer; of those that one lacks, each counts. */
size_t texts_distance(
	const struct texts *texts, uint64_t number, const uint8_t *answer, size_t len);
