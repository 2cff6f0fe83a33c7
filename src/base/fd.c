/* SPDX-License-Identifier: Apache-2.0 */

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Not in the headers of every C library that runs on a kernel which has it (6.3). */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Where a file does not say how long it is. */
#define READ_FIRST 4096

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
	char some[READ_FIRST];
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

/* By position, since the offset of an inherited descriptor is shared with every other reader;
 * where there are no positions, in a pipe, there is only what comes next. */
static ssize_t read_at(int fd, char *to, size_t room, size_t at)
{
	ssize_t n;

	do {
		n = pread(fd, to, room, (off_t)at);
		if (n < 0 && errno == ESPIPE)
			n = read(fd, to, room);
	} while (n < 0 && errno == EINTR);

	return n < 0 ? -errno : n;
}

/* Room for all of a file that says its size, for the byte that shows its end, and for the NUL. */
static size_t first_room(int fd, size_t max)
{
	struct stat st;
	size_t room = READ_FIRST;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		room = (size_t)st.st_size + 2;

	return room < max + 2 ? room : max + 2;
}

static int grow(char **text, size_t *room, size_t max)
{
	size_t more = *room < max / 2 ? *room * 2 : max + 2;
	char *longer = realloc(*text, more);

	if (!longer)
		return -ENOMEM;

	*text = longer;
	*room = more;
	return 0;
}

int fd_read_all(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	_cleanup_free_ char *text = NULL;
	size_t room = first_room(fd, max), len = 0;
	ssize_t n;
	int r;

	assert(max < SIZE_MAX - 2);

	text = malloc(room);
	if (!text)
		return -ENOMEM;

	while ((n = read_at(fd, text + len, room - len - 1, len)) != 0) {
		if (n < 0)
			return (int)n;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
		if (len + 1 < room)
			continue;
		r = grow(&text, &room, max);
		if (r < 0)
			return r;
	}

	text[len] = '\0';
	*ret_text = take_ptr(&text);
	*ret_len = len;
	return 0;
}

int fd_read_path(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;

	return fd_read_all(fd, max, ret_text, ret_len);
}

int fd_write_ready(int fd, const void *data, size_t len)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	int r;

	assert(len <= FD_WRITE_READY_MAX);

	r = poll(&ready, 1, 0);
	if (r < 0)
		return -errno;
	if (r == 0)
		return -EAGAIN;
	/* The other end is closed: writing would only raise SIGPIPE. */
	if (ready.revents & (POLLERR | POLLHUP | POLLNVAL))
		return -EPIPE;
	if (write(fd, data, len) < 0)
		return -errno;

	return 0;
}

int fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;

	return 0;
}

int fd_fill_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			return -errno;
	return 0;
}
