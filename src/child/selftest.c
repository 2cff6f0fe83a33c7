/* SPDX-License-Identifier: Apache-2.0 */

/* Makes every attempt on the sandbox of every role and prints the outcomes to the socket of the
 * client that asked, all at once, so that a test which is cut short has printed nothing. It
 * receives one message, and stays outside of the sandboxes: only the processes that make the
 * attempts enter (priv/attempts.c). */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "child/roles.h"
#include "priv/attempts.h"
#include "process/channel.h"
#include "process/ctl.h"

struct report {
	FILE *out;
	struct json json;
	bool is_json;
	bool held;
};

static const char *const kinds[] = {
	[ATTEMPT_FAILED] = "held",
	[ATTEMPT_SUCCEEDED] = "broken",
	[ATTEMPT_ABSENT] = "absent",
	[ATTEMPT_NOT_FOR] = "not for it",
	[ATTEMPT_TOO_NEW] = "takes Linux",
};

/* "EPERM" or "SIGSYS", or "7.2", which it takes; empty when the attempt did not fail. */
static void error_name(
	const struct attempt *attempt, const struct attempt_outcome *outcome, char name[static 32])
{
	const char *word =
		outcome->signal ? sigabbrev_np(outcome->signal) : strerrorname_np(outcome->error);

	if (outcome->kind == ATTEMPT_SUCCEEDED || outcome->kind == ATTEMPT_NOT_FOR || !word)
		word = "";
	if (outcome->kind == ATTEMPT_TOO_NEW)
		word = attempt->kernel;
	snprintf(name, 32, "%s%s", outcome->signal && *word ? "SIG" : "", word);
}

static void print_outcome(struct report *report, const struct policy *policy,
	const struct attempt *attempt, const struct attempt_outcome *outcome)
{
	char name[32];

	error_name(attempt, outcome, name);
	if (report->is_json) {
		json_object(&report->json, NULL);
		json_string(&report->json, "role", policy->role);
		json_string(&report->json, "layer", layer_words(attempt->layer));
		json_string(&report->json, "attempt", attempt->words);
		json_string(&report->json, "outcome", kinds[outcome->kind]);
		json_string(&report->json, "heard", name);
		json_end(&report->json);
	} else if (outcome->kind != ATTEMPT_NOT_FOR) {
		fprintf(report->out, "%-11s %-24s %-36s %s %s\n", policy->role,
			layer_words(attempt->layer), attempt->words, kinds[outcome->kind], name);
	}
}

static int make_attempts(struct report *report, const struct sandbox *sandbox)
{
	struct attempt_outcome outcome;
	int r;

	for (unsigned i = 0; i < n_attempts; i++) {
		r = attempt_make(&attempts[i], sandbox, &outcome);
		if (r < 0)
			return r;
		print_outcome(report, sandbox->policy, &attempts[i], &outcome);
		if (outcome.kind == ATTEMPT_SUCCEEDED || outcome.kind == ATTEMPT_ABSENT)
			report->held = false;
	}
	return 0;
}

static void print_end(struct report *report, enum sandbox_mode mode)
{
	if (report->is_json) {
		json_end(&report->json);
		json_bool(&report->json, "held", report->held);
		json_end(&report->json);
	} else {
		fprintf(report->out, "\n%s\n",
			mode == SANDBOX_OFF    ? "The sandbox is off."
				: report->held ? "All of it held."
					       : "It does not hold.");
	}
}

static int print_report(struct report *report, const struct msg_selftest *message)
{
	int r = 0;

	if (report->is_json) {
		json_object(&report->json, NULL);
		json_list(&report->json, "attempts");
	}
	for (size_t i = 0; i < n_policies && r == 0; i++) {
		const struct sandbox sandbox = {
			.policy = &policies[i],
			.mode = message->mode,
			.uid = message->uid,
			.gid = message->gid,
		};

		r = make_attempts(report, &sandbox);
	}
	if (message->mode == SANDBOX_OFF)
		report->held = false;
	print_end(report, message->mode);
	return r;
}

static int answer_client(const struct msg_selftest *message, int client_fd)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	struct report report = {
		.out = open_memstream(&text, &len),
		.is_json = message->json,
		.held = true,
	};
	struct log_record record = {.event = EVENT_SANDBOX_TRIED};
	int r;

	if (!report.out)
		return EX_OSERR;
	report.json.to = report.out;
	r = print_report(&report, message);
	record.text = report.held ? "the sandbox was tried by upperctl: everything was stopped"
				  : "the sandbox was tried by upperctl: NOT everything was stopped";
	if (fclose(report.out) != 0 || r < 0)
		return EX_OSERR;
	channel_send_record(CHANNEL_FD, &record);
	if (control_send_text(client_fd, text, len))
		control_send_end(client_fd, report.held ? EX_OK : EX_UNAVAILABLE);
	return EX_OK;
}

int selftest_main(void)
{
	struct dialogue dialogue = {FROM_SUPERVISOR, ROLE_SELFTEST, CHILD_STARTING, 0};
	struct message message;
	int exit_code;

	/* A layer that is missing is part of the answer, and need not be logged. */
	log_set_level(LOG_LEVEL_ERROR);
	if (channel_receive(CHANNEL_FD, &dialogue, &message, 0) != 0)
		return EX_SOFTWARE;
	exit_code = answer_client((const void *)message.data, message.fds[0]);
	message_done(&message);
	return exit_code;
}
