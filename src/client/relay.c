/* SPDX-License-Identifier: Apache-2.0 */
/* The filter's engine. Each round moves the bytes that can be moved without waiting, and only a round
 * that moved none sleeps. The link is tried in every round, since a transport may hold bytes that
 * poll() does not know of. Our own input and output keep their flags: others may share them. */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/relay.h"
#include "client/report.h"

#define WINDOW          (256 * 1024)
#define ANSWER_MAX      (64 * 1024 * 1024)
/* How long a producer that has sent its last byte may take to close its end. */
#define END_OF_INPUT_MS 1000

enum { IN, OUT, LINK, N_POLLS };

static size_t chunk_len(const struct chunk *chunk)
{
	return chunk->end - chunk->at;
}

static size_t chunk_room(const struct chunk *chunk)
{
	return chunk->size - chunk->end;
}

static int chunk_init(struct chunk *chunk, size_t size)
{
	*chunk = (struct chunk){.data = malloc(size), .size = size};
	return chunk->data ? 0 : -ENOMEM;
}

/* Only an empty window goes back to its start: no byte is ever moved. */
static void chunk_take(struct chunk *chunk, size_t len)
{
	chunk->at += len;
	if (chunk->at == chunk->end)
		chunk->at = chunk->end = 0;
}

static int chunk_grow(struct chunk *chunk)
{
	size_t size = 2 * chunk->size;
	uint8_t *data;

	if (size > ANSWER_MAX)
		return -EFBIG;
	data = realloc(chunk->data, size);
	if (!data)
		return -ENOMEM;
	chunk->data = data;
	chunk->size = size;
	return 0;
}

/* poll() promises PIPE_BUF bytes of room; only a file takes any length at once. */
static size_t out_max_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? WINDOW : PIPE_BUF;
}

int relay_init(struct relay *relay, struct link *link, int in, int out)
{
	int r;

	*relay = (struct relay){.link = link, .in = in, .out = out, .out_max = out_max_of(out)};
	r = chunk_init(&relay->up, WINDOW);
	if (r)
		return r;
	return chunk_init(&relay->down, WINDOW);
}

int relay_init_text(struct relay *relay, struct link *link, const void *text, size_t len)
{
	int r;

	*relay = (struct relay){.link = link, .in = -1, .out = -1, .in_ended = true};
	r = chunk_init(&relay->up, len);
	if (r)
		return r;
	memcpy(relay->up.data, text, len);
	relay->up.end = len;
	return chunk_init(&relay->down, 4096);
}

void relay_done(struct relay *relay)
{
	free(relay->up.data);
	free(relay->down.data);
	relay->up = relay->down = (struct chunk){0};
}

static int take_input(struct relay *relay, bool *ret_moved, struct why *why)
{
	struct chunk *up = &relay->up;
	ssize_t n;

	n = read(relay->in, up->data + up->end, chunk_room(up));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : why_no_input(why, errno);
	if (n == 0)
		relay->in_ended = true;
	up->end += (size_t)n;
	*ret_moved = true;
	return 0;
}

static int send_up(struct relay *relay, bool *ret_moved)
{
	struct chunk *up = &relay->up;
	size_t n;
	int r;

	r = link_write(relay->link, up->data + up->at, chunk_len(up), &n);
	if (r == LINK_E_AGAIN)
		return 0;
	if (r < 0)
		return r;
	*ret_moved = true;
	if (r) {
		relay->is_deaf = true;
		return 0;
	}
	relay->sent += n;
	chunk_take(up, n);
	return 0;
}

static int receive_down(struct relay *relay, bool *ret_moved)
{
	struct chunk *down = &relay->down;
	size_t n;
	int r;

	r = link_read(relay->link, down->data + down->end, chunk_room(down), &n);
	if (r == LINK_E_AGAIN)
		return 0;
	if (r < 0)
		return r;
	*ret_moved = true;
	if (r) {
		relay->link_ended = true;
		relay->is_reset = r == LINK_E_RESET;
		return 0;
	}
	relay->last_us = clock_us();
	if (!relay->received)
		relay->first_us = relay->last_us;
	relay->received += n;
	down->end += n;
	return relay->out < 0 && chunk_room(down) == 0 ? chunk_grow(down) : 0;
}

static int give_output(struct relay *relay, bool *ret_moved, struct why *why)
{
	struct chunk *down = &relay->down;
	size_t len = chunk_len(down);
	ssize_t n;

	n = write(relay->out, down->data + down->at, len < relay->out_max ? len : relay->out_max);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : why_no_output(why, errno);
	chunk_take(down, (size_t)n);
	*ret_moved = true;
	return 0;
}

static bool wants_input(const struct relay *relay)
{
	return !relay->in_ended && !relay->is_deaf && !relay->link_ended && chunk_room(&relay->up);
}

static bool wants_send(const struct relay *relay)
{
	return !relay->is_deaf && !relay->link_ended && chunk_len(&relay->up);
}

static bool wants_receive(const struct relay *relay)
{
	return !relay->link_ended && chunk_room(&relay->down);
}

static bool wants_output(const struct relay *relay)
{
	return relay->out >= 0 && chunk_len(&relay->down);
}

static int relay_finish(struct relay *relay)
{
	if (relay->is_finished || !relay->in_ended || chunk_len(&relay->up) || relay->link_ended)
		return 0;
	relay->is_finished = true;
	return link_finish(relay->link);
}

static int relay_move(struct relay *relay, const struct pollfd polls[static N_POLLS],
	bool *ret_moved, struct why *why)
{
	int r = 0;

	if (polls[IN].revents)
		r = take_input(relay, ret_moved, why);
	if (!r && wants_send(relay))
		r = send_up(relay, ret_moved);
	if (!r)
		r = relay_finish(relay);
	if (!r && wants_receive(relay))
		r = receive_down(relay, ret_moved);
	if (!r && polls[OUT].revents)
		r = give_output(relay, ret_moved, why);
	return r;
}

static void relay_arrange(struct relay *relay, struct pollfd polls[static N_POLLS])
{
	struct link *link = relay->link;
	short wants = (short)((wants_send(relay) ? link->write_wants : 0) |
		(wants_receive(relay) ? link->read_wants : 0));

	polls[IN] = (struct pollfd){wants_input(relay) ? relay->in : -1, .events = POLLIN};
	polls[OUT] = (struct pollfd){wants_output(relay) ? relay->out : -1, .events = POLLOUT};
	polls[LINK] = (struct pollfd){wants ? link->fd : -1, .events = wants};
}

/* A producer or a reader of ours may take all the time it likes; only the peer has a limit. */
static bool waits_for_peer(const struct relay *relay)
{
	return !wants_input(relay) && !wants_output(relay);
}

static int relay_wait(struct pollfd *polls, int timeout_ms)
{
	int n = poll(polls, N_POLLS, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n == 0 && timeout_ms > 0 ? CLIENT_E_LOST : 0;
}

static int relay_patience_ms(const struct relay *relay, bool moved, uint64_t timeout_ms)
{
	if (moved)
		return 0;
	return waits_for_peer(relay) && timeout_ms ? (int)timeout_ms : -1;
}

/* Whether input is left that the peer will not take any more. */
static bool is_input_left(struct relay *relay)
{
	struct pollfd input = {relay->in, .events = POLLIN};
	char byte;

	if (chunk_len(&relay->up))
		return true;
	if (relay->in_ended)
		return false;
	return poll(&input, 1, END_OF_INPUT_MS) <= 0 || read(relay->in, &byte, 1) != 0;
}

static int relay_judge(struct relay *relay, struct why *why)
{
	if (relay->is_reset)
		return why_set(why, CLIENT_E_LOST,
			"the server reset the connection; part of the answer may be missing");
	if (relay->is_deaf || is_input_left(relay))
		return why_set(why, CLIENT_E_LOST,
			"the server closed the connection before the end of the input");
	if (relay->sent > 0 && relay->received == 0)
		return why_set(why, CLIENT_E_LOST, "the server closed the connection unanswered");
	return 0;
}

int relay_run(struct relay *relay, uint64_t timeout_ms, struct why *why)
{
	struct pollfd polls[N_POLLS];
	bool moved = false;
	int r;

	while (!relay->link_ended || wants_output(relay)) {
		relay_arrange(relay, polls);
		r = relay_wait(polls, relay_patience_ms(relay, moved, timeout_ms));
		if (r == CLIENT_E_LOST)
			return why_set(why, r, "nothing from the server for %.3g s; see --timeout",
				(double)timeout_ms / 1000);
		if (r)
			return r;
		moved = false;
		r = relay_move(relay, polls, &moved, why);
		if (r)
			return r;
	}
	return relay_judge(relay, why);
}
