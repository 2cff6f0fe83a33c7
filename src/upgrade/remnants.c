/* SPDX-License-Identifier: Apache-2.0 */

/* A child stays one across an exec: it can be waited for, and its channel is a descriptor that comes along.
 * So a remnant is a process, a channel and a page of counters (counter_page.c), and nothing of what made it: no
 * configuration, no generation. Only the messages that keep their numbers for good are exchanged with it, since it may be of
 * any other version of the program:
 *
 *     taken over ──▶ serving ── END_SESSIONS, DRAIN ──▶ draining ── RELEASED ──▶ released ──▶ ended
 *
 * Three things are certain. It ends: a timer kills it when its time is up, and when it does not say in time
 * that it was released, the build goes on without it. It is reaped. And it is not replaced, neither a worker, whose
 * connections end with it, nor a keeper, without which old workers finish no handshake.
 *
 * A keeper is told last, when no worker is left. */

#include "upgrade/remnants.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/pidfd.h"
#include "generation/child.h"
#include "process/channel.h"
#include "upgrade/handover.h"

#define RELEASE_MS      5000 /* to say so */
#define GRACE_MS        1000 /* beyond its time, to hang up and go */
#define MESSAGES_A_TURN 64
#define DTLS_MAX        65536

struct remnant {
	struct list node;
	struct remnants *remnants;
	enum role role;
	unsigned index;
	pid_t pid;
	int pidfd, channel_fd; /* owned */
	struct source ended, channel;
	struct timer limit;
	struct task freeing;
	bool is_draining, is_released;
	uint64_t started_ms, within_ms;
	uint32_t *dtls;
	size_t n_dtls;
	struct records_rate records;
	struct counter_page page;
};

static struct remnant *remnant_of(struct list *node)
{
	return container_of(node, struct remnant, node);
}

static const char *remnant_name(const struct remnant *remnant, char name[static 32])
{
	snprintf(name, 32, "%s %u", role_word(remnant->role), remnant->index);
	return name;
}

static void remnant_hang_up(struct remnant *remnant)
{
	if (remnant->channel_fd < 0)
		return;
	loop_unwatch(remnant->remnants->loop, &remnant->channel);
	close(take_fd(&remnant->channel_fd));
}

static void remnant_free(struct remnant *remnant)
{
	if (!remnant)
		return;
	loop_clear_timer(&remnant->limit);
	remnant_hang_up(remnant);
	if (remnant->pidfd >= 0) {
		loop_unwatch(remnant->remnants->loop, &remnant->ended);
		close(remnant->pidfd);
	}
	counter_page_done(&remnant->page);
	free(remnant->dtls);
	free(remnant);
}

static void remnant_freep(struct remnant **remnant)
{
	remnant_free(*remnant);
}

/* One that cannot be told ends by the timer that is set all the same. */
static void remnant_send(
	struct remnant *remnant, enum message_type type, const void *data, size_t len)
{
	if (remnant->channel_fd >= 0)
		channel_send(remnant->channel_fd, type, data, len, NULL, MSG_DONTWAIT);
}

static void remnant_end_sessions(struct remnant *remnant)
{
	for (size_t i = 0; i < remnant->n_dtls; i++) {
		const struct msg_listener message = {.listener = remnant->dtls[i]};

		remnant_send(remnant, MSG_END_SESSIONS, &message, sizeof(message));
	}
	remnant->n_dtls = 0;
}

/* Its time begins now, or began when the program before told it. */
static void remnant_drain(struct remnant *remnant)
{
	const struct msg_drain drain = {.within_ms = remnant->within_ms};
	struct loop *loop = remnant->remnants->loop;

	remnant_end_sessions(remnant);
	if (!remnant->is_draining)
		remnant_send(remnant, MSG_DRAIN, &drain, sizeof(drain));
	remnant->is_draining = true;
	loop_set_timer(loop, &remnant->limit, loop->now_ms + remnant->within_ms + GRACE_MS);
}

/* Workers ask the keeper as long as a handshake may be open, so that it outlives them. */
static bool is_last(const struct remnant *remnant)
{
	return remnant->role == ROLE_KEEPER;
}

static bool has_any_but_keepers(const struct remnants *remnants)
{
	for (struct list *node = remnants->all.next; node != &remnants->all; node = node->next)
		if (!is_last(remnant_of(node)))
			return true;
	return false;
}

static bool all_are_released(const struct remnants *remnants)
{
	for (struct list *node = remnants->all.next; node != &remnants->all; node = node->next)
		if (!is_last(remnant_of(node)) && !remnant_of(node)->is_released)
			return false;
	return true;
}

static void remnants_release(struct remnants *remnants)
{
	if (remnants->is_released)
		return;
	remnants->is_released = true;
	loop_clear_timer(&remnants->patience);
	remnants->owner->on_released(remnants);
}

/* In a task of its own, since the owner may do anything. */
static void remnants_on_report(struct task *task)
{
	struct remnants *remnants = container_of(task, struct remnants, report);

	if (!remnants->is_told)
		return;
	if (all_are_released(remnants))
		remnants_release(remnants);
	if (remnants->n == 0)
		remnants->owner->on_gone(remnants);
	if (has_any_but_keepers(remnants))
		return;
	list_foreach (node, &remnants->all)
		if (!remnant_of(node)->is_draining)
			remnant_drain(remnant_of(node));
}

static void remnants_on_patience(struct timer *timer, uint64_t now_ms)
{
	struct remnants *remnants = container_of(timer, struct remnants, patience);

	log_each(EVENT_CHILD_STUCK, ABOUT_NOTHING,
		"a child of the program before does not say that it accepts no more; not waited "
		"for");
	remnants_release(remnants);
}

static void remnant_on_record(struct remnant *remnant, const struct message *message)
{
	struct log_record record;
	struct record_parts parts;
	char name[32];

	/* Another build may write records that are none here. */
	if (!records_rate_permits(&remnant->records, remnant->remnants->loop->now_ms) ||
		!message_read_record(message, &record, &parts))
		return;
	record.about.role = remnant_name(remnant, name);
	record.about.pid = remnant->pid;
	log_pass(&record);
}

static void remnant_on_channel(struct source *source, uint32_t events)
{
	struct remnant *remnant = container_of(source, struct remnant, channel);
	struct message message;

	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		struct dialogue dialogue = {FROM_CHILD, remnant->role,
			remnant->is_draining ? CHILD_DRAINING : CHILD_SERVING, 0};
		int r = channel_receive(remnant->channel_fd, &dialogue, &message, MSG_DONTWAIT);

		if (r == CHANNEL_E_WAIT)
			return;
		if (r == CHANNEL_E_MALFORMED)
			continue; /* or a message of another build */
		if (r != 0) {
			remnant_hang_up(remnant);
			return;
		}
		if (message.type == MSG_RECORD)
			remnant_on_record(remnant, &message);
		else if (message.type == MSG_RELEASED)
			remnant->is_released = true;
		if (remnant->is_released)
			loop_defer(remnant->remnants->loop, &remnant->remnants->report);
		message_done(&message);
	}
}

static void remnant_on_freeing(struct task *task)
{
	remnant_free(container_of(task, struct remnant, freeing));
}

static void remnant_on_ended(struct source *source, uint32_t events)
{
	struct remnant *remnant = container_of(source, struct remnant, ended);
	struct remnants *remnants = remnant->remnants;
	char text[CHILD_END_TEXT], name[32];
	siginfo_t how;
	bool well;

	if (!pidfd_has_ended(remnant->pidfd, &how))
		return;
	if (remnant->channel_fd >= 0)
		remnant_on_channel(&remnant->channel, 0);
	well = child_describe_end(&how, remnants->loop->now_ms - remnant->started_ms, text);
	if (well && remnant->is_draining)
		log_each(EVENT_CHILD_ENDED,
			ABOUT(.role = remnant_name(remnant, name), .pid = remnant->pid), "%s",
			text);
	else
		log_event(EVENT_CHILD_DIED,
			ABOUT(.role = remnant_name(remnant, name), .pid = remnant->pid),
			"%s; it is of the program before the upgrade, and is not replaced", text);
	counter_page_add(&remnant->page, true, &remnants->ended);
	list_remove(&remnant->node);
	remnants->n--;
	loop_unwatch(remnants->loop, &remnant->ended);
	close(take_fd(&remnant->pidfd));
	loop_defer(remnants->loop, &remnant->freeing);
	loop_defer(remnants->loop, &remnants->report);
}

static void remnant_on_limit(struct timer *timer, uint64_t now_ms)
{
	pidfd_kill(container_of(timer, struct remnant, limit)->pidfd, SIGKILL);
}

void remnant_describe(const struct remnant_facts *facts, FILE *out)
{
	fprintf(out, " %s %u %d %d %s %" PRIu64 " %" PRIu64, role_word(facts->role), facts->index,
		(int)facts->pid, facts->channel_fd, facts->is_draining ? "draining" : "serving",
		facts->within_ms, facts->started_ms);
	for (size_t i = 0; i < facts->n_dtls; i++)
		fprintf(out, " %" PRIu32, facts->dtls[i]);
	fprintf(out, "\n");
}

static int remnant_read_dtls(struct remnant *remnant, char *line)
{
	while (line && *line) {
		int64_t listener = handover_number(&line);
		uint32_t *dtls = reallocarray(remnant->dtls, remnant->n_dtls + 1, sizeof(*dtls));

		if (!dtls)
			return -ENOMEM;
		remnant->dtls = dtls;
		if (listener < 0 || listener > UINT32_MAX || remnant->n_dtls == DTLS_MAX)
			return -EINVAL;
		remnant->dtls[remnant->n_dtls++] = (uint32_t)listener;
	}
	return 0;
}

static int remnant_read(struct remnant *remnant, char *line)
{
	int64_t index, pid, within_ms, started_ms;
	const char *state;

	remnant->role = role_find(handover_word(&line));
	index = handover_number(&line);
	pid = handover_number(&line);
	remnant->channel_fd = handover_own(&line);
	state = handover_word(&line);
	within_ms = handover_number(&line);
	started_ms = handover_number(&line);
	if (remnant->role >= N_ROLES || index < 0 || index > UINT_MAX || pid <= 0 ||
		pid > INT_MAX || within_ms < 0 || started_ms < 0)
		return -EINVAL;
	remnant->index = (unsigned)index;
	remnant->pid = (pid_t)pid;
	remnant->is_draining = remnant->is_released = strcmp(state, "draining") == 0;
	remnant->within_ms = (uint64_t)within_ms;
	remnant->started_ms = (uint64_t)started_ms;
	return remnant_read_dtls(remnant, line);
}

/* One that has ended meanwhile is still ours to wait for, so that its number is not another's. */
static int remnant_watch(struct remnant *remnant)
{
	struct loop *loop = remnant->remnants->loop;
	int r;

	remnant->pidfd = (int)syscall(SYS_pidfd_open, remnant->pid, 0);
	if (remnant->pidfd < 0)
		return -errno;
	remnant->ended.on_event = remnant_on_ended;
	remnant->channel.on_event = remnant_on_channel;
	r = loop_watch(loop, &remnant->ended, remnant->pidfd, EPOLLIN);
	if (r >= 0 && remnant->channel_fd >= 0)
		r = loop_watch(loop, &remnant->channel, remnant->channel_fd, EPOLLIN);
	return r;
}

/* The text is of our own predecessor, but perhaps of a build that writes it in another way: a
 * line that makes no sense stops the takeover, before anything has changed. */
int remnants_take(struct remnants *remnants, char *line)
{
	__attribute__((cleanup(remnant_freep))) struct remnant *remnant = NULL;
	int r;

	remnant = calloc(1, sizeof(*remnant));
	if (!remnant)
		return -ENOMEM;
	remnant->remnants = remnants;
	remnant->pidfd = -1;
	remnant->page = COUNTER_PAGE_EMPTY;
	remnant->limit.on_time = remnant_on_limit;
	remnant->freeing.run = remnant_on_freeing;
	r = remnant_read(remnant, line);
	if (r >= 0)
		r = remnant_watch(remnant);
	if (r < 0)
		return r;

	list_append(&remnants->all, &remnant->node);
	remnants->n++;
	remnant = NULL;
	return 0;
}

void remnants_take_page(struct remnants *remnants, char *line)
{
	struct remnant *remnant = remnants->n > 0 ? remnant_of(remnants->all.prev) : NULL;

	if (remnant && counter_page_take(&remnant->page, line) < 0)
		counter_page_done(&remnant->page);
}

void remnants_add_ended(const struct remnants *remnants, struct sums *sums)
{
	sums_add_all(sums, &remnants->ended);
}

void remnants_add_counters(const struct remnants *remnants, struct sums *sums)
{
	remnants_add_ended(remnants, sums);
	for (struct list *node = remnants->all.next; node != &remnants->all; node = node->next)
		counter_page_add(&remnant_of(node)->page, false, sums);
}

uint64_t remnants_open(const struct remnants *remnants, uint64_t most)
{
	uint64_t open = 0;

	for (struct list *node = remnants->all.next; node != &remnants->all; node = node->next)
		open += counter_page_open(&remnant_of(node)->page, most);
	return open;
}

static uint64_t remnant_left_ms(const struct remnant *remnant)
{
	uint64_t now_ms = remnant->remnants->loop->now_ms, until_ms = remnant->limit.at_ms;

	if (!remnant->is_draining || !remnant->remnants->is_told)
		return remnant->within_ms;
	return until_ms > now_ms + GRACE_MS ? until_ms - now_ms - GRACE_MS : 0;
}

void remnants_each(const struct remnants *remnants,
	void (*on_remnant)(void *userdata, const struct remnant_facts *facts), void *userdata)
{
	for (struct list *node = remnants->all.next; node != &remnants->all; node = node->next) {
		const struct remnant *remnant = remnant_of(node);
		const struct remnant_facts facts = {
			.role = remnant->role,
			.index = remnant->index,
			.pid = remnant->pid,
			.channel_fd = remnant->channel_fd,
			.is_draining = remnant->is_draining,
			.within_ms = remnant_left_ms(remnant),
			.started_ms = remnant->started_ms,
			.dtls = remnant->dtls,
			.n_dtls = remnant->n_dtls,
			.page = &remnant->page,
		};

		on_remnant(userdata, &facts);
	}
}

void remnants_drain(struct remnants *remnants)
{
	if (remnants->is_told)
		return;
	remnants->is_told = true;
	list_foreach (node, &remnants->all) {
		struct remnant *remnant = remnant_of(node);

		if (!is_last(remnant) || remnant->is_draining)
			remnant_drain(remnant);
	}
	loop_set_timer(remnants->loop, &remnants->patience, remnants->loop->now_ms + RELEASE_MS);
	loop_defer(remnants->loop, &remnants->report);
}

uint64_t remnants_patience_ms(const struct remnants *remnants)
{
	uint64_t longest = 0;

	for (struct list *node = remnants->all.next; node != &remnants->all; node = node->next) {
		uint64_t left_ms = remnant_left_ms(remnant_of(node));

		longest = left_ms > longest ? left_ms : longest;
	}
	return longest;
}

bool remnants_are_serving(const struct remnants *remnants)
{
	return remnants->n > 0 && !remnants->is_told;
}

void remnants_init(struct remnants *remnants, struct loop *loop, const struct remnants_owner *owner)
{
	*remnants = (struct remnants){.loop = loop, .owner = owner};
	list_init(&remnants->all);
	remnants->patience.on_time = remnants_on_patience;
	remnants->patience.is_patience = true;
	remnants->report.run = remnants_on_report;
}

void remnants_done(struct remnants *remnants)
{
	loop_clear_timer(&remnants->patience);
	loop_cancel(&remnants->report);
	list_foreach (node, &remnants->all) {
		struct remnant *remnant = remnant_of(node);

		pidfd_bury(remnant->pidfd);
		list_remove(node);
		remnant_free(remnant);
	}
	remnants->n = 0;
	sums_done(&remnants->ended);
}
