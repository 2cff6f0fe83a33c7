/* SPDX-License-Identifier: Apache-2.0 */

/* Requests on their way to a keeper that this test plays: whose reply is whose, in whatever order handshakes are
 * left, wait and end. A handshake that is left is a call that goes on with the next step of the test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/signer.h"

static struct loop loop;
static struct signer signer;
static int keeper;
static unsigned resumed;
static void (*next_step)(void);

static void on_resume(struct task *task)
{
	resumed++;
}

static struct task resume = {.run = on_resume};

static void on_leave(struct parked *parked)
{
	next_step();
}

static int setup(void **state)
{
	const struct timeval patience = {.tv_usec = 50000};
	int pair[2];

	loop = LOOP_INIT(loop);
	signer_init(&signer);
	resumed = 0;
	if (loop_init(&loop) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return -1;
	setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	keeper = pair[0];
	return signer_set_channel(&signer, &pair[1]) < 0 || signer_serve(&signer, &loop) < 0 ? -1
											     : 0;
}

static int teardown(void **state)
{
	signer_done(&signer);
	loop_done(&loop);
	close(keeper);
	return 0;
}

/* The text of a signature is its number. */
static void keeper_replies(uint32_t number)
{
	struct key_reply reply = {.head = {.number = number, .len = sizeof(number)}};

	memcpy(reply.data, &number, sizeof(number));
	assert_int_equal(send(keeper, &reply, sizeof(reply.head) + reply.head.len, 0),
		sizeof(reply.head) + reply.head.len);
}

static void on_stop(struct timer *timer, uint64_t now_ms)
{
	loop_stop(&loop, 0);
}

static void turn(uint64_t within_ms)
{
	struct timer stop = {.on_time = on_stop};

	loop.stopped = false;
	loop_set_timer(&loop, &stop, loop.now_ms + within_ms);
	loop_run(&loop);
	loop_clear_timer(&stop);
}

static int request(struct parked *parked, struct key_reply *ret_reply)
{
	struct key_request request = {.head.what = REQUEST_SIGN};
	int r;

	signer.current = parked;
	r = signer_request(&signer, &request, ret_reply);
	signer.current = NULL;
	return r;
}

#define PARKED ((struct parked){.resume = &resume, .leave = on_leave})

static uint32_t signature_of(const struct key_reply *reply)
{
	uint32_t number;

	memcpy(&number, reply->data, sizeof(number));
	return number;
}

static void step_reply_and_turn(void)
{
	keeper_replies(1);
	turn(20);
}

static void test_a_reply_resumes(void **state)
{
	struct parked one = PARKED;
	struct key_reply reply;

	next_step = step_reply_and_turn;
	assert_int_equal(request(&one, &reply), 0);
	assert_int_equal(signature_of(&reply), 1);
	assert_int_equal(resumed, 1);
	assert_false(one.waits);
}

static struct parked second;

/* The one that cannot be left takes the reply to the other, which comes before its own. */
static void step_another_blocks(void)
{
	struct key_reply reply;

	keeper_replies(1);
	keeper_replies(2);
	assert_int_equal(request(NULL, &reply), 0);
	assert_int_equal(signature_of(&reply), 2);
}

static void test_one_that_blocks_gives_the_others_theirs(void **state)
{
	struct parked one = PARKED;
	struct key_reply reply;

	next_step = step_another_blocks;
	assert_int_equal(request(&one, &reply), 0);
	assert_int_equal(signature_of(&reply), 1);
}

/* Another has given up, and a third finds the late reply to the first. */
static void step_late_reply(void)
{
	struct key_reply reply;

	assert_int_equal(request(NULL, &reply), -ETIMEDOUT);
	assert_int_equal(request(NULL, &reply), -ETIMEDOUT);
	keeper_replies(1);
	keeper_replies(2);
	keeper_replies(3);
	assert_int_equal(request(NULL, &reply), 0);
	assert_int_equal(signature_of(&reply), 3);
}

static void test_a_late_reply_is_for_the_one_that_waits(void **state)
{
	struct parked one = PARKED;
	struct key_reply reply;

	next_step = step_late_reply;
	assert_int_equal(request(&one, &reply), 0);
	assert_int_equal(signature_of(&reply), 1);
}

static void step_forget_and_ask_again(void)
{
	struct key_reply reply;

	next_step = step_reply_and_turn;
	signer_forget(&second);
	assert_int_equal(second.outcome, -ECANCELED);
	keeper_replies(1);
	keeper_replies(2);
	assert_int_equal(request(NULL, &reply), 0);
	assert_int_equal(signature_of(&reply), 2);
}

static void test_a_reply_to_one_that_has_ended_is_for_none(void **state)
{
	struct key_reply reply = {.head.len = 77};

	second = PARKED;
	next_step = step_forget_and_ask_again;
	assert_int_equal(request(&second, &reply), -ECANCELED);
	assert_int_equal(reply.head.len, 77);
	assert_int_equal(resumed, 0);
}

static void step_hang_up(void)
{
	shutdown(keeper, SHUT_RDWR);
	turn(20);
}

static void test_the_end_of_the_keeper_fails_all(void **state)
{
	struct parked one = PARKED;
	struct key_reply reply;

	next_step = step_hang_up;
	assert_int_equal(request(&one, &reply), -EPIPE);
	assert_int_equal(request(&one, &reply), -ENOTCONN);
	assert_int_equal(signer.failed, 2);
}

/* Its peer hangs up, which must not hide that the keeper does not reply. */
static void step_forget_and_wait(void)
{
	signer_forget(&second);
	turn(1200);
}

static void test_a_keeper_that_hangs_is_known_by_one_that_has_ended(void **state)
{
	struct key_reply reply;

	second = PARKED;
	next_step = step_forget_and_wait;
	assert_int_equal(request(&second, &reply), -ECANCELED);
	assert_true(signer.silent);
	assert_int_equal(request(&second, &reply), -ETIMEDOUT);
	keeper_replies(1);
	turn(20);
	assert_false(signer.silent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_reply_resumes, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_one_that_blocks_gives_the_others_theirs, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_late_reply_is_for_the_one_that_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_reply_to_one_that_has_ended_is_for_none, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_the_end_of_the_keeper_fails_all, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_keeper_that_hangs_is_known_by_one_that_has_ended, setup, teardown),
	};

	return cmocka_run_group_tests_name("signer", tests, NULL, NULL);
}
