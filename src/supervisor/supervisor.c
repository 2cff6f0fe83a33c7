/* SPDX-License-Identifier: Apache-2.0 */

/* Runs as whoever started the daemon; root keeps the few capabilities that reload and respawn need.
 * It reads no byte that came from the network, and waits for nothing but its one loop.
 *
 * Start and reload are one thing: a generation is built, and takes over when it is ready. Until then
 * the old one serves, and when it fails, the old one goes on as if nothing had been asked. */

#include "supervisor/supervisor.h"

#include <signal.h>
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
#include "generation/dtls_peers.h"
#include "process/configuration.h"
#include "supervisor/manager.h"
#include "supervisor/records.h"

#define DRAINING_MAX 64
#define STOP_MS      5000

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
	if (s->trial && s->faults.n > 0)
		faults_print(&s->faults, stderr);
	else if (s->trial)
		fprintf(stderr, "%s\n", why);
	else
		record_faults(&s->faults);
	if (!s->trial) {
		log_each(EVENT_START_FAILED, ABOUT_NOTHING, "cannot start: %s", why);
		manager_notify("STATUS=Cannot start: %s", why);
	}
	loop_stop(&s->loop, exit_code);
}

/* An upgrade ends with a reload, and those who wait for either are told. */
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
		fprintf(to_text, s->upgrading ? "upgraded\n" : "reloaded\n");
	if (to_text)
		fclose(to_text);
	if (to_json)
		fclose(to_json);
	control_answer(&s->control, "reload", exit_code, text ? text : "", json ? json : "");
	if (s->upgrading)
		control_answer(
			&s->control, "upgrade", exit_code, text ? text : "", json ? json : "");
	s->upgrading = false;
	stats_count_reload(&s->stats, exit_code == EX_OK);
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
	if (!s->serving) {
		start_failed(s, exit_code, why);
		return;
	}
	sockets_rollback(&s->sockets);
	dtls_peers_prune_sockets(&s->sockets, &s->draining, generation_conf(s->serving));
	configuration_quote(&s->faults);
	reload_failed(s, exit_code, &s->faults, s->faults.n > 0 ? NULL : why);
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

/* To be drained next; it is counted among those that drain from here on. */
static void supervisor_set_aside(struct supervisor *s, struct generation *g)
{
	if (s->n_draining >= DRAINING_MAX) {
		log_each(EVENT_DRAIN_CUT, ABOUT_NOTHING,
			"%u configurations are still draining; the oldest is ended", s->n_draining);
		generation_kill(generation_of_node(s->draining.next));
	}
	supervisor_keep_draining(s, g);
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
	generation_add_counters(g, &s->stats.history);
	generation_free(g);
	if (s->serving && !s->building)
		dtls_peers_prune_sockets(&s->sockets, &s->draining, generation_conf(s->serving));
	stop_if_idle(s);
}

static void say_ready(struct supervisor *s, bool again)
{
	const struct generation *g = s->serving;
	const struct conf *conf = generation_conf(g);

	log_each(s->upgrading   ? EVENT_UPGRADED
			: again ? EVENT_RELOADED
				: EVENT_READY,
		ABOUT_NOTHING, "serving: %u workers, %zu listeners, at most %llu connections",
		generation_workers(g), conf->n_listeners,
		(unsigned long long)generation_connections(g));
	supervisor_watch(s);
	records_leave_stderr();
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

/* Sessions of datagrams go on with those who have them, which are not those who read the socket. */
static void on_replaced(struct generation *g, unsigned worker)
{
	struct supervisor *s = generation_userdata(g);

	list_foreach (node, &s->draining)
		dtls_peers_introduce_one(g, worker, generation_of_node(node));
}

static void introduce_all(struct supervisor *s, struct generation *young)
{
	list_foreach (node, &s->draining)
		dtls_peers_introduce(young, generation_of_node(node));
}

static enum cause cause_of(const struct supervisor *s)
{
	if (s->upgrading)
		return CAUSE_UPGRADE;
	if (!s->serving)
		return CAUSE_START;
	return s->renewing ? CAUSE_RENEWAL : CAUSE_RELOAD;
}

/* Until the last of it serves, everything can still stay as it was. */
static void on_ready(struct generation *g)
{
	struct supervisor *s = generation_userdata(g);
	char why[512];
	int exit_code;

	if (s->trial) {
		loop_stop(&s->loop, TRIAL_PASSED);
		return;
	}
	exit_code = generation_bind(g, why);
	if (exit_code != 0) {
		s->building = NULL;
		generation_free(g); /* first: its workers have the sockets that could be bound */
		build_failed(s, exit_code, why);
		return;
	}
	if (s->serving)
		dtls_peers_introduce(g, s->serving);
	introduce_all(s, g);
	supervisor_publish(s);
	generation_serve(g);
}

static void on_served(struct generation *g)
{
	struct supervisor *s = generation_userdata(g);
	struct generation *old = s->serving;

	stats_count_generation(&s->stats, cause_of(s));
	s->building = NULL;
	s->serving = g;
	s->replaced = old;
	records_to_log(generation_conf(g));
	generation_commit(g);
	if (old) {
		supervisor_set_aside(s, old);
		generation_drain(old);
	}
	list_foreach (node, &s->draining)
		dtls_peers_take_over(g, generation_of_node(node));
	supervisor_publish(s);
	dtls_peers_prune_sockets(&s->sockets, &s->draining, generation_conf(g));
	if (old)
		supervisor_open_control(s, generation_conf(g));
	else
		say_ready(s, false);
}

static void on_died(struct generation *g, const struct child *child, const struct child_end *end)
{
	struct supervisor *s = generation_userdata(g);

	stats_count_death(&s->stats, child, end);
}

static const struct generation_owner owner = {
	.on_died = on_died,
	.on_ready = on_ready,
	.on_served = on_served,
	.on_failed = on_failed,
	.on_replaced = on_replaced,
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

struct generation_parts supervisor_parts(struct supervisor *s)
{
	return (struct generation_parts){
		.loop = &s->loop,
		.sockets = &s->sockets,
		.shared = s->shared,
		.shared_fd = s->shared_fd,
		.tickets_fd = s->tickets.fd,
		.refuse_expired = s->renewing,
		.page_fd = s->stats.page.fd,
		.faults = &s->faults,
		.owner = &owner,
		.userdata = s,
	};
}

void supervisor_keep_draining(struct supervisor *s, struct generation *g)
{
	list_append(&s->draining, generation_node(g));
	s->n_draining++;
}

void supervisor_build(struct supervisor *s, struct conf *conf)
{
	struct generation_parts parts = supervisor_parts(s);
	char why[512];
	int exit_code = supervisor_claim_tickets(s, conf, why);

	faults_done(&s->faults);
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
	control_turn(&s->control, "reload");
	log_each(EVENT_RELOADING, ABOUT_NOTHING, "reading %s", s->options->file);
	manager_notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_us());
	if (configuration_load(s->options, &faults, &conf) != 0) {
		reload_failed(s, EX_CONFIG, &faults, NULL);
		return;
	}
	record_faults(&faults);
	sockets_mend(&s->sockets);
	supervisor_build(s, conf);
}

/* How long the last of what is open may take to end, and a little for us. */
static uint64_t supervisor_patience_ms(struct supervisor *s)
{
	uint64_t longest = s->serving ? generation_conf(s->serving)->drain_ms : 0;

	list_foreach (node, &s->draining) {
		uint64_t drain = generation_conf(generation_of_node(node))->drain_ms;

		longest = drain > longest ? drain : longest;
	}
	return longest + STOP_MS;
}

void supervisor_stop(struct supervisor *s)
{
	if (s->stopping) {
		log_each(EVENT_STOPPED, ABOUT_NOTHING, "asked again, and stopped at once");
		loop_stop(&s->loop, EX_OK);
		return;
	}
	s->stopping = true;
	upgrade_abandon(s);
	control_turn(&s->control, "reload");
	control_answer(&s->control, "reload", EX_TEMPFAIL, "upperd is stopping\n", "[]\n");
	if (s->upgrading)
		control_answer(&s->control, "upgrade", EX_TEMPFAIL, "upperd is stopping\n", "[]\n");
	watch_done(&s->watch);
	log_each(EVENT_STOPPING, ABOUT_NOTHING, "finishing what is open");
	manager_notify("STOPPING=1\nSTATUS=Finishing open connections\nEXTEND_TIMEOUT_USEC=%llu",
		(unsigned long long)supervisor_patience_ms(s) * 1000);
	generation_free(s->building);
	s->building = NULL;
	if (s->serving) {
		supervisor_set_aside(s, s->serving);
		generation_drain(s->serving);
	}
	s->serving = NULL;
	sockets_prune(&s->sockets, NULL);
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
		case SIGUSR2:
			supervisor_upgrade(s);
			break;
		default:
			break;
		}
	}
}

void supervisor_begin(struct supervisor *s)
{
	s->signals.on_event = on_signal;
	supervisor_tick(s);
	if (s->serving)
		supervisor_publish(s); /* after an upgrade, on a page that is new */
}
