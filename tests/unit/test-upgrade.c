/* SPDX-License-Identifier: Apache-2.0 */

/* Both ends of an upgrade. Programs that are tried are shell scripts; the children that a program has left are fakes,
 * like those of the new one. */

#include "fake-supervisor.h"

#include <sys/mman.h>
#include <sys/stat.h>
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

static void test_words_of_a_trial_that_fails_are_the_answer(void **state)
{
	static const struct {
		const char *script;
		int exit_code;
		const char *part;
	} rows[] = {
		{"echo 'no such group' >&2; exit 78\n", EX_CONFIG, "no such group\n"},
		{"exit 78\n", EX_CONFIG, "exit code 78 and said nothing"},
		{"exit 0\n", EX_SOFTWARE, "is it upperd at all?"},
		{"kill -KILL $$\n", EX_SOFTWARE, "died when it was tried"},
		{NULL, EX_OSERR, "No such file or directory"},
	};
	int client;

	start();
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		install(rows[i].script ? rows[i].script : "");
		if (!rows[i].script)
			unlink(program);
		client = ask("upgrade");
		expect("upgrading upgrade-failed");
		expect_answer(client, rows[i].exit_code, rows[i].part);
	}
	assert_int_equal(n_fakes, WORKERS);
	assert_false(was_told(&fakes[0], MSG_DRAIN));
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

static void test_clients_that_ask_together_get_the_one_answer(void **state)
{
	int first, second;

	start();
	install(WAITS "exit 3\n");
	first = ask("upgrade");
	second = ask("upgrade");
	go_on();
	expect("upgrading upgrade-failed");
	expect_answer(first, 3, "exit code 3");
	expect_answer(second, 3, "exit code 3");
}

static void test_no_trial_during_a_reload(void **state)
{
	start();
	install(PASSES);
	close(ask("reload"));
	expect_answer(ask("upgrade"), EX_TEMPFAIL, "a reload is under way");
	expect("reloading upgrade-failed");
}

/* The children that would be handed over are about to be others. */
static void test_reload_during_a_trial_ends_the_upgrade(void **state)
{
	int reload, upgrade;

	start();
	install(WAITS PASSES);
	upgrade = ask("upgrade");
	reload = ask("reload");
	expect("upgrading reloading");
	go_on();
	expect("upgrade-failed");
	expect_answer(upgrade, EX_TEMPFAIL, "a reload has come in between");
	all_serve(WORKERS);
	all_release(0);
	expect_answer(reload, EX_OK, "reloaded");
}

static void test_stop_during_a_trial(void **state)
{
	int upgrade;
	pid_t tried;

	start();
	install(WAITS PASSES);
	upgrade = ask("upgrade");
	tried = s.takeover.upgrade.pid;
	kill(getpid(), SIGTERM);
	expect("upgrading stopping");
	expect_answer(upgrade, EX_TEMPFAIL, "upperd is stopping");
	assert_int_equal(kill(tried, 0), -1); /* and it was reaped */
}

/* On trial it passes, and then it writes down all that it was given. */
static const char writes_handover[] =
	"handed=/proc/self/fd/$UPPERD_HANDOVER\n"
	"grep -q ^trial $handed && name=tried || name=became\n"
	"cp $handed ${0%/*}/$name && [ $LISTEN_PID = $$ -a $LISTEN_FDS = 1 ] || exit 1\n"
	"[ $name = tried ] && exit 85 || exit 0\n";

static char *read_and_remove(const char *name)
{
	static char text[8192];
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "re");
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	unlink(path);
	return text;
}

static void test_program_that_passes_is_executed_in_the_same_process(void **state)
{
	char remnant[64];
	pid_t pid;
	int how;

	start();
	install(writes_handover);
	snprintf(remnant, sizeof(remnant), "remnant worker 1 %d ", (int)fakes[1].pid);
	pid = fork(); /* it becomes the program */
	if (pid == 0) {
		ask("upgrade");
		for (int i = 0; i < 1000; i++)
			turn();
		_exit(97);
	}
	assert_int_equal(waitpid(pid, &how, 0), pid);
	assert_int_equal(how, 0);
	assert_null(strstr(read_and_remove("tried"), "remnant")); /* it serves nothing */
	assert_says(read_and_remove("became"), remnant);
}

/* The side of the new program. Fake 0 is a child of the program before, and a client waits at the control socket. */

static int waiting_client;

static void hand_over(const char *format)
{
	int channel[2], words[2], pair[2], fd = memfd_create("handover", MFD_CLOEXEC);
	int control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat file;
	char number[16];
	pid_t pid;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", folder);
	assert_int_equal(bind(control, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(control, 1), 0);
	assert_int_equal(channel_pair(&channel[0], &channel[1]), 0);
	assert_int_equal(pipe2(words, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(launch(ROLE_WORKER, channel[1], words[1], &pid), 0);
	fakes[0].dialogue.state = CHILD_SERVING;
	waiting_client = pair[0];
	dprintf(fd, "format %s\nremnant worker 0 %d %d serving 60000 1\n", format, (int)pid,
		channel[0]);
	assert_int_equal(stat(address.sun_path, &file), 0);
	dprintf(fd, "control %d %ju %ju -1\nclient %d 0 upgrade\n", control, (uintmax_t)file.st_dev,
		(uintmax_t)file.st_ino, pair[1]);
	close(channel[1]);
	close(words[0]);
	close(words[1]);
	snprintf(number, sizeof(number), "%d", fd);
	setenv("UPPERD_HANDOVER", number, 1);
	assert_int_equal(takeover_find(&s), 0);
	assert_int_equal(supervisor_make(&s, NULL, supervisor_verbs), 0);
}

static void take_over(void)
{
	hand_over("1");
	assert_int_equal(takeover_take(&s), 0);
	supervisor_start(&s);
	assert_int_equal(generations_request(&s.generations, BUILD_UPGRADE), FIRST_BUILD);
}

static void test_old_children_drain_when_the_first_generation_serves(void **state)
{
	take_over();
	expect("reloading");
	all_get_ready(1);
	expect_nothing();
	assert_false(was_told(&fakes[0], MSG_DRAIN));
	all_answer(1, MSG_SERVE, MSG_SERVING);
	wait_until_told(&fakes[0], MSG_DRAIN);
	expect_nothing(); /* it may still accept connections */
	assert_false(has_answer(waiting_client));
	say(&fakes[0], MSG_RELEASED);
	expect("upgraded");
	expect_answer(waiting_client, EX_OK, "upgraded\n");
}

static void test_first_build_that_fails_is_tried_again(void **state)
{
	write_conf("nonsense = 1;");
	take_over();
	expect("config-fault reload-failed");
	expect_answer(waiting_client, EX_CONFIG, "nonsense");
	expect_answer(ask("status"), EX_OK, "the workers from before the upgrade serve");
	loop_set_timer(&s.loop, &s.clock, s.loop.now_ms);
	expect_nothing(); /* too soon */
	write_conf("");
	s.takeover.again_ms = s.loop.now_ms;
	loop_set_timer(&s.loop, &s.clock, s.loop.now_ms);
	expect("reloading");
	assert_false(was_told(&fakes[0], MSG_DRAIN));
	all_serve(1);
	wait_until_told(&fakes[0], MSG_DRAIN);
	leave(&fakes[0]);
	expect("upgraded");
}

static void test_stop_while_only_old_children_serve(void **state)
{
	take_over();
	expect("reloading");
	kill(getpid(), SIGTERM);
	expect("stopping");
	expect_answer(waiting_client, EX_TEMPFAIL, "upperd is stopping");
	wait_until_told(&fakes[0], MSG_DRAIN);
	leave(&fakes[0]);
	expect_exit(EX_OK);
	expect("stopped");
}

static void test_handover_in_another_format_is_refused(void **state)
{
	hand_over("2");
	assert_int_equal(takeover_take(&s), -EINVAL);
	kill(fakes[0].pid, SIGKILL);
	waitpid(fakes[0].pid, NULL, 0);
	close(waiting_client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exec_that_fails_while_a_self_test_ends),
		TEST(test_words_of_a_trial_that_fails_are_the_answer),
		TEST(test_trial_that_takes_too_long),
		TEST(test_trial_is_forgiven_that_the_machine_slept),
		TEST(test_clients_that_ask_together_get_the_one_answer),
		TEST(test_no_trial_during_a_reload),
		TEST(test_reload_during_a_trial_ends_the_upgrade),
		TEST(test_stop_during_a_trial),
		TEST(test_program_that_passes_is_executed_in_the_same_process),
		TEST(test_old_children_drain_when_the_first_generation_serves),
		TEST(test_first_build_that_fails_is_tried_again),
		TEST(test_stop_while_only_old_children_serve),
		TEST(test_handover_in_another_format_is_refused),
	};
	int failed;

	make_folder();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	remove_folder();
	return failed;
}
