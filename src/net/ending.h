/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is counted and told when a connection ends, whatever it ran over. */

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "core/counters.h"

struct ending {
	const char *listener;
	const struct addr *peer;
	struct listener_counters *counters;
	bool access; /* a record per connection */
	enum reason reason;
	uint64_t bytes_in, bytes_out, took_ms;
};

void ending_record(const struct ending *ending);
