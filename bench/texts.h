/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is measured with: a table of texts, and a way to have one at any length. */

#include <stddef.h>
#include <stdint.h>

struct text {
	const char *name, *words;
};

/* Ends with a row without a name. */
extern const struct text texts[];

/* Fills `to` with the words over and over, and never leaves half a character at the end. */
void text_fill(const struct text *text, uint8_t *to, size_t size);
