/* SPDX-License-Identifier: Apache-2.0 */

/* The child is thrown away afterwards. It may take its time, but not for ever. */

#include "supervisor/selftest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "priv/attempts.h"
#include "process/confine.h"

#define INSPECTION_MS 30000

static const char *const kinds[] = {
	[ATTEMPT_FAILED] = "held",
	[ATTEMPT_SUCCEEDED] = "broken",
	[ATTEMPT_ABSENT] = "absent",
	[ATTEMPT_NOT_FOR] = "not for it",
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t inspection_size(void)
{
	return n_policies * n_attempts;
}

/* "EPERM" or "SIGSYS", or nothing when it did not fail. */
static const char *found_word(const struct msg_probed *found, char word[static 32])
{
	const char *name =
		found->signal ? sigabbrev_np(found->signal) : strerrorname_np(found->error);

	if (found->kind == ATTEMPT_SUCCEEDED || found->kind == ATTEMPT_NOT_FOR || !name)
		name = "";
	snprintf(word, 32, "%s%s", found->signal && *name ? "SIG" : "", name);
	return word;
}

static bool has_held(const struct inspection *inspection)
{
	if (inspection->n_found < inspection_size() || inspection->mode == CONF_SANDBOX_OFF)
		return false;
	for (size_t i = 0; i < inspection->n_found; i++)
		if (inspection->found[i].kind == ATTEMPT_SUCCEEDED ||
			inspection->found[i].kind == ATTEMPT_ABSENT)
			return false;
	return true;
}

static void print_found(const struct msg_probed *found, FILE *out)
{
	const struct attempt *attempt = &attempts[found->attempt];
	char word[32];

	if (found->kind == ATTEMPT_NOT_FOR)
		return;
	fprintf(out, "%-11s %-24s %-36s %s %s\n", policies[found->policy].role,
		layer_words(attempt->layer), attempt->words, kinds[found->kind],
		found_word(found, word));
}

static void print_found_json(const struct msg_probed *found, FILE *out)
{
	const struct attempt *attempt = &attempts[found->attempt];
	char word[32];

	fprintf(out,
		"{\"role\":\"%s\",\"layer\":\"%s\",\"attempt\":\"%s\",\"outcome\":\"%s\","
		"\"heard\":\"%s\"}",
		policies[found->policy].role, layer_words(attempt->layer), attempt->words,
		kinds[found->kind], found_word(found, word));
}

static void print_text(const struct inspection *inspection, FILE *out)
{
	for (size_t i = 0; i < inspection->n_found; i++)
		print_found(&inspection->found[i], out);
	if (inspection->n_found < inspection_size())
		fprintf(out, "\nThe attempts were not finished; the log may say why.\n");
	else if (inspection->mode == CONF_SANDBOX_OFF)
		fprintf(out, "\nThe sandbox is off.\n");
	else
		fprintf(out, "\n%s\n",
			has_held(inspection) ? "All of it held." : "It does not hold.");
}

static void print_json(const struct inspection *inspection, FILE *out)
{
	fprintf(out, "{\"held\":%s,\"attempts\":[", has_held(inspection) ? "true" : "false");
	for (size_t i = 0; i < inspection->n_found; i++) {
		fprintf(out, "%s", i > 0 ? "," : "");
		print_found_json(&inspection->found[i], out);
	}
	fprintf(out, "]}\n");
}

static void inspection_on_report(struct task *task)
{
	struct inspection *inspection = container_of(task, struct inspection, report);
	_cleanup_free_ char *text = NULL, *json = NULL;
	size_t text_len, json_len;
	FILE *to_text = open_memstream(&text, &text_len);
	FILE *to_json = open_memstream(&json, &json_len);

	if (to_text) {
		print_text(inspection, to_text);
		fclose(to_text);
	}
	if (to_json) {
		print_json(inspection, to_json);
		fclose(to_json);
	}
	control_answer(inspection->control, "sandbox",
		has_held(inspection) ? EX_OK : EX_UNAVAILABLE, text ? text : "", json ? json : "");
	inspection_done(inspection);
}

/* The child is outside of the sandboxes, and still nothing that it says is believed unseen. */
static void inspection_on_probed(struct child *child, const struct msg_probed *probed)
{
	struct inspection *inspection = child->userdata;

	if (probed->policy < n_policies && probed->attempt < n_attempts && probed->kind < N_KINDS &&
		inspection->n_found < inspection_size())
		inspection->found[inspection->n_found++] = *probed;
}

static void inspection_on_ready(struct child *child)
{
}

static void inspection_on_failed(struct child *child, int exit_code, const char *why)
{
}

static void inspection_on_ended(struct child *child, bool as_told)
{
	struct inspection *inspection = child->userdata;

	loop_defer(inspection->loop, &inspection->report);
}

static const struct child_owner owner = {
	.on_ready = inspection_on_ready,
	.on_failed = inspection_on_failed,
	.on_ended = inspection_on_ended,
	.on_probed = inspection_on_probed,
};

static void inspection_on_limit(struct timer *timer, uint64_t now_ms)
{
	child_kill(&container_of(timer, struct inspection, limit)->child, SIGKILL);
}

void inspection_init(struct inspection *inspection, struct loop *loop, struct control *control)
{
	*inspection = (struct inspection){
		.loop = loop,
		.control = control,
		.limit.on_time = inspection_on_limit,
		.report.run = inspection_on_report,
	};
}

void inspection_done(struct inspection *inspection)
{
	if (!inspection->found)
		return;
	loop_clear_timer(&inspection->limit);
	loop_cancel(&inspection->report);
	child_bury(&inspection->child);
	child_done(&inspection->child);
	free(inspection->found);
	inspection->found = NULL;
}

void inspection_abandon(struct inspection *inspection, const char *why)
{
	if (!inspection->found)
		return;
	inspection_done(inspection);
	control_answer(inspection->control, "sandbox", EX_TEMPFAIL, why,
		"{\"held\":false,\"attempts\":[]}\n");
}

static int inspection_start(struct inspection *inspection, const struct sandbox *sandbox)
{
	const struct msg_probe probe = {
		.mode = sandbox->mode,
		.uid = sandbox->uid,
		.gid = sandbox->gid,
	};
	int r;

	inspection->n_found = 0;
	inspection->child = (struct child){.state = CHILD_ENDED, .pidfd = -1};
	inspection->found = calloc(inspection_size(), sizeof(*inspection->found));
	if (!inspection->found)
		return -ENOMEM;
	r = child_init(&inspection->child, inspection->loop, ROLE_PROBE, 0, 0);
	if (r < 0)
		return r;
	inspection->child.owner = &owner;
	inspection->child.userdata = inspection;
	r = child_start(&inspection->child);
	if (r < 0)
		return r;
	child_tell(&inspection->child, MSG_PROBE, &probe, sizeof(probe), NULL);
	/* To end with 0 once all is said is what it is told. */
	inspection->child.state = CHILD_DRAINING;
	loop_set_timer(
		inspection->loop, &inspection->limit, inspection->loop->now_ms + INSPECTION_MS);
	return 0;
}

int inspection_begin(struct inspection *inspection, const struct conf *conf, FILE *out)
{
	struct sandbox sandbox;
	int r;

	if (inspection->found)
		return CONTROL_LATER;
	r = confine_plan("worker", conf, &sandbox);
	if (r >= 0)
		r = inspection_start(inspection, &sandbox);
	if (r >= 0) {
		inspection->mode = conf->sandbox;
		return CONTROL_LATER;
	}
	inspection_done(inspection);
	fprintf(out, "cannot begin: %s\n", strerror(-r));
	return EX_OSERR;
}
