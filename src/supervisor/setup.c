/* SPDX-License-Identifier: Apache-2.0 */

/* What the supervisor needs before it can build its first generation, and how it is let go. */

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "config.h"
#include "sockets/inherit.h"
#include "supervisor/supervisor.h"

/* Signals are read in the loop; a write to a peer that is gone is an outcome and not a death. */
static int take_signals(struct supervisor *s)
{
	static const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&set, taken[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	/* Inherited as ignored, children would be reaped before they can be waited for. */
	signal(SIGCHLD, SIG_DFL);

	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return -errno;
	return loop_watch(&s->loop, &s->signals, s->signal_fd, EPOLLIN);
}

static int make_shared(struct supervisor *s)
{
	void *page;
	int r;

	r = fd_shared("upperd-shared", sizeof(*s->shared), &s->shared_fd);
	if (r < 0)
		return r;
	page = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE, MAP_SHARED, s->shared_fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	s->shared = page;
	if (getrandom(&s->shared->key, sizeof(s->shared->key), 0) < 0 ||
		getrandom(s->shared->secret, sizeof(s->shared->secret), 0) < 0)
		return -errno;
	return 0;
}

/* We never use select(), so more descriptors than it can count do no harm. */
static void raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* The daemon serves without it, too: two that run with default paths must not stop each other. */
void supervisor_open_control(struct supervisor *s, const struct conf *conf)
{
	const char *wanted = conf->control_path;
	_cleanup_free_ char *path = strdup(wanted);
	bool is_open = s->control.fd >= 0;
	int r;

	if (is_open && strcmp(s->control.path, wanted) == 0)
		return;
	if (path && path[0] == '/')
		mkdir(dirname(path), 0755);
	r = is_open ? control_move(&s->control, wanted)
		    : control_open(&s->control, &s->loop, wanted);
	if (r < 0 && is_open)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r),
			"no control socket at %s, so it stays at %s", wanted, s->control.path);
	else if (r < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r),
			"no control socket at %s, so upperctl will not reach this daemon", wanted);
}

static int take_sockets(struct supervisor *s)
{
	_cleanup_inheritance_ struct inheritance inheritance = INHERITANCE_EMPTY;
	const char *name = "";
	int r;

	r = inheritance_take(&inheritance);
	if (r >= 0)
		r = resume_sockets(s, &inheritance);
	if (r >= 0)
		r = sockets_inherit(&s->sockets, &inheritance, &name);
	if (r < 0)
		log_event(EVENT_START_FAILED, ABOUT(.error = r),
			"the socket \"%s\" that was passed in cannot be used%s", name,
			r == -ENOTUNIQ ? ": another of that name is bound to something else" : "");
	return r;
}

/* Where an upgrade will find its program, which need not be this one any more. */
static int find_self(char **ret_self)
{
	static const char gone[] = " (deleted)";
	_cleanup_free_ char *path = calloc(1, PATH_MAX);
	char *end;

	if (!path)
		return -ENOMEM;
	if (readlink("/proc/self/exe", path, PATH_MAX - 1) < 0)
		return -errno;
	end = path + strlen(path) - strlen(gone);
	if (end > path && strcmp(end, gone) == 0)
		*end = '\0';
	*ret_self = take_ptr(&path);
	return 0;
}

void supervisor_empty(struct supervisor *s, const struct options *options)
{
	s->options = options;
	s->loop = LOOP_INIT(s->loop);
	s->shared_fd = s->signal_fd = -1;
	s->control = CONTROL_EMPTY;
	s->upgrade.pidfd = s->upgrade.stderr_fd = -1;
	s->tickets = TICKETS_EMPTY;
	s->stats.page = METRICS_PAGE_EMPTY;
	s->watch = WATCH_EMPTY;
	list_init(&s->draining);
	sockets_init(&s->sockets);
	selftests_init(&s->selftests, &s->loop);
}

int supervisor_init(struct supervisor *s, const struct conf *conf, const struct control_verb *verbs)
{
	int r;

	s->control.verbs = verbs;
	s->control.userdata = s;
	raise_files();
	tzset(); /* while /etc can still be read */

	r = loop_init(&s->loop);
	if (r >= 0)
		r = take_sockets(s);
	if (r >= 0)
		r = take_signals(s);
	if (r >= 0)
		r = make_shared(s);
	if (r >= 0)
		r = find_self(&s->self);
	if (r >= 0)
		r = stats_init(&s->stats);
	if (r >= 0 && HAVE_TLS)
		r = tickets_init(&s->tickets);
	if (r < 0)
		return r;
	s->started_ms = s->loop.now_ms;
	if (conf)
		supervisor_open_control(s, conf);
	return 0;
}

void supervisor_done(struct supervisor *s)
{
	upgrade_abandon(s);
	watch_done(&s->watch);
	generation_free(s->building);
	generation_free(s->serving);
	list_foreach (node, &s->draining)
		generation_free(generation_of_node(node));
	selftests_abandon(&s->selftests, "upperd is stopping\n");
	control_done(&s->control);
	sockets_done(&s->sockets);
	tickets_done(&s->tickets);
	stats_done(&s->stats);
	faults_done(&s->faults);
	free(s->self);
	free(s->handed);
	if (s->shared)
		munmap(s->shared, sizeof(*s->shared));
	if (s->shared_fd >= 0)
		close(s->shared_fd);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	loop_run_tasks(&s->loop);
	loop_done(&s->loop);
}
