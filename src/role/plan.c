/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration goes to the children as the text that --dump prints, in memory that is sealed, and
 * each reads it with the same parser: there is no second format to get wrong. */

#include "role/plan.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "priv/ident.h"

#define SPARE_FDS 64 /* for what is not a connection */

static unsigned cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

static uint64_t connections_of(const struct conf *conf)
{
	struct rlimit files;

	if (conf->limits.connections > 0)
		return conf->limits.connections;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur <= SPARE_FDS)
		return 1;
	return files.rlim_cur - SPARE_FDS;
}

static int plan_seal(struct plan *plan)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = conf_dump(plan->conf, &text);
	if (r < 0)
		return r;
	return fd_sealed("upperd-configuration", text, strlen(text), &plan->conf_fd);
}

/* What a listener lacks when some sockets were passed, but not its own. */
static int plan_lacks_socket(const struct conf_listener *l, const struct sockets *sockets,
	const char *refused, char why[static 512])
{
	char passed[256];

	snprintf(why, 512,
		"listener %s: there is no socket for it among those that the service manager "
		"passes (%s), and none can be made here: %s; make a .socket unit with "
		"FileDescriptorName=%s",
		l->name, sockets_inherited(sockets, passed), refused, l->name);
	return EX_CONFIG;
}

static int plan_claim_one(
	struct plan *plan, size_t listener, struct sockets *sockets, char why[static 512])
{
	const struct conf_listener *l = &plan->conf->listeners[listener];
	char text[ADDR_TEXT];
	int r;

	r = sockets_claim(sockets, l, plan->workers, &plan->groups[listener]);
	if (r == 0)
		return 0;
	addr_format(&l->address, text);
	if (r == SOCKETS_E_OTHER) {
		snprintf(why, 512,
			"listener %s: the socket that the service manager passes under this name "
			"is "
			"%s, and the listener asks for %s %s; change the .socket unit or the "
			"listener",
			l->name, socket_group_text(plan->groups[listener]),
			conf_transport_name(l->transport), l->path ? l->path : text);
		return EX_CONFIG;
	}
	if (r == -EAFNOSUPPORT || (r < 0 && sockets_any_inherited(sockets)))
		return plan_lacks_socket(l, sockets, strerror(-r), why);
	if (r > 0) {
		snprintf(why, 512, "listener %s: there is no such %s", l->name,
			r == IDENT_E_NO_USER ? "owner" : "group");
		return EX_NOUSER;
	}
	snprintf(why, 512, "listener %s: cannot listen on %s: %s", l->name,
		l->path ? l->path : text, strerror(-r));
	return r == -EACCES || r == -EPERM ? EX_NOPERM : EX_OSERR;
}

/* A port that is open and that nobody serves looks alive from outside, and is not. */
static int plan_all_claimed(
	const struct plan *plan, const struct sockets *sockets, char why[static 512])
{
	const char *name = sockets_unclaimed(sockets, plan->conf);

	if (!name)
		return 0;
	snprintf(why, 512,
		"the service manager passes a socket named \"%s\", and no listener has that name; "
		"add the listener, or disable and stop the .socket unit",
		name);
	return EX_CONFIG;
}

int plan_make(struct plan *plan, struct conf *conf, struct sockets *sockets, char why[static 512])
{
	int r = 0;

	plan->conf = conf;
	plan->workers = conf->workers > 0 ? conf->workers : cpus();
	plan->connections = connections_of(conf);
	plan->groups = calloc(conf->n_listeners, sizeof(struct socket_group *));
	if (!plan->groups || plan_seal(plan) < 0) {
		snprintf(why, 512, "no memory for the configuration");
		return EX_OSERR;
	}
	for (size_t i = 0; i < conf->n_listeners && r == 0; i++)
		r = plan_claim_one(plan, i, sockets, why);
	return r == 0 ? plan_all_claimed(plan, sockets, why) : r;
}

void plan_done(struct plan *plan)
{
	if (plan->conf_fd >= 0)
		close(plan->conf_fd);
	free(plan->groups);
	conf_free(plan->conf);
	*plan = PLAN_EMPTY;
}

struct give {
	struct child *child;
	struct msg_listener message;
};

static int give_listener(void *userdata, int fd)
{
	struct give *give = userdata;

	child_tell(give->child, MSG_LISTENER, &give->message, sizeof(give->message), &fd);
	return 0;
}

void plan_supply(const struct plan *plan, struct child *child)
{
	const struct msg_setup setup = {
		.index = child->index,
		.connections = plan->connections,
	};
	const int fds[CHANNEL_FDS] = {plan->conf_fd, child->counters_fd, plan->shared_fd};

	child_tell(child, MSG_SETUP, &setup, sizeof(setup), fds);
	for (size_t i = 0; i < plan->conf->n_listeners; i++) {
		struct give give = {child, {(uint32_t)i}};

		socket_group_share(
			plan->groups[i], child->index, plan->workers, give_listener, &give);
	}
	child_tell(child, MSG_PREPARE, NULL, 0, NULL);
}
