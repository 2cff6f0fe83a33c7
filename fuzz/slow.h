/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Upper-casing as slowly and plainly as it can be written, to compare the real one with. It shares
 * only the table, which the unit tests compare with Python's. */

#include <upper/upper.h>

/* Writes to `to`, which has room for UPPER_EXPANSION times `size`, and returns how much. With
 * UPPER_REJECT it ends before the first bad byte, and says so in `ret_invalid`. */
size_t slow_convert(enum upper_invalid invalid, const uint8_t *from, size_t size, uint8_t *to,
	bool *ret_invalid);
