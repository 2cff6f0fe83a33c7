/* SPDX-License-Identifier: Apache-2.0 */

/* All that is decided before the first child of a generation starts: the configuration, its
 * files, its sockets, and how many workers there are. A plan is made whole or not at all, and
 * its faults are those of the operator: they come with the exit code that fits, and with advice
 * where the error of the system alone gives none.
 *
 * The configuration goes to the children as the text that --dump prints, in memory that is
 * sealed, and each reads it with the same parser: there is no second format to get wrong. Files
 * are opened once and kept, so that a child which is replaced weeks later gets the same
 * certificate as its siblings, whatever is at the path by then.
 *
 * Files are opened first; then sockets are claimed, which changes nothing that serves
 * (sockets/sockets.c). plan_bind() comes when all children are ready, plan_commit() when all
 * serve. */

#include "generation/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cpus.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/why.h"
#include "conf/fault.h"
#include "priv/ident.h"
#include "process/files.h"
#include "sockets/socket_spec.h"

#define SPARE_FDS    64 /* for what is not a connection */
#define LONGEST_TEXT (64 << 20)

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

static int read_sealed_conf(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	const struct plan *plan = userdata;

	return fd_read_all(plan->conf_fd, LONGEST_TEXT, ret_text, ret_len);
}

int plan_conf_again(const struct plan *plan, struct conf **ret_conf)
{
	struct conf_source source = {
		.file = "the configuration that serves",
		.read = read_sealed_conf,
		.userdata = (void *)(uintptr_t)plan,
	};
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	int r;

	r = conf_load(&source, &faults, ret_conf);
	return r > 0 ? -EINVAL : r;
}

/* The reason when sockets were passed, but not this listener's. */
static int plan_lacks_socket(const struct conf_listener *l, const struct sockets *sockets,
	const char *refused, struct why *why)
{
	char passed[256], name[CONF_LISTENER_NAME], advice[256];

	if (conf_socket_name(l, name))
		snprintf(advice, sizeof(advice),
			"give it a name without a colon, name = \"%s\", and make a .socket unit "
			"with FileDescriptorName=%s",
			name, name);
	else
		snprintf(advice, sizeof(advice), "make a .socket unit with FileDescriptorName=%s",
			l->name);
	return why_set(why, EX_CONFIG,
		"listener %s: there is no socket for it among those that the service manager "
		"passes (%s), and none can be made here: %s; %s",
		l->name, sockets_inherited(sockets, passed), refused, advice);
}

/* Datagrams of one session must all come to the worker that has it, so that DTLS has a single socket, and
 * one worker reads that. */
static unsigned sockets_of(const struct plan *plan, size_t listener)
{
	return plan->conf->listeners[listener].transport == CONF_DTLS ? 1 : plan->workers;
}

/* Advice, where the system's error alone gives none. */
static const char *advice_on(const struct conf_listener *l, int error)
{
	switch (error) {
	case -EADDRINUSE:
		return l->path ? "; something else is there" : "; 'ss -ltunp' shows who has it";
	case -EADDRNOTAVAIL:
		return "; no interface of this machine has that address ('ip address' shows them)";
	case -EACCES:
	case -EPERM:
		return l->port > 0 && l->port < 1024
			? "; ports below 1024 take root, or CAP_NET_BIND_SERVICE"
			: "";
	case -ENODEV:
		return "; 'ip link' shows the interfaces that there are";
	case -ENOENT:
		return "; its folder must be there";
	default:
		return "";
	}
}

/* The exit code that fits, and `why` the socket of a listener cannot be had. */
static int plan_refused(
	const struct conf_listener *l, const struct sockets *sockets, int error, struct why *why)
{
	char text[ADDR_TEXT];

	addr_format(&l->address, text);
	if (error == -EAFNOSUPPORT || (error < 0 && sockets_any_inherited(sockets)))
		return plan_lacks_socket(l, sockets, strerror(-error), why);
	if (error > 0)
		return why_set(why, EX_CONFIG, "listener %s: there is no such %s", l->name,
			error == IDENT_E_NO_USER ? "owner" : "group");
	return why_set(why, error == -EACCES || error == -EPERM ? EX_NOPERM : EX_OSERR,
		"listener %s: cannot listen on %s: %s%s", l->name, l->path ? l->path : text,
		strerror(-error), advice_on(l, error));
}

static int plan_claim_one(struct plan *plan, const struct conf_listener *l, unsigned n,
	struct socket_group **group, struct why *why)
{
	const struct socket_want want = {.conf = plan->conf, .listener = l, .n = n};
	char text[ADDR_TEXT];
	int r;

	r = sockets_claim(&plan->parts->resources->sockets, &want, group);
	if (r == 0)
		return 0;
	if (r != SOCKETS_E_OTHER)
		return plan_refused(l, &plan->parts->resources->sockets, r, why);
	addr_format(&l->address, text);
	return why_set(why, EX_CONFIG,
		"listener %s: the socket that the service manager passes under this name is %s, "
		"and the listener asks for %s %s; change the .socket unit or the listener",
		l->name, socket_group_text(*group), conf_transport_name(l->transport),
		l->path ? l->path : text);
}

/* A key is sure to be there when it is asked for: all are opened before anything is started. */
static int plan_open_files(struct plan *plan, struct why *why)
{
	struct why fault;
	char key[FILE_KEY_TEXT];
	int r = files_list(&plan->files, plan->conf);

	for (size_t i = 0; i < plan->files.n && r >= 0; i++) {
		struct file *file = &plan->files.list[i];
		int one = file_open(file, &fault);

		r = one != 0 ? one : r;
		if (one != FILE_E_FAULT)
			continue;
		fault_at_file(
			plan->conf, &file->place, FAULT_ERROR, fault.text, plan->parts->faults);
		why_set(why, 0, "%.200s: %.300s", file_key(&file->place, plan->conf, key),
			fault.text);
	}
	if (r < 0)
		return why_set(why, EX_OSERR, "cannot open the files of the configuration: %s",
			strerror(-r));
	return r == FILE_E_FAULT ? EX_CONFIG : 0;
}

bool plan_has_keys(const struct plan *plan)
{
	return plan->files.n_keys > 0;
}

/* An open port that no worker serves looks alive from outside, and is not. */
static int plan_all_claimed(const struct plan *plan, struct why *why)
{
	const char *name = sockets_unclaimed(&plan->parts->resources->sockets, plan->conf);

	if (!name)
		return 0;
	if (strcmp(name, CONF_METRICS) == 0)
		return why_set(why, EX_CONFIG,
			"the service manager passes a socket named \"" CONF_METRICS
			"\", and metrics are not set; add metrics = { address = \"127.0.0.1\"; "
			"port = 12090; };, or disable and stop the .socket unit");
	return why_set(why, EX_CONFIG,
		"the service manager passes a socket named \"%s\", and no listener has that name; "
		"add the listener, or disable and stop the .socket unit",
		name);
}

static int plan_begin(struct plan *plan, struct conf *conf, struct why *why)
{
	plan->conf = conf;
	plan->workers = conf->workers > 0 ? conf->workers : cpus_usable();
	plan->connections = connections_of(conf);
	plan->groups = calloc(conf->n_listeners, sizeof(struct socket_group *));
	if (plan->groups && plan_seal(plan) >= 0)
		return 0;
	return why_set(why, EX_OSERR, "no memory for the configuration");
}

/* The exporter is one process, and wants one socket. */
static int plan_claim_metrics(struct plan *plan, struct why *why)
{
	struct conf_listener metrics;

	if (!conf_metrics(plan->conf, &metrics))
		return 0;
	return plan_claim_one(plan, &metrics, 1, &plan->metrics, why);
}

static int plan_claim_all(struct plan *plan, struct why *why)
{
	int r = 0;

	plan->is_claim = true;
	for (size_t i = 0; i < plan->conf->n_listeners && r == 0; i++)
		r = plan_claim_one(plan, &plan->conf->listeners[i], sockets_of(plan, i),
			&plan->groups[i], why);
	if (r == 0)
		r = plan_claim_metrics(plan, why);
	return r == 0 ? plan_all_claimed(plan, why) : r;
}

/* The listeners, and the metrics as the last of them, with the socket of each; false when there are no more. */
static bool plan_socket(const struct plan *plan, size_t number, struct conf_listener *ret_listener,
	struct socket_group **ret_group)
{
	if (!socket_spec_listener(plan->conf, number, ret_listener))
		return false;
	*ret_group = number < plan->conf->n_listeners ? plan->groups[number] : plan->metrics;
	return true;
}

int plan_bind(const struct plan *plan, struct why *why)
{
	struct conf_listener listener;
	struct socket_group *group;

	for (size_t i = 0; plan_socket(plan, i, &listener, &group); i++) {
		int r = socket_group_bind(group);

		if (r < 0)
			return plan_refused(&listener, &plan->parts->resources->sockets, r, why);
	}
	return 0;
}

void plan_commit(struct plan *plan)
{
	struct conf_listener listener;
	struct socket_group *group;
	char text[ADDR_TEXT];

	for (size_t i = 0; plan_socket(plan, i, &listener, &group); i++)
		if (socket_group_commit(group))
			log_each(EVENT_LISTENING, ABOUT(.listener = listener.name), "on %s",
				listener.path ? listener.path
					      : addr_format(&listener.address, text));
	plan->is_claim = false;
}

int plan_make(struct plan *plan, struct conf *conf, const struct plan_parts *parts, struct why *why)
{
	int r;

	plan->parts = parts;
	r = plan_begin(plan, conf, why);
	if (r == 0)
		r = plan_open_files(plan, why);
	return r == 0 ? plan_claim_all(plan, why) : r;
}

void plan_done(struct plan *plan)
{
	if (plan->conf_fd >= 0)
		close(plan->conf_fd);
	free(plan->groups);
	files_done(&plan->files);
	conf_free(plan->conf);
	*plan = PLAN_EMPTY;
}
