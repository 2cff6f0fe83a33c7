/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Children that are faked at the channel: processes that wait until they are let go, and whose messages the
 * test sends. To be included by one file, since it takes the place of generation/launch.c. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "generation/launch.h"
#include "process/channel.h"

#define FAKES_MAX 64

static struct fake {
	enum role role;
	pid_t pid;
	int channel;
	int leash; /* closed: it exits with 0 */
	struct dialogue dialogue;
} fakes[FAKES_MAX];
static unsigned n_fakes;

int launch(enum role role, int channel_fd, int stderr_fd, pid_t *ret_pid)
{
	struct fake *fake = &fakes[n_fakes];
	int leash[2];
	char byte;

	assert_true(n_fakes < FAKES_MAX);
	assert_int_equal(pipe2(leash, O_CLOEXEC), 0);
	*ret_pid = fork();
	if (*ret_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(leash[1]);
		for (unsigned i = 0; i < n_fakes; i++)
			close(fakes[i].leash);
		_exit(read(leash[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(leash[0]);
	n_fakes++;
	*fake = (struct fake){
		.role = role,
		.pid = *ret_pid,
		.channel = fcntl(channel_fd, F_DUPFD_CLOEXEC, 0),
		.leash = leash[1],
		.dialogue = {FROM_SUPERVISOR, role, CHILD_STARTING, 0},
	};
	return 0;
}

static void say(struct fake *fake, enum message_type type)
{
	static const enum child_state after[N_MESSAGES] = {
		[MSG_READY] = CHILD_READY,
		[MSG_SERVING] = CHILD_SERVING,
		[MSG_RELEASED] = CHILD_RELEASED,
	};

	assert_int_equal(channel_send(fake->channel, type, NULL, 0, NULL, 0), 0);
	fake->dialogue.state = after[type];
}

/* Reads what it was told so far; whether that message is among it. */
static bool was_told(struct fake *fake, enum message_type type)
{
	struct message message;

	while (channel_receive(fake->channel, &fake->dialogue, &message, MSG_DONTWAIT) == 0)
		message_done(&message);
	return fake->dialogue.had & 1u << type;
}

static void leave(struct fake *fake)
{
	close(fake->leash);
	close(fake->channel);
	fake->leash = fake->channel = -1;
}

static void crash(struct fake *fake)
{
	kill(fake->pid, SIGABRT);
}

static void forget_fakes(void)
{
	for (unsigned i = 0; i < n_fakes; i++)
		if (fakes[i].channel >= 0)
			leave(&fakes[i]);
	n_fakes = 0;
}
