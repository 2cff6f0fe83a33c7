/* SPDX-License-Identifier: Apache-2.0 */

/* The root of a child is a folder that was made for it and removed before it went in. It is empty, and
 * since it is not there any more, the kernel lets nobody make anything in it. Nothing is left behind,
 * and no mount is needed, which would take a capability that we do not keep. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config.h"
#include "priv/layers.h"

/* Where it may be made, if only for an instant: some of these are read-only under a service manager. */
static const char *const places[] = {
	UPPERD_RUNDIR "/upperd", UPPERD_RUNDIR, "/run", "/tmp", "/dev/shm"};

static int vanished_folder(const char *place, int *ret_fd)
{
	char path[256];
	int fd, error;

	snprintf(path, sizeof(path), "%s/upperd-root-XXXXXX", place);
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
