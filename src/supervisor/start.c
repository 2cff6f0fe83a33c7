/* SPDX-License-Identifier: Apache-2.0 */

/* How a supervisor comes to serve, which is one of three:
 *
 * * Afresh: the configuration is read, sockets are inherited, the sandbox is entered, the first
 *   generation built. Whatever fails ends the process with an exit code that says whose fault it
 *   was, and the reason on stderr.
 * * On trial, before an upgrade: the same with copies of the sockets of the program that runs,
 *   no control socket, no word to the service manager, and an end as soon as all children are
 *   ready. Nothing that it does is seen from outside.
 * * After an upgrade: there are sockets, clients that wait, and children that serve already. So
 *   nothing that fails is the end here: those children go on, and the first build is tried
 *   again. */

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/why.h"
#include "conf/fault.h"
#include "config.h"
#include "priv/ident.h"
#include "priv/sandbox.h"
#include "process/configuration.h"
#include "process/files.h"
#include "supervisor/manager.h"
#include "supervisor/records.h"
#include "supervisor/supervisor.h"

static bool is_variable_set(const struct conf *conf, const char *key)
{
	return origin_of(conf->origins, SCOPE_TOP, key) != NULL;
}

/* All faults are on stderr; the status that the manager shows has room for the first. */
static void report_fault_to_manager(const struct supervisor *s, const struct faults *faults)
{
	const struct fault *f = faults->list;
	const struct fault *end = f + faults->n;
	char place[256] = "";
	struct why why;

	while (f < end && f->level != FAULT_ERROR)
		f++;
	if (f == end)
		return;
	if (f->file && f->line)
		snprintf(place, sizeof(place), "%s:%u: ", f->file, f->line);
	else if (f->file)
		snprintf(place, sizeof(place), "%s: ", f->file);
	why_set(&why, 0, "%s%s%s%s", place, f->key ? f->key : "", f->key ? ": " : "", f->message);
	supervisor_report_no_start(s, why.text);
}

static bool people_exist(const struct supervisor *s, const struct conf *conf)
{
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;

	if (!ident_is_root() && (is_variable_set(conf, "user") || is_variable_set(conf, "group")))
		log_each(EVENT_NOTICE, ABOUT_NOTHING,
			"not started as root, so \"user\" and \"group\" are passed over");
	configuration_check_accounts(conf, &faults);
	for (size_t i = 0; i < faults.n; i++)
		log_each(EVENT_START_FAILED, ABOUT_NOTHING, "cannot start: %s: %s",
			faults.list[i].key, faults.list[i].message);
	report_fault_to_manager(s, &faults);
	return faults.n == 0;
}

/* After an upgrade: the children of the program before serve until the first generation of this one does, and
 * go on when that one does not come up. The configuration is read with the first build. */
static int resume(struct supervisor *s)
{
	int r;

	r = supervisor_make(s, NULL, supervisor_verbs);
	if (r >= 0)
		r = takeover_take(s);
	if (r < 0) {
		log_event(EVENT_START_FAILED, ABOUT(.error = r),
			"cannot take over what the program before the upgrade has left");
		return r;
	}
	supervisor_start(s);
	generations_request(&s->generations, BUILD_UPGRADE);
	return loop_run(&s->loop);
}

static bool trial_can_take_over(const struct supervisor *s)
{
	if (!s->takeover.is_readable)
		fprintf(stderr,
			"the program that runs hands over in another way than this one takes "
			"over; restart it\n");
	return s->takeover.is_readable;
}

static int start_and_serve(struct supervisor *s)
{
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	_cleanup_conf_ struct conf *conf = NULL;
	int r;

	r = configuration_load(s->options, &faults, &conf);
	faults_print(&faults, stderr);
	if (r != 0) {
		report_fault_to_manager(s, &faults);
		return EX_CONFIG;
	}
	if (s->takeover.is_trial)
		log_set_level(LOG_LEVEL_ERROR);
	else
		records_to_log(conf);
	if (!people_exist(s, conf) || (s->takeover.is_trial && !trial_can_take_over(s)))
		return EX_CONFIG;

	log_each(EVENT_STARTING, ABOUT_NOTHING, "upperd %s, configuration %s", UPPERD_VERSION,
		s->options->file);
	r = supervisor_make(s, s->takeover.is_trial ? NULL : conf, supervisor_verbs);
	if (r < 0) {
		log_each(EVENT_START_FAILED, ABOUT(.error = r), "cannot start");
		supervisor_report_no_start(s, strerror(-r));
		return r;
	}
	if (!s->takeover.is_trial)
		sandbox_sweep();
	r = supervisor_enter_sandbox(s, conf);
	if (r != 0)
		return r;
	s->generations.is_trial = s->takeover.is_trial;
	supervisor_start(s);
	generations_start(&s->generations, take_ptr(&conf));
	return loop_run(&s->loop);
}

int supervisor_main(const struct options *options)
{
	struct supervisor s = {0};
	int r;

	supervisor_init(&s, options);
	r = takeover_find(&s);
	if (r >= 0)
		r = s.takeover.handed && !s.takeover.is_trial ? resume(&s) : start_and_serve(&s);
	supervisor_done(&s);
	if (r < 0)
		return r == -EPERM || r == -EACCES ? EX_NOPERM : EX_OSERR;
	return r;
}
