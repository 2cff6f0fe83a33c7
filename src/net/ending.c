/* SPDX-License-Identifier: Apache-2.0 */

/* The one place where the end of a connection becomes a record. */

#include "net/ending.h"

#include "base/log.h"

void ending_record(const struct ending *e)
{
	const struct log_about about = {
		.listener = e->listener, .peer = e->peer, .reason = reason_name(e->reason)};

	e->counters->counted[COUNT_closed]++;
	e->counters->reasons[e->reason]++;
	if (e->access)
		log_each(EVENT_ACCESS, &about, "%llu bytes in, %llu bytes out, %llu ms",
			(unsigned long long)e->bytes_in, (unsigned long long)e->bytes_out,
			(unsigned long long)e->took_ms);
	else if (e->reason != REASON_done && e->reason != REASON_reset)
		log_event(EVENT_PEER_ENDED, &about, "connection ended: %s",
			reason_sentence(e->reason));
}
