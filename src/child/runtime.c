/* SPDX-License-Identifier: Apache-2.0 */

/* The part of a child that is the same for all roles: it reads the channel, sets up the
 * configuration and the log, enters the sandbox, and shows by a heartbeat in its page of
 * counters that its loop turns.
 *
 * A child trusts its channel and nothing else. Still, each message is held against the table of
 * process/channel.h before a handler sees it, so that a handler need not ask whether its message
 * may come now; it checks the values. A handler that fails ends the child, with the reason sent
 * to the supervisor first: a child that is half set up must not serve.
 *
 * Without the supervisor there is no point in serving: whatever restarts it wants the sockets.
 * So the end of the channel is the end of the child. A channel that is full loses records of the
 * log, which are counted, but never makes the child wait. */

#include "child/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/why.h"
#include "conf/fault.h"
#include "process/role_sandbox.h"

#define HEARTBEAT_MS 500
#define LONGEST_FILE (64 << 20)

int runtime_fail(int exit_code, const char *what, int error)
{
	struct msg_failed failed = {.exit_code = exit_code};

	snprintf(failed.text, sizeof(failed.text), "%.500s%s%s", what, error ? ": " : "",
		error ? strerror(error < 0 ? -error : error) : "");
	channel_send(CHANNEL_FD, MSG_FAILED, &failed, sizeof(failed), NULL, 0);
	return exit_code;
}

static void report(const struct file_place *place, enum fault_level level, const char *text)
{
	struct msg_fault fault = {.place = *place, .level = level};

	snprintf(fault.text, sizeof(fault.text), "%s", text);
	channel_send(CHANNEL_FD, MSG_FAULT, &fault, sizeof(fault), NULL, 0);
}

void runtime_report_fault(const struct file_place *place, const char *why)
{
	report(place, FAULT_ERROR, why);
}

void runtime_report_warning(const struct file_place *place, const char *text)
{
	report(place, FAULT_WARNING, text);
}

static uint64_t *records_lost;

static void record_in_channel(void *userdata, const struct log_record *record)
{
	if (channel_send_record(CHANNEL_FD, record) != 0)
		(*records_lost)++;
}

/* A channel that is full drops the record and counts it, since a child never waits for its log. */
static void records_to_channel(enum log_level level, uint64_t *lost)
{
	records_lost = lost;
	log_set_level(level);
	log_set_sink(record_in_channel, NULL);
}

static int read_configuration(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	return fd_read_all(*(int *)userdata, LONGEST_FILE, ret_text, ret_len);
}

int runtime_set_log_level(struct runtime *runtime, struct message *message)
{
	const struct msg_log_level *asked = (const void *)message->data;

	if (asked->level > LOG_LEVEL_DEBUG)
		return -EINVAL;
	log_set_level(asked->level);
	return 0;
}

int runtime_setup(struct runtime *runtime, struct message *message)
{
	struct conf_source source = {
		.file = "configuration",
		.read = read_configuration,
		.userdata = &message->fds[0],
	};
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	void *page;

	if (runtime->conf || conf_load(&source, &faults, &runtime->conf) != 0)
		return -EINVAL;
	page = mmap(NULL, counters_size(runtime->conf->n_listeners), PROT_READ | PROT_WRITE,
		MAP_SHARED, message->fds[1], 0);
	if (page == MAP_FAILED)
		return -errno;
	runtime->counters = page;
	memcpy(&runtime->setup, message->data, sizeof(runtime->setup));
	runtime->counters->open = 0;
	records_to_channel(runtime->conf->log.level, &runtime->counters->common.records_lost);
	return 0;
}

/* The sandbox is entered before READY is sent: a generation serves only when all of its
 * children are confined. */
int runtime_ready(struct runtime *runtime)
{
	struct why why;
	int r;

	r = enter_sandbox(role_word(runtime->dialogue.role), runtime->conf, &why);
	if (r != 0)
		return runtime_fail(r, why.text, 0);
	runtime->counters->layers = sandbox_layers();
	runtime->dialogue.state = CHILD_READY;
	return channel_send(CHANNEL_FD, MSG_READY, NULL, 0, NULL, 0) == 0 ? 0 : EX_OSERR;
}

int runtime_serving(struct runtime *runtime)
{
	runtime->dialogue.state = CHILD_SERVING;
	return channel_send(CHANNEL_FD, MSG_SERVING, NULL, 0, NULL, 0) == 0 ? 0 : EX_OSERR;
}

/* Returns 0, or the exit code with which all is over. */
static int runtime_on_message(struct runtime *runtime, struct message *message)
{
	const struct runtime_handler *row = &runtime->handlers[message->type];
	int r = row->handle ? row->handle(runtime, message) : EX_SOFTWARE;

	return r < 0 ? runtime_fail(r == -EINVAL ? EX_SOFTWARE : EX_OSERR, row->failed, r) : r;
}

static void runtime_on_channel(struct source *source, uint32_t events)
{
	struct runtime *runtime = container_of(source, struct runtime, channel);
	struct message message;
	int r;

	while (!runtime->loop.stopped) {
		r = channel_receive(CHANNEL_FD, &runtime->dialogue, &message, MSG_DONTWAIT);
		if (r == CHANNEL_E_WAIT)
			return;
		if (r != 0) {
			loop_stop(&runtime->loop, r == CHANNEL_E_CLOSED ? EX_OK : EX_SOFTWARE);
			return;
		}
		r = runtime_on_message(runtime, &message);
		message_done(&message);
		if (r != 0)
			loop_stop(&runtime->loop, r);
	}
}

static uint64_t processor_us(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The supervisor reads the counter; a child whose loop does not turn for ten seconds is
 * killed. */
static void runtime_on_heartbeat(struct timer *timer, uint64_t now_ms)
{
	struct runtime *runtime = container_of(timer, struct runtime, heartbeat);

	if (runtime->counters) {
		runtime->counters->heartbeat++;
		runtime->counters->cpu_us = processor_us();
	}
	if (runtime->on_heartbeat)
		runtime->on_heartbeat(runtime);
	log_flush(now_ms);
	loop_set_timer(&runtime->loop, timer, now_ms + HEARTBEAT_MS);
}

int runtime_run(struct runtime *runtime)
{
	int r;

	runtime->channel.on_event = runtime_on_channel;
	runtime->heartbeat.on_time = runtime_on_heartbeat;
	r = loop_init(&runtime->loop);
	if (r >= 0)
		r = loop_watch(&runtime->loop, &runtime->channel, CHANNEL_FD, EPOLLIN);
	if (r >= 0) {
		loop_set_timer(
			&runtime->loop, &runtime->heartbeat, runtime->loop.now_ms + HEARTBEAT_MS);
		r = loop_run(&runtime->loop);
	}
	return r < 0 ? EX_OSERR : r;
}

void runtime_done(struct runtime *runtime)
{
	conf_free(runtime->conf);
	loop_done(&runtime->loop);
}
