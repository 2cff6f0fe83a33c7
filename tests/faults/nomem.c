/* SPDX-License-Identifier: Apache-2.0 */

/* Loaded in front of the C library by the fault tests: memory that cannot be had at the n-th call, and a
 * clock that jumps, in one process and when the test says so. What it says is in a file that both map. */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define _instead_ __attribute__((visibility("default")))

struct wishes {
	_Atomic(int32_t) pid; /* of whom */
	_Atomic(int32_t)
		left; /* calls until one fails; below 0: none does, and calls are still counted */
	_Atomic(int32_t) failed;
	_Atomic(int32_t) jump_s; /* how far the clock is ahead */
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct wishes *wishes;

__attribute__((constructor)) static void read_wishes(void)
{
	const char *path = getenv("UPPERD_WISHES");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*wishes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		wishes = page;
}

static int is_meant(void)
{
	return wishes && atomic_load(&wishes->pid) == (int32_t)getpid();
}

/* Only what upperd itself asks for: libconfig 1.5 does not look at what it is given. */
static int is_ours(const void *caller)
{
	Dl_info info;

	return dladdr(caller, &info) != 0 && strstr(info.dli_fname, "upperd");
}

static int fails(const void *caller)
{
	if (!is_meant() || !is_ours(caller) || atomic_fetch_sub(&wishes->left, 1) != 0)
		return 0;
	atomic_fetch_add(&wishes->failed, 1);
	return 1;
}

_instead_ void *malloc(size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

_instead_ void *calloc(size_t n, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

_instead_ void *realloc(void *old, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

_instead_ char *strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

_instead_ int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret_time);

	if (r == 0 && is_meant())
		ret_time->tv_sec += atomic_load(&wishes->jump_s);
	return r;
}
