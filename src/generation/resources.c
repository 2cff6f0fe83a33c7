/* SPDX-License-Identifier: Apache-2.0 */

/* Made once, before the first generation, and used by each: the sockets, the keys of tickets,
 * and the memory that workers share. Its secrets, for cookies and for the tables of clients, are
 * drawn here and are never written anywhere else: an upgrade draws new ones. */

#include "generation/resources.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "config.h"

void resources_init(struct resources *resources)
{
	*resources = RESOURCES_EMPTY;
	sockets_init(&resources->sockets);
}

static int make_shared(struct resources *resources)
{
	_cleanup_close_ int fd = -1;
	struct shared *shared;
	int r;

	r = fd_shared("upperd-shared", sizeof(*shared), &fd);
	if (r < 0)
		return r;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return -errno;
	resources->shared = shared;
	resources->shared_fd = take_fd(&fd);
	if (getrandom(&shared->key, sizeof(shared->key), 0) < 0 ||
		getrandom(shared->secret, sizeof(shared->secret), 0) < 0)
		return -errno;
	return 0;
}

int resources_make(struct resources *resources)
{
	int r = make_shared(resources);

	return r >= 0 && HAVE_TLS ? tickets_init(&resources->tickets) : r;
}

void resources_done(struct resources *resources)
{
	sockets_done(&resources->sockets);
	tickets_done(&resources->tickets);
	if (resources->shared)
		munmap(resources->shared, sizeof(*resources->shared));
	if (resources->shared_fd >= 0)
		close(resources->shared_fd);
}
