/* SPDX-License-Identifier: Apache-2.0 */

/* What the guard costs per datagram: for one client, and for a flood in which each has another address
 * and nothing is in the cache. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "net/guard.h"

#define ROUNDS 5000000u

static void measure(struct guard *guard, const char *what, uint32_t spread, bool unchanged)
{
	static const char text[] = "HOW MUCH DOES THIS COST?";
	struct in6_addr here = {.s6_addr = {0x20, 0x01, [15] = 1}};
	unsigned answered = 0;
	clock_t begin = clock(); /* of this process alone: others may be busy, too */
	double took_ns;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct addr peer = {
			.len = sizeof(peer.in),
			.in = {.sin_family = AF_INET, .sin_port = htons(5000)},
		};
		struct datagram_ends ends;
		struct guard_sender sender;

		peer.in.sin_addr.s_addr = htonl(0x0b000000 + i % spread * 2654435761u % spread);
		ends = guard_ends(&peer, &here, false);
		sender = guard_sender(guard, &ends, 1000 + i / 1000);
		answered += guard_judge(guard, &sender, sizeof(text), 1000 + i / 1000) ==
				GUARD_ANSWER &&
			(!unchanged ||
				guard_count_unchanged(guard, &sender, text, sizeof(text),
					1000 + i / 1000) == GUARD_ANSWER);
	}
	took_ns = (double)(clock() - begin) * (1e9 / CLOCKS_PER_SEC);
	printf("%-44s %5.1f ns a datagram, %u of %u answered\n", what, took_ns / ROUNDS, answered,
		ROUNDS);
}

int main(void)
{
	struct shared *shared = calloc(1, sizeof(*shared));
	const struct guard_limits limits = {.datagrams = 10000000, .unchanged = 10000000};
	const struct guard_limits usual = {.datagrams = 200, .unchanged = 50};
	struct guard *guard = malloc(sizeof(*guard));

	if (!shared || !guard)
		return 1;
	guard_init(guard, shared, &limits);
	measure(guard, "one client within its limits", 1, false);
	guard_init(guard, shared, &usual);
	measure(guard, "one client beyond its limits", 1, false);
	measure(guard, "a flood from 16 million addresses", 1 << 24, false);
	measure(guard, "the same, unchanged and found in loops", 1 << 24, true);
	free(guard);
	free(shared);
	return 0;
}
