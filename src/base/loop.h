/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one event loop of a process: descriptors, timers, deadlines, and the reaping of the dead. */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "config.h"

#if WITH_LINUX
#include <sys/epoll.h>
#else
#include <poll.h>
/* The bits are those of poll(). */
enum { EPOLLIN = POLLIN, EPOLLOUT = POLLOUT, EPOLLERR = POLLERR, EPOLLHUP = POLLHUP };
#endif

struct loop;

/* A descriptor that is watched; embedded in the object that owns it. */
struct source {
	void (*on_event)(struct source *source, uint32_t events);
	int fd; /* borrowed */
	bool dead;
#if !WITH_LINUX
	short wants;
	struct list node; /* in loop.sources while it is watched */
#endif
};

/* A moment at which something is to be done; embedded too. */
struct timer {
	void (*on_time)(struct timer *timer, uint64_t now_ms);
	uint64_t at_ms;
	bool is_patience; /* with another process: time in which nothing ran does not count */
	struct list node; /* in loop.timers while set */
};

/* Work that waits for the end of the round, so that no callback frees what the round still holds,
 * and none keeps the round for itself. */
struct task {
	void (*run)(struct task *task);
	struct list node;
};

/* A source that is left alone for a moment, since the system has no room for what it brings: an event that stays
 * pending must not make the loop spin. Empty at first. */
struct pause {
	struct loop *loop;
	struct source *source;
	uint32_t events;
	struct timer timer;
};

#define LOOP_PAUSE_MS 100

#define LOOP_EVENTS 256 /* at most, in a round */

struct loop {
#if WITH_LINUX
	int epoll_fd;
	int timer_fd;      /* goes off for the next timer */
	uint64_t armed_ms; /* when it does; 0: it is not set */
	struct source timer_source;
	struct epoll_event events[LOOP_EVENTS]; /* of this round */
#else
	struct list sources;
	size_t n_sources;     /* at most */
	struct pollfd *polls; /* of this round, as the two below */
	struct source **polled;
	size_t room;
#endif
	uint64_t now_ms; /* read once a round */
	uint64_t rounds; /* until now, this one included */
	struct list timers;
	struct list tasks;
	bool stopped;
	int verdict;
};

/* Of a loop that loop_done() may be called for. */
#if WITH_LINUX
#define LOOP_NONE .epoll_fd = -1, .timer_fd = -1
#else
#define LOOP_NONE .polls = NULL, .polled = NULL
#endif
#define LOOP_INIT(name) \
	((struct loop){ \
		LOOP_NONE, .timers = LIST_INIT((name).timers), .tasks = LIST_INIT((name).tasks)})

int loop_init(struct loop *loop);
void loop_done(struct loop *loop);

/* Events as for epoll_ctl(), EPOLLET included where there is epoll. */
int loop_watch(struct loop *loop, struct source *source, int fd, uint32_t events);
int loop_change(struct loop *loop, struct source *source, uint32_t events);
void loop_unwatch(struct loop *loop, struct source *source);
/* The same for a descriptor that is about to be closed and has no duplicate. */
void loop_forget(struct source *source);

/* Unwatches a source that is watched for these events, and watches it again when the moment is over. */
void loop_pause(struct loop *loop, struct pause *pause, struct source *source, uint32_t events);
/* It stays unwatched. */
void pause_clear(struct pause *pause);

void loop_set_timer(struct loop *loop, struct timer *timer, uint64_t at_ms);
void loop_clear_timer(struct timer *timer);
/* Whether a timer that fires is so late that nothing of this process ran for a while: it was stopped, or the
 * machine slept. Others that did nothing in that time may be healthy. */
bool loop_has_stood_still(const struct timer *timer, uint64_t now_ms);

/* Runs `task` once at the end of this round; asking twice is asking once. */
void loop_defer(struct loop *loop, struct task *task);
void loop_cancel(struct task *task);

/* Runs until loop_stop(); returns its verdict, or a negative errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int verdict);
/* Runs what was put off, when there is no next round that would. */
void loop_run_tasks(struct loop *loop);

/* Of loop.c and the file that waits: calls the sources that have an event, at `until_ms` at the latest; UINT64_MAX:
 * whenever that is. */
int loop_wait(struct loop *loop, uint64_t until_ms);
