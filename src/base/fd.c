/* SPDX-License-Identifier: Apache-2.0 */

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config.h"

#if WITH_LINUX
#include <linux/sock_diag.h>
#endif

/* Where a file does not say how long it is. */
#define READ_FIRST 4096

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

int fd_socket(int family, int type)
{
#if WITH_LINUX
	return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
	int fd = socket(family, type, 0);

	if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fd_nonblock(fd) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
#endif
}

#if WITH_LINUX
uint32_t fd_drops(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}
#endif
