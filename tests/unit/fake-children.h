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

#include "base/clock.h"
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

static inline void say(struct fake *fake, enum message_type type)
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
static inline bool was_told(struct fake *fake, enum message_type type)
{
	struct message message;

	while (channel_receive(fake->channel, &fake->dialogue, &message, MSG_DONTWAIT) == 0)
		message_done(&message);
	return fake->dialogue.had & 1u << type;
}

static inline void leave(struct fake *fake)
{
	close(fake->leash);
	close(fake->channel);
	fake->leash = fake->channel = -1;
}

static inline void crash(struct fake *fake)
{
	kill(fake->pid, SIGABRT);
}

static inline void forget_fakes(void)
{
	for (unsigned i = 0; i < n_fakes; i++)
		if (fakes[i].channel >= 0)
			leave(&fakes[i]);
	n_fakes = 0;
}

/* The loop of the supervisor, and how many workers a generation has. */

#define WORKERS 2

static struct loop *fake_loop;

static inline void on_enough(struct timer *timer, uint64_t now_ms)
{
	loop_stop(fake_loop, -1);
}

/* Turns the loop for as long as it takes to receive what is there. Returns whether it was stopped meanwhile. */
static inline bool turn(void)
{
	struct timer enough = {.on_time = on_enough};
	int verdict;

	fake_loop->now_ms = clock_ms();
	loop_set_timer(fake_loop, &enough, fake_loop->now_ms + 20);
	fake_loop->stopped = false;
	verdict = loop_run(fake_loop);
	loop_clear_timer(&enough);
	return verdict >= 0;
}

static inline void wait_until_told(struct fake *fake, enum message_type type)
{
	uint64_t deadline_ms = clock_ms() + 10000;

	while (!was_told(fake, type) && clock_ms() < deadline_ms)
		turn();
	assert_true(was_told(fake, type));
}

static inline void all_wait(unsigned first, enum message_type type)
{
	for (unsigned i = first; i < first + WORKERS; i++)
		wait_until_told(&fakes[i], type);
}

static inline void all_say(unsigned first, enum message_type type)
{
	for (unsigned i = first; i < first + WORKERS; i++)
		say(&fakes[i], type);
}

/* Once all of them were told that. */
static inline void all_answer(unsigned first, enum message_type told_to, enum message_type type)
{
	all_wait(first, told_to);
	if (told_to == MSG_DRAIN)
		for (unsigned i = first; i < first + WORKERS; i++)
			fakes[i].dialogue.state = CHILD_DRAINING;
	all_say(first, type);
}

static inline void all_get_ready(unsigned first)
{
	all_answer(first, MSG_PREPARE, MSG_READY);
}

static inline void all_serve(unsigned first)
{
	all_get_ready(first);
	all_answer(first, MSG_SERVE, MSG_SERVING);
}

static inline void all_release(unsigned first)
{
	all_answer(first, MSG_DRAIN, MSG_RELEASED);
}

static inline void all_leave(unsigned first)
{
	for (unsigned i = first; i < first + WORKERS; i++)
		leave(&fakes[i]);
}
