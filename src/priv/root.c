/* SPDX-License-Identifier: Apache-2.0 */

/* The root of a child is a folder that was made for it and removed before it went in. It is empty, and
 * since it is not there any more, the kernel lets no process make anything in it. No mount is needed, which
 * would take a capability that we do not keep. A child that is killed in between leaves the folder
 * behind, and the next start removes it. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config.h"
#include "priv/layers.h"

#define NAME "upperd-root-XXXXXX"

static const char own_folder[] = UPPERD_RUNDIR "/upperd";

/* Where it may be made, if only for an instant: some of these are read-only under a service manager. */
static const char *const places[] = {own_folder, UPPERD_RUNDIR, "/run", "/tmp", "/dev/shm"};

static int vanished_folder(const char *place, int *ret_fd)
{
	char path[256];
	int fd, error;

	snprintf(path, sizeof(path), "%s/" NAME, place);
	if (!mkdtemp(path))
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	error = errno;
	if (rmdir(path) < 0) {
		error = errno;
		if (fd >= 0)
			close(take_fd(&fd));
	}
	if (fd < 0)
		return -error;

	*ret_fd = fd;
	return 0;
}

int root_enter(void)
{
	_cleanup_close_ int fd = -1;
	int r = -ENOENT;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && r < 0; i++)
		r = vanished_folder(places[i], &fd);
	if (r < 0)
		return r;
	if (fchdir(fd) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

/* By its name, and of a kind that only we could have made: in /tmp, any user may take the name. */
static bool is_left_behind(int folder, const char *name)
{
	struct stat st;

	return strlen(name) == strlen(NAME) && strncmp(name, NAME, strcspn(NAME, "X")) == 0 &&
		fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
		st.st_uid == geteuid();
}

/* A folder that another daemon was about to enter may be among them: that daemon takes the next place. */
static void sweep(const char *place)
{
	DIR *dir = opendir(place);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (is_left_behind(dirfd(dir), entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR); /* empty, or not ours */
	closedir(dir);
}

void root_sweep(void)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		sweep(places[i]);
}
