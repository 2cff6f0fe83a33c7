/* SPDX-License-Identifier: Apache-2.0 */

/* The buffers that all connections of a process take turns with. */

#include "net/scratch.h"

#include <errno.h>
#include <sys/mman.h>

/* Of the sizes tried, the one that moves bulk with the least work: less means more calls, more means
 * that what was read has left the cache when it is converted. */
#define SCRATCH_SIZE 262144

int scratch_init(struct scratch *scratch, size_t longest_line)
{
	size_t size = longest_line + SCRATCH_SIZE;
	uint8_t *memory =
		mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	*scratch = (struct scratch){
		.in = memory,
		.out = memory + size,
		.in_size = size,
		.out_size = size,
	};
	return 0;
}

void scratch_give_back(struct scratch *scratch)
{
	madvise(scratch->in, scratch->in_size + scratch->out_size, MADV_DONTNEED);
}

void scratch_done(struct scratch *scratch)
{
	if (scratch->in)
		munmap(scratch->in, scratch->in_size + scratch->out_size);
	*scratch = (struct scratch){0};
}
