/* SPDX-License-Identifier: Apache-2.0 */

/* Runs as whoever started the daemon; root keeps the few capabilities that reload and respawn need.
 * It reads no byte that came from the network, and waits for nothing but its one loop.
 *
 * Start and reload are one thing: a generation is built, and takes over when it is ready. Until then
 * the old one serves, and when it fails, the old one goes on as if nothing had been asked. */

#include "role/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/fault.h"
#include "config.h"
#include "priv/ident.h"
#include "role/commands.h"
#include "role/confine.h"
#include "role/manager.h"
#include "role/records.h"

#define TICK_MS      1000
#define DRAINING_MAX 64

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

		if (f->file)
			snprintf(place, sizeof(place), "%s:%u: ", f->file, f->line);
		snprintf(text, sizeof(text), "%s%s%s%s", f->file ? place : "", f->key ? f->key : "",
			f->key ? ": " : "", f->message);
		log_pass(&record);
	}
}

/* Tells the log, the manager and whoever asked. */
static void start_failed(struct supervisor *s, int exit_code, const char *why)
{
	log_each(EVENT_START_FAILED, ABOUT_NOTHING, "cannot start: %s", why);
	manager_notify("STATUS=Cannot start: %s", why);
	loop_stop(&s->loop, exit_code);
}

static void answer_reload(struct supervisor *s, int exit_code, const struct faults *faults)
{
	_cleanup_free_ char *text = NULL, *json = NULL;
	size_t text_len, json_len;
	FILE *to_text = open_memstream(&text, &text_len);
	FILE *to_json = open_memstream(&json, &json_len);

	if (to_text)
		faults_print(faults, to_text);
	if (to_json)
		faults_print_json(faults, to_json);
	if (to_text && exit_code == EX_OK)
		fprintf(to_text, "reloaded\n");
	if (to_text)
		fclose(to_text);
	if (to_json)
		fclose(to_json);
	control_answer(&s->control, "reload", exit_code, text ? text : "", json ? json : "");
}

/* With the faults of the configuration, or for another reason, which is put among them. */
static void reload_failed(
	struct supervisor *s, int exit_code, struct faults *faults, const char *why)
{
	if (why)
		faults_add(faults, &(struct fault_place){.level = FAULT_ERROR}, "%s", why);
	record_faults(faults);
	log_each(EVENT_RELOAD_FAILED, ABOUT_NOTHING,
		"%zu fault(s), so the configuration stays as it was", faults->n);
	manager_notify("READY=1\nSTATUS=Reload failed: %s",
		faults->n > 0 ? faults->list[0].message : "no memory");
	answer_reload(s, exit_code, faults);
}

/* A build that failed is forgotten, with the sockets that were made for it alone. */
static void build_failed(struct supervisor *s, int exit_code, const char *why)
{
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;

	if (!s->serving) {
		start_failed(s, exit_code, why);
		return;
	}
	sockets_settle(&s->sockets, generation_conf(s->serving));
	reload_failed(s, exit_code, &faults, why);
	if (s->reload_again)
		supervisor_reload(s);
	else if (s->renew_again)
		supervisor_renew(s);
}

static void on_failed(struct generation *g, int exit_code, const char *why)
{
	struct supervisor *s = generation_userdata(g);

	s->building = NULL;
	build_failed(s, exit_code, why);
	generation_free(g);
}

static void supervisor_retire(struct supervisor *s, struct generation *g)
{
	if (s->n_draining >= DRAINING_MAX) {
		log_each(EVENT_DRAIN_CUT, ABOUT_NOTHING,
			"%u configurations are still draining; the oldest is ended", s->n_draining);
		generation_kill(generation_of_node(s->draining.next));
	}
	list_append(&s->draining, generation_node(g));
	s->n_draining++;
	generation_drain(g);
}

static void stop_if_idle(struct supervisor *s)
{
	if (!s->stopping || s->n_draining > 0)
		return;
	log_each(EVENT_STOPPED, ABOUT_NOTHING, "stopped as asked");
	control_answer(&s->control, "drain", EX_OK, "stopped\n", "{\"stopped\":true}\n");
	loop_stop(&s->loop, EX_OK);
}

static void on_gone(struct generation *g)
{
	struct supervisor *s = generation_userdata(g);

	s->n_draining--;
	generation_totals(g, &s->history);
	generation_free(g);
	stop_if_idle(s);
}

static void say_ready(struct supervisor *s, bool again)
{
	const struct generation *g = s->serving;
	const struct conf *conf = generation_conf(g);

	log_each(again ? EVENT_RELOADED : EVENT_READY, ABOUT_NOTHING,
		"serving: %u workers, %zu listeners, at most %llu connections",
		generation_workers(g), conf->n_listeners,
		(unsigned long long)generation_connections(g));
	supervisor_watch(s);
	manager_notify("READY=1\nMAINPID=%d\nSTATUS=%u workers, %zu listeners", (int)getpid(),
		generation_workers(g), conf->n_listeners);
	if (again)
		answer_reload(s, EX_OK, &FAULTS_EMPTY);
	if (s->reload_again)
		supervisor_reload(s);
}

/* A reload is done when nobody meets the old configuration any more, and not before. */
static void on_released(struct generation *g)
{
	struct supervisor *s = generation_userdata(g);

	if (g != s->replaced)
		return;
	s->replaced = NULL;
	if (s->serving)
		say_ready(s, true);
}

static void on_ready(struct generation *g)
{
	struct supervisor *s = generation_userdata(g);
	struct generation *old = s->serving;

	s->building = NULL;
	s->serving = g;
	s->replaced = old;
	records_to_log(generation_conf(g));
	generation_serve(g);
	if (old)
		supervisor_retire(s, old);
	sockets_settle(&s->sockets, generation_conf(g));
	if (!old)
		say_ready(s, false);
}

static const struct generation_owner owner = {
	.on_ready = on_ready,
	.on_failed = on_failed,
	.on_released = on_released,
	.on_gone = on_gone,
};

static int supervisor_claim_tickets(
	struct supervisor *s, const struct conf *conf, char why[static 512])
{
	const struct conf *serving = s->serving ? generation_conf(s->serving) : NULL;
	int r;

	r = tickets_claim(&s->tickets, conf, serving, s->loop.now_ms);
	if (r == TICKETS_E_FULL)
		snprintf(
			why, 512, "more than %d different values of ticket_lifetime", TICKET_RINGS);
	else if (r < 0)
		snprintf(why, 512, "cannot make keys of tickets: %s", strerror(-r));
	return r == TICKETS_E_FULL ? EX_CONFIG : r < 0 ? EX_OSERR : 0;
}

void supervisor_build(struct supervisor *s, struct conf *conf)
{
	char why[512];
	int exit_code = supervisor_claim_tickets(s, conf, why);
	struct generation_parts parts = {
		.loop = &s->loop,
		.sockets = &s->sockets,
		.shared = s->shared,
		.shared_fd = s->shared_fd,
		.tickets_fd = s->tickets.fd,
		.is_strict = s->renewing,
		.owner = &owner,
		.userdata = s,
	};

	if (exit_code == 0)
		exit_code = generation_new(&parts, take_ptr(&conf), &s->building, why);
	conf_free(conf);
	if (exit_code != 0)
		build_failed(s, exit_code, why);
}

/* Asked while another is on its way, it begins when that one has ended. */
void supervisor_reload(struct supervisor *s)
{
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	struct conf *conf;

	if (s->stopping)
		return;
	s->reload_again = s->building || s->replaced;
	if (s->reload_again)
		return;
	s->renewing = false;
	log_each(EVENT_RELOADING, ABOUT_NOTHING, "reading %s", s->options->file);
	manager_notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_us());
	if (command_load(s->options, &faults, &conf) != 0) {
		reload_failed(s, EX_CONFIG, &faults, NULL);
		return;
	}
	record_faults(&faults);
	supervisor_build(s, conf);
}

void supervisor_stop(struct supervisor *s)
{
	if (s->stopping) {
		log_each(EVENT_STOPPED, ABOUT_NOTHING, "asked again, and stopped at once");
		loop_stop(&s->loop, EX_OK);
		return;
	}
	s->stopping = true;
	watch_done(&s->watch);
	log_each(EVENT_STOPPING, ABOUT_NOTHING, "finishing what is open");
	manager_notify("STOPPING=1\nSTATUS=Finishing open connections");
	generation_free(s->building);
	s->building = NULL;
	if (s->serving)
		supervisor_retire(s, s->serving);
	s->serving = NULL;
	sockets_settle(&s->sockets, NULL);
	stop_if_idle(s);
}

static void on_signal(struct source *source, uint32_t events)
{
	struct supervisor *s = container_of(source, struct supervisor, signals);
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			supervisor_stop(s);
			break;
		case SIGHUP:
			supervisor_reload(s);
			break;
		default:
			break;
		}
	}
}

static void supervisor_say_status(struct supervisor *s)
{
	_cleanup_totals_ struct totals totals = TOTALS_EMPTY;
	char status[sizeof(s->status)];
	uint64_t messages = 0;

	supervisor_totals(s, &totals);
	for (size_t i = 0; i < totals.n; i++)
		messages += totals.list[i].counters.counted[COUNT_messages];
	s->rate = messages - s->messages;
	s->messages = messages;

	snprintf(status, sizeof(status), "%u workers, %llu connections, %llu messages/s",
		generation_workers(s->serving), (unsigned long long)atomic_load(&s->shared->open),
		(unsigned long long)s->rate);
	if (strcmp(status, s->status) != 0)
		manager_notify("STATUS=%s", status);
	memcpy(s->status, status, sizeof(status));
}

static void on_tick(struct timer *timer, uint64_t now_ms)
{
	struct supervisor *s = container_of(timer, struct supervisor, tick);
	bool turning = !s->serving || generation_check(s->serving);

	if (s->serving)
		supervisor_say_status(s);
	if (turning && manager_watchdog_ms() > 0)
		manager_notify("WATCHDOG=1");
	if (tickets_rotate(&s->tickets, now_ms) < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT_NOTHING, "no new keys for tickets");
	log_flush(now_ms);
	loop_set_timer(&s->loop, timer, now_ms + TICK_MS);
}

/* Workers of a root supervisor must be able to become somebody: better to hear that now. */
static bool user_exists(const struct conf *conf)
{
	const char *what = "user", *name = conf->user;
	uid_t uid;
	gid_t gid;
	int r;

	if (!ident_is_root()) {
		if (strcmp(conf->user, UPPERD_USER) != 0)
			log_each(EVENT_NOTICE, ABOUT_NOTHING,
				"not started as root, so \"user\" and \"group\" are passed over");
		return true;
	}
	r = ident_find(conf->user, conf->group, &uid, &gid);
	if (r == 0)
		return true;
	if (r == IDENT_E_NO_GROUP) {
		what = "group";
		name = conf->group;
	}
	log_each(EVENT_START_FAILED, ABOUT_NOTHING,
		"there is no %s \"%s\" for the workers to become; make it, as with 'adduser "
		"--system --group %s', or name another with the key \"%s\"",
		what, name, UPPERD_USER, what);
	return false;
}

/* Its own part of the sandbox lasts until it ends, and holds for each child from its first instruction. */
static int supervisor_confine(const struct conf *conf)
{
	char why[CONFINE_WHY];
	int exit_code;

	if (conf->sandbox == CONF_SANDBOX_OFF)
		log_event(EVENT_SANDBOX_OFF, ABOUT_NOTHING,
			"the sandbox is off: whoever takes a worker over can do what its user can");
	exit_code = confine("supervisor", conf, why);
	if (exit_code != 0) {
		log_event(EVENT_START_FAILED, ABOUT_NOTHING, "cannot start: %s", why);
		manager_notify("STATUS=Cannot start: %s", why);
	}
	return exit_code;
}

int supervisor_main(const struct options *options)
{
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	_cleanup_conf_ struct conf *conf = NULL;
	struct supervisor s = {.tick.on_time = on_tick, .signals.on_event = on_signal};
	int exit_code, r;

	r = command_load(options, &faults, &conf);
	faults_print(&faults, stderr);
	if (r != 0)
		return EX_CONFIG;
	records_to_log(conf);
	if (!user_exists(conf))
		return EX_CONFIG;

	log_each(EVENT_STARTING, ABOUT_NOTHING, "upperd %s, configuration %s", UPPERD_VERSION,
		options->file);
	r = supervisor_init(&s, options, conf, supervisor_verbs);
	if (r >= 0)
		exit_code = supervisor_confine(conf);
	if (r >= 0 && exit_code != 0) {
		r = exit_code;
	} else if (r >= 0) {
		loop_set_timer(&s.loop, &s.tick, s.loop.now_ms + TICK_MS);
		supervisor_build(&s, take_ptr(&conf));
		r = loop_run(&s.loop);
	} else {
		log_each(EVENT_START_FAILED, ABOUT(.error = r), "cannot start");
	}
	supervisor_done(&s);
	if (r < 0)
		return r == -EPERM || r == -EACCES ? EX_NOPERM : EX_OSERR;
	return r;
}
