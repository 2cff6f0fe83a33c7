/* SPDX-License-Identifier: Apache-2.0 */

/* First the new binary is tried: a child executes it, with copies of the sockets and no word to anybody,
 * and it must bring up a whole generation. Only when it has does the supervisor become the new binary.
 * The children go on serving all the while; the new supervisor takes them over as they are, and then
 * does what a reload does. So whatever goes wrong, and wherever, somebody serves. */

#include "upgrade/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "conf/fault.h"
#include "supervisor/supervisor.h"
#include "upgrade/handover.h"

#define TRIAL_MS 30000

static void describe_all(const struct supervisor *s, struct handover *h)
{
	fprintf(h->state, "started %" PRIu64 "\n", s->started_ms);
	for (struct list *node = s->generations.draining.next; node != &s->generations.draining;
		node = node->next)
		generation_hand_over(generation_of_node(node), h, true);
	stats_hand_over(&s->stats, h);
	control_hand_over(&s->control, h);
}

/* Before the generations, which refer to it. */
static void describe_memory(const struct supervisor *s, struct handover *h)
{
	fprintf(h->state, "shared %d\n", handover_fd(h, s->resources.shared_fd));
	if (s->resources.tickets.fd >= 0)
		fprintf(h->state, "tickets %d\n", handover_fd(h, s->resources.tickets.fd));
}

static void describe_socket(void *userdata, const struct socket_entry *entry)
{
	handover_socket(userdata, entry);
}

static int describe(const struct supervisor *s, struct handover *h, bool trial)
{
	int r;

	r = handover_begin(h, sockets_count(&s->resources.sockets));
	if (r < 0)
		return r;
	h->trial = trial;
	fprintf(h->state, "%s%slayout %s\n", trial ? "trial\n" : "",
		s->confined ? "confined\n" : "", supervisor_layout());
	sockets_each(&s->resources.sockets, describe_socket, h);
	if (!trial)
		describe_memory(s, h);
	generation_hand_over(s->generations.serving, h, !trial);
	if (!trial)
		describe_all(s, h);
	return 0;
}

/* A record for each line. */
static void record_why(const char *why)
{
	for (size_t len; *why != '\0'; why += len + (why[len] == '\n')) {
		len = strcspn(why, "\n");
		log_each(EVENT_UPGRADE_FAILED, ABOUT_NOTHING, "everything stays as it was: %.*s",
			(int)len, why);
	}
}

static void upgrade_failed(struct supervisor *s, int exit_code, const char *why)
{
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	_cleanup_free_ char *json = NULL;
	size_t len;
	FILE *out = open_memstream(&json, &len);

	record_why(why);
	faults_add(&faults, &(struct fault_place){.level = FAULT_ERROR}, "%s", why);
	if (out) {
		faults_print_json(&faults, out);
		fclose(out);
	}
	control_answer(
		&s->control, "upgrade", &(struct control_answer){exit_code, why, json ? json : ""});
}

/* Does not return unless nothing has been changed yet. */
static void become(struct supervisor *s)
{
	_cleanup_handover_ struct handover h = HANDOVER_EMPTY;
	char why[256];
	int r;

	log_each(EVENT_UPGRADING, ABOUT_NOTHING, "becoming %s", s->self);
	/* Its child would be nobody's, and who waits for it would wait for ever. */
	selftests_abandon(&s->selftests, "interrupted by an upgrade; try again\n");
	r = describe(s, &h, false);
	if (r >= 0)
		r = handover_exec(&h, s->self, s->options->argv);
	snprintf(why, sizeof(why), "%s: %s\n", s->self, strerror(-r));
	upgrade_failed(s, EX_OSERR, why);
}

static void trial_hear(struct upgrade *u)
{
	ssize_t n;

	while (u->len < sizeof(u->words) - 1) {
		n = read(u->stderr_fd, u->words + u->len, sizeof(u->words) - 1 - u->len);
		if (n <= 0)
			break;
		u->len += (size_t)n;
	}
	u->words[u->len] = '\0';
}

static void trial_close(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;

	loop_clear_timer(&u->limit);
	loop_unwatch(&s->loop, &u->ended);
	close(take_fd(&u->pidfd));
	close(take_fd(&u->stderr_fd));
	u->pid = 0;
}

/* What it said itself, or what can be said of it. */
static void trial_failed(struct supervisor *s, const siginfo_t *how)
{
	const struct upgrade *u = &s->upgrade;
	char why[128];

	if (u->late)
		snprintf(why, sizeof(why), "the new program was not ready within %d s\n",
			TRIAL_MS / 1000);
	else if (how->si_pid == 0)
		snprintf(why, sizeof(why),
			"the new program is gone, and the system does not say how it ended\n");
	else if (how->si_code != CLD_EXITED)
		snprintf(why, sizeof(why), "the new program died when it was tried\n");
	else if (how->si_status == 0)
		snprintf(why, sizeof(why),
			"the new program ended without serving; is it upperd at all?\n");
	else
		snprintf(why, sizeof(why),
			"the new program ended with exit code %d and said nothing\n",
			how->si_status);
	if (how->si_code != CLD_EXITED || how->si_status == 0)
		upgrade_failed(s, EX_SOFTWARE, why);
	else
		upgrade_failed(s, how->si_status, u->len > 0 ? u->words : why);
}

static void trial_on_ended(struct source *source, uint32_t events)
{
	struct supervisor *s = container_of(source, struct supervisor, upgrade.ended);
	struct upgrade *u = &s->upgrade;
	siginfo_t how = {0};

	/* A failed waitid() is an end too: its descriptor says so, and would do so for ever. */
	if (waitid(P_PIDFD, (id_t)u->pidfd, &how, WEXITED | WNOHANG) == 0 && how.si_pid == 0)
		return;
	trial_hear(u);
	trial_close(s);
	if (how.si_code != CLD_EXITED || how.si_status != TRIAL_PASSED)
		trial_failed(s, &how);
	else if (generations_is_building(&s->generations))
		upgrade_failed(s, EX_TEMPFAIL, "a reload has come in between\n");
	else
		become(s);
}

static void trial_kill(const struct upgrade *u)
{
	syscall(SYS_pidfd_send_signal, u->pidfd, SIGKILL, NULL, 0);
}

static void trial_on_limit(struct timer *timer, uint64_t now_ms)
{
	struct upgrade *u = container_of(timer, struct upgrade, limit);

	u->late = true;
	trial_kill(u);
}

/* In the child: says nothing to the service manager, and all it has to say to us. */
__attribute__((noreturn)) static void trial_become(const struct supervisor *s, int words)
{
	_cleanup_handover_ struct handover h = HANDOVER_EMPTY;
	int r;

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	if (dup2(words, STDOUT_FILENO) < 0 || dup2(words, STDERR_FILENO) < 0)
		_exit(EX_OSERR);
	r = describe(s, &h, true);
	if (r >= 0)
		r = handover_exec(&h, s->self, s->options->argv);
	dprintf(STDERR_FILENO, "%s: %s\n", s->self, strerror(-r));
	_exit(EX_OSERR);
}

static int trial_start(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	_cleanup_close_ int said = -1, words = -1;
	int pipes[2], r;

	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	said = pipes[0];
	words = pipes[1];
	u->pid = fork();
	if (u->pid < 0) {
		u->pid = 0;
		return -errno;
	}
	if (u->pid == 0)
		trial_become(s, words);

	u->pidfd = (int)syscall(SYS_pidfd_open, u->pid, 0);
	if (u->pidfd < 0) {
		r = -errno;
		kill(u->pid, SIGKILL); /* not waited for yet, so that the number is still its own */
		waitpid(u->pid, NULL, 0);
		u->pid = 0;
		return r;
	}
	u->stderr_fd = take_fd(&said);
	u->len = 0;
	u->late = false;
	u->ended.on_event = trial_on_ended;
	u->limit.on_time = trial_on_limit;
	loop_set_timer(&s->loop, &u->limit, s->loop.now_ms + TRIAL_MS);
	return loop_watch(&s->loop, &u->ended, u->pidfd, EPOLLIN);
}

void supervisor_upgrade(struct supervisor *s)
{
	int r;

	if (s->upgrade.pid > 0)
		return; /* who asks twice gets one answer */
	if (!s->generations.serving || generations_is_building(&s->generations)) {
		upgrade_failed(s, EX_TEMPFAIL,
			s->generations.is_stopping
				? "it is stopping\n"
				: "a start or a reload is under way; ask again\n");
		return;
	}
	log_each(EVENT_UPGRADING, ABOUT_NOTHING, "trying %s", s->self);
	r = trial_start(s);
	if (r >= 0)
		return;
	upgrade_abandon(s);
	upgrade_failed(s, EX_OSERR, strerror(-r));
}

void upgrade_abandon(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	siginfo_t how;

	if (u->pid <= 0)
		return;
	trial_kill(u);
	waitid(P_PIDFD, (id_t)u->pidfd, &how, WEXITED);
	trial_close(s);
	control_answer(&s->control, "upgrade",
		&(struct control_answer){EX_TEMPFAIL, "it is stopping\n", "[]\n"});
}
