/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Owners that clean up after themselves: a function is seen to be leak-free without its callees. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Hands an owned thing on: `return take_ptr(&p)` leaves nothing for the cleanup to free. */
#define take_ptr(p)                           \
	({                                    \
		__typeof__(p) _p = (p);       \
		__typeof__(*_p) _taken = *_p; \
		*_p = NULL;                   \
		_taken;                       \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void fclosep(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_free_   __attribute__((cleanup(freep)))
#define _cleanup_close_  __attribute__((cleanup(close_fdp)))
#define _cleanup_fclose_ __attribute__((cleanup(fclosep)))
