/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sizes and times as people write them: 64k, 1.5M, "250ms", "30s", "12h". */

#include <stdint.h>

/* Room for what quantity_format_*() writes. */
#define QUANTITY_TEXT 24

enum { QUANTITY_E_SYNTAX = 1, QUANTITY_E_RANGE };

/* A number, alone or with k, M or G (1024 each). */
int quantity_parse_size(const char *text, uint64_t *ret_bytes);
/* A number with ms, s, m or h; the unit is a must, unless the number is 0. */
int quantity_parse_time(const char *text, uint64_t *ret_ms);

/* The shortest text that parses to exactly the same. Returns `text`. */
const char *quantity_format_time(uint64_t ms, char text[static QUANTITY_TEXT]);
