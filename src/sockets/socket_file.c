/* SPDX-License-Identifier: Apache-2.0 */

/* A path is looked up once, into a descriptor that follows no symbolic link; what was found is compared with
 * what bind() made, and changed through the descriptor. The file is made closed to all, so that its mode
 * and its owner can be set before the first client reaches the socket. */

#include "sockets/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sockets/listen.h"

/* A path in two parts. The folder is opened, so that it is the same one when a name in it is looked at and
 * when it is removed. */
struct place {
	int folder;
	char text[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	const char *name;
};

static void place_done(struct place *place)
{
	if (place->folder >= 0)
		close(place->folder);
}

static int place_open(struct place *place, const struct listen_spec *spec)
{
	char *slash;

	snprintf(place->text, sizeof(place->text), "%s", spec->address.un.sun_path);
	slash = strrchr(place->text, '/');
	place->name = slash ? slash + 1 : place->text;
	if (slash)
		*slash = '\0';
	place->folder = open(!slash            ? "."
			: slash == place->text ? "/"
					       : place->text,
		O_PATH | O_DIRECTORY | O_CLOEXEC);
	return place->folder < 0 ? -errno : 0;
}

static bool is_same(const struct socket_file *file, const struct stat *st)
{
	return S_ISSOCK(st->st_mode) && file->device == st->st_dev && file->inode == st->st_ino;
}

/* A socket that was left behind by a daemon that was killed is removed; one that answers is not. */
static int clear_path(const struct listen_spec *spec)
{
	__attribute__((cleanup(place_done))) struct place place = {.folder = -1};
	_cleanup_close_ int fd = -1;
	struct stat st = {0};
	int r;

	r = place_open(&place, spec);
	if (r < 0)
		return r;
	if (fstatat(place.folder, place.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;

	fd = socket(AF_UNIX, spec->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &spec->address.sa, spec->address.len) == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlinkat(place.folder, place.name, 0) < 0 ? -errno : 0;
}

static int path_open(const struct listen_spec *spec, int *ret_fd, struct stat *ret_st)
{
	_cleanup_close_ int fd = -1;

	fd = open(spec->address.un.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, ret_st) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* The mode comes last: until then, nothing but the owner's privileges opens the file. fchmod() takes no
 * descriptor of a path, and fchmodat2() needs Linux 6.6. */
static int file_set_rights(const struct listen_spec *spec, int fd)
{
	char self[32];

	if ((spec->owner != (uid_t)-1 || spec->group != (gid_t)-1) &&
		fchownat(fd, "", spec->owner, spec->group, AT_EMPTY_PATH) < 0)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return chmod(self, spec->mode) < 0 ? -errno : 0;
}

/* Between bind() and here, the owner of the folder can have put something else at the path. It cannot be a
 * socket without any permission, but for one of its own. */
static int file_found(const struct listen_spec *spec, int *ret_fd, struct socket_file *ret_file)
{
	_cleanup_close_ int fd = -1;
	struct stat st = {0};
	int r;

	r = path_open(spec, &fd, &st);
	if (r < 0)
		return r;
	if (!S_ISSOCK(st.st_mode) || (st.st_mode & 07777) != 0 || st.st_nlink != 1)
		return -ESTALE;
	*ret_file = (struct socket_file){st.st_dev, st.st_ino};
	*ret_fd = take_fd(&fd);
	return 0;
}

int socket_file_bind(const struct listen_spec *spec, int fd, struct socket_file *ret_file)
{
	struct socket_file file = SOCKET_FILE_NONE;
	_cleanup_close_ int found = -1;
	mode_t mask;
	int r;

	r = clear_path(spec);
	if (r < 0)
		return r;
	mask = umask(0777);
	r = bind(fd, &spec->address.sa, spec->address.len) < 0 ? -errno : 0;
	umask(mask);
	if (r >= 0)
		r = file_found(spec, &found, &file);
	if (r < 0)
		return r;
	r = file_set_rights(spec, found);
	if (r < 0) {
		socket_file_remove(spec, &file);
		return r;
	}

	*ret_file = file;
	return 0;
}

int socket_file_adjust(const struct listen_spec *spec, const struct socket_file *file)
{
	_cleanup_close_ int fd = -1;
	struct stat st = {0};
	int r;

	r = path_open(spec, &fd, &st);
	if (r < 0)
		return r;
	return is_same(file, &st) ? file_set_rights(spec, fd) : SOCKET_FILE_E_OTHER;
}

bool socket_file_is_gone(const struct listen_spec *spec)
{
	struct stat st = {0};

	return lstat(spec->address.un.sun_path, &st) < 0 && errno == ENOENT;
}

int socket_file_remove(const struct listen_spec *spec, const struct socket_file *file)
{
	__attribute__((cleanup(place_done))) struct place place = {.folder = -1};
	struct stat st = {0};
	int r;

	r = place_open(&place, spec);
	if (r < 0)
		return r;
	if (fstatat(place.folder, place.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_same(file, &st))
		return SOCKET_FILE_E_OTHER;
	return unlinkat(place.folder, place.name, 0) < 0 ? -errno : 0;
}
