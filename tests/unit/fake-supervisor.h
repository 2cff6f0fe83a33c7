/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A whole supervisor in this process, with a folder of its own and children that are faked at the channel. Its log
 * becomes a list of words, one for each event that is not about a child: "reloading reloaded". To be included by
 * one file, since it takes the place of supervisor/records.c. */

#include "conf-text.h"

#include <sys/syscall.h>
#include <sys/un.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "fake-children.h"
#include "process/configuration.h"
#include "supervisor/supervisor.h"

static struct supervisor s;
static char folder[] = "/tmp/test-supervisor-XXXXXX";
static char program[64], conf_path[64];
static char called[] = "upperd";
static char *argv[] = {called, NULL};
static struct options options = {.action = ACTION_RUN, .file = conf_path, .argv = argv};
static char events[1024];

static inline void remember(void *userdata, const struct log_record *record)
{
	static const enum log_event not [] = {EVENT_CHILD_STARTED, EVENT_CHILD_ENDED,
		EVENT_CHILD_DIED, EVENT_CHILD_STUCK, EVENT_LISTENING, EVENT_SYSTEM_REFUSED,
		EVENT_SANDBOX_OFF};
	size_t len = strlen(events);

	for (size_t i = 0; i < N_ELEMENTS(not ); i++)
		if (record->event == not [i])
			return;
	snprintf(events + len, sizeof(events) - len, "%s%s", len > 0 ? " " : "",
		log_event_name(record->event));
}

void records_to_log(const struct conf *conf)
{
}

void records_describe(FILE *out)
{
}

void records_take(char *line)
{
}

void records_leave_stderr(void)
{
}

void records_recall(struct log_memory *ret_memory)
{
	*ret_memory = (struct log_memory){0};
}

/* Until the log says exactly this, and is forgotten. */
static inline void expect(const char *words)
{
	uint64_t deadline_ms = clock_ms() + 10000;

	while (strcmp(events, words) != 0 && clock_ms() < deadline_ms)
		turn();
	assert_string_equal(events, words);
	events[0] = '\0';
}

static inline void expect_nothing(void)
{
	for (int i = 0; i < 3; i++)
		turn();
	assert_string_equal(events, "");
}

/* Until the supervisor stops its loop. */
static inline void expect_exit(int exit_code)
{
	uint64_t deadline_ms = clock_ms() + 10000;

	while (!turn() && clock_ms() < deadline_ms)
		;
	assert_int_equal(s.loop.verdict, exit_code);
}

static inline void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline void write_conf(const char *more)
{
	char text[1024];

	snprintf(text, sizeof(text),
		"user = \"nobody\"; group = \"nogroup\"; workers = %d; sandbox = \"off\"; drain = "
		"\"60s\";\n"
		"control = { path = \"%s/control\"; };\n"
		"listeners = ({ name = \"a\"; transport = \"tcp\"; path = \"%s/socket\"; });\n%s\n",
		WORKERS, folder, folder, more);
	write_file(conf_path, text, 0600);
}

/* A client of the control socket: it asks, and waits for its answer. */
static inline int ask(const char *question)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", folder);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, question, strlen(question), 0), strlen(question));
	turn();
	return fd;
}

static inline bool has_answer(int fd)
{
	struct pollfd in = {.fd = fd, .events = POLLIN};

	return poll(&in, 1, 0) == 1;
}

/* The client gets this exit code, after a text that has `part` in it, and is gone. */
static inline void expect_answer(int fd, int exit_code, const char *part)
{
	char text[CONTROL_PACKET + 1], all[4 * CONTROL_PACKET] = "";
	uint64_t deadline_ms = clock_ms() + 10000;
	ssize_t n;

	while (!has_answer(fd) && clock_ms() < deadline_ms)
		turn();
	assert_true(has_answer(fd));
	while ((n = recv(fd, text, sizeof(text) - 1, 0)) > 0 && text[0] == CONTROL_TEXT) {
		text[n] = '\0';
		strncat(all, text + 1, sizeof(all) - strlen(all) - 1);
	}
	assert_true(n > 0 && text[0] == CONTROL_END);
	text[n] = '\0';
	assert_int_equal(atoi(text + 1), exit_code);
	assert_says(all, part);
	close(fd);
}

/* Up to the first build, whose children are fakes 0 and 1. */
static inline void begin(void)
{
	struct faults faults = FAULTS_EMPTY;
	struct conf *conf;
	int r = configuration_load(&options, &faults, &conf);

	faults_print(&faults, stderr);
	faults_done(&faults);
	assert_int_equal(r, 0);
	assert_int_equal(supervisor_make(&s, conf, supervisor_verbs), 0);
	supervisor_start(&s);
	generations_start(&s.generations, conf);
}

static inline void start(void)
{
	begin();
	all_serve(0);
	expect("ready");
}

static inline int set_up(void **state)
{
	events[0] = '\0';
	log_set_level(LOG_LEVEL_INFO);
	log_set_sink(remember, NULL);
	write_conf("");
	s = (struct supervisor){0};
	supervisor_init(&s, &options);
	fake_loop = &s.loop;
	return 0;
}

static inline int tear_down(void **state)
{
	supervisor_done(&s);
	forget_fakes();
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static inline void make_folder(void)
{
	assert_non_null(mkdtemp(folder));
	snprintf(program, sizeof(program), "%s/program", folder);
	snprintf(conf_path, sizeof(conf_path), "%s/upperd.conf", folder);
	alarm(100); /* nothing here may wait for ever */
}

static inline void remove_folder(void)
{
	char control[64];

	snprintf(control, sizeof(control), "%s/control", folder);
	unlink(control);
	unlink(program);
	unlink(conf_path);
	rmdir(folder);
}
