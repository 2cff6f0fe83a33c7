/* SPDX-License-Identifier: Apache-2.0 */

/* The hash is keyed, so that a client cannot choose ports and addresses that all fall into one bucket.
 * The caller bounds how many there are. */

#include "core/flows.h"

#include <string.h>

#include "core/hello.h"

static size_t bucket_of(const struct flows *flows, const struct flow_key *key)
{
	return siphash(&flows->key, key, sizeof(*key)) % FLOWS_BUCKETS;
}

struct flow *flows_find(const struct flows *flows, const struct flow_key *key)
{
	struct flow *flow = flows->buckets[bucket_of(flows, key)];

	while (flow && memcmp(&flow->key, key, sizeof(*key)) != 0)
		flow = flow->next;
	return flow;
}

void flows_add(struct flows *flows, struct flow *flow)
{
	struct flow **bucket = &flows->buckets[bucket_of(flows, &flow->key)];

	flow->next = *bucket;
	*bucket = flow;
}

void flows_remove(struct flows *flows, struct flow *flow)
{
	struct flow **at = &flows->buckets[bucket_of(flows, &flow->key)];

	while (*at && *at != flow)
		at = &(*at)->next;
	if (*at)
		*at = flow->next;
	flow->next = NULL;
}

/* A ClientHello never goes to a session that began with another one: that one could be ended by a peer
 * that can forge a datagram. */
enum flow_verdict flow_judge(int parsed, enum flow_state state, bool same)
{
	switch (parsed) {
	case 0:
		if (state == FLOW_NONE || !same)
			return FLOW_CHECK_COOKIE;
		return state == FLOW_SHAKING ? FLOW_FEED : FLOW_REPLAYED;
	case HELLO_E_OTHER:
		return state == FLOW_NONE ? FLOW_STRAY : FLOW_FEED;
	case HELLO_E_PIECE:
		return FLOW_PIECE;
	default:
		return FLOW_GARBAGE;
	}
}
