/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <upper/upper.h>

#include "client/expect.h"

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
