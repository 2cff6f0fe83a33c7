/* SPDX-License-Identifier: Apache-2.0 */

/* Every role's sandbox, entered for real in processes that are thrown away, and every attempt on it:
 * each fails, and in the way that is stated here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "priv/attempts.h"
#include "priv/layers.h"

#define NOBODY  65534
#define KILLED  0
/* On the socket of the client that asked: here there is none. */
#define BY_PATH "connect to a unix socket by its path"

/* An errno, or KILLED. What the supervisor hears is another where its lists have some of the call. */
static const struct {
	enum layer layer;
	const char *words;
	int error, supervisor;
} expected[] = {
	{LAYER_NO_NEW_PRIVS, "get new privileges again", EINVAL, EINVAL},
	{LAYER_NO_NEW_PRIVS, "write what it executes", EACCES, EACCES},
	{LAYER_ROOT, "open a file", ENOENT},
	{LAYER_ROOT, "make a file", ENOENT},
	{LAYER_IDENTITY, "become root", EPERM},
	{LAYER_IDENTITY, "gain a capability", EPERM, EPERM},
	{LAYER_DUMPABLE, "be read by its user", EACCES},
	{LAYER_RLIMITS, "make a process", EAGAIN},
	{LAYER_RLIMITS, "write to a file it holds", EFBIG},
	{LAYER_LANDLOCK, "open a file below a folder it holds", EACCES},
	{LAYER_LANDLOCK, "connect a socket it holds", EACCES},
	{LAYER_LANDLOCK, "bind a socket it holds", EACCES},
	{LAYER_LANDLOCK, BY_PATH, EACCES},
	{LAYER_LANDLOCK, "bind a datagram socket it holds", EACCES},
	{LAYER_LANDLOCK, "signal another process", EPERM},
	{LAYER_SECCOMP, "open a file", EPERM},
	{LAYER_SECCOMP, "open a file below a folder it holds", EPERM},
	{LAYER_SECCOMP, "make a socket", EPERM},
	{LAYER_SECCOMP, "connect a socket it holds", EPERM},
	{LAYER_SECCOMP, "connect a datagram socket it holds", EPERM},
	{LAYER_SECCOMP, "bind a socket it holds", EPERM},
	{LAYER_SECCOMP, "pass a descriptor on", ENOSYS},
	{LAYER_SECCOMP, "signal another process", EPERM},
	{LAYER_SECCOMP, "signal another's thread", ENOSYS},
	{LAYER_SECCOMP, "make a process", EPERM},
	{LAYER_SECCOMP, "map executable memory", EPERM},
	{LAYER_SECCOMP, "make memory executable", EPERM},
	{LAYER_SECCOMP, "run a program", KILLED},
	{LAYER_SECCOMP, "make a netlink socket", EPERM, ENOSYS},
	{LAYER_SECCOMP, "trace another process", KILLED, KILLED},
	{LAYER_SECCOMP, "read another's memory", KILLED, KILLED},
	{LAYER_SECCOMP, "make a namespace", KILLED, KILLED},
	{LAYER_SECCOMP, "mount files", KILLED, KILLED},
	{LAYER_SECCOMP, "load a BPF program", KILLED, KILLED},
	{LAYER_SECCOMP, "make an io_uring", KILLED, KILLED},
	{LAYER_SECCOMP, "use the keys of the kernel", KILLED, KILLED},
	{LAYER_SECCOMP, "handle page faults", KILLED, KILLED},
	{LAYER_SECCOMP, "make a call that is on no list", ENOSYS, ENOSYS},
	{LAYER_SECCOMP, "make a call of another architecture", KILLED, KILLED},
};

static int expectation(const struct attempt *attempt, const struct sandbox *sandbox)
{
	bool is_supervisor = strcmp(sandbox->policy->role, "supervisor") == 0;

	if (attempt->layer == LAYER_SECCOMP && sandbox->mode == SANDBOX_STRICT)
		return KILLED;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		if (expected[i].layer == attempt->layer &&
			strcmp(expected[i].words, attempt->words) == 0)
			return is_supervisor ? expected[i].supervisor : expected[i].error;
	fail_msg("nothing is stated about \"%s\"", attempt->words);
	return -1;
}

/* Only these may be passed over: a role that may, a user who cannot. */
static bool may_be_left_out(const struct attempt *attempt, const struct sandbox *sandbox)
{
	return (attempt->layer == LAYER_ROOT && geteuid() != 0) ||
		strcmp(attempt->words, BY_PATH) == 0 ||
		(!attempt->everywhere && strcmp(sandbox->policy->role, "supervisor") == 0);
}

static bool is_for_a_later_kernel(const struct attempt *attempt)
{
	if (attempt->is_known)
		return prctl(SANDBOX_GET_MDWE, 0, 0, 0, 0) < 0;
	return landlock_version() < (int)attempt->landlock;
}

static bool is_as_expected(const struct attempt *attempt, const struct sandbox *sandbox,
	const struct attempt_outcome *found)
{
	int error = expectation(attempt, sandbox);

	if (found->kind == ATTEMPT_NOT_FOR)
		return may_be_left_out(attempt, sandbox);
	if (found->kind == ATTEMPT_TOO_NEW)
		return is_for_a_later_kernel(attempt);
	if (found->kind != ATTEMPT_FAILED)
		return false;
	return error == KILLED ? found->signal == SIGSYS
			       : found->signal == 0 && found->error == error;
}

/* How many attempts came out otherwise. */
static int surprises(enum sandbox_mode mode)
{
	int n = 0;

	for (size_t p = 0; p < n_policies; p++)
		for (unsigned i = 0; i < n_attempts; i++) {
			struct sandbox sandbox = {&policies[p], mode, NOBODY, NOBODY};
			struct attempt_outcome found;

			assert_int_equal(attempt_make(&attempts[i], &sandbox, &found), 0);
			if (is_as_expected(&attempts[i], &sandbox, &found))
				continue;
			n++;
			printf("# %s: %s, %s: kind %u, errno %d, signal %d\n", policies[p].role,
				layer_words(attempts[i].layer), attempts[i].words, found.kind,
				found.error, found.signal);
		}
	return n;
}

/* Without them there is nothing to test. Not by skip(), which cmocka tells as a failure. */
static bool has_layers(void)
{
	enum layer missing;
	int r = sandbox_probe(&missing);

	if (r < 0)
		printf("# not tested, without %s: %s\n", layer_words(missing),
			sandbox_explain(missing, r));
	return r >= 0;
}

static void test_required(void **state)
{
	if (!has_layers())
		return;
	assert_int_equal(surprises(SANDBOX_REQUIRED), 0);
}

static void test_strict(void **state)
{
	if (!has_layers())
		return;
	assert_int_equal(surprises(SANDBOX_STRICT), 0);
}

/* Started by an ordinary user there is no root to empty, and all else is the same. */
static void test_as_ordinary_user(void **state)
{
	siginfo_t how;
	pid_t pid;

	if (!has_layers() || geteuid() != 0)
		return;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int n = setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
				setresuid(NOBODY, NOBODY, NOBODY) == 0
			? surprises(SANDBOX_REQUIRED)
			: 1;

		fflush(stdout);
		_exit(n > 0);
	}
	assert_int_equal(waitid(P_PID, (id_t)pid, &how, WEXITED), 0);
	assert_int_equal(how.si_code, CLD_EXITED);
	assert_int_equal(how.si_status, 0);
}

/* A build or a kernel that lacks a layer says which. */
static void test_missing_layer_is_named(void **state)
{
	enum layer missing = N_LAYERS;
	int r = sandbox_probe(&missing);

	assert_true(r == 0 || missing == LAYER_LANDLOCK || missing == LAYER_SECCOMP);
	assert_true(HAVE_SECCOMP || r < 0);
	if (!HAVE_SECCOMP)
		assert_non_null(
			strstr(sandbox_explain(LAYER_SECCOMP, -EOPNOTSUPP), "build option"));
}

/* Off leaves who one is, and nothing else. */
static void test_off(void **state)
{
	for (unsigned i = 0; i < n_attempts; i++) {
		struct sandbox sandbox = {policy_find("worker"), SANDBOX_OFF, NOBODY, NOBODY};
		struct attempt_outcome found;
		bool always = attempts[i].layer == LAYER_NO_NEW_PRIVS ||
			attempts[i].layer == LAYER_IDENTITY;

		assert_int_equal(attempt_make(&attempts[i], &sandbox, &found), 0);
		if (!always || !is_for_a_later_kernel(&attempts[i]))
			assert_int_equal(found.kind, always ? ATTEMPT_FAILED : ATTEMPT_NOT_FOR);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_as_ordinary_user),
		cmocka_unit_test(test_missing_layer_is_named),
		cmocka_unit_test(test_off),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
