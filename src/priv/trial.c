/* SPDX-License-Identifier: Apache-2.0 */

/* One attempt, in a process that is thrown away. Its exit code tells what came of it. */

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "priv/attempts.h"
#include "priv/ident.h"
#include "priv/layers.h"

enum {
	TRIAL_SUCCEEDED,
	TRIAL_FAILED = 0x100, /* and what it heard */
	TRIAL_ABSENT = 0x200,
	TRIAL_NOTHING = 0x300,
};

static bool is_for(const struct attempt *attempt, const struct sandbox *sandbox)
{
	if (sandbox->mode == SANDBOX_OFF && attempt->layer != LAYER_NO_NEW_PRIVS &&
		attempt->layer != LAYER_IDENTITY)
		return false;
	if (attempt->layer == LAYER_ROOT && !ident_is_root())
		return false;
	if (attempt->landlock > 0 && landlock_version() >= 0 &&
		landlock_version() < (int)attempt->landlock)
		return false;
	if (attempt->everywhere)
		return true;
	/* The supervisor may do nearly all that the others may not. */
	return sandbox->policy->layers & 1U << LAYER_LANDLOCK;
}

/* That the layer itself cannot be had is the outcome, also where it is no failure. */
static int enter_until(const struct sandbox *sandbox, enum layer last)
{
	struct sandbox asked = *sandbox;
	enum layer missing;
	int r = 0;

	if (last > 0)
		r = sandbox_enter_some(sandbox, 0, last - 1, &missing);
	if (asked.mode == SANDBOX_BEST_EFFORT)
		asked.mode = SANDBOX_REQUIRED;
	return r < 0 ? r : sandbox_enter_some(&asked, last, last, &missing);
}

__attribute__((noreturn)) static void try_it(
	const struct attempt *attempt, const struct sandbox *sandbox, int said)
{
	int fd = attempt->before ? attempt->before() : -1;
	int word, r;

	r = enter_until(sandbox, attempt->layer);
	if (r < 0) {
		word = TRIAL_ABSENT | -r;
	} else {
		r = attempt->attempt(fd);
		word = r == 0 ? TRIAL_SUCCEEDED : TRIAL_FAILED | r;
	}
	if (write(said, &word, sizeof(word)) < 0)
		_exit(1);
	_exit(0);
}

static struct attempt_outcome outcome_of(int word, const siginfo_t *how)
{
	if (how->si_code != CLD_EXITED)
		return (struct attempt_outcome){ATTEMPT_FAILED, 0, how->si_status};
	if (word == TRIAL_SUCCEEDED)
		return (struct attempt_outcome){ATTEMPT_SUCCEEDED};
	return (struct attempt_outcome){
		(word & TRIAL_NOTHING) == TRIAL_FAILED ? ATTEMPT_FAILED : ATTEMPT_ABSENT,
		word & 0xff,
	};
}

int attempt_make(const struct attempt *attempt, const struct sandbox *sandbox,
	struct attempt_outcome *ret_outcome)
{
	_cleanup_close_ int said = -1, hears = -1;
	int pipes[2], word = TRIAL_NOTHING;
	siginfo_t how = {0};
	pid_t pid;

	if (!is_for(attempt, sandbox)) {
		*ret_outcome = (struct attempt_outcome){ATTEMPT_NOT_FOR};
		return 0;
	}
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	hears = pipes[0];
	said = pipes[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		try_it(attempt, sandbox, said);
	if (waitid(P_PID, (id_t)pid, &how, WEXITED) < 0)
		return -errno;
	if (how.si_code == CLD_EXITED && read(hears, &word, sizeof(word)) != sizeof(word))
		word = TRIAL_NOTHING;
	*ret_outcome = outcome_of(word, &how);
	return 0;
}
