/* SPDX-License-Identifier: Apache-2.0 */

/* Both ends of an upgrade: what a supervisor hands to the next one, and how that one takes it up. A
 * line of the handover is written by a function `describe_` and read by its twin `take_`.
 *
 * * The sockets, the keys of tickets, the counts and the clients that wait at the control socket go
 * from one to the other. Children do not: they become remnants, which drain once the new program
 * serves. The page that workers share is made anew, since the old workers go on using theirs.
 *
 * * A count is handed over once: as a number when the process that made it has ended, and else with the
 *   page in which that process goes on counting. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "conf/fault.h"
#include "priv/sandbox.h"
#include "supervisor/supervisor.h"
#include "upgrade/handover.h"
#include "upgrade/remnants.h"

/* A program that hands over in another way has to be restarted. */
#define FORMAT "1"

/* As long as only the children of the program before serve, the first build is tried again. */
#define AGAIN_MS 10000

static struct supervisor *supervisor_of_upgrade(struct upgrade *upgrade)
{
	return container_of(upgrade, struct supervisor, takeover.upgrade);
}

/* Describing */

static void describe_socket(void *userdata, const struct socket_entry *entry)
{
	handover_socket(userdata, entry);
}

static void describe_remnant(void *userdata, const struct remnant_facts *facts)
{
	struct remnant_facts handed = *facts;
	struct handover *h = userdata;

	if (facts->channel_fd >= 0)
		handed.channel_fd = handover_fd(h, facts->channel_fd);
	fprintf(h->state, "remnant");
	remnant_describe(&handed, h->state);
	if (facts->page)
		counter_page_describe(h, facts->page);
}

/* A generation whose children are described. */
struct described {
	struct handover *handover;
	const struct generation *generation;
	struct sums *over;
	uint64_t left_ms;
	uint32_t *dtls;
	size_t n_dtls;
};

static void describe_child(void *userdata, const struct child *child)
{
	const struct described *d = userdata;
	const struct conf *conf = generation_conf(d->generation);
	const struct remnant_facts facts = {
		.role = child->role,
		.index = child->index,
		.pid = child->pid,
		.channel_fd = child->channel_fd,
		.is_draining = child->state >= CHILD_DRAINING,
		.within_ms = d->left_ms,
		.started_ms = child->started_ms,
		.dtls = d->dtls,
		.n_dtls = child->role == ROLE_WORKER ? d->n_dtls : 0,
	};

	if (child->state == CHILD_ENDED) {
		generation_add_child(d->generation, child, d->over);
		return;
	}
	describe_remnant(d->handover, &facts);
	counter_page_describe_own(d->handover, child->counters_fd, conf);
}

/* Sessions of datagrams do not outlive an upgrade: two programs cannot share the socket, since the one does not
 * know what the other's messages would mean. */
static void describe_generation(struct handover *h, const struct generation *g, struct sums *over)
{
	const struct conf *conf = generation_conf(g);
	_cleanup_free_ uint32_t *dtls = calloc(conf->n_listeners, sizeof(*dtls));
	struct described d = {h, g, over, generation_left_ms(g), dtls, 0};

	for (size_t i = 0; dtls && i < conf->n_listeners; i++)
		if (conf->listeners[i].transport == CONF_DTLS)
			dtls[d.n_dtls++] = (uint32_t)i;
	generation_each_child(g, describe_child, &d);
}

static void describe_children(const struct supervisor *s, struct handover *h, struct sums *over)
{
	const struct generations *all = &s->generations;

	if (all->serving)
		describe_generation(h, all->serving, over);
	for (struct list *node = all->draining.next; node != &all->draining; node = node->next)
		describe_generation(h, generation_of_node(node), over);
	remnants_each(&s->takeover.remnants, describe_remnant, h);
}

/* Two builds share keys only if the page looks the same to both. */
static const char *tickets_layout(void)
{
	static char text[32];

	snprintf(text, sizeof(text), "%zu/%d", sizeof(struct ticket_page), TICKET_RINGS);
	return text;
}

/* Numbers: of processes that have ended, and of the supervisor itself. */
static void sum_over(const struct supervisor *s, struct sums *over)
{
	struct log_memory log;

	records_recall(&log);
	over->common.records_lost += log.lost;
	sums_add_all(over, &s->stats.history);
	remnants_add_ended(&s->takeover.remnants, over);
}

static void describe_rest(const struct supervisor *s, struct handover *h, const struct sums *over)
{
	if (s->resources.tickets.fd >= 0)
		fprintf(h->state, "tickets %d %s\n", handover_fd(h, s->resources.tickets.fd),
			tickets_layout());
	stats_describe(&s->stats, over, h->state);
	records_describe(h->state);
	control_describe(&s->control, h);
}

static int on_describe(struct upgrade *u, struct handover *h)
{
	const struct supervisor *s = supervisor_of_upgrade(u);
	_cleanup_sums_ struct sums over = SUMS_EMPTY;
	int r;

	r = handover_begin(h, sockets_count(&s->resources.sockets));
	if (r < 0)
		return r;
	fprintf(h->state, "format " FORMAT "\n%s%s", h->trial ? "trial\n" : "",
		sandbox_is_entered() ? "confined\n" : "");
	/* A trial gets sockets and nothing else: children and clients stay with the program that
	 * runs. */
	sockets_each(&s->resources.sockets, describe_socket, h);
	if (h->trial)
		return 0;
	sum_over(s, &over);
	describe_children(s, h, &over);
	describe_rest(s, h, &over);
	return 0;
}

/* Trying */

/* A record for each line. */
static void record_why(const char *why)
{
	for (size_t len; *why != '\0'; why += len + (why[len] == '\n')) {
		len = strcspn(why, "\n");
		log_each(EVENT_UPGRADE_FAILED, ABOUT_NOTHING, "everything stays as it was: %.*s",
			(int)len, why);
	}
}

static void on_trial_failed(struct upgrade *u, int exit_code, const char *why)
{
	struct supervisor *s = supervisor_of_upgrade(u);
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;

	record_why(why);
	faults_add(&faults, &(struct fault_place){.level = FAULT_ERROR}, "%s", why);
	control_answer(&s->control, "upgrade",
		&(struct control_answer){.exit_code = exit_code, .text = why, .faults = &faults});
}

static void on_trial_passed(struct upgrade *u)
{
	struct supervisor *s = supervisor_of_upgrade(u);

	if (generations_is_building(&s->generations)) {
		on_trial_failed(u, EX_TEMPFAIL, "a reload has come in between\n");
		return;
	}
	/* Its child would be of no generation, and a client that waits for it would wait for ever. */
	selftests_abandon(&s->selftests, "interrupted by an upgrade; try again\n");
	upgrade_become(u);
}

static const struct upgrade_owner upgrade_owner = {
	.on_describe = on_describe,
	.on_passed = on_trial_passed,
	.on_failed = on_trial_failed,
};

void supervisor_upgrade(struct supervisor *s)
{
	int r;

	if (upgrade_is_trying(&s->takeover.upgrade))
		return; /* two clients that ask get the one answer */
	if (!s->generations.serving || generations_is_building(&s->generations)) {
		on_trial_failed(&s->takeover.upgrade, EX_TEMPFAIL,
			s->generations.is_stopping
				? "it is stopping\n"
				: "a start or a reload is under way; ask again\n");
		return;
	}
	r = upgrade_try(&s->takeover.upgrade);
	if (r < 0)
		on_trial_failed(&s->takeover.upgrade, EX_OSERR, strerror(-r));
}

/* Taking over */

struct naming {
	struct inheritance *inheritance;
	size_t n_sockets;
};

/* The first look at the text: whether this is a trial, and whether the rest can be understood.
 * The format is checked only when that matters, so that a trial can say so in words. */
static int take_kind(void *userdata, const char *word, char *rest)
{
	struct supervisor *s = userdata;

	if (strcmp(word, "format") == 0)
		s->takeover.is_readable = strcmp(rest, FORMAT) == 0;
	else if (strcmp(word, "trial") == 0)
		s->takeover.is_trial = s->resources.sockets.is_trial = true;
	else if (strcmp(word, "confined") == 0)
		sandbox_inherit();
	return 0;
}

int takeover_find(struct supervisor *s)
{
	int r;

	r = handover_take(&s->takeover.handed);
	if (r >= 0 && s->takeover.handed)
		r = handover_each(s->takeover.handed, take_kind, s);
	return r;
}

/* Of the socket in a line before. */
static int take_socket_file(struct inherited *one, char *rest)
{
	one->file.device = (dev_t)handover_number(&rest);
	one->file.inode = (ino_t)handover_number(&rest);
	return 0;
}

static int take_socket_drops(struct inherited *one, char *rest)
{
	one->drops = (uint32_t)handover_number(&rest);
	one->knows_drops = true;
	return 0;
}

static int take_socket(void *userdata, const char *word, char *rest)
{
	struct naming *naming = userdata;
	bool is_file = strcmp(word, "file") == 0;
	struct inherited *one;

	if (is_file || strcmp(word, "drops") == 0) {
		if (naming->n_sockets == 0)
			return -EINVAL;
		one = &naming->inheritance->list[naming->n_sockets - 1];
		return is_file ? take_socket_file(one, rest) : take_socket_drops(one, rest);
	}
	if (strcmp(word, "socket") != 0)
		return 0;
	if (naming->n_sockets == naming->inheritance->n)
		return -EINVAL;
	one = &naming->inheritance->list[naming->n_sockets++];
	if (*rest == '\0')
		return 0;
	one->key = strdup(rest);
	return one->key ? 0 : -ENOMEM;
}

int takeover_name_sockets(const struct supervisor *s, struct inheritance *inheritance)
{
	struct naming naming = {.inheritance = inheritance};

	return s->takeover.handed ? handover_each(s->takeover.handed, take_socket, &naming) : 0;
}

/* So that a session which was begun before the upgrade is resumed after it. */
static int take_tickets(struct supervisor *s, char *rest)
{
	_cleanup_close_ int fd = handover_own(&rest);

	if (fd < 0 || !rest || strcmp(rest, tickets_layout()) != 0)
		return 0;
	return tickets_resume(&s->resources.tickets, &fd);
}

static int take_started(struct supervisor *s, char *rest)
{
	stats_take_started(&s->stats, rest);
	return 0;
}

static int take_remnant(struct supervisor *s, char *rest)
{
	return remnants_take(&s->takeover.remnants, rest);
}

static int take_page(struct supervisor *s, char *rest)
{
	remnants_take_page(&s->takeover.remnants, rest);
	return 0;
}

static int take_common(struct supervisor *s, char *rest)
{
	stats_take_common(&s->stats, rest);
	return 0;
}

static int take_error(struct supervisor *s, char *rest)
{
	records_take(rest);
	return 0;
}

static int take_listener(struct supervisor *s, char *rest)
{
	stats_take_listener(&s->stats, rest);
	return 0;
}

static int take_lasting(struct supervisor *s, char *rest)
{
	stats_take_lasting(&s->stats, rest);
	return 0;
}

static int take_control(struct supervisor *s, char *rest)
{
	return control_take(&s->control, &s->loop, rest);
}

static int take_client(struct supervisor *s, char *rest)
{
	return control_take_client(&s->control, rest, FIRST_BUILD);
}

static int take_line(void *userdata, const char *word, char *rest)
{
	static const struct {
		const char *word;
		int (*take)(struct supervisor *s, char *rest);
	} lines[] = {
		{"tickets", take_tickets},
		{"started", take_started},
		{"remnant", take_remnant},
		{"page", take_page},
		{"common", take_common},
		{"error", take_error},
		{"listener", take_listener},
		{"lasting", take_lasting},
		{"control", take_control},
		{"client", take_client},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (strcmp(lines[i].word, word) == 0)
			return lines[i].take(userdata, rest);
	return 0;
}

int takeover_take(struct supervisor *s)
{
	return s->takeover.is_readable ? handover_each(s->takeover.handed, take_line, s) : -EINVAL;
}

/* After it */

void takeover_on_served(struct supervisor *s)
{
	if (!remnants_are_serving(&s->takeover.remnants))
		return;
	generations_hold(&s->generations);
	remnants_drain(&s->takeover.remnants);
}

void takeover_on_second(struct supervisor *s)
{
	if (!remnants_are_serving(&s->takeover.remnants) ||
		generations_is_building(&s->generations) || s->loop.now_ms < s->takeover.again_ms)
		return;
	s->takeover.again_ms = s->loop.now_ms + AGAIN_MS;
	generations_request(&s->generations, BUILD_UPGRADE);
}

void takeover_init(struct supervisor *s, const struct remnants_owner *owner)
{
	s->takeover = (struct takeover){.upgrade = UPGRADE_EMPTY};
	remnants_init(&s->takeover.remnants, &s->loop, owner);
}

int takeover_make(struct supervisor *s)
{
	s->takeover.again_ms = s->loop.now_ms + AGAIN_MS;
	return upgrade_init(&s->takeover.upgrade, &s->loop, &upgrade_owner, s->options->argv);
}

void takeover_done(struct supervisor *s)
{
	upgrade_done(&s->takeover.upgrade);
	remnants_done(&s->takeover.remnants);
	free(s->takeover.handed);
	free(s->changes);
}
