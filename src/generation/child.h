/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One child process, as the supervisor sees it: started, spoken to, listened to, watched, buried. */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/loop.h"
#include "core/counters.h"
#include "process/channel.h"
#include "process/role.h"

struct child;

/* How one has ended. */
struct child_end {
	bool as_told;  /* it was draining, and exited with 0 */
	int exit_code; /* the one for us, if we cannot go on without it */
	int signal;    /* 0: it exited */
};

/* The owner's callbacks; `userdata` is the owner's. A callback must not free the child: child_end() may. */
struct child_owner {
	void (*on_ready)(struct child *child);
	/* Told to serve, it does; NULL for those that are never told to. */
	void (*on_serving)(struct child *child);
	/* Told to drain, it takes nothing new any more. */
	void (*on_released)(struct child *child);
	/* While it gets ready: one of the things that are wrong with what it was given; NULL where none can be. */
	void (*on_fault)(struct child *child, const struct file_place *place,
		enum fault_level level, const char *what);
	/* Before it ends: why it cannot serve, and the exit code that fits. */
	void (*on_failed)(struct child *child, int exit_code, const char *why);
	/* It is gone, and buried. */
	void (*on_ended)(struct child *child, const struct child_end *end);
};

/* Records of one child, of which a second has only so many. */
struct records_rate {
	unsigned n; /* in this second */
	uint64_t second_ms;
};

bool records_rate_permits(struct records_rate *rate, uint64_t now_ms);

struct child {
	struct loop *loop;
	const struct child_owner *owner;
	void *userdata;
	enum role role;
	unsigned index;
	enum child_state state;
	uint32_t had; /* messages, as in struct dialogue */
	bool failed;  /* it has said why it cannot serve */
	int refused;  /* what the system refused us when we spoke to it: a negative errno, or 0 */
	pid_t pid;
	int pidfd, channel_fd, stderr_fd; /* owned */
	struct source ended, channel, stderr_source;
	unsigned stderr_lines, stderr_reads;
	char last_words[96]; /* the last line of them */
	struct records_rate records;

	int counters_fd; /* owned */
	struct counters *counters;
	size_t counters_size;
	uint64_t started_ms, heartbeat, heartbeat_ms;
};

/* By the type of a message from a child; NULL: a child may not send it. */
extern void (*const child_handlers[N_MESSAGES])(struct child *child, const struct message *message);

/* A child that is not running; its counters are made. */
int child_init(
	struct child *child, struct loop *loop, enum role role, unsigned index, size_t n_listeners);
void child_done(struct child *child);

int child_start(struct child *child);
/* A child that cannot be told is as good as dead, and is killed. */
void child_send(
	struct child *child, enum message_type type, const void *data, size_t len, const int *fds);
void child_kill(struct child *child, int signal);
/* Kills it and waits until it is gone; its owner is not told. */
void child_bury(struct child *child);
/* Whether its loop turns: false when its heartbeat is older than `patience_ms`. */
bool child_is_alive(struct child *child, uint64_t patience_ms);
/* How a child ended that lived for so long, in words; true when that was as it should be. */
#define CHILD_END_TEXT 128
bool child_describe_end(const siginfo_t *how, uint64_t lived_ms, char text[static CHILD_END_TEXT]);
/* "worker 1" */
const char *child_name(const struct child *child, char name[static 32]);
