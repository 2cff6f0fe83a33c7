/* SPDX-License-Identifier: Apache-2.0 */

/* Children of another program, faked at the channel: told to drain, waited for, limited, reaped. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/channel.h"
#include "upgrade/remnants.h"

static struct loop loop;
static struct remnants remnants;
static unsigned released, gone;
static bool stop_when_released;
static int verdicts[2]; /* a byte of each child that was told what it had to be */

static void on_released(struct remnants *all)
{
	released++;
	if (stop_when_released)
		loop_stop(&loop, 0);
}

static void on_gone(struct remnants *all)
{
	gone++;
	loop_stop(&loop, 0);
}

static const struct remnants_owner owner = {.on_released = on_released, .on_gone = on_gone};

static int set_up(void **state)
{
	released = gone = 0;
	stop_when_released = false;
	if (pipe2(verdicts, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	alarm(60); /* nothing here may wait for ever */
	loop = LOOP_INIT(loop);
	if (loop_init(&loop) < 0)
		return -1;
	remnants_init(&remnants, &loop, &owner);
	return 0;
}

static int tear_down(void **state)
{
	remnants_done(&remnants);
	loop_run_tasks(&loop);
	loop_done(&loop);
	close(verdicts[0]);
	close(verdicts[1]);
	return 0;
}

/* In the child. */
__attribute__((noreturn)) static void end_well(void)
{
	_exit(write(verdicts[1], "x", 1) == 1 ? 0 : 1);
}

static unsigned ended_well(void)
{
	char bytes[16];
	ssize_t n = read(verdicts[0], bytes, sizeof(bytes));

	return n < 0 ? 0 : (unsigned)n;
}

/* In the child, which ends with a status of its own when it is told anything else. */
static void expect_message(int fd, enum message_type type, struct message *message)
{
	struct dialogue dialogue = {FROM_SUPERVISOR, ROLE_WORKER, CHILD_SERVING, 0};

	if (channel_receive(fd, &dialogue, message, 0) != 0 || message->type != type)
		_exit(90);
}

static void expect_end_sessions(int fd, uint32_t listener)
{
	struct message message;

	expect_message(fd, MSG_END_SESSIONS, &message);
	if (((const struct msg_listener *)(const void *)message.data)->listener != listener)
		_exit(91);
}

static void expect_drain(int fd, uint64_t within_ms)
{
	struct message message;

	expect_message(fd, MSG_DRAIN, &message);
	if (((const struct msg_drain *)(const void *)message.data)->within_ms != within_ms)
		_exit(92);
}

static void expect_nothing(int fd)
{
	struct dialogue dialogue = {FROM_SUPERVISOR, ROLE_WORKER, CHILD_SERVING, 0};
	struct message message;

	if (channel_receive(fd, &dialogue, &message, MSG_DONTWAIT) != CHANNEL_E_WAIT)
		_exit(93);
}

static void say(int fd, enum message_type type)
{
	channel_send(fd, type, NULL, 0, NULL, 0);
}

static void drain_well(int fd)
{
	expect_end_sessions(fd, 3);
	expect_end_sessions(fd, 7);
	expect_drain(fd, 5000);
	say(fd, MSG_RELEASED);
	end_well();
}

static void drain_slowly(int fd)
{
	expect_drain(fd, 5000);
	say(fd, MSG_RELEASED);
	usleep(500000);
	end_well();
}

static void be_told_late(int fd)
{
	usleep(250000);
	expect_nothing(fd);
	expect_drain(fd, 5000);
	end_well();
}

static void lose_sessions_alone(int fd)
{
	expect_end_sessions(fd, 3);
	expect_end_sessions(fd, 7);
	usleep(50000);
	expect_nothing(fd);
	end_well();
}

static void hear_nothing(int fd)
{
	for (;;)
		pause();
}

static void die(int fd)
{
	raise(SIGKILL);
}

/* Everything that its program has no word for, and then what it should say. */
static void talk_nonsense(int fd)
{
	static const unsigned char noise[3000] = {0xff, 0xff, 0xff, 0x7f, 1, 2, 3};

	for (size_t len = 1; len < sizeof(noise); len += 500)
		send(fd, noise, len, 0);
	say(fd, MSG_READY);
	say(fd, MSG_SERVING);
	channel_send(fd, MSG_RECORD, noise, sizeof(noise), NULL, 0);
	drain_well(fd);
}

/* `dtls` is the end of the line. */
static pid_t take(const char *role, const char *state, unsigned within_ms, const char *dtls,
	void (*child)(int fd))
{
	int ours, theirs;
	char line[128];
	pid_t pid;

	assert_int_equal(channel_pair(&ours, &theirs), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ours);
		child(theirs);
		_exit(99);
	}
	close(theirs);
	snprintf(line, sizeof(line), "%s 0 %d %d %s %u 0%s", role, (int)pid, ours, state, within_ms,
		dtls);
	assert_int_equal(remnants_take(&remnants, line), 0);
	return pid;
}

static void test_told_released_and_reaped(void **state)
{
	pid_t pid = take("worker", "serving", 5000, " 3 7", drain_well);

	assert_true(remnants_are_serving(&remnants));
	assert_int_equal(remnants_patience_ms(&remnants), 5000);
	remnants_drain(&remnants);
	remnants_drain(&remnants);
	assert_false(remnants_are_serving(&remnants));
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(ended_well(), 1);
	assert_int_equal(released, 1);
	assert_int_equal(gone, 1);
	assert_int_equal(kill(pid, 0), -1); /* nothing is left, not even to be waited for */
}

static void test_one_that_drains_is_not_told_again(void **state)
{
	take("worker", "draining", 5000, " 3 7", lose_sessions_alone);
	remnants_drain(&remnants);
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(ended_well(), 1);
	assert_int_equal(released, 1);
}

static void test_keeper_is_told_last(void **state)
{
	pid_t keeper = take("keeper", "serving", 5000, "", be_told_late);
	pid_t worker = take("worker", "serving", 5000, "", drain_slowly);

	remnants_drain(&remnants);
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(ended_well(), 2);
	assert_int_equal(remnants.n, 0);
	assert_int_equal(kill(worker, 0), -1);
	assert_int_equal(kill(keeper, 0), -1);
	assert_int_equal(released, 1);
	assert_int_equal(gone, 1);
}

/* Its time, and the second that it has to go. */
static void test_time_is_limited(void **state)
{
	uint64_t begin_ms = loop.now_ms;

	take("worker", "serving", 200, " 3", hear_nothing);
	remnants_drain(&remnants);
	assert_int_equal(loop_run(&loop), 0);
	assert_true(loop.now_ms - begin_ms >= 1200 && loop.now_ms - begin_ms < 10000);
	assert_int_equal(gone, 1);
}

static void test_one_that_never_says_so_is_not_waited_for(void **state)
{
	take("worker", "serving", 60000, "", hear_nothing);
	stop_when_released = true;
	remnants_drain(&remnants);
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(released, 1);
	assert_int_equal(gone, 0);
	assert_int_equal(remnants.n, 1); /* and goes on, or is ended at the end of the test */
}

static void test_one_that_dies_is_no_end_of_the_others(void **state)
{
	take("worker", "serving", 5000, "", die);
	take("worker", "serving", 5000, " 3 7", drain_well);
	remnants_drain(&remnants);
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(ended_well(), 1);
	assert_int_equal(gone, 1);
}

static void test_nonsense_is_passed_over(void **state)
{
	take("worker", "serving", 5000, " 3 7", talk_nonsense);
	remnants_drain(&remnants);
	assert_int_equal(loop_run(&loop), 0);
	assert_int_equal(ended_well(), 1);
	assert_int_equal(released, 1);
}

static void test_none_is_gone_at_once(void **state)
{
	assert_false(remnants_are_serving(&remnants));
	remnants_drain(&remnants);
	loop_run_tasks(&loop);
	assert_int_equal(released, 1);
	assert_int_equal(gone, 1);
}

static void describe(void *userdata, const struct remnant_facts *facts)
{
	remnant_describe(facts, userdata);
}

/* As an upgrade during the drain of another needs it. */
static void test_what_is_taken_is_described_alike(void **state)
{
	pid_t pid = take("worker", "serving", 5000, " 3 7", hear_nothing);
	char expected[128], *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	remnants_each(&remnants, describe, out);
	assert_int_equal(fclose(out), 0);
	snprintf(expected, sizeof(expected), " worker 0 %d ", (int)pid);
	assert_memory_equal(text, expected, strlen(expected));
	assert_non_null(strstr(text, " serving 5000 0 3 7\n"));
	free(text);

	remnants_drain(&remnants);
	out = open_memstream(&text, &len);
	remnants_each(&remnants, describe, out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, " draining "));
	assert_null(strstr(text, " 3 7\n")); /* that was said */
	free(text);
}

static void test_lines_without_sense(void **state)
{
	static const char *const lines[] = {"", "janitor 0 1 -1 serving 1 1", "worker",
		"worker 0 0 -1 serving 1 1", "worker -1 1 -1 serving 1 1",
		"worker 0 99999999999 -1 serving 1 1", "worker 0 1 -1 serving x 1",
		"worker 0 1 -1 serving 1 1 x", "worker 0 1 -1 serving 1 1 4294967296"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char line[64];

		snprintf(line, sizeof(line), "%s", lines[i]);
		assert_int_equal(remnants_take(&remnants, line), -EINVAL);
	}
	assert_int_equal(remnants.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
		TEST(told_released_and_reaped),
		TEST(one_that_drains_is_not_told_again),
		TEST(keeper_is_told_last),
		TEST(time_is_limited),
		TEST(one_that_never_says_so_is_not_waited_for),
		TEST(one_that_dies_is_no_end_of_the_others),
		TEST(nonsense_is_passed_over),
		TEST(none_is_gone_at_once),
		TEST(what_is_taken_is_described_alike),
		TEST(lines_without_sense),
	};

	return cmocka_run_group_tests_name("remnants", tests, NULL, NULL);
}
