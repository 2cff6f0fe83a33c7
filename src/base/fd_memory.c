/* SPDX-License-Identifier: Apache-2.0 */

/* Memory files, which Linux alone can seal. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

/* Not in the headers of every C library that runs on a kernel which has it (6.3). */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static int memory_file(const char *name, int *ret_fd)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	/* Some systems refuse memory that could be executed; older kernels do not know the flag. */
	fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;

	*ret_fd = fd;
	return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}

	return 0;
}

static int seal(int fd)
{
	const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

int fd_sealed(const char *name, const void *data, size_t len, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = memory_file(name, &fd);
	if (r < 0)
		return r;
	r = write_all(fd, data, len);
	if (r < 0)
		return r;
	r = seal(fd);
	if (r < 0)
		return r;

	*ret_fd = take_fd(&fd);
	return 0;
}

/* Some file systems, such as proc, have no way to send a file. */
static ssize_t copy_by_hand(int to, int from)
{
	char some[4096];
	ssize_t n = read(from, some, sizeof(some));
	int r = n < 0 ? -errno : write_all(to, some, (size_t)n);

	explicit_bzero(some, sizeof(some));
	return r < 0 ? r : n;
}

static ssize_t copy_some(int to, int from, size_t most)
{
	ssize_t n;

	do
		n = sendfile(to, from, NULL, most);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EINVAL)
		return copy_by_hand(to, from);

	return n < 0 ? -errno : n;
}

int fd_sealed_copy(const char *name, int from, size_t max, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	size_t len = 0;
	ssize_t n;
	int r;

	assert(max < SIZE_MAX - 2);

	r = memory_file(name, &fd);
	if (r < 0)
		return r;
	while ((n = copy_some(fd, from, max + 1 - len)) != 0) {
		if (n < 0)
			return (int)n;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	r = seal(fd);
	if (r < 0)
		return r;

	*ret_fd = take_fd(&fd);
	return 0;
}

static int memory_of_size(const char *name, size_t size, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = memory_file(name, &fd);
	if (r < 0)
		return r;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;

	*ret_fd = take_fd(&fd);
	return 0;
}

int fd_shared(const char *name, size_t size, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = memory_of_size(name, size, &fd);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;

	*ret_fd = take_fd(&fd);
	return 0;
}

int fd_published(const char *name, size_t size, int *ret_fd, void **ret_page)
{
	const int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
	_cleanup_close_ int fd = -1;
	void *page;
	int r;

	r = memory_of_size(name, size, &fd);
	if (r < 0)
		return r;
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, seals) < 0) {
		r = -errno;
		munmap(page, size);
		return r;
	}

	*ret_fd = take_fd(&fd);
	*ret_page = page;
	return 0;
}
