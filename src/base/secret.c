/* SPDX-License-Identifier: Apache-2.0 */

/* Linux has memory that not even root reads through /proc (memfd_secret). Where it is switched off,
 * locked memory that stays out of dumps has to do. */

#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

/* A limit on locked memory is no reason to fail: the page is then like any other. */
static void keep_in(void *memory, size_t size)
{
	mlock(memory, size);
	madvise(memory, size, MADV_DONTDUMP);
}

int secret_map(size_t size, void **ret_memory)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	keep_in(memory, size);
	*ret_memory = memory;
	return 0;
}

/* Some machines have no such memory, whatever the kernel. */
static int open_secret(void)
{
#ifdef SYS_memfd_secret
	int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

	return fd < 0 ? -errno : fd;
#else
	return -ENOSYS;
#endif
}

static int secret_file(size_t size, int *ret_fd, void **ret_memory)
{
	_cleanup_close_ int fd = open_secret();
	void *memory;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*ret_fd = take_fd(&fd);
	*ret_memory = memory;
	return 0;
}

int secret_share(const char *name, size_t size, int *ret_fd, void **ret_memory)
{
	_cleanup_close_ int fd = -1;
	void *memory;
	int r;

	if (secret_file(size, ret_fd, ret_memory) == 0)
		return 0;
	r = fd_shared(name, size, &fd);
	if (r < 0)
		return r;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	keep_in(memory, size);
	*ret_fd = take_fd(&fd);
	*ret_memory = memory;
	return 0;
}

int secret_attach(int fd, size_t size, const void **ret_memory)
{
	void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	keep_in(memory, size);
	*ret_memory = memory;
	return 0;
}

void secret_unmap(const void *memory, size_t size)
{
	if (memory)
		munmap((void *)(uintptr_t)memory, size);
}
