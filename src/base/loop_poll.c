/* SPDX-License-Identifier: Apache-2.0 */

/* For systems without epoll: the sources are a list, from which each round makes the table that poll() takes. A
 * source leaves the list when it is unwatched, so that its owner may free it at the end of the round. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/loop.h"

#define LONGEST_MS 60000

int loop_init(struct loop *loop)
{
	*loop = LOOP_INIT(*loop);
	list_init(&loop->sources);
	loop->now_ms = clock_ms();
	return 0;
}

void loop_done(struct loop *loop)
{
	free(loop->polls);
	free(loop->polled);
	loop->polls = NULL;
	loop->polled = NULL;
	loop->room = 0;
}

int loop_watch(struct loop *loop, struct source *source, int fd, uint32_t events)
{
	loop_forget(source);
	source->fd = fd;
	source->wants = (short)events;
	source->dead = false;
	list_append(&loop->sources, &source->node);
	loop->n_sources++;
	return 0;
}

int loop_change(struct loop *loop, struct source *source, uint32_t events)
{
	if (!source->node.next || list_is_empty(&source->node))
		return -ENOENT;
	source->wants = (short)events;
	return 0;
}

void loop_unwatch(struct loop *loop, struct source *source)
{
	loop_forget(source);
}

void loop_forget(struct source *source)
{
	if (source->node.next)
		list_remove(&source->node);
	source->dead = true;
}

/* The table of this round; returns how many there are, or a negative errno. */
static int fill_table(struct loop *loop)
{
	size_t n = 0;

	if (loop->n_sources > loop->room) {
		size_t room = 2 * loop->n_sources;
		struct pollfd *polls = realloc(loop->polls, room * sizeof(*polls));
		struct source **polled;

		if (!polls)
			return -ENOMEM;
		loop->polls = polls;
		polled = realloc(loop->polled, room * sizeof(*polled));
		if (!polled)
			return -ENOMEM;
		loop->polled = polled;
		loop->room = room;
	}
	list_foreach (node, &loop->sources) {
		struct source *source = container_of(node, struct source, node);

		loop->polls[n] = (struct pollfd){.fd = source->fd, .events = source->wants};
		loop->polled[n++] = source;
	}
	loop->n_sources = n; /* without those that have left since */
	return (int)n;
}

static int patience_until(uint64_t until_ms)
{
	uint64_t now_ms = clock_ms();

	if (until_ms == UINT64_MAX)
		return -1;
	if (until_ms <= now_ms)
		return 0;
	return until_ms - now_ms < LONGEST_MS ? (int)(until_ms - now_ms) : LONGEST_MS;
}

int loop_wait(struct loop *loop, uint64_t until_ms)
{
	int n = fill_table(loop);

	if (n < 0)
		return n;
	if (poll(loop->polls, (nfds_t)n, patience_until(until_ms)) < 0 && errno != EINTR)
		return -errno;

	loop->now_ms = clock_ms();
	for (int i = 0; i < n; i++) {
		struct source *source = loop->polled[i];
		short events = loop->polls[i].revents;

		if (events != 0 && !source->dead)
			source->on_event(source, (uint32_t)events);
	}
	return 0;
}
