/* SPDX-License-Identifier: Apache-2.0 */

#include "base/pidfd.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int pidfd_of_child(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), r = -errno;

	if (fd >= 0)
		return fd;
	kill(pid, SIGKILL); /* not waited for yet, so that the number is its own */
	waitpid(pid, NULL, 0);
	return r;
}

void pidfd_kill(int pidfd, int signal)
{
	syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

bool pidfd_has_ended(int pidfd, siginfo_t *ret_how)
{
	*ret_how = (siginfo_t){0};
	return waitid(P_PIDFD, (id_t)pidfd, ret_how, WEXITED | WNOHANG) < 0 || ret_how->si_pid != 0;
}

void pidfd_bury(int pidfd)
{
	siginfo_t how;

	pidfd_kill(pidfd, SIGKILL);
	waitid(P_PIDFD, (id_t)pidfd, &how, WEXITED);
}
