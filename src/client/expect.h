/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the right answer is: libupper asked here, with the rule that servers follow by default. */

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
