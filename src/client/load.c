/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of bench. Questions carry their number, so that answers to datagrams may come in any
 * order, and an answer to the wrong question is seen on a stream too. A question that has no answer
 * in time is lost and its slot is free again; a late answer is then one to nothing, and wrong. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <upper/upper.h>

#include "base/clock.h"
#include "client/load.h"
#include "client/options.h"
#include "client/probe.h"

/* Numbers of different lanes never meet. */
#define LANE_SHIFT 48

static void lane_done(struct lane *lane)
{
	link_close(&lane->link);
	free(lane->sent_us);
	free(lane->out);
	free(lane->in);
}

void load_done(struct load *load)
{
	for (size_t i = 0; load->lanes && i < load->n_lanes; i++)
		lane_done(&load->lanes[i]);
	free(load->lanes);
	free(load->polls);
	free(load->expected);
}

static int lane_init(struct lane *lane, const struct load *load, struct why *why)
{
	lane->sent_us = calloc(load->depth, sizeof(*lane->sent_us));
	lane->out = malloc(load->size);
	lane->in = malloc(load->size + 1); /* a datagram that is too long shows as such */
	if (!lane->sent_us || !lane->out || !lane->in)
		return -ENOMEM;
	return link_open(&lane->link, load->server, why);
}

int load_init(struct load *load, const struct server *server, struct why *why)
{
	const struct options *options = server->options;
	int r = 0;

	*load = (struct load){
		.server = server,
		.n_lanes = (size_t)options->connections,
		.depth = (size_t)options->depth,
		.size = (size_t)options->size,
		.limit = options->count,
	};
	load->lanes = calloc(load->n_lanes, sizeof(*load->lanes));
	load->polls = calloc(load->n_lanes, sizeof(*load->polls));
	load->expected = malloc(load->size);
	if (!load->lanes || !load->polls || !load->expected)
		return -ENOMEM;
	for (size_t i = 0; !r && i < load->n_lanes; i++)
		r = lane_init(&load->lanes[i], load, why);
	return r;
}

static uint64_t number_of(const struct load *load, const struct lane *lane, uint64_t question)
{
	return (uint64_t)(lane - load->lanes) << LANE_SHIFT | question;
}

static bool is_right(const struct load *load, const uint8_t *question, const uint8_t *answer)
{
	static const struct upper_rule rule = {.charset = UPPER_UTF8, .invalid = UPPER_KEEP};
	struct upper_in in = {question, question + load->size};
	struct upper_out out = {load->expected, load->expected + load->size};

	upper_convert(&rule, true, &in, &out);
	return memcmp(load->expected, answer, load->size) == 0;
}

/* Counts one answer and frees its slot. */
static void take_answer(struct load *load, struct lane *lane)
{
	uint64_t number = probe_number(lane->in, lane->in_at), now = clock_us();
	uint64_t question = number & ((UINT64_C(1) << LANE_SHIFT) - 1);
	uint64_t *sent_us = &lane->sent_us[question % load->depth];
	uint8_t *expected = load->expected;
	bool is_known = lane->in_at == load->size && number == number_of(load, lane, question) &&
		question < lane->next && question + load->depth >= lane->next && *sent_us;

	lane->in_at = 0;
	if (is_known)
		probe_write(expected, load->size, number);
	if (!is_known || !is_right(load, expected, lane->in)) {
		load->wrong++;
		return;
	}
	lane->has_answered = true;
	load->right++;
	histogram_add(&load->times, now - *sent_us);
	*sent_us = 0;
	lane->n_busy--;
}

/* What was under way on a link that ended. A server that closes after each answer has done no
 * wrong: what it never saw is asked again. */
static void give_back(struct load *load, struct lane *lane)
{
	if (lane->has_answered)
		load->sent -= lane->n_busy;
	else
		load->lost += lane->n_busy;
	lane->has_answered = false;
	memset(lane->sent_us, 0, load->depth * sizeof(*lane->sent_us));
	lane->n_busy = 0;
	lane->out_at = lane->in_at = 0;
}

static void lose_late(struct load *load, struct lane *lane)
{
	uint64_t timeout_us = load->server->options->timeout_ms * 1000, now = clock_us();

	for (size_t i = 0; timeout_us && lane->n_busy && i < load->depth; i++) {
		if (!lane->sent_us[i] || now - lane->sent_us[i] < timeout_us)
			continue;
		lane->sent_us[i] = 0;
		lane->n_busy--;
		load->lost++;
	}
}

static bool wants_send(const struct load *load, const struct lane *lane)
{
	if (lane->out_at)
		return true;
	return !lane->sent_us[lane->next % load->depth] &&
		(!load->limit || load->sent < load->limit);
}

static int send_some(struct load *load, struct lane *lane)
{
	size_t n;
	int r;

	if (lane->out_at == 0) {
		probe_write(lane->out, load->size, number_of(load, lane, lane->next));
		lane->out_us = clock_us();
	}
	r = link_write(&lane->link, lane->out + lane->out_at, load->size - lane->out_at, &n);
	if (r)
		return r;
	lane->out_at += n;
	if (lane->out_at < load->size)
		return 0;
	lane->out_at = 0;
	lane->sent_us[lane->next++ % load->depth] = lane->out_us;
	lane->n_busy++;
	load->sent++;
	return 0;
}

static int receive_some(struct load *load, struct lane *lane)
{
	bool is_datagram = load->server->url.transport->is_datagram;
	size_t room = is_datagram ? load->size + 1 : load->size - lane->in_at, n;
	int r;

	r = link_read(&lane->link, lane->in + lane->in_at, room, &n);
	if (r)
		return r;
	lane->in_at += n;
	if (is_datagram || lane->in_at == load->size)
		take_answer(load, lane);
	return 0;
}

/* All that goes without waiting; a server that closed its end is connected to again. */
static int lane_move(struct load *load, struct lane *lane, struct why *why)
{
	int r = 0;

	while (!r)
		r = receive_some(load, lane);
	while (r == LINK_E_AGAIN && wants_send(load, lane)) {
		r = send_some(load, lane);
		if (r == LINK_E_AGAIN)
			return 0;
		r = r ? r : LINK_E_AGAIN;
	}
	if (r == LINK_E_AGAIN || r < 0)
		return r < 0 ? r : 0;

	if (r == LINK_E_REFUSED)
		return link_explain(&lane->link, why);
	if (r == LINK_E_TOO_LONG)
		return why_set(why, CLIENT_E_USAGE,
			"--size is more than the %zu bytes that a datagram holds",
			load->server->url.transport->longest);
	give_back(load, lane);
	link_close(&lane->link);
	return link_open(&lane->link, load->server, why);
}

bool load_is_over(const struct load *load)
{
	if (!load->limit || load->sent < load->limit)
		return false;
	for (size_t i = 0; i < load->n_lanes; i++)
		if (load->lanes[i].n_busy)
			return false;
	return true;
}

int load_step(struct load *load, int timeout_ms, struct why *why)
{
	int r;

	for (size_t i = 0; i < load->n_lanes; i++) {
		struct lane *lane = &load->lanes[i];

		r = lane_move(load, lane, why);
		if (r)
			return r;
		lose_late(load, lane);
		load->polls[i].fd = lane->link.fd;
		load->polls[i].events = (short)(lane->link.read_wants |
			(wants_send(load, lane) ? lane->link.write_wants : 0));
	}
	if (load_is_over(load))
		return 0;
	if (poll(load->polls, load->n_lanes, timeout_ms) < 0 && errno != EINTR)
		return -errno;
	return 0;
}
