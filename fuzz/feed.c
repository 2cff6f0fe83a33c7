/* SPDX-License-Identifier: Apache-2.0 */

/* A careful caller of upper_convert(), who checks the contract as far as one call shows it. */

#include "feed.h"

#include <string.h>

struct feed feed_new(size_t size)
{
	struct feed feed = {.room = UPPER_EXPANSION * size};

	feed.bytes = malloc(feed.room + 1);
	require(feed.bytes);
	return feed;
}

void feed_done(struct feed *feed)
{
	free(feed->bytes);
}

/* The room is too small at first, and grows from call to call. */
static int convert(struct feed *feed, const struct upper_rule *rule, bool last, struct upper_in *in)
{
	for (size_t room = 0;; room++) {
		const uint8_t *before = in->at;
		size_t left = feed->room - feed->made;
		struct upper_out out = {feed->bytes + feed->made,
			feed->bytes + feed->made + (room < left ? room : left)};
		int r = feed->kernel ? feed->kernel->convert(rule, last, in, &out)
				     : upper_convert(rule, last, in, &out);

		feed->made = (size_t)(out.at - feed->bytes);
		if (r != UPPER_E_ROOM)
			return r;
		require(room < UPPER_LONGEST || in->at > before);
	}
}

int feed(struct feed *feed, const struct upper_rule *rule, const uint8_t *text, size_t size,
	size_t piece)
{
	size_t taken = 0, arrived = 0;
	int r;

	do {
		arrived = size - arrived < piece ? size : arrived + piece;
		uint8_t *copy = malloc(arrived - taken + 1);
		require(copy);

		uint8_t *end = copy + (arrived - taken) + 1;
		struct upper_in in = {memcpy(copy + 1, text + taken, arrived - taken), end};
		r = convert(feed, rule, arrived == size, &in);
		taken = arrived - (size_t)(end - in.at);
		free(copy);
		require(r != UPPER_E_UNFINISHED || arrived - taken <= UPPER_UNFINISHED);
	} while (arrived < size && r != UPPER_E_INVALID);

	return r;
}

bool feed_equal(const struct feed *a, const struct feed *b)
{
	return a->made == b->made && memcmp(a->bytes, b->bytes, a->made) == 0;
}
