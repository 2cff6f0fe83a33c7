/* SPDX-License-Identifier: Apache-2.0 */

/* The supervisor runs as the user who started the daemon; root keeps the few capabilities that reload
 * and respawn need. It holds the configuration, the listening sockets, the log and the children, reads
 * no byte that came from the network, and waits for nothing but its one loop.
 *
 * * Its events are a short list: a signal, a second that passed, a client at the control socket, a
 * message or the end of a child, a file that was replaced. All of them end in one of three calls:
 * reload, upgrade, stop. Builds and the generations that come of them are the business of
 * generations.c, which calls back here at each step; here is what the world is told of it: the log, the
 * service manager, and clients that wait.
 *
 * * READY=1 is said once the first generation serves, and once more at the end of each reload, whatever
 * its outcome. Whatever fails before the first READY=1 ends the process; nothing that fails later does.
 *
 * * To read: supervisor_start(), then the callbacks of generations in the order of their table, then
 * supervisor_stop(). */

#include "supervisor/supervisor.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pid.h"
#include "base/text.h"
#include "base/why.h"
#include "conf/fault.h"
#include "generation/view.h"
#include "priv/ident.h"
#include "process/configuration.h"
#include "process/role_sandbox.h"
#include "sockets/inherit.h"
#include "supervisor/manager.h"
#include "supervisor/publish.h"
#include "supervisor/records.h"

#define CLOCK_MS 1000

static struct supervisor *supervisor_of(struct generations *generations)
{
	return container_of(generations, struct supervisor, generations);
}

static void record_faults(const struct faults *faults)
{
	for (size_t i = 0; i < faults->n; i++) {
		const struct fault *f = &faults->list[i];
		char text[LOG_TEXT], place[LOG_TEXT / 2];
		struct log_record record = {
			.event = EVENT_CONFIG_FAULT,
			.level = f->level == FAULT_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
			.text = text,
		};

		if (f->file && f->line > 0)
			snprintf(place, sizeof(place), "%s:%u: ", f->file, f->line);
		else if (f->file)
			snprintf(place, sizeof(place), "%s: ", f->file);
		snprintf(text, sizeof(text), "%s%s%s%s", f->file ? place : "", f->key ? f->key : "",
			f->key ? ": " : "", f->message);
		log_pass(&record);
	}
}

static void publish(struct supervisor *s)
{
	_cleanup_moment_ struct moment moment = MOMENT_EMPTY;

	supervisor_observe(s, &moment);
	stats_publish(&s->stats, &moment);
}

/* Builds */

static void build_on_begin(struct generations *all)
{
	struct supervisor *s = supervisor_of(all);

	s->build_began_ms = clock_ms();
	free(take_ptr(&s->changes));
	if (all->build.cause == BUILD_RENEWAL)
		log_each(EVENT_FILES_REPLACED, ABOUT_NOTHING,
			"a file of the configuration was replaced; it is checked, then taken up");
	else if (all->build.cause == BUILD_RELOAD)
		log_each(EVENT_RELOADING, ABOUT_NOTHING, "reading %s", s->options->file);
	/* For the service manager, a renewal is no reload: none was asked for, and one that fails
 * changes nothing. */
	if (all->build.cause != BUILD_RENEWAL && all->build.cause != BUILD_START)
		manager_notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_us());
	publish(s); /* for an exporter, before it serves */
}

/* The status of the manager is one line. A trial reports nothing: the manager did not start it. */
void supervisor_report_no_start(const struct supervisor *s, const char *why)
{
	char safe[512];

	text_escape(why, strlen(why), safe, sizeof(safe));
	if (!s->takeover.is_trial)
		manager_notify("STATUS=Cannot start: %s", safe);
}

/* Its own part of the sandbox lasts until it ends, and holds for each child from its first instruction. */
int supervisor_enter_sandbox(struct supervisor *s, const struct conf *conf)
{
	struct why why;
	int exit_code;

	/* A sandbox entered before an upgrade still holds; to enter again and again would add up to more
	 * filters than the kernel takes. */
	if (sandbox_is_entered() || s->takeover.is_trial)
		return 0;
	exit_code = enter_sandbox("supervisor", conf, &why);
	if (exit_code != 0) {
		log_event(EVENT_START_FAILED, ABOUT_NOTHING, "cannot start: %s", why.text);
		supervisor_report_no_start(s, why.text);
	}
	return exit_code;
}

/* After an upgrade, the configuration is new to this program: its log and its sandbox come of it. */
static int begin_anew(struct supervisor *s, struct conf **conf)
{
	int exit_code;

	records_to_log(*conf);
	log_each(EVENT_RELOADING, ABOUT_NOTHING, "reading %s", s->options->file);
	exit_code = supervisor_enter_sandbox(s, *conf);
	if (exit_code != 0)
		conf_free(take_ptr(conf));
	return exit_code;
}

static int build_on_load(struct generations *all, struct conf **ret_conf)
{
	struct supervisor *s = supervisor_of(all);
	struct conf *conf;
	int exit_code;

	if (configuration_load(s->options, &all->build.faults, &conf) != 0)
		return EX_CONFIG;
	exit_code = all->serving ? 0 : begin_anew(s, &conf);
	if (exit_code != 0)
		return exit_code;
	if (all->serving)
		conf_changes(generation_conf(all->serving), conf, &s->changes);
	*ret_conf = conf;
	record_faults(&all->build.faults); /* warnings, which the answer has as well */
	return 0;
}

/* Clients that wait for this build, or for an earlier one that was never made. */
static void answer_build(struct supervisor *s, int exit_code, const struct faults *faults)
{
	const struct build *build = &s->generations.build;
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out) {
		faults_print(faults, out);
		if (exit_code == EX_OK)
			fprintf(out, build->cause == BUILD_UPGRADE ? "upgraded" : "reloaded");
		if (exit_code == EX_OK && faults->n > 0)
			fprintf(out, ", %zu warning%s: %s", faults->n, faults->n > 1 ? "s" : "",
				faults->list[0].message);
		if (exit_code == EX_OK)
			fprintf(out, "\n");
		fclose(out);
	}
	control_answer_build(&s->control, build->number,
		&(struct control_answer){
			.exit_code = exit_code, .text = text ? text : "", .faults = faults});
}

static void build_on_served(struct generations *all)
{
	struct supervisor *s = supervisor_of(all);
	const struct conf *conf = generation_conf(all->serving);

	stats_count_generation(&s->stats, all->build.cause);
	records_to_log(conf);
	publish(s);
	if (all->build.cause != BUILD_START)
		supervisor_open_control(s, conf);
	supervisor_watch(s);
	takeover_on_served(s);
}

/* The manager knows another number of the first process of a namespace. */
static void tell_ready(const struct generation *g)
{
	char main_pid[32] = "";

	if (!pid_is_first())
		snprintf(main_pid, sizeof(main_pid), "\nMAINPID=%d", (int)getpid());
	manager_notify("READY=1%s\nSTATUS=%u workers, %zu listeners", main_pid,
		generation_workers(g), generation_conf(g)->n_listeners);
}

/* The changes of a configuration are its keys, as conf_changes() names them. */
static void report_serving(const struct supervisor *s, const struct generation *g)
{
	static const enum log_event events[] = {
		[BUILD_NONE] = EVENT_RELOADED,
		[BUILD_RENEWAL] = EVENT_RELOADED,
		[BUILD_RELOAD] = EVENT_RELOADED,
		[BUILD_UPGRADE] = EVENT_UPGRADED,
		[BUILD_START] = EVENT_READY,
	};
	enum build_cause cause = s->generations.build.cause;
	const char *changes = s->changes ? s->changes : "";
	struct log_facts facts = {0};

	if (cause == BUILD_RENEWAL)
		log_each(EVENT_CERTIFICATE_RENEWED, ABOUT_NOTHING, "the replaced files serve");
	log_fact_set(&facts, duration_ms, clock_ms() - s->build_began_ms);
	log_each(events[cause], ABOUT(.facts = &facts),
		"serving: %u workers, %zu listeners, at most %llu connections (%s)%s%s",
		generation_workers(g), generation_conf(g)->n_listeners,
		(unsigned long long)generation_connections(g),
		generation_conf(g)->limits.connections > 0
			? "limits.connections"
			: "LimitNOFILE, the limit on open files, less 64",
		cause != BUILD_RELOAD ? ""
			: *changes    ? "; changed: "
				      : "; nothing changed",
		cause == BUILD_RELOAD ? changes : "");
}

static void build_on_done(struct generations *all)
{
	struct supervisor *s = supervisor_of(all);
	const struct generation *g = all->serving;

	if (s->takeover.is_trial) {
		loop_stop(&s->loop, TRIAL_PASSED);
		return;
	}
	report_serving(s, g);
	/* READY=1 also ends a reload for the manager, which was told RELOADING=1. */
	records_leave_stderr();
	tell_ready(g);
	if (all->build.cause == BUILD_START)
		return;
	stats_count_reload(
		&s->stats, &(struct reload_end){.cause = all->build.cause, .worked = true});
	configuration_quote(&all->build.faults);
	answer_build(s, EX_OK, &all->build.faults);
}

/* An old program that tries a new one reads stderr, and tells the world itself. */
static void report_trial_failed(struct supervisor *s, int exit_code, const char *why)
{
	if (faults_any_errors(&s->generations.build.faults))
		faults_print(&s->generations.build.faults, stderr);
	else
		fprintf(stderr, "%s\n", why);
	loop_stop(&s->loop, exit_code);
}

static void report_start_failed(struct supervisor *s, int exit_code, const char *why)
{
	record_faults(&s->generations.build.faults);
	log_each(EVENT_START_FAILED, ABOUT_NOTHING, "cannot start: %s", why);
	manager_notify("STATUS=Cannot start: %s", why);
	loop_stop(&s->loop, exit_code);
}

static const char *first_error(const struct faults *faults, struct why *why)
{
	const struct fault *fault = NULL;

	for (size_t i = faults->n; i-- > 0;)
		if (faults->list[i].level == FAULT_ERROR)
			fault = &faults->list[i];
	why_set(why, 0, "%.100s%s%.300s", fault && fault->key ? fault->key : "",
		fault && fault->key ? ": " : "", fault ? fault->message : strerror(ENOMEM));
	return why->text;
}

/* The certificates that go on serving, and for how long they can: "; still shown: a.example, valid for 12 days". */
static void describe_certificates(const struct generation *g, char text[static LOG_TEXT / 2])
{
	size_t n = 0, len = 0;
	const struct certificate_entry *entries = g ? generation_certificates(g, &n) : NULL;
	int64_t now = time(NULL);

	*text = '\0';
	for (size_t i = 0; i < n && len < LOG_TEXT / 2 - 128; i++) {
		int64_t days = (entries[i].ends - now) / 86400;

		len += (size_t)snprintf(text + len, LOG_TEXT / 2 - len, "%s%.60s, ",
			i == 0 ? "; still shown: " : "; ", entries[i].name);
		len += entries[i].ends > now
			? (size_t)snprintf(text + len, LOG_TEXT / 2 - len,
				  "valid for %lld more day(s)", (long long)days)
			: (size_t)snprintf(text + len, LOG_TEXT / 2 - len, "expired");
	}
}

static void report_reload_failed(struct supervisor *s, int exit_code, const char *why)
{
	struct faults *faults = &s->generations.build.faults;
	char certificates[LOG_TEXT / 2];
	struct why first;

	configuration_quote(faults);
	if (!faults_any_errors(faults))
		faults_add(faults, &(struct fault_place){.level = FAULT_ERROR}, "%s",
			why ? why : strerror(ENOMEM));
	record_faults(faults);
	describe_certificates(s->generations.serving, certificates);
	log_each(EVENT_RELOAD_FAILED, ABOUT_NOTHING, "%zu fault(s), so %s%s", faults->n,
		s->generations.build.cause == BUILD_RENEWAL
			? "the files that were there before go on serving"
			: "the configuration stays as it was",
		certificates);
	manager_notify("READY=1\nSTATUS=Reload failed: %s", first_error(faults, &first));
	stats_count_reload(&s->stats,
		&(struct reload_end){
			.cause = s->generations.build.cause,
			.is_about_files = s->generations.build.cause == BUILD_RENEWAL ||
				(s->changes && *s->changes == '\0'),
			.why = first.text,
		});
	answer_build(s, exit_code, faults);
}

static void build_on_failed(struct generations *all, int exit_code, const char *why)
{
	struct supervisor *s = supervisor_of(all);

	if (s->takeover.is_trial)
		report_trial_failed(s, exit_code, why);
	else if (all->build.cause == BUILD_START)
		report_start_failed(s, exit_code, why);
	else
		report_reload_failed(s, exit_code, why);
}

/* Only deaths that were not asked for reach this: see generation_on_child_ended(). */
static void build_on_died(
	struct generations *all, const struct child *child, const struct child_end *end)
{
	stats_count_death(&supervisor_of(all)->stats, child, end);
}

static void build_on_drained(struct generations *all, const struct generation *gone)
{
	generation_add_counters(gone, &supervisor_of(all)->stats.history);
}

static void end_if_idle(struct supervisor *s)
{
	static const struct control_answer answer = {
		.exit_code = EX_OK, .text = "stopped\n", .done = "stopped"};

	if (!s->generations.is_stopping || s->generations.n_draining > 0 ||
		s->takeover.remnants.n > 0)
		return;
	log_each(EVENT_STOPPED, ABOUT_NOTHING, "stopped as asked");
	control_answer(&s->control, "drain", &answer);
	loop_stop(&s->loop, EX_OK);
}

static void build_on_stopped(struct generations *all)
{
	end_if_idle(supervisor_of(all));
}

static const struct generations_owner owner = {
	.on_begin = build_on_begin,
	.on_load = build_on_load,
	.on_served = build_on_served,
	.on_done = build_on_done,
	.on_failed = build_on_failed,
	.on_died = build_on_died,
	.on_drained = build_on_drained,
	.on_stopped = build_on_stopped,
};

static void remnants_on_released(struct remnants *remnants)
{
	generations_release(
		&container_of(remnants, struct supervisor, takeover.remnants)->generations);
}

static void remnants_on_gone(struct remnants *remnants)
{
	end_if_idle(container_of(remnants, struct supervisor, takeover.remnants));
}

static const struct remnants_owner remnants_owner = {
	.on_released = remnants_on_released,
	.on_gone = remnants_on_gone,
};

/* Its events */

uint64_t supervisor_reload(struct supervisor *s)
{
	return generations_request(&s->generations, BUILD_RELOAD);
}

/* How long the service manager is asked to wait before it kills. */
static uint64_t patience_ms(const struct supervisor *s)
{
	uint64_t ours = generations_patience_ms(&s->generations);
	uint64_t theirs = remnants_patience_ms(&s->takeover.remnants);

	return ours > theirs ? ours : theirs;
}

void supervisor_stop(struct supervisor *s)
{
	static const struct control_answer answer = {
		.exit_code = EX_TEMPFAIL, .text = "upperd is stopping\n"};

	if (s->generations.is_stopping) {
		log_each(EVENT_STOPPED, ABOUT_NOTHING, "asked again, and stopped at once");
		loop_stop(&s->loop, EX_OK);
		return;
	}
	upgrade_abandon(&s->takeover.upgrade);
	control_answer(&s->control, "upgrade", &answer);
	control_answer_build(&s->control, UINT64_MAX, &answer);
	watch_done(&s->watch);
	log_each(EVENT_STOPPING, ABOUT_NOTHING, "finishing what is open");
	manager_notify("STOPPING=1\nSTATUS=Finishing open connections\nEXTEND_TIMEOUT_USEC=%llu",
		(unsigned long long)patience_ms(s) * 1000);
	remnants_drain(&s->takeover.remnants);
	generations_stop(&s->generations);
	publish(s); /* that it is not ready any more */
}

static void on_change(struct watch *watch)
{
	struct supervisor *s = container_of(watch, struct supervisor, watch);

	generations_request(&s->generations, BUILD_RENEWAL);
}

void supervisor_watch(struct supervisor *s)
{
	const struct generation *serving = s->generations.serving;
	int r;

	s->watch.loop = &s->loop;
	s->watch.on_change = on_change;
	r = watch_start(&s->watch, generation_conf(serving), generation_files(serving));
	if (r < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r),
			"files are not watched, so a new certificate wants a reload");
}

static void on_signal(struct source *source, uint32_t events)
{
	struct supervisor *s = container_of(source, struct supervisor, signals);
	struct signalfd_siginfo info;

	while (read(s->signals.fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			supervisor_stop(s);
			break;
		case SIGHUP:
			supervisor_reload(s);
			break;
		case SIGUSR2:
			supervisor_upgrade(s);
			break;
		default:
			break;
		}
	}
}

/* The supervisor looks, since workers may share a socket, and may be the reason why its queue is full. */
static void count_drops(struct supervisor *s)
{
	const struct conf *conf =
		s->generations.serving ? generation_conf(s->generations.serving) : NULL;

	for (size_t i = 0; conf && i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];

		if (listener->transport == CONF_TCP || listener->transport == CONF_TLS)
			stats_count_drops(&s->stats, listener->name,
				sockets_count_drops(&s->resources.sockets, listener));
	}
}

static void on_clock(struct timer *timer, uint64_t now_ms)
{
	struct supervisor *s = container_of(timer, struct supervisor, clock);
	struct generations *all = &s->generations;
	_cleanup_moment_ struct moment moment = MOMENT_EMPTY;
	bool turning;

	if (loop_has_stood_still(timer, now_ms))
		generations_forgive(all);
	/* The watchdog of the service manager is fed for all processes: it is to restart a daemon
 * whose workers hang and cannot be replaced, too. */
	turning = generations_end_stuck(all);
	if (all->serving) /* or a second later */
		shared_correct(s->resources.shared, generations_count_open, all);
	count_drops(s);
	supervisor_observe(s, &moment);
	if (all->serving || all->is_stopping)
		stats_on_second(&s->stats, &moment);
	stats_publish(&s->stats, &moment);
	if (turning && manager_watchdog_ms() > 0)
		manager_feed_watchdog();
	manager_flush();
	takeover_on_second(s);
	if (tickets_rotate(&s->resources.tickets, now_ms) < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT_NOTHING, "no new keys for tickets");
	log_flush(now_ms);
	loop_set_timer(&s->loop, timer, now_ms + CLOCK_MS);
}

void supervisor_start(struct supervisor *s)
{
	s->signals.on_event = on_signal;
	s->clock.on_time = on_clock;
	loop_set_timer(&s->loop, &s->clock, s->loop.now_ms + CLOCK_MS);
	s->memory.loop = &s->loop;
	s->memory.shared = s->resources.shared;
	s->memory.counted = &s->stats.lasting.memory_short;
	memory_watch_start(&s->memory);
}

/* Its parts */

/* Signals are read in the loop; a write to a peer that is gone is an outcome and not a death. */
static int take_signals(struct supervisor *s)
{
	/* SIGUSR1 is for nothing, and would end a process that does not take it. */
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

	s->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals.fd < 0)
		return -errno;
	return loop_watch(&s->loop, &s->signals, s->signals.fd, EPOLLIN);
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
	gid_t group = (gid_t)-1;
	int r;

	if (conf->control_group && ident_find_group(conf->control_group, &group) != 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT_NOTHING,
			"there is no group \"%s\", so the control socket is for no group",
			conf->control_group);
	if (path && path[0] == '/')
		mkdir(dirname(path), 0755);
	r = is_open ? control_move(&s->control, wanted, group)
		    : control_open(&s->control, &s->loop, wanted, group);
	if (r < 0 && is_open)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r),
			"no control socket at %s for %s, so it stays at %s as it is", wanted,
			conf->control_group ? conf->control_group : "its owner", s->control.path);
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
		r = takeover_name_sockets(s, &inheritance);
	if (r >= 0)
		r = sockets_inherit(&s->resources.sockets, &inheritance, &name);
	if (r < 0)
		log_event(EVENT_START_FAILED, ABOUT(.error = r),
			"the socket \"%s\" that was passed in cannot be used%s", name,
			r == -ENOTUNIQ ? ": another of that name is bound to something else" : "");
	return r;
}

void supervisor_init(struct supervisor *s, const struct options *options)
{
	s->options = options;
	s->loop = LOOP_INIT(s->loop);
	s->signals.fd = -1;
	s->control = CONTROL_EMPTY;
	s->watch = WATCH_EMPTY;
	s->memory = MEMORY_WATCH_EMPTY;
	resources_init(&s->resources);
	generations_init(&s->generations, &owner, &s->loop, &s->resources);
	takeover_init(s, &remnants_owner);
	selftests_init(&s->selftests, &s->loop);
}

int supervisor_make(struct supervisor *s, const struct conf *conf, const struct control_verb *verbs)
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
		r = resources_make(&s->resources);
	if (r >= 0)
		r = takeover_make(s);
	if (r >= 0)
		r = stats_init(&s->stats, s->loop.now_ms);
	if (r < 0)
		return r;
	s->resources.page_fd = s->stats.page.fd;
	if (conf)
		supervisor_open_control(s, conf);
	return 0;
}

void supervisor_done(struct supervisor *s)
{
	watch_done(&s->watch);
	memory_watch_done(&s->memory);
	generations_done(&s->generations);
	takeover_done(s);
	selftests_abandon(&s->selftests, "upperd is stopping\n");
	control_done(&s->control);
	stats_done(&s->stats);
	if (s->signals.fd >= 0)
		close(s->signals.fd);
	loop_run_tasks(&s->loop);
	resources_done(&s->resources);
	loop_done(&s->loop);
}
