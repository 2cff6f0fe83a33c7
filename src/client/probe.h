/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Questions whose answers are known: lower-case letters that no other question shares, and a line
 * end, since some servers answer lines only. */

#include <stddef.h>
#include <stdint.h>

/* The shortest question: its tag, one letter and the line end. */
#define PROBE_MIN 18

/* Writes question number `number` into all of `text`; `size` is at least PROBE_MIN. */
void probe_write(uint8_t *text, size_t size, uint64_t number);

/* The number in an answer; UINT64_MAX when it has none. */
uint64_t probe_number(const uint8_t *answer, size_t len);
