/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a daemon from start to stop: what the log and clients of the control socket are told of each build. */

#include "fake-supervisor.h"

#define FIRST  0 /* of the fakes: workers of the first generation, of the next, and so on */
#define SECOND WORKERS
#define THIRD  (2 * WORKERS)

static const char nonsense[] = "nonsense = 1;";

static void test_a_start_is_reported_when_all_serve(void **state)
{
	begin();
	all_get_ready(FIRST);
	expect_nothing();
	all_answer(FIRST, MSG_SERVE, MSG_SERVING);
	expect("ready");
	assert_int_equal(s.stats.lasting.generation, 1);
	assert_int_equal(s.stats.lasting.cause, BUILD_START);
}

static void test_a_start_that_fails_is_the_end(void **state)
{
	begin();
	crash(&fakes[0]);
	expect_exit(EX_SOFTWARE);
	expect("start-failed");
}

static void test_a_signal_asks_for_a_reload(void **state)
{
	start();
	kill(getpid(), SIGHUP);
	expect("reloading");
	all_serve(SECOND);
	all_release(FIRST);
	expect("reloaded");
	assert_int_equal(s.stats.lasting.reloads, 1);
	assert_int_equal(s.stats.lasting.cause, BUILD_RELOAD);
}

/* The second client wrote its configuration after the first build had read it, and hears of another build. */
static void test_each_client_hears_of_the_build_that_read_its_configuration(void **state)
{
	int first, second;

	start();
	first = ask("reload");
	expect("reloading");
	write_conf(nonsense);
	second = ask("reload");
	all_serve(SECOND);
	expect_nothing();
	assert_false(has_answer(first)); /* old workers may still accept connections */
	all_release(FIRST);
	expect_answer(first, EX_OK, "reloaded\n");
	expect("reloaded reloading config-fault reload-failed");
	expect_answer(second, EX_CONFIG, "nonsense");
	assert_int_equal(s.stats.lasting.reloads, 1);
	assert_int_equal(s.stats.lasting.failed_reloads, 1);
}

static void test_reloads_that_are_asked_for_together_are_one(void **state)
{
	int first, second;

	start();
	first = ask("reload");
	expect("reloading");
	second = ask("reload");
	close(ask("reload")); /* a client that does not wait changes nothing */
	all_serve(SECOND);
	all_release(FIRST);
	expect_answer(first, EX_OK, "reloaded");
	expect("reloaded reloading");
	assert_false(has_answer(second));
	all_serve(THIRD);
	all_release(SECOND);
	expect_answer(second, EX_OK, "reloaded");
	expect("reloaded");
}

static void test_a_crash_while_building_leaves_what_serves(void **state)
{
	const struct generation *before;
	int client;

	start();
	before = s.generations.serving;
	client = ask("--json reload");
	expect("reloading");
	crash(&fakes[SECOND]);
	expect("config-fault reload-failed");
	expect_answer(client, EX_SOFTWARE, "a worker died before it was ready");
	assert_ptr_equal(s.generations.serving, before);
	assert_false(was_told(&fakes[FIRST], MSG_DRAIN));
	assert_int_not_equal(s.stats.reload_trouble, RELOAD_WELL);
}

static void test_faults_of_a_configuration_are_the_answer(void **state)
{
	int client;

	start();
	write_conf(nonsense);
	client = ask("reload");
	expect("reloading config-fault reload-failed");
	expect_answer(client, EX_CONFIG, "upperd.conf:4:1: error: nonsense");
	assert_int_equal(n_fakes, WORKERS); /* nothing was started */
}

/* A file is replaced, and then the operator asks for a reload before the renewal has begun. */
static void test_a_reload_covers_a_renewal(void **state)
{
	int client;

	start();
	s.watch.on_change(&s.watch);
	client = ask("reload");
	expect("files-replaced"); /* the client came a round later */
	all_serve(SECOND);
	all_release(FIRST);
	expect("certificate-renewed reloaded reloading");
	assert_false(has_answer(client)); /* that was not its build */
	all_serve(THIRD);
	all_release(SECOND);
	expect_answer(client, EX_OK, "reloaded");
}

static void test_a_renewal_that_fails_is_not_the_outcome_of_a_reload(void **state)
{
	int client;

	start();
	client = ask("reload");
	expect("reloading");
	all_serve(SECOND);
	turn();
	s.watch.on_change(&s.watch);
	all_release(FIRST);
	expect_answer(client, EX_OK, "reloaded");
	expect("reloaded files-replaced");
	crash(&fakes[THIRD]);
	expect("config-fault reload-failed");
}

/* Built from what serves, and not from the file, which an operator may be editing. */
static void test_a_renewal_does_not_read_the_file(void **state)
{
	start();
	write_conf(nonsense);
	s.watch.on_change(&s.watch);
	expect("files-replaced");
	all_serve(SECOND);
	all_release(FIRST);
	expect("certificate-renewed reloaded");
	assert_int_equal(s.stats.lasting.cause, BUILD_RENEWAL);
}

/* Each step brings the daemon a little further; `client` waits for the reload. */
static void step_to(unsigned step, int *client)
{
	if (step >= 1)
		start();
	if (step >= 2)
		*client = ask("reload");
	if (step >= 3)
		expect("reloading");
	if (step >= 4)
		all_get_ready(SECOND);
	if (step >= 5)
		all_wait(SECOND, MSG_SERVE);
	if (step >= 6) {
		all_say(SECOND, MSG_SERVING);
		wait_until_told(&fakes[FIRST], MSG_DRAIN);
	}
}

#define STEPS 6

static void test_stop_at_every_state(void **state)
{
	for (unsigned step = 0; step <= STEPS; step++) {
		int client = -1, drain;

		if (step > 0)
			set_up(NULL);
		if (step == 0)
			begin();
		step_to(step, &client);
		drain = ask("drain");
		if (client >= 0)
			expect_answer(client, EX_TEMPFAIL, "upperd is stopping");
		expect_answer(ask("status"), EX_TEMPFAIL, "stopping");
		expect_answer(ask("reload"), EX_TEMPFAIL, "stopping");
		for (unsigned i = 0; i < n_fakes; i++)
			if (was_told(&fakes[i], MSG_DRAIN))
				leave(&fakes[i]);
		expect_answer(drain, EX_OK, "stopped");
		assert_non_null(strstr(events, "stopping stopped"));
		if (step < STEPS)
			tear_down(NULL);
	}
}

static void test_a_second_stop_waits_for_nothing(void **state)
{
	start();
	kill(getpid(), SIGTERM);
	expect("stopping");
	wait_until_told(&fakes[FIRST], MSG_DRAIN);
	expect_nothing();
	kill(getpid(), SIGTERM);
	expect_exit(EX_OK);
	expect("stopped");
}

static void test_a_verb_that_is_not_known(void **state)
{
	start();
	expect_answer(ask("frobnicate"), EX_USAGE, "upperd does not know \"frobnicate\"");
}

static void test_answers_as_json(void **state)
{
	int client;

	start();
	expect_answer(ask("--json log debug"), EX_OK, "{\"level\":\"debug\"}\n");
	expect_answer(ask("--json clients"), EX_OK, "{\"total\":0,\"clients\":[]}\n");
	expect_answer(ask("--json clients clear"), EX_OK, "{\"forgiven\":0}\n");
	client = ask("--json reload");
	all_serve(SECOND);
	all_release(FIRST);
	expect_answer(client, EX_OK, "[]\n");
	write_conf(nonsense);
	expect_answer(ask("--json reload"), EX_CONFIG, "\"key\":\"nonsense\"");
	client = ask("--json drain");
	expect_answer(ask("--json status"), EX_TEMPFAIL,
		"upperd is stopping; the last reload failed, and the configuration before it "
		"serves: nonsense: unknown key");
	leave(&fakes[FIRST]);
	leave(&fakes[FIRST + 1]);
	all_wait(SECOND, MSG_DRAIN);
	all_leave(SECOND);
	expect_answer(client, EX_OK, "{\"stopped\":true}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_start_is_reported_when_all_serve),
		TEST(test_a_start_that_fails_is_the_end),
		TEST(test_a_signal_asks_for_a_reload),
		TEST(test_each_client_hears_of_the_build_that_read_its_configuration),
		TEST(test_reloads_that_are_asked_for_together_are_one),
		TEST(test_a_crash_while_building_leaves_what_serves),
		TEST(test_faults_of_a_configuration_are_the_answer),
		TEST(test_a_reload_covers_a_renewal),
		TEST(test_a_renewal_that_fails_is_not_the_outcome_of_a_reload),
		TEST(test_a_renewal_does_not_read_the_file),
		TEST(test_stop_at_every_state),
		TEST(test_a_second_stop_waits_for_nothing),
		TEST(test_a_verb_that_is_not_known),
		TEST(test_answers_as_json),
	};
	int failed;

	make_folder();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	remove_folder();
	return failed;
}
