/* SPDX-License-Identifier: Apache-2.0 */

/* A child is given standard descriptors that lead nowhere, a pipe for its last words, and its channel; the
 * exec closes all else. */

#include "generation/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "process/channel.h"

/* The last words of a child that could not become one: the call that the system refused. */
__attribute__((noreturn)) static void give_up(int stderr_fd, const char *call)
{
	dprintf(stderr_fd, "%s: %s\n", call, strerrordesc_np(errno));
	_exit(EX_OSERR);
}

/* In the child, between fork and exec: nothing here may allocate or lock. */
__attribute__((noreturn)) static void become_child(enum role role, int channel, int given_stderr)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
	int stderr_fd = given_stderr;
	char argument[32];
	char *const argv[] = {(char *)(uintptr_t) "upperd", argument, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	/* A terminal and a service manager signal all of us at once; to stop is the supervisor's
	 * business, which tells its children over the channel. */
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	snprintf(argument, sizeof(argument), "--role=%s", role_word(role));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	/* Out of the way of 0 to 3 first, in case they were not in use. */
	channel = fcntl(channel, F_DUPFD_CLOEXEC, 10);
	stderr_fd = fcntl(stderr_fd, F_DUPFD_CLOEXEC, 10);
	null = fcntl(null, F_DUPFD_CLOEXEC, 10);
	if (channel < 0 || stderr_fd < 0 || null < 0)
		give_up(given_stderr, "fcntl");
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(stderr_fd, 2) < 0 ||
		dup2(channel, CHANNEL_FD) < 0)
		give_up(stderr_fd, "dup2");
	if (close_range(CHANNEL_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		give_up(stderr_fd, "close_range");
	execv("/proc/self/exe", argv);
	give_up(stderr_fd, "execve");
}

int launch(enum role role, int channel_fd, int stderr_fd, pid_t *ret_pid)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_child(role, channel_fd, stderr_fd);
	*ret_pid = pid;
	return 0;
}
