/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Gives a text to the mapper piece by piece, each in memory of exactly its size, so that the
 * address sanitizer sees a byte read too many. Collects what comes out. */

#include <upper/upper.h>

#include "fuzz.h"
#include "upper/kernel.h"

struct feed {
	const struct upper_kernel *kernel; /* NULL: the one that upper_convert() picks */
	uint8_t *bytes;
	size_t made, room;
};

struct feed feed_new(size_t size); /* with room for what becomes of `size` bytes */
void feed_done(struct feed *feed);

/* The last outcome: 0, or UPPER_E_INVALID. */
int feed(struct feed *feed, const struct upper_rule *rule, const uint8_t *text, size_t size,
	size_t piece);

bool feed_equal(const struct feed *a, const struct feed *b);
