/* SPDX-License-Identifier: Apache-2.0 */

/* The state machine of builds, with children that are faked at the channel. Its owner writes down what it is
 * told, one word after the other: "begin 2 done 2". */

#include "conf-text.h"

#include <stdlib.h>
#include <sysexits.h>

#include "fake-children.h"
#include "supervisor/generations.h"

static struct loop loop;
static struct resources resources;
static struct generations all;
static char told[512];
static int load_fails_with;
static char folder[] = "/tmp/test-generations-XXXXXX";

static void tell(const char *word, uint64_t number)
{
	size_t len = strlen(told);

	snprintf(told + len, sizeof(told) - len, "%s%s %llu", len > 0 ? " " : "", word,
		(unsigned long long)number);
}

static int read_text(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	*ret_text = strdup(userdata);
	*ret_len = strlen(userdata);
	return *ret_text ? 0 : -ENOMEM;
}

static struct conf *conf_of(const char *text)
{
	struct conf_source source = {
		.file = "test.conf", .read = read_text, .userdata = (void *)(uintptr_t)text};
	struct faults faults = FAULTS_EMPTY;
	struct conf *conf;

	if (conf_load(&source, &faults, &conf) != 0) {
		faults_print(&faults, stderr);
		fail();
	}
	faults_done(&faults);
	return conf;
}

static struct conf *usual_conf(void)
{
	char text[512];

	snprintf(text, sizeof(text),
		"workers = %d; sandbox = \"off\"; drain = \"60s\";\n"
		"listeners = ({ name = \"a\"; transport = \"tcp\"; path = \"%s/socket\"; });\n",
		WORKERS, folder);
	return conf_of(text);
}

static void on_begin(struct generations *g)
{
	tell("begin", g->build.number);
}

static int on_load(struct generations *g, struct conf **ret_conf)
{
	if (load_fails_with != 0)
		return load_fails_with;
	*ret_conf = usual_conf();
	return 0;
}

static void on_served(struct generations *g)
{
	tell("served", g->build.number);
}

static void on_done(struct generations *g)
{
	tell("done", g->build.number);
}

static void on_failed(struct generations *g, int exit_code, const char *why)
{
	tell("failed", g->build.number);
	tell("with", (uint64_t)exit_code);
}

static void on_died(struct generations *g, const struct child *child, const struct child_end *end)
{
}

static void on_drained(struct generations *g, const struct generation *gone)
{
	tell("drained", 0);
}

static void on_stopped(struct generations *g)
{
	tell("stopped", 0);
}

static const struct generations_owner owner = {
	.on_begin = on_begin,
	.on_load = on_load,
	.on_served = on_served,
	.on_done = on_done,
	.on_failed = on_failed,
	.on_died = on_died,
	.on_drained = on_drained,
	.on_stopped = on_stopped,
};

/* Until the owner was told exactly this, and forgets it. */
static void expect(const char *words)
{
	uint64_t deadline_ms = clock_ms() + 10000;

	while (strcmp(told, words) != 0 && clock_ms() < deadline_ms)
		turn();
	assert_string_equal(told, words);
	told[0] = '\0';
}

static void expect_nothing(void)
{
	for (int i = 0; i < 3; i++)
		turn();
	assert_string_equal(told, "");
}

/* The first generation serves, with fakes 0 and 1. */
static void start(void)
{
	generations_start(&all, usual_conf());
	expect("begin 1");
	all_serve(0);
	expect("served 1 done 1");
}

static int set_up(void **state)
{
	told[0] = '\0';
	load_fails_with = 0;
	log_set_level(LOG_LEVEL_ERROR);
	loop = LOOP_INIT(loop);
	if (loop_init(&loop) < 0)
		return -1;
	fake_loop = &loop;
	resources_init(&resources);
	if (resources_make(&resources) < 0)
		return -1;
	generations_init(&all, &owner, &loop, &resources);
	return 0;
}

static int tear_down(void **state)
{
	generations_done(&all);
	loop_run_tasks(&loop);
	resources_done(&resources);
	loop_done(&loop);
	forget_fakes();
	return 0;
}

static void test_a_start_is_done_when_all_serve(void **state)
{
	generations_start(&all, usual_conf());
	expect("begin 1");
	assert_int_equal(n_fakes, WORKERS);
	all_get_ready(0);
	expect_nothing(); /* not when they are ready */
	assert_true(was_told(&fakes[0], MSG_SERVE) && was_told(&fakes[1], MSG_SERVE));
	say(&fakes[0], MSG_SERVING);
	expect_nothing(); /* not when one of them serves */
	say(&fakes[1], MSG_SERVING);
	expect("served 1 done 1");
}

static void test_a_reload_is_done_when_the_old_ones_are_released(void **state)
{
	start();
	assert_int_equal(generations_request(&all, BUILD_RELOAD), 2);
	assert_string_equal(told, ""); /* nothing happens inside of the request */
	expect("begin 2");
	assert_false(was_told(&fakes[0], MSG_DRAIN));
	all_serve(2);
	expect("served 2");
	all_release(0);
	expect("done 2");
	all_leave(0);
	expect("drained 0");
}

static void test_reloads_during_a_reload_are_one_that_follows(void **state)
{
	start();
	assert_int_equal(generations_request(&all, BUILD_RELOAD), 2);
	assert_int_equal(generations_request(&all, BUILD_RELOAD), 2); /* it has not begun */
	expect("begin 2");
	assert_int_equal(generations_request(&all, BUILD_RELOAD), 3);
	all_serve(2);
	expect("served 2");
	assert_int_equal(generations_request(&all, BUILD_RELOAD), 3);
	expect_nothing();
	all_release(0);
	expect("done 2 begin 3");
	all_serve(4);
	expect("served 3");
	all_release(2);
	expect("done 3");
	assert_false(generations_is_building(&all));
}

static void test_a_child_that_crashes_fails_the_build_alone(void **state)
{
	struct generation *before;

	start();
	before = all.serving;
	generations_request(&all, BUILD_RELOAD);
	expect("begin 2");
	say(&fakes[2], MSG_READY);
	crash(&fakes[3]);
	expect("failed 2 with 70");
	assert_ptr_equal(all.serving, before);
	assert_false(was_told(&fakes[0], MSG_DRAIN));
	assert_int_equal(generations_request(&all, BUILD_RELOAD), 3);
	expect("begin 3");
}

static void test_a_crash_before_the_last_one_serves_fails_the_build(void **state)
{
	start();
	generations_request(&all, BUILD_RELOAD);
	expect("begin 2");
	all_get_ready(2);
	all_wait(2, MSG_SERVE);
	say(&fakes[2], MSG_SERVING);
	crash(&fakes[3]);
	expect("failed 2 with 70");
	assert_false(was_told(&fakes[0], MSG_DRAIN));
}

static void test_a_configuration_with_faults_is_a_failed_build(void **state)
{
	start();
	load_fails_with = EX_CONFIG;
	generations_request(&all, BUILD_RELOAD);
	expect("begin 2 failed 2 with 78");
	assert_int_equal(n_fakes, WORKERS);
	load_fails_with = 0;
	generations_request(&all, BUILD_RELOAD);
	expect("begin 3");
}

static void test_a_first_build_that_fails(void **state)
{
	generations_start(&all, usual_conf());
	expect("begin 1");
	crash(&fakes[0]);
	expect("failed 1 with 70");
	assert_null(all.serving);
}

static void test_a_renewal_waits_for_a_reload_and_is_covered_by_it(void **state)
{
	start();
	generations_request(&all, BUILD_RELOAD);
	expect("begin 2");
	generations_request(&all, BUILD_RENEWAL);
	all_serve(2);
	expect("served 2");
	all_release(0);
	expect("done 2"); /* what serves was opened after the file was replaced */
	expect_nothing();
}

static void test_a_renewal_follows_a_reload_that_failed(void **state)
{
	start();
	generations_request(&all, BUILD_RELOAD);
	expect("begin 2");
	assert_int_equal(generations_request(&all, BUILD_RENEWAL), 3);
	crash(&fakes[2]);
	expect("failed 2 with 70 begin 3");
	assert_int_equal(all.build.cause, BUILD_RENEWAL);
}

static void test_a_renewal_that_fails_is_no_outcome_of_the_reload_before(void **state)
{
	start();
	generations_request(&all, BUILD_RELOAD);
	expect("begin 2");
	all_serve(2);
	expect("served 2");
	assert_int_equal(generations_request(&all, BUILD_RENEWAL), 3);
	expect_nothing(); /* not while the old ones may still accept */
	all_release(0);
	expect("done 2 begin 3");
	crash(&fakes[4]);
	expect("failed 3 with 70");
}

static void test_a_reload_covers_a_renewal_that_waits(void **state)
{
	start();
	generations_request(&all, BUILD_RELOAD);
	expect("begin 2");
	assert_int_equal(generations_request(&all, BUILD_RELOAD), 3);
	assert_int_equal(generations_request(&all, BUILD_RENEWAL), 3);
	crash(&fakes[2]);
	expect("failed 2 with 70 begin 3");
	assert_int_equal(all.build.cause, BUILD_RELOAD);
}

static void test_a_worker_that_dies_while_it_serves_is_replaced(void **state)
{
	start();
	crash(&fakes[1]);
	while (n_fakes < WORKERS + 1)
		turn();
	say(&fakes[2], MSG_READY);
	wait_until_told(&fakes[2], MSG_SERVE);
	say(&fakes[2], MSG_SERVING);
	turn();
	assert_int_equal(generation_workers_up(all.serving), WORKERS);
	expect_nothing();
}

static void test_a_message_that_may_not_come_now_ends_the_child(void **state)
{
	start();
	say(&fakes[0], MSG_SERVING); /* for the second time */
	while (n_fakes < WORKERS + 1)
		turn();
	assert_int_equal(fakes[2].role, ROLE_WORKER);
}

/* Each step brings a build a little further; after any of them, a stop ends all in order. */
static void step_to(unsigned step)
{
	if (step >= 1)
		generations_start(&all, usual_conf());
	if (step >= 2)
		all_get_ready(0);
	if (step >= 3)
		all_answer(0, MSG_SERVE, MSG_SERVING);
	if (step >= 3)
		expect("begin 1 served 1 done 1");
	if (step >= 4)
		generations_request(&all, BUILD_RELOAD); /* not begun */
	if (step >= 5)
		expect("begin 2");
	if (step >= 6)
		all_get_ready(2);
	if (step >= 7)
		all_wait(2, MSG_SERVE);
	if (step >= 8) {
		all_say(2, MSG_SERVING);
		expect("served 2");
	}
	if (step >= 9)
		generations_request(&all, BUILD_RELOAD);
	if (step >= 10) {
		all_release(0);
		expect("done 2 begin 3");
	}
}

#define STEPS 10

static void test_stop_at_every_state(void **state)
{
	for (unsigned step = 0; step <= STEPS; step++) {
		if (step > 0)
			set_up(NULL);
		step_to(step);
		told[0] = '\0';
		generations_stop(&all);
		assert_int_equal(generations_request(&all, BUILD_RELOAD), 0);
		turn(); /* those that drain are told */
		for (unsigned i = 0; i < n_fakes; i++)
			if (was_told(&fakes[i], MSG_DRAIN))
				leave(&fakes[i]);
		expect(step < 3            ? "stopped 0"
				: step < 8 ? "drained 0 stopped 0"
					   : "drained 0 drained 0 stopped 0");
		assert_false(generations_is_building(&all));
		assert_null(all.serving);
		if (step < STEPS)
			tear_down(NULL);
	}
}

static void test_a_trial_ends_when_all_are_ready(void **state)
{
	all.is_trial = true;
	generations_start(&all, usual_conf());
	expect("begin 1");
	all_get_ready(0);
	expect("done 1");
	assert_false(was_told(&fakes[0], MSG_SERVE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_start_is_done_when_all_serve),
		TEST(test_a_reload_is_done_when_the_old_ones_are_released),
		TEST(test_reloads_during_a_reload_are_one_that_follows),
		TEST(test_a_child_that_crashes_fails_the_build_alone),
		TEST(test_a_crash_before_the_last_one_serves_fails_the_build),
		TEST(test_a_configuration_with_faults_is_a_failed_build),
		TEST(test_a_first_build_that_fails),
		TEST(test_a_renewal_waits_for_a_reload_and_is_covered_by_it),
		TEST(test_a_renewal_follows_a_reload_that_failed),
		TEST(test_a_renewal_that_fails_is_no_outcome_of_the_reload_before),
		TEST(test_a_reload_covers_a_renewal_that_waits),
		TEST(test_a_worker_that_dies_while_it_serves_is_replaced),
		TEST(test_a_message_that_may_not_come_now_ends_the_child),
		TEST(test_stop_at_every_state),
		TEST(test_a_trial_ends_when_all_are_ready),
	};
	int failed;

	assert_non_null(mkdtemp(folder));
	alarm(100); /* nothing here may wait for ever */
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
