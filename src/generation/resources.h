/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The resources that all generations use and none owns: they outlive reloads. */

#include "core/counters.h"
#include "generation/tickets.h"
#include "sockets/sockets.h"

struct resources {
	struct sockets sockets;
	struct tickets tickets;
	struct shared *shared; /* mapped */
	int shared_fd;         /* owned; the same memory, for workers */
	int page_fd;           /* borrowed; what an exporter serves */
};

#define RESOURCES_EMPTY \
	((struct resources){.tickets = TICKETS_EMPTY, .shared_fd = -1, .page_fd = -1})

/* Without sockets, and nothing made yet; fit for resources_done(). */
void resources_init(struct resources *resources);
/* The memory that workers share, with fresh secrets, and the keys of tickets. */
int resources_make(struct resources *resources);
/* Also removes the files of unix sockets. */
void resources_done(struct resources *resources);
