/* SPDX-License-Identifier: Apache-2.0 */

/* An upgrade as the old supervisor sees it: programs that are tried are shell scripts. */

#include "fake-supervisor.h"

#include <sys/wait.h>

#define PASSES "exit 85\n"
#define WAITS  "kill -STOP $$\n" /* for go_on() */

/* What is installed now, for the next upgrade. */
static void install(const char *script)
{
	char text[512];

	snprintf(text, sizeof(text), "#!/bin/sh\n%s", script);
	write_file(program, text, 0700);
	free(s.takeover.upgrade.path);
	s.takeover.upgrade.path = strdup(program);
}

static bool is_readable(int fd)
{
	struct pollfd in = {.fd = fd, .events = POLLIN};

	return poll(&in, 1, 10000) == 1;
}

/* The program that is on trial, which WAITS. */
static void go_on(void)
{
	siginfo_t how;

	assert_int_equal(waitid(P_PID, (id_t)s.takeover.upgrade.pid, &how, WSTOPPED), 0);
	kill(s.takeover.upgrade.pid, SIGCONT);
}

static void test_exec_that_fails_while_a_self_test_ends(void **state)
{
	int upgrade, selftest;
	struct pollfd ended;

	start();
	selftest = ask("sandbox");
	assert_int_equal(n_fakes, WORKERS + 1);
	install(WAITS "rm \"$0\"\n" PASSES);
	upgrade = ask("upgrade");
	go_on();
	/* Both in one round of the loop, the trial first. */
	assert_true(is_readable(s.takeover.upgrade.pidfd));
	ended = (struct pollfd){
		.fd = (int)syscall(SYS_pidfd_open, fakes[WORKERS].pid, 0), .events = POLLIN};
	leave(&fakes[WORKERS]);
	assert_int_equal(poll(&ended, 1, 10000), 1);
	close(ended.fd);
	expect("upgrading upgrading upgrade-failed");
	expect_answer(upgrade, EX_OSERR, "No such file or directory");
	expect_answer(selftest, EX_TEMPFAIL, "interrupted by an upgrade");
	assert_non_null(s.generations.serving);
}

static void test_trial_that_takes_too_long(void **state)
{
	int upgrade;

	start();
	install(WAITS);
	upgrade = ask("upgrade");
	loop_set_timer(&s.loop, &s.takeover.upgrade.limit, s.loop.now_ms);
	expect("upgrading upgrade-failed");
	expect_answer(upgrade, EX_SOFTWARE, "not ready within 30 s");
	assert_false(upgrade_is_trying(&s.takeover.upgrade));
}

/* As if the machine had slept for a minute: the program on trial had no time either. */
static void test_trial_is_forgiven_that_the_machine_slept(void **state)
{
	int upgrade;

	start();
	install(WAITS "exit 3\n");
	upgrade = ask("upgrade");
	loop_set_timer(&s.loop, &s.clock, s.loop.now_ms - 60000);
	loop_set_timer(&s.loop, &s.takeover.upgrade.limit, s.loop.now_ms - 30000);
	expect("upgrading");
	expect_nothing();
	assert_true(upgrade_is_trying(&s.takeover.upgrade));
	go_on();
	expect("upgrade-failed");
	expect_answer(upgrade, 3, "exit code 3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exec_that_fails_while_a_self_test_ends),
		TEST(test_trial_that_takes_too_long),
		TEST(test_trial_is_forgiven_that_the_machine_slept),
	};
	int failed;

	make_folder();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	remove_folder();
	return failed;
}
