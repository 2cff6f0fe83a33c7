/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory between pages without access: reading or writing one byte too many, before it or behind it,
 * ends the test, with or without sanitizers. */

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define GUARD_SIZE ((size_t)64 * 1024)

struct guard {
	uint8_t *begin, *end;
};

static inline struct guard guard_new(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uint8_t *all = mmap(NULL, 3 * GUARD_SIZE, PROT_NONE, flags, -1, 0);
	uint8_t *begin = all + GUARD_SIZE;

	assert(all != MAP_FAILED);
	assert(mprotect(begin, GUARD_SIZE, PROT_READ | PROT_WRITE) == 0);
	return (struct guard){begin, begin + GUARD_SIZE};
}

/* The last `length` bytes before the page without access. */
static inline uint8_t *guard_tail(struct guard guard, size_t length)
{
	assert(length <= GUARD_SIZE);
	return guard.end - length;
}

static inline uint8_t *guard_copy(struct guard guard, const void *bytes, size_t length)
{
	return memcpy(guard_tail(guard, length), bytes, length);
}
