/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <upper/upper.h>

#include "client/question.h"

int expect_upper(struct expect *expect, const void *text, size_t len)
{
	static const struct upper_rule rule = {.charset = UPPER_UTF8, .invalid = UPPER_KEEP};
	struct upper_in in = {text, (const uint8_t *)text + len};
	struct upper_out out;
	uint8_t *room;

	room = malloc(UPPER_EXPANSION * len + 1);
	if (!room)
		return -ENOMEM;
	out = (struct upper_out){room, room + UPPER_EXPANSION * len};
	upper_convert(&rule, true, &in, &out);

	*expect = (struct expect){room, (size_t)(out.at - room)};
	return 0;
}

void expect_done(struct expect *expect)
{
	free(expect->text);
	*expect = (struct expect){0};
}

bool expect_is(const struct expect *expect, const void *answer, size_t len)
{
	return expect->text && len == expect->len && memcmp(answer, expect->text, len) == 0;
}

#define TAG 16 /* one letter for each four bits of the number */

void question_write(uint8_t *text, size_t size, uint64_t number)
{
	for (size_t i = 0; i < TAG; i++)
		text[i] = (uint8_t)('a' + ((number >> (60 - 4 * i)) & 15));
	for (size_t i = TAG; i < size - 1; i++)
		text[i] = (uint8_t)('a' + i % 26);
	text[size - 1] = '\n';
}

uint64_t question_number(const uint8_t *answer, size_t len)
{
	uint64_t number = 0;

	if (len < TAG)
		return UINT64_MAX;
	for (size_t i = 0; i < TAG; i++) {
		if (answer[i] < 'A' || answer[i] > 'P')
			return UINT64_MAX;
		number = number << 4 | (uint64_t)(answer[i] - 'A');
	}
	return number;
}
