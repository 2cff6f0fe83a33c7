/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All children that were made from one configuration. It comes up whole or not at all; once it serves, a
 * child that dies is replaced; at the end it drains. */

#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"
#include "base/why.h"
#include "conf/conf.h"
#include "core/counters.h"
#include "generation/child.h"
#include "generation/plan.h"
#include "generation/resources.h"
#include "generation/sums.h"
#include "process/files.h"

enum generation_state {
	GENERATION_BUILDING,
	GENERATION_OPENING, /* all are ready, and told to serve */
	GENERATION_SERVING,
	GENERATION_DRAINING,
};

struct generation;

struct generation_owner {
	/* All are ready to serve, and wait for generation_serve(). */
	void (*on_ready)(struct generation *generation);
	/* All do. */
	void (*on_served)(struct generation *generation);
	/* Before that; it is to be freed. */
	void (*on_failed)(struct generation *generation, int exit_code, const char *why);
	/* A child ended that was not told to. While the generation serves, it will be replaced. */
	void (*on_died)(struct generation *generation, const struct child *child,
		const struct child_end *end);
	/* While it serves: a worker that is new is about to serve. */
	void (*on_replaced)(struct generation *generation, unsigned worker);
	/* While draining: it takes nothing new any more, so that new clients meet the next one. */
	void (*on_released)(struct generation *generation);
	/* While draining: nothing of it is left; it is to be freed. */
	void (*on_gone)(struct generation *generation);
};

/* The parts that generations are made with. */
struct generation_parts {
	struct loop *loop;
	struct plan_parts plan;
	const struct generation_owner *owner;
	void *userdata;
};

struct slot;

struct generation {
	struct list node;
	struct generation_parts parts;
	struct plan plan;
	enum generation_state state;
	struct slot *slots; /* of workers */
	unsigned n;
	struct slot *keeper;   /* NULL: there are no private keys */
	struct slot *exporter; /* NULL: no metrics are served */
	struct timer limit;    /* on coming up, and on draining */
	struct task report;
	struct task reap;
	bool released;       /* and the owner knows */
	bool exporter_stays; /* and is told to drain after the workers */
	bool given_up;       /* it has had all the time that there was */
	int exit_code;
	struct why why;
};

/* Takes `conf` over, also when it fails; then `why` says what could not be had, and the return value is
 * the exit code that fits. */
int generation_new(const struct generation_parts *parts, struct conf *conf,
	struct generation **ret_generation, struct why *why);
/* Ends whatever still runs, at once; the memory goes at the end of the round. */
void generation_free(struct generation *generation);

/* It is ready, and about to serve: its sockets are bound. When one cannot be had, it returns as does
 * generation_new(). */
int generation_bind(const struct generation *generation, struct why *why);
void generation_serve(struct generation *generation);
/* All of it serves, and so do its sockets. */
void generation_commit(struct generation *generation);
void generation_drain(struct generation *generation);
/* The same where no other takes over: the exporter goes on until the workers have ended. */
void generation_drain_last(struct generation *generation);
/* No more patience. */
void generation_kill(struct generation *generation);

/* How long it may still take to drain; all of `drain` when it has not begun to. */
uint64_t generation_left_ms(const struct generation *generation);
/* Calls for each child, the keeper as the last. */
void generation_each_child(const struct generation *generation,
	void (*on_child)(void *userdata, const struct child *child), void *userdata);

const struct conf *generation_conf(const struct generation *generation);
/* The same once more, for another generation. */
int generation_conf_again(const struct generation *generation, struct conf **ret_conf);
/* The files that it names, as they were opened. */
const struct files *generation_files(const struct generation *generation);
void *generation_userdata(const struct generation *generation);
/* How many may be open in all workers together. */
uint64_t generation_connections(const struct generation *generation);
/* When the first of its certificates expires, in seconds since 1970; 0: it has none. */
int64_t generation_expires(const struct generation *generation);
/* How many are open in its workers, as they say; none is believed to have more than `most`. */
uint64_t generation_open(const struct generation *generation, uint64_t most);
unsigned generation_workers(const struct generation *generation);
/* How many of them serve. */
unsigned generation_workers_up(const struct generation *generation);
/* Its troubles as of now, such as children that cannot be replaced; empty when all is well. */
const char *generation_trouble(const struct generation *generation, char text[static 256]);
/* Adds the counters of a child, or of all. */
void generation_add_child(
	const struct generation *generation, const struct child *child, struct sums *sums);
void generation_add_counters(const struct generation *generation, struct sums *sums);
/* Whether all workers and the keeper are there, and the loops of all children turn; one whose loop does not
 * is ended, and so replaced. */
bool generation_end_stuck(struct generation *generation);
/* Time passed in which neither we nor they could do anything: patience with them begins anew. */
void generation_forgive(struct generation *generation);
/* Which records its children send, those to come too. */
void generation_set_log_level(struct generation *generation, enum log_level level);
/* Where its owner keeps it. */
struct list *generation_node(struct generation *generation);
struct generation *generation_of_node(struct list *node);
/* The children that face the network, by number: the workers, then the exporter if there is one, then NULL. */
struct slot *generation_front(const struct generation *generation, unsigned number);
