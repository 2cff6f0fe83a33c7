/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How long a connection may be idle before something on its path forgets it. */

#include <stdbool.h>
#include <stdint.h>

#include "client/lane.h"

struct idle {
	uint64_t alive_ms;  /* the longest pause after which a connection was alive */
	uint64_t dead_ms;   /* the shortest after which one was not; 0: none */
	bool is_closed;     /* it was closed during the pause, and not just forgotten */
	uint64_t closed_ms; /* after this long */
};

/* Searches up to `most_ms`, many connections at a time, until the two differ by at most `exact_ms`. */
int idle_search(struct idle *idle, struct lanes *lanes, struct server *server, uint64_t most_ms,
	uint64_t exact_ms);
