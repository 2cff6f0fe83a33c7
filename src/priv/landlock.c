/* SPDX-License-Identifier: Apache-2.0 */

/* Landlock without a library: three system calls and a struct that grows with the kernel. The headers
 * of the machine that builds may be older than the kernel that runs, so what we use is named here. */

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "priv/layers.h"

#define VERSION_FLAG 1U

struct ruleset {
	uint64_t files, net, scopes;
};

/* The rights that each version of the interface added; all are denied. */
static const struct ruleset added[] = {
	[1] = {.files = 0x1fff},   /* to read, write, execute, make and remove */
	[2] = {.files = 1U << 13}, /* to link or rename into another folder */
	[3] = {.files = 1U << 14}, /* to truncate */
	[4] = {.net = 3},          /* to bind and to connect TCP */
	[5] = {.files = 1U << 15}, /* ioctl() on devices */
	[6] = {.scopes = 3},       /* abstract unix sockets, and signals, to the outside */
	[9] = {.files = 1U << 16}, /* to connect to a unix socket by its path */
	/* To bind UDP. Not the bit beside it, to connect UDP: it is also the one to send to an address, as
	 * an answer is; seccomp has connect(). */
	[10] = {.net = 1U << 2},
};

#define NEWEST ((int)(sizeof(added) / sizeof(added[0])) - 1)

int landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);

	return version < 0 ? -errno : (int)version;
}

/* A kernel takes a longer struct than it knows, as long as the rest is zero. */
int landlock_enter(void)
{
	struct ruleset denied = {0};
	_cleanup_close_ int fd = -1;
	int version = landlock_version();

	if (version < 0)
		return version;
	for (int i = 1; i <= version && i <= NEWEST; i++) {
		denied.files |= added[i].files;
		denied.net |= added[i].net;
		denied.scopes |= added[i].scopes;
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &denied, sizeof(denied), 0);
	if (fd < 0)
		return -errno;
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}
