/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Deadlines for many that all wait equally long: the one set last ends last, so a queue keeps them in
 * order for nothing, and one timer serves all. */

#include "base/loop.h"

struct deadline {
	uint64_t at_ms;
	struct list node;
};

struct deadlines {
	struct loop *loop;
	uint64_t after_ms;
	void (*on_deadline)(struct deadline *deadline);
	struct timer timer;
	struct list queue;
};

void deadlines_init(struct deadlines *all, struct loop *loop, uint64_t after_ms,
	void (*on_deadline)(struct deadline *deadline));
void deadlines_done(struct deadlines *all);

/* From now on, `after_ms` to go; again and again, if need be. */
void deadline_set(struct deadlines *all, struct deadline *deadline);
/* As if it had been set then. Costs a step for each that was set since. */
void deadline_set_since(struct deadlines *all, struct deadline *deadline, uint64_t since_ms);
void deadline_clear(struct deadline *deadline);
