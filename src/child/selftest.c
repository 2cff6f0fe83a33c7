/* SPDX-License-Identifier: Apache-2.0 */

/* Makes every attempt on the sandbox of every role, tells what came of each, and ends. It hears its
 * supervisor and nobody else, and stays outside of the sandboxes: only the processes that make the
 * attempts go in. */

#include <sysexits.h>

#include "base/log.h"
#include "child/roles.h"
#include "priv/attempts.h"
#include "process/channel.h"

static int probe_one(const struct sandbox *sandbox, uint32_t policy, uint32_t attempt)
{
	struct attempt_outcome outcome;
	struct msg_probed probed = {.policy = policy, .attempt = attempt};

	if (attempt_make(&attempts[attempt], sandbox, &outcome) < 0)
		return EX_OSERR;
	probed.kind = outcome.kind;
	probed.error = outcome.error;
	probed.signal = outcome.signal;
	return channel_send(CHANNEL_FD, MSG_PROBED, &probed, sizeof(probed), NULL, 0) == 0
		? EX_OK
		: EX_OSERR;
}

static int probe_all(const struct msg_probe *probe)
{
	int exit_code = EX_OK;

	for (uint32_t policy = 0; policy < n_policies; policy++) {
		struct sandbox sandbox = {
			.policy = &policies[policy],
			.mode = probe->mode,
			.uid = probe->uid,
			.gid = probe->gid,
		};

		for (uint32_t i = 0; i < n_attempts && exit_code == EX_OK; i++)
			exit_code = probe_one(&sandbox, policy, i);
	}
	return exit_code;
}

int probe_main(void)
{
	struct message message;
	int exit_code = EX_SOFTWARE;

	/* A layer that is missing is part of the answer, and not news. */
	log_set_level(LOG_LEVEL_ERROR);
	if (channel_receive(CHANNEL_FD, FROM_SUPERVISOR, &message, 0) != 0)
		return EX_SOFTWARE;
	if (message.type == MSG_PROBE)
		exit_code = probe_all((const void *)message.data);
	message_done(&message);
	return exit_code;
}
