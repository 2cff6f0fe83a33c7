/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where to cut a stream of text into datagrams. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that goes into one: it fits into a packet nearly everywhere, even when it grows a
 * little, and into the 2,048 bytes that a textbook server reads. */
#define CUT_MAX 1400

/* The length of the next datagram: as many whole lines as fit; without any, a line's first part
 * that ends with a whole character; at the end of input, what is left. 0: wait for more. */
size_t cut_next(const uint8_t *text, size_t len, bool is_end);
