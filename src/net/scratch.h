/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One buffer in and one out, which all connections of a process take turns with. */

#include <stddef.h>
#include <stdint.h>

struct scratch {
	uint8_t *in, *out;
	size_t in_size, out_size;
};

/* `in` has room for the longest line that waits for its end, and for a good read behind it; `out` for
 * as much, so that most of what is read at once is answered at once. */
int scratch_init(struct scratch *scratch, size_t longest_line);
/* Nothing is in them between two events: their pages go back to the system. */
void scratch_give_back(struct scratch *scratch);
void scratch_done(struct scratch *scratch);
