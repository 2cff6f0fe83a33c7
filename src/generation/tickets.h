/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keys of tickets that we make ourselves: in memory of the supervisor that workers of all
 * generations read, so that a session outlives reloads and crashes. */

#include "conf/conf.h"
#include "core/ticket.h"

struct tickets {
	int fd; /* owned */
	struct ticket_page *page;
};

#define TICKETS_EMPTY ((struct tickets){.fd = -1})

/* To be called before the sandbox is entered, in which such memory cannot be had. */
int tickets_init(struct tickets *tickets);
/* The tickets of the supervisor before an upgrade; takes the descriptor over. */
int tickets_resume(struct tickets *tickets, int *fd);
void tickets_done(struct tickets *tickets);

enum {
	TICKETS_E_FULL = 1, /* too many different lifetimes */
};

/* Makes what the listeners of `conf` need; rings that only `serving` (or NULL) had are kept too. */
int tickets_claim(struct tickets *tickets, const struct conf *conf, const struct conf *serving,
	uint64_t now_ms);
/* Makes new keys where it is time. */
int tickets_rotate(struct tickets *tickets, uint64_t now_ms);
