/* SPDX-License-Identifier: Apache-2.0 */

/* A child as the supervisor sees it: a process, its channel, the pipe of its stderr, and a page of
 * counters that it alone writes.
 *
 * * Its state (process/channel.h) moves forward only: STARTING until it says READY, OPENING until it
 * says SERVING, DRAINING once it is told to, RELEASED when it takes nothing new any more, ENDED when it
 * has been reaped; then child_start() may begin again with the same page. The owner hears of each step
 * by a callback, in which it may send messages and kill, but must not free the child: sources of the
 * child may have events in this very round of the loop.
 *
 * * A child may be taken over by a peer. So every packet is held against the table of messages, and one
 * that is not permitted kills it; its log is bounded, records and stderr alike; the pages that it
 * writes are numbers, which are believed only as far as they can do no harm; and it is killed by its
 * pidfd, which cannot mean another process.
 *
 * * The end of a child is what its pidfd says. Messages sent before that are read first, so that its
 * last words explain it. */

#include "generation/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/pidfd.h"
#include "base/why.h"
#include "generation/launch.h"

#define MESSAGES_A_TURN  64
#define RECORDS_A_SECOND 10000
#define STDERR_LINES     256
#define STDERR_READS     256 /* empty lines make no records, but cost a turn each */
#define SUPPLY_MS        2000

const char *child_name(const struct child *child, char name[static 32])
{
	snprintf(name, 32, "%s %u", role_word(child->role), child->index);
	return name;
}

int child_init(
	struct child *child, struct loop *loop, enum role role, unsigned index, size_t n_listeners)
{
	_cleanup_close_ int fd = -1;
	size_t size = counters_size(n_listeners);
	void *page;
	int r;

	r = fd_shared("upperd-counters", size, &fd);
	if (r < 0)
		return r;
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;

	*child = (struct child){
		.loop = loop,
		.role = role,
		.index = index,
		.state = CHILD_ENDED,
		.pid = -1,
		.pidfd = -1,
		.channel_fd = -1,
		.stderr_fd = -1,
		.counters_fd = take_fd(&fd),
		.counters = page,
		.counters_size = size,
	};
	return 0;
}

static void child_unwatch(struct child *child, struct source *source, int *fd)
{
	if (*fd < 0)
		return;
	loop_unwatch(child->loop, source);
	close(take_fd(fd));
}

void child_done(struct child *child)
{
	if (!child->counters)
		return;
	child_unwatch(child, &child->ended, &child->pidfd);
	child_unwatch(child, &child->channel, &child->channel_fd);
	child_unwatch(child, &child->stderr_source, &child->stderr_fd);
	munmap(child->counters, child->counters_size);
	close(take_fd(&child->counters_fd));
	child->counters = NULL;
}

void child_kill(struct child *child, int signal)
{
	if (child->pidfd >= 0)
		pidfd_kill(child->pidfd, signal);
}

void child_bury(struct child *child)
{
	if (child->state == CHILD_ENDED || child->pidfd < 0)
		return;
	pidfd_bury(child->pidfd);
	child->state = CHILD_ENDED;
}

/* The child is only killed here. It is over when its descriptor says so, as with any other
 * end, so that there is one way on which the owner hears of it. */
static void child_end(struct child *child, const char *why)
{
	char name[32];

	log_event(EVENT_CHILD_STUCK, ABOUT(.role = child_name(child, name), .pid = child->pid),
		"%s", why);
	child_kill(child, SIGKILL);
}

/* Many listeners may be more than the channel holds; a child that has just been started, and has seen
 * nothing of the network yet, is waited for. */
static bool child_listens(const struct child *child)
{
	struct pollfd out = {.fd = child->channel_fd, .events = POLLOUT};

	return poll(&out, 1, SUPPLY_MS) == 1;
}

void child_send(
	struct child *child, enum message_type type, const void *data, size_t len, const int *fds)
{
	int r;

	if (child->channel_fd < 0)
		return;
	r = channel_send(child->channel_fd, type, data, len, fds, MSG_DONTWAIT);
	if (r == CHANNEL_E_WAIT && child->state == CHILD_STARTING && child_listens(child))
		r = channel_send(child->channel_fd, type, data, len, fds, MSG_DONTWAIT);
	/* One that has gone is buried when that is heard of, but one that is being set up must hear all. */
	if (r == 0 || (r == CHANNEL_E_CLOSED && child->state != CHILD_STARTING))
		return;
	child->refused = r < 0 ? r : r == CHANNEL_E_CLOSED ? -EPIPE : -EAGAIN;
	child_end(child, "its channel is broken or full; killed");
}

bool records_rate_permits(struct records_rate *rate, uint64_t now_ms)
{
	if (now_ms - rate->second_ms >= 1000)
		*rate = (struct records_rate){.second_ms = now_ms};
	return rate->n++ < RECORDS_A_SECOND;
}

static void child_on_record(struct child *child, const struct message *message)
{
	struct log_record record;
	struct record_parts parts;
	char name[32];

	if (!records_rate_permits(&child->records, child->loop->now_ms)) {
		child->counters->common.records_lost++;
		return;
	}
	if (!message_read_record(message, &record, &parts)) {
		child_end(child, "malformed record; killed");
		return;
	}
	record.about.role = child_name(child, name);
	record.about.pid = child->pid;
	log_pass(&record);
}

static void child_on_failed(struct child *child, const struct message *message)
{
	const struct msg_failed *failed = (const void *)message->data;
	struct why why;

	why_set(&why, 0, "%.*s", (int)sizeof(failed->text), failed->text);
	child->failed = true;
	child->owner->on_failed(child, failed->exit_code, why.text);
}

/* FAULTS_MAX bounds how many are kept; before it is ready, no peer has made it say them. */
static void child_on_fault(struct child *child, const struct message *message)
{
	const struct msg_fault *fault = (const void *)message->data;
	char what[sizeof(fault->text) + 1];

	snprintf(what, sizeof(what), "%.*s", (int)sizeof(fault->text), fault->text);
	if (child->state == CHILD_STARTING && child->owner->on_fault)
		child->owner->on_fault(child, &fault->place,
			fault->level == FAULT_WARNING ? FAULT_WARNING : FAULT_ERROR, what);
}

static void child_on_ready(struct child *child, const struct message *message)
{
	if (child->state != CHILD_STARTING)
		return; /* told to drain meanwhile */
	child->state = CHILD_READY;
	child->owner->on_ready(child);
}

static void child_on_serving(struct child *child, const struct message *message)
{
	if (child->state != CHILD_OPENING)
		return;
	child->state = CHILD_SERVING;
	child->owner->on_serving(child);
}

static void child_on_released(struct child *child, const struct message *message)
{
	child->state = CHILD_RELEASED;
	child->owner->on_released(child);
}

/* All that the table lets a child say. */
void (*const child_handlers[N_MESSAGES])(struct child *child, const struct message *message) = {
	[MSG_RECORD] = child_on_record,
	[MSG_READY] = child_on_ready,
	[MSG_SERVING] = child_on_serving,
	[MSG_RELEASED] = child_on_released,
	[MSG_FAULT] = child_on_fault,
	[MSG_FAILED] = child_on_failed,
};

/* Messages that came before are remembered over calls, since a message that may come ONCE is
 * refused the second time. */
static int child_receive(struct child *child, struct message *ret_message)
{
	struct dialogue dialogue = {FROM_CHILD, child->role, child->state, child->had};
	int r = channel_receive(child->channel_fd, &dialogue, ret_message, MSG_DONTWAIT);

	child->had = dialogue.had;
	return r;
}

static void child_on_channel(struct source *source, uint32_t events)
{
	struct child *child = container_of(source, struct child, channel);
	struct message message;
	int r = 0;

	for (int i = 0; i < MESSAGES_A_TURN && child->channel_fd >= 0; i++) {
		r = child_receive(child, &message);
		if (r != 0)
			break;
		child_handlers[message.type](child, &message);
		message_done(&message);
	}
	if (r == 0 || r == CHANNEL_E_WAIT)
		return;
	if (r == CHANNEL_E_MALFORMED)
		child_end(child, "message that it may not send now; killed");
	child_unwatch(child, &child->channel, &child->channel_fd);
}

static void child_record_words(struct child *child, char *words)
{
	char name[32], *rest = NULL;

	for (char *line = strtok_r(words, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		struct log_record record = {
			.event = EVENT_CHILD_SAID,
			.level = LOG_LEVEL_WARNING,
			.about = {.role = child_name(child, name), .pid = child->pid},
			.text = line,
		};

		log_pass(&record);
		snprintf(child->last_words, sizeof(child->last_words), "%s", line);
		if (++child->stderr_lines >= STDERR_LINES) {
			child_unwatch(child, &child->stderr_source, &child->stderr_fd);
			return;
		}
	}
}

/* A child has a log, so that whatever comes here is of the C library, of a sanitizer, or of a
 * process that could not be executed. It becomes records, bounded for its whole life. */
static void child_on_stderr(struct source *source, uint32_t events)
{
	struct child *child = container_of(source, struct child, stderr_source);
	char words[LOG_TEXT];
	ssize_t n;

	n = read(child->stderr_fd, words, sizeof(words) - 1);
	if (n > 0 && child->stderr_reads++ < STDERR_READS) {
		words[n] = '\0';
		child_record_words(child, words);
	} else if (n >= 0 || errno != EAGAIN) {
		child_unwatch(child, &child->stderr_source, &child->stderr_fd);
	}
}

bool child_describe_end(const siginfo_t *how, uint64_t lived_ms, char text[static CHILD_END_TEXT])
{
	uint64_t seconds = lived_ms / 1000;
	bool dumped = how->si_code == CLD_DUMPED;

	if (how->si_pid == 0)
		snprintf(text, CHILD_END_TEXT, "gone after %llu s, and the system does not say how",
			(unsigned long long)seconds);
	else if (how->si_code == CLD_EXITED)
		snprintf(text, CHILD_END_TEXT, "exit code %d after %llu s", how->si_status,
			(unsigned long long)seconds);
	else
		snprintf(text, CHILD_END_TEXT, "signal %d (%s)%s after %llu s", how->si_status,
			sigdescr_np(how->si_status) ? sigdescr_np(how->si_status) : "unknown",
			dumped ? " with a core dump" : "", (unsigned long long)seconds);
	return how->si_code == CLD_EXITED && how->si_status == 0;
}

/* A child that exits says itself whose fault it was; one that we had to kill, since the system kept us from
 * speaking to it, is the system's. Any other end is a bug. */
static int child_exit_code(const struct child *child, const siginfo_t *how)
{
	if (how->si_code == CLD_EXITED && how->si_status >= EX_USAGE && how->si_status <= EX_CONFIG)
		return how->si_status;
	return child->refused && how->si_code != CLD_EXITED && how->si_status == SIGKILL
		? EX_OSERR
		: EX_SOFTWARE;
}

static void child_on_ended(struct source *source, uint32_t events)
{
	struct child *child = container_of(source, struct child, ended);
	bool draining = child->state == CHILD_DRAINING || child->state == CHILD_RELEASED, well;
	struct child_end end;
	siginfo_t how;
	char text[CHILD_END_TEXT], name[32];

	if (!pidfd_has_ended(child->pidfd, &how))
		return;
	/* Messages that it sent before it died are still to be read. */
	if (child->channel_fd >= 0)
		child_on_channel(&child->channel, 0);
	if (child->stderr_fd >= 0)
		child_on_stderr(&child->stderr_source, 0);

	well = child_describe_end(&how, child->loop->now_ms - child->started_ms, text);
	if ((well && draining) || child->failed)
		log_each(EVENT_CHILD_ENDED,
			ABOUT(.role = child_name(child, name), .pid = child->pid), "%s", text);
	else
		log_event(EVENT_CHILD_DIED,
			ABOUT(.role = child_name(child, name), .pid = child->pid), "%s", text);

	child->state = CHILD_ENDED;
	child_unwatch(child, &child->ended, &child->pidfd);
	child_unwatch(child, &child->channel, &child->channel_fd);
	child_unwatch(child, &child->stderr_source, &child->stderr_fd);
	end.as_told = well && draining;
	end.exit_code = child_exit_code(child, &how);
	end.signal = how.si_pid != 0 && how.si_code != CLD_EXITED ? how.si_status : 0;
	child->owner->on_ended(child, &end);
}

static int child_watch(struct child *child)
{
	int r;

	child->ended.on_event = child_on_ended;
	child->channel.on_event = child_on_channel;
	child->stderr_source.on_event = child_on_stderr;
	r = loop_watch(child->loop, &child->ended, child->pidfd, EPOLLIN);
	if (r >= 0 && child->channel_fd >= 0)
		r = loop_watch(child->loop, &child->channel, child->channel_fd, EPOLLIN);
	if (r >= 0 && child->stderr_fd >= 0)
		r = loop_watch(child->loop, &child->stderr_source, child->stderr_fd, EPOLLIN);
	return r;
}

/* A child that cannot be watched is none. */
static void child_give_back(struct child *child)
{
	child_bury(child);
	child_unwatch(child, &child->ended, &child->pidfd);
	child_unwatch(child, &child->channel, &child->channel_fd);
	child_unwatch(child, &child->stderr_source, &child->stderr_fd);
}

int child_start(struct child *child)
{
	_cleanup_close_ int theirs = -1, ours = -1, stderr_read = -1, stderr_write = -1;
	int pipes[2], r;

	r = channel_pair(&ours, &theirs);
	if (r < 0)
		return r;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	stderr_read = pipes[0];
	stderr_write = pipes[1];

	r = launch(child->role, theirs, stderr_write, &child->pid);
	if (r < 0)
		return r;
	child->pidfd = pidfd_of_child(child->pid);
	if (child->pidfd < 0)
		return child->pidfd;
	child->channel_fd = take_fd(&ours);
	child->stderr_fd = take_fd(&stderr_read);
	child->state = CHILD_STARTING;
	child->stderr_lines = child->stderr_reads = 0;
	/* The page of counters stays: its numbers go on from those of the process before. */
	child->failed = false;
	child->refused = 0;
	child->had = 0;
	child->last_words[0] = '\0';
	child->started_ms = child->heartbeat_ms = child->loop->now_ms;
	child->heartbeat = child->counters->heartbeat;
	r = child_watch(child);
	if (r < 0)
		child_give_back(child);
	return r;
}

bool child_is_alive(struct child *child, uint64_t patience_ms)
{
	uint64_t heartbeat = child->counters->heartbeat;

	if (child->state == CHILD_ENDED || heartbeat != child->heartbeat) {
		child->heartbeat = heartbeat;
		child->heartbeat_ms = child->loop->now_ms;
	}
	return child->loop->now_ms - child->heartbeat_ms < patience_ms;
}
