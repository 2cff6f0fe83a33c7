/* SPDX-License-Identifier: Apache-2.0 */

/* "upperctl sandbox": the supervisor's side of it, which starts a child, gives it a copy of the
 * client's socket, and limits its time. The child prints its whole report there at the end, and
 * exits with 0. Anything else means that the client has had no answer yet, and gets one from
 * here; so a client never waits for a process that is gone.
 *
 * A test belongs to no generation: a reload does not touch it. An upgrade ends it, since no new
 * program would know of it. */

#include "supervisor/selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "generation/child.h"
#include "process/ctl.h"
#include "process/role_sandbox.h"

#define SELFTEST_MS   30000
#define SELFTEST_TEXT 128

struct selftest {
	struct list node;
	struct selftests *all;
	struct child child;
	struct timer limit;
	struct task reap;
	int client_fd; /* owned */
	bool json;
	bool answered; /* by the child */
};

static void selftest_on_reap(struct task *task)
{
	free(container_of(task, struct selftest, reap));
}

/* Events of this round may be those of its child, so that the memory stays until the end of the round. */
static void selftest_end(struct selftest *selftest)
{
	loop_clear_timer(&selftest->limit);
	child_bury(&selftest->child);
	child_done(&selftest->child);
	close(selftest->client_fd);
	list_remove(&selftest->node);
	selftest->all->n--;
	loop_defer(selftest->all->loop, &selftest->reap);
}

/* As JSON, that nothing was tried and so nothing is known to have held. */
static void selftest_print(
	const struct selftest *selftest, const char *why, char text[static SELFTEST_TEXT])
{
	struct json json = JSON_TEXT(text, SELFTEST_TEXT);

	if (!selftest->json) {
		snprintf(text, SELFTEST_TEXT, "%s", why);
		return;
	}
	json_object(&json, NULL);
	json_list(&json, "attempts");
	json_end(&json);
	json_bool(&json, "held", false);
	json_end(&json);
}

static void selftest_abandon(struct selftest *selftest, const char *why)
{
	char text[SELFTEST_TEXT];

	if (!selftest->answered) {
		selftest_print(selftest, why, text);
		control_send_text(selftest->client_fd, text, strlen(text));
		control_send_end(selftest->client_fd, EX_TEMPFAIL);
	}
	selftest_end(selftest);
}

static void selftest_on_ready(struct child *child)
{
}

static void selftest_on_failed(struct child *child, int exit_code, const char *why)
{
}

static void selftest_on_ended(struct child *child, const struct child_end *end)
{
	struct selftest *selftest = container_of(child, struct selftest, child);

	selftest->answered = end->as_told;
	selftest_abandon(selftest, "The attempts were not finished; the log may say why.\n");
}

static const struct child_owner owner = {
	.on_ready = selftest_on_ready,
	.on_failed = selftest_on_failed,
	.on_ended = selftest_on_ended,
};

static void selftest_on_limit(struct timer *timer, uint64_t now_ms)
{
	child_kill(&container_of(timer, struct selftest, limit)->child, SIGKILL);
}

void selftests_init(struct selftests *selftests, struct loop *loop)
{
	*selftests = (struct selftests){.loop = loop};
	list_init(&selftests->list);
}

void selftests_abandon(struct selftests *selftests, const char *why)
{
	list_foreach (node, &selftests->list)
		selftest_abandon(container_of(node, struct selftest, node), why);
}

/* Takes `client_fd`, also when it fails. */
static int selftest_new(struct selftests *all, int client_fd, struct selftest **ret_selftest)
{
	struct selftest *selftest = calloc(1, sizeof(*selftest));

	if (!selftest) {
		close(client_fd);
		return -ENOMEM;
	}
	selftest->all = all;
	selftest->client_fd = client_fd;
	selftest->child.state = CHILD_ENDED;
	selftest->limit.on_time = selftest_on_limit;
	selftest->limit.is_patience = true;
	selftest->reap.run = selftest_on_reap;
	list_append(&all->list, &selftest->node);
	all->n++;

	*ret_selftest = selftest;
	return 0;
}

static int selftest_start(struct selftest *selftest, const struct sandbox *sandbox)
{
	const struct msg_selftest message = {
		.mode = sandbox->mode,
		.uid = sandbox->uid,
		.gid = sandbox->gid,
		.json = selftest->json,
	};
	struct child *child = &selftest->child;
	struct loop *loop = selftest->all->loop;
	int r;

	r = child_init(child, loop, ROLE_SELFTEST, 0, 0);
	if (r < 0)
		return r;
	child->owner = &owner;
	r = child_start(child);
	if (r < 0)
		return r;
	child_send(child, MSG_SELFTEST, &message, sizeof(message), &selftest->client_fd);
	/* It needs no further order to end: exit code 0 is then "as told". */
	child->state = CHILD_DRAINING;
	loop_set_timer(loop, &selftest->limit, loop->now_ms + SELFTEST_MS);
	return 0;
}

int selftests_begin(struct selftests *selftests, const struct conf *conf,
	const struct control_question *question)
{
	struct selftest *selftest = NULL;
	struct sandbox sandbox;
	int r, client_fd;

	if (selftests->n == SELFTESTS_MAX) {
		fprintf(question->out, "%u tests are running already; try again\n", selftests->n);
		return EX_TEMPFAIL;
	}
	r = sandbox_plan("worker", conf, &sandbox);
	client_fd = r < 0 ? -1 : fcntl(question->fd, F_DUPFD_CLOEXEC, 3);
	if (r >= 0)
		r = client_fd < 0 ? -errno : selftest_new(selftests, client_fd, &selftest);
	if (r >= 0 && selftest) {
		selftest->json = question->json;
		r = selftest_start(selftest, &sandbox);
	}
	if (r >= 0)
		return CONTROL_TAKEN;
	fprintf(question->out, "cannot begin: %s\n", strerror(-r));
	if (selftest)
		selftest_end(selftest);
	return EX_OSERR;
}
