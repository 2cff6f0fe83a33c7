/* SPDX-License-Identifier: Apache-2.0 */

/* Another program takes the place of this one, in the same process. There is no moment at which
 * nothing serves, whatever goes wrong:
 *
 * * First the new program is tried: a child executes it, with copies of the sockets and no word
 *   to any other process, and it must bring up a whole generation. It says so by an exit code
 *   that no other program ends with by accident. A program that fails, hangs or is none ends
 *   here: nothing has changed, and its own words are the answer.
 * * Only then does the supervisor become the new program, by execve(). The process keeps its
 *   number, which the service manager knows, its descriptors, and its children, which go on
 *   serving all the while.
 * * The new supervisor takes the children over as remnants (remnants.c), builds its first
 *   generation, and tells them to drain when that one serves.
 *
 * The exec itself can still fail, when the file has gone since the trial: then the owner is
 * told, and all stays as it was. State: a trial is under way when there is a pid; at all other
 * times there is nothing here but a path. */

#include "upgrade/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/pidfd.h"
#include "base/why.h"

#define TRIAL_MS 30000

static int find_self(char **ret_path)
{
	static const char gone[] = " (deleted)";
	_cleanup_free_ char *path = calloc(1, PATH_MAX);
	char *end;

	if (!path)
		return -ENOMEM;
	if (readlink("/proc/self/exe", path, PATH_MAX - 1) < 0)
		return -errno;
	end = path + strlen(path) - strlen(gone);
	if (end > path && strcmp(end, gone) == 0)
		*end = '\0';
	*ret_path = take_ptr(&path);
	return 0;
}

int upgrade_init(
	struct upgrade *u, struct loop *loop, const struct upgrade_owner *owner, char *const argv[])
{
	*u = UPGRADE_EMPTY;
	u->loop = loop;
	u->owner = owner;
	u->argv = argv;
	return find_self(&u->path);
}

void upgrade_become(struct upgrade *u)
{
	_cleanup_handover_ struct handover h = HANDOVER_EMPTY;
	struct why why;
	int r;

	log_each(EVENT_UPGRADING, ABOUT_NOTHING, "becoming %s", u->path);
	r = u->owner->on_describe(u, &h);
	if (r >= 0)
		r = handover_exec(&h, u->path, u->argv);
	why_set(&why, 0, "%.400s: %s\n", u->path, strerror(-r));
	u->owner->on_failed(u, EX_OSERR, why.text);
}

static void trial_read_words(struct upgrade *u)
{
	ssize_t n;

	while (u->len < sizeof(u->last_words) - 1) {
		n = read(u->stderr_fd, u->last_words + u->len, sizeof(u->last_words) - 1 - u->len);
		if (n <= 0)
			break;
		u->len += (size_t)n;
	}
	u->last_words[u->len] = '\0';
}

static void trial_close(struct upgrade *u)
{
	loop_clear_timer(&u->limit);
	loop_unwatch(u->loop, &u->ended);
	close(take_fd(&u->pidfd));
	close(take_fd(&u->stderr_fd));
	u->pid = 0;
}

/* In its own words, or in ours. */
static void trial_failed(struct upgrade *u, const siginfo_t *how)
{
	struct why why;

	if (u->late)
		why_set(&why, 0, "the new program was not ready within %d s\n", TRIAL_MS / 1000);
	else if (how->si_pid == 0)
		why_set(&why, 0,
			"the new program is gone, and the system does not say how it ended\n");
	else if (how->si_code != CLD_EXITED)
		why_set(&why, 0, "the new program died when it was tried\n");
	else if (how->si_status == 0)
		why_set(&why, 0, "the new program ended without serving; is it upperd at all?\n");
	else
		why_set(&why, 0, "the new program ended with exit code %d and said nothing\n",
			how->si_status);
	if (how->si_code != CLD_EXITED || how->si_status == 0)
		u->owner->on_failed(u, EX_SOFTWARE, why.text);
	else
		u->owner->on_failed(u, how->si_status, u->len > 0 ? u->last_words : why.text);
}

static void trial_on_ended(struct source *source, uint32_t events)
{
	struct upgrade *u = container_of(source, struct upgrade, ended);
	siginfo_t how;

	if (!pidfd_has_ended(u->pidfd, &how))
		return;
	trial_read_words(u);
	trial_close(u);
	if (how.si_code == CLD_EXITED && how.si_status == TRIAL_PASSED)
		u->owner->on_passed(u);
	else
		trial_failed(u, &how);
}

static void trial_on_limit(struct timer *timer, uint64_t now_ms)
{
	struct upgrade *u = container_of(timer, struct upgrade, limit);

	u->late = true;
	pidfd_kill(u->pidfd, SIGKILL);
}

/* In the child: it tells the service manager nothing, and the parent all that it has to say. */
__attribute__((noreturn)) static void trial_exec(struct upgrade *u, int words)
{
	_cleanup_handover_ struct handover h = {.trial = true};
	int r;

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	if (dup2(words, STDOUT_FILENO) < 0 || dup2(words, STDERR_FILENO) < 0)
		_exit(EX_OSERR);
	r = u->owner->on_describe(u, &h);
	if (r >= 0)
		r = handover_exec(&h, u->path, u->argv);
	dprintf(STDERR_FILENO, "%s: %s\n", u->path, strerror(-r));
	_exit(EX_OSERR);
}

static int trial_fork(struct upgrade *u, int words)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		trial_exec(u, words);
	u->pidfd = pidfd_of_child(pid);
	if (u->pidfd < 0)
		return u->pidfd;
	u->pid = pid;
	return 0;
}

int upgrade_try(struct upgrade *u)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int pipes[2], r;

	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	ours = pipes[0];
	theirs = pipes[1];
	log_each(EVENT_UPGRADING, ABOUT_NOTHING, "trying %s", u->path);
	r = trial_fork(u, theirs);
	if (r < 0)
		return r;

	u->stderr_fd = take_fd(&ours);
	u->len = 0;
	u->late = false;
	u->ended.on_event = trial_on_ended;
	u->limit.on_time = trial_on_limit;
	u->limit.is_patience = true;
	loop_set_timer(u->loop, &u->limit, u->loop->now_ms + TRIAL_MS);
	r = loop_watch(u->loop, &u->ended, u->pidfd, EPOLLIN);
	if (r < 0)
		upgrade_abandon(u);
	return r;
}

bool upgrade_is_trying(const struct upgrade *u)
{
	return u->pid > 0;
}

void upgrade_abandon(struct upgrade *u)
{
	if (u->pid <= 0)
		return;
	pidfd_bury(u->pidfd);
	trial_close(u);
}

void upgrade_done(struct upgrade *u)
{
	upgrade_abandon(u);
	free(u->path);
	u->path = NULL;
}
