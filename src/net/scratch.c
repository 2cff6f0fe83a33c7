/* SPDX-License-Identifier: Apache-2.0 */

/* The buffers that all connections of a process take turns with. */

#include "net/scratch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* Of the sizes tried, the one that moves bulk with the least work: less means more calls, more means
 * that what was read has left the cache when it is converted. */
#define SCRATCH_SIZE 262144

int scratch_init(struct scratch *scratch, size_t longest_line)
{
	_cleanup_free_ uint8_t *in = NULL, *out = NULL;
	size_t size = longest_line + SCRATCH_SIZE;

	in = malloc(size);
	out = malloc(size);
	if (!in || !out)
		return -ENOMEM;

	*scratch = (struct scratch){
		.in = take_ptr(&in),
		.out = take_ptr(&out),
		.in_size = size,
		.out_size = size,
	};
	return 0;
}

void scratch_done(struct scratch *scratch)
{
	free(scratch->in);
	free(scratch->out);
	*scratch = (struct scratch){0};
}
