/* SPDX-License-Identifier: Apache-2.0 */
/* The path to a server: how large a packet passes each way, how long a connection may be idle, and which
 * servers answer behind one address.
 *
 * Packets of the request carry the don't-fragment bit and are probed for their size as RFC 8899 has it:
 * without trust in ICMP, and with three tries before a size counts as lost. A text that becomes shorter in
 * upper case keeps the answer out of the way. On the way back it is the server that sends packets: a text
 * that becomes longer makes them larger than the path may take, and the fragments that arrive have the
 * size that passes. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "client/balancer.h"
#include "client/exchange.h"
#include "client/options.h"
#include "client/path_idle.h"
#include "client/report.h"
#include "client/soundness.h"
#include "client/transport.h"
#include "config.h"

#define TRIES      3
#define LEAST_WAIT 150 /* ms, for an answer */
#define IPV4_UDP   28  /* bytes of the headers */
#define IPV6_UDP   48
#define MARGIN     400   /* bytes that an answer has more than a packet may */
#define BULK       60000 /* bytes that a stream is asked */

struct path_finder {
	const struct options *options;
	struct server server;
	struct lanes lanes;
	struct lane lane;
	struct timer timer;
	uint64_t number, rtt_us;
	const struct expect *wanted; /* the answer that is awaited */
	size_t received;             /* of it, on a stream */
	bool is_answered, is_too_long, is_refused, is_ended;
	bool is_back; /* the size of answers is looked for */
	int fragment; /* the largest of the answer; 0: it came whole */

	/* The result. */
	unsigned headers;
	unsigned local_mtu, forward_mtu, back_mtu; /* 0: not known */
	bool back_is_more;                         /* at least */
	unsigned segment_forward, segment_back;    /* of a stream */
	bool is_stream_lossy;                      /* small answers come, large ones do not */
	enum passage small_hello, large_hello;
	struct balancer balancer;
	struct idle idle;
};

static void path_done(struct path_finder *path)
{
	loop_clear_timer(&path->timer);
	lane_done(&path->lane);
	balancer_done(&path->balancer);
	lanes_done(&path->lanes);
	server_done(&path->server);
}

static void stop(struct path_finder *path)
{
	loop_stop(&path->lanes.loop, 0);
}

static void path_on_open(struct lane *lane)
{
	stop(container_of(lane, struct path_finder, lane));
}

static void path_on_arrival(struct lane *lane, const struct arrival *arrival)
{
	struct path_finder *path = container_of(lane, struct path_finder, lane);
	const struct expect *wanted = path->wanted;

	if (!wanted)
		return;
	if (lane->link.server->url.transport->is_datagram) {
		path->is_answered = expect_is(wanted, arrival->data, arrival->len);
		path->fragment = arrival->fragment;
	} else {
		path->received += arrival->len;
		path->is_answered = path->received >= wanted->len;
	}
	if (path->is_answered)
		stop(path);
}

static void path_on_end(struct lane *lane, int outcome, const struct why *why)
{
	struct path_finder *path = container_of(lane, struct path_finder, lane);

	path->is_too_long = outcome == CLIENT_E_USAGE;
	path->is_refused = outcome == CLIENT_E_UNREACHABLE;
	path->is_ended = true;
	stop(path);
}

static void path_on_time(struct timer *timer, uint64_t now_ms)
{
	stop(container_of(timer, struct path_finder, timer));
}

/* Runs the loop until something of these has happened, or for that long. */
static int path_wait(struct path_finder *path, uint64_t wait_ms)
{
	struct loop *loop = &path->lanes.loop;
	int r;

	loop->stopped = path->is_ended || path->is_answered;
	loop_set_timer(loop, &path->timer, clock_ms() + wait_ms);
	r = loop_run(loop);
	loop_clear_timer(&path->timer);
	return r;
}

/* On the way there the kernel is to set the don't-fragment bit, and to send whatever it thinks of the path.
 * Afterwards a question may be cut: its answer is what counts. */
static void set_fragmenting(struct path_finder *path)
{
#if WITH_LINUX
	int how = path->is_back ? IP_PMTUDISC_DONT : IP_PMTUDISC_PROBE;
	int fd = path->lane.link.fd, on = 1;

	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how, sizeof(how));
	setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &how, sizeof(how));
	setsockopt(fd, IPPROTO_IP, IP_RECVFRAGSIZE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVFRAGSIZE, &on, sizeof(on));
#endif
}

static int path_connect(struct path_finder *path)
{
	int r = 0;

	path->is_ended = path->is_answered = false;
	path->lanes.loop.stopped = false;
	lane_open(&path->lane, &path->server);
	if (!lane_is_open(&path->lane) && !path->is_ended)
		r = path_wait(path, path->options->timeout_ms);
	if (r)
		return r;
	if (!lane_is_open(&path->lane))
		return CLIENT_E_UNREACHABLE;
	if (path->server.url.transport->is_datagram)
		set_fragmenting(path);
	return 0;
}

/* The bytes that a record has besides its text, by the way it is encrypted; 0: not known. A record of DTLS 1.2 has 13
 * in front; GCM and CCM have 8 more that are sent openly, and all have a tag of 16, or 8 when the name says so. */
static unsigned record_overhead(const struct lane *lane)
{
	struct session_facts facts;

	if (!link_describe(&lane->link, &facts))
		return 0;
	if (strstr(facts.cipher, "CHACHA20") || strstr(facts.cipher, "CCM8"))
		return 13 + 16;
	return strstr(facts.cipher, "GCM") || strstr(facts.cipher, "CCM") ? 13 + 8 + 16 : 0;
}

/* A question: a number, so that a late answer is no answer to it; a character of two bytes, some times;
 * and letters. */
struct shape {
	const char *two;
	size_t n_two, n_letters;
};

#define NUMBER_LEN 8
#define SHRINKING  "\xc4\xb1" /* dotless i, which becomes I */
#define GROWING    "\xce\x90" /* iota with dialytika and tonos, which becomes three characters */

/* The question has `len` bytes, and the answer about half of them. */
static struct shape shape_of_question(size_t len)
{
	return (struct shape){SHRINKING, (len - NUMBER_LEN) / 2, (len - NUMBER_LEN) % 2};
}

/* The answer has `len` bytes, and the question about a third of them. */
static struct shape shape_of_answer(size_t len)
{
	return (struct shape){GROWING, (len - NUMBER_LEN) / 6, (len - NUMBER_LEN) % 6};
}

static size_t shape_len(const struct shape *shape)
{
	return NUMBER_LEN + 2 * shape->n_two + shape->n_letters;
}

static void write_question(struct path_finder *path, const struct shape *shape, uint8_t *text)
{
	uint8_t *at = text;

	at += snprintf((char *)at, NUMBER_LEN + 1, "n%06u ", (unsigned)(path->number++ % 1000000));
	for (size_t i = 0; i < shape->n_two; i++, at += 2)
		memcpy(at, shape->two, 2);
	memset(at, 'x', shape->n_letters);
}

/* 0 when the answer came; CLIENT_E_LOST when none did; CLIENT_E_USAGE when the packet cannot be sent. */
static int try_once(struct path_finder *path, const uint8_t *text, size_t len, uint64_t wait_ms)
{
	_cleanup_expect_ struct expect wanted = {0};
	uint64_t begun = clock_us();
	int r;

	r = lane_is_open(&path->lane) ? 0 : path_connect(path);
	if (!r)
		r = expect_upper(&wanted, text, len);
	if (r)
		return r;
	path->is_ended = path->is_answered = path->is_too_long = path->is_refused = false;
	path->received = 0;
	path->wanted = &wanted;
	if (lane_send(&path->lane, text, len) == 0)
		lane_flush(&path->lane);
	r = path_wait(path, wait_ms);
	path->wanted = NULL;
	if (path->is_answered) {
		path->rtt_us = clock_us() - begun;
		return 0;
	}
	return r < 0 ? r : path->is_too_long ? CLIENT_E_USAGE : CLIENT_E_LOST;
}

static uint64_t wait_ms(const struct path_finder *path)
{
	uint64_t ms = 4 * path->rtt_us / 1000;

	return ms > LEAST_WAIT ? ms : LEAST_WAIT;
}

static int ask_once(struct path_finder *path, const struct shape *shape, uint64_t patience_ms)
{
	size_t len = shape_len(shape);
	_cleanup_free_ uint8_t *text = malloc(len + NUMBER_LEN);

	if (!text)
		return -ENOMEM;
	write_question(path, shape, text);
	return try_once(path, text, len, patience_ms);
}

/* Whether such a question is answered in one of three tries. */
static int passes(struct path_finder *path, struct shape shape, bool *ret_passes)
{
	int r = CLIENT_E_LOST;

	for (int i = 0; i < TRIES && r == CLIENT_E_LOST; i++)
		r = ask_once(path, &shape, wait_ms(path));
	*ret_passes = r == 0;
	return r == CLIENT_E_LOST || r == CLIENT_E_USAGE ? 0 : r;
}

/* The kernel's knowledge of the first hop. */
static unsigned local_mtu(const struct path_finder *path)
{
	int mtu = 0;
#if WITH_LINUX
	bool is_v6 = path->server.addresses[0].sa.sa_family == AF_INET6;
	socklen_t len = sizeof(mtu);

	getsockopt(path->lane.link.fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_MTU : IP_MTU,
		&mtu, &len);
#endif
	return mtu > 0 ? (unsigned)mtu : 0;
}

/* The largest question that passes, between one that does and one that does not. */
static int search_forward(struct path_finder *path)
{
	size_t longest = path->server.url.transport->longest;
	size_t low = 100, high = path->local_mtu ? path->local_mtu - path->headers : longest;
	bool is_passing;
	int r;

	high = high < longest ? high : longest;
	r = passes(path, shape_of_question(high), &is_passing);
	while (!r && !is_passing && high - low > 1) {
		size_t middle = low + (high - low) / 2;
		bool fits;

		r = passes(path, shape_of_question(middle), &fits);
		if (fits)
			low = middle;
		else
			high = middle;
	}
	if (!r)
		path->forward_mtu = (unsigned)(is_passing ? high : low) + path->headers;
	return r;
}

/* The first answers tell a server what its path takes, by ICMP; the last one has fragments that pass. */
static int search_fragments(struct path_finder *path, size_t len, bool *ret_came)
{
	struct shape shape = shape_of_answer(len);
	int r = 0;

	*ret_came = false;
	for (int i = 0; i < 2 * TRIES; i++) {
		r = ask_once(path, &shape, wait_ms(path));
		if (r && r != CLIENT_E_LOST)
			return r;
		if (r)
			continue;
		*ret_came = true;
		if (path->fragment)
			path->back_mtu = (unsigned)path->fragment;
	}
	return 0;
}

/* Fragments have a multiple of eight bytes. An answer that comes whole has any number. */
static int refine_back(struct path_finder *path)
{
	unsigned fragment = path->back_mtu;
	bool fits;
	int r;

	for (unsigned more = 7; more > 0; more--) {
		path->fragment = 0;
		r = passes(path, shape_of_answer(fragment + more - path->headers), &fits);
		if (r)
			return r;
		if (fits && !path->fragment) {
			path->back_mtu = fragment + more;
			return 0;
		}
	}
	return 0;
}

/* Where fragments do not come at all, the largest answer that comes whole has the size. */
static int search_back(struct path_finder *path)
{
	size_t longest = path->server.url.transport->longest - MARGIN;
	size_t most = path->local_mtu && path->local_mtu < 60000 ? path->local_mtu : 20000;
	size_t high = (most < longest ? most : longest) + MARGIN, low = 100;
	bool came, fits;
	int r;

	r = search_fragments(path, high, &came);
	if (r || path->back_mtu)
		return r ? r : refine_back(path);
	path->back_is_more = came;
	while (!came && high - low > 1) {
		size_t middle = low + (high - low) / 2;

		r = passes(path, shape_of_answer(middle), &fits);
		if (r)
			return r;
		if (fits)
			low = middle;
		else
			high = middle;
	}
	path->back_mtu = (unsigned)(came ? high : low) + path->headers;
	return 0;
}

static void find_headers(struct path_finder *path)
{
	path->headers = path->server.addresses[0].sa.sa_family == AF_INET6 ? IPV6_UDP : IPV4_UDP;
}

/* An address that refuses datagrams is forgotten, as long as the name has another. */
static bool use_next_address(struct path_finder *path)
{
	struct server *server = &path->server;

	if (server->n_addresses < 2)
		return false;
	server->n_addresses--;
	memmove(server->addresses, server->addresses + 1,
		server->n_addresses * sizeof(*server->addresses));
	lane_close(&path->lane);
	find_headers(path);
	return true;
}

static int measure_datagrams(struct path_finder *path)
{
	bool is_alive;
	int r;

	path->lane.peeks = path->server.url.transport->has_session;
	if (path->lane.peeks) {
		unsigned overhead;

		r = path_connect(path);
		if (r)
			return r;
		overhead = record_overhead(&path->lane);
		if (!overhead)
			return 0;
		path->headers += overhead;
	}
	do {
		r = passes(path, shape_of_question(100), &is_alive);
		if (r)
			return r;
	} while (!is_alive && path->is_refused && use_next_address(path));
	if (!is_alive)
		return path->is_refused ? CLIENT_E_UNREACHABLE : CLIENT_E_LOST;
	if (!WITH_LINUX) /* nothing forbids fragments: all sizes would pass */
		return 0;
	path->local_mtu = local_mtu(path);
	r = search_forward(path);
	if (r)
		return r;
	path->is_back = true;
	if (lane_is_open(&path->lane))
		set_fragmenting(path);
	return search_back(path);
}

static void read_segments(struct path_finder *path)
{
#if WITH_LINUX
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(path->lane.link.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return;
	path->forward_mtu = info.tcpi_pmtu;
	path->segment_forward = info.tcpi_snd_mss;
	path->segment_back = info.tcpi_rcv_mss;
#endif
}

/* A stream is cut by the kernels of both ends; they know what passes. */
static int measure_stream(struct path_finder *path)
{
	const struct shape small = {"ab", 40, 0}, large = {"ab", BULK / 2, 0};
	int r;

	r = ask_once(path, &small, path->options->timeout_ms);
	if (r)
		return r;
	r = ask_once(path, &large, path->options->timeout_ms);
	path->is_stream_lossy = r == CLIENT_E_LOST && !path->is_ended;
	if (lane_is_open(&path->lane))
		read_segments(path);
	return r == CLIENT_E_LOST ? 0 : r;
}

#if HAVE_TLS
static void try_handshakes(struct path_finder *path)
{
	bool is_datagram = path->server.url.transport->is_datagram;
	struct server plain = path->server;
	const char *name = is_datagram ? "udp" : "tcp";

	if (!path->server.url.transport->describe)
		return;
	plain.url.transport = transport_find(name, strlen(name));
	plain.tls = NULL;
	path->small_hello = soundness_hello(&plain, false);
	path->large_hello = soundness_hello(&plain, true);
}
#else
static void try_handshakes(struct path_finder *path)
{
}
#endif

static const char *passage_of(const struct path_finder *path)
{
	static const char *const all[][3] = {
		[PASSAGE_UNKNOWN] = {"", "", ""},
		[PASSAGE_ANSWERED] = {"", "all sizes of ClientHello are answered",
			"the large ClientHello is lost, the small one is not: something on the "
			"path "
			"drops large packets"},
		[PASSAGE_LOST] = {"", "the small ClientHello was lost, the large one was not",
			"no ClientHello is answered, small or large"},
	};

	return all[path->small_hello][path->large_hello];
}

static void path_print_json(const struct path_finder *path)
{
	struct json json = JSON_TO(stdout);

	json_object(&json, NULL);
	json_string(&json, "server", path->server.name);
	if (path->forward_mtu)
		json_number(&json, "mtu_forward", path->forward_mtu);
	if (path->back_mtu) {
		json_number(&json, "mtu_back", path->back_mtu);
		json_bool(&json, "mtu_back_is_more", path->back_is_more);
	}
	if (path->segment_forward) {
		json_number(&json, "segment_forward", path->segment_forward);
		json_number(&json, "segment_back", path->segment_back);
		json_bool(&json, "large_answers_lost", path->is_stream_lossy);
	}
	json_string(&json, "handshake", *passage_of(path) ? passage_of(path) : NULL);
	if (path->balancer.n_members) {
		json_number(&json, "members", path->balancer.n_members);
		json_number(&json, "tickets", path->balancer.n_tickets);
		json_number(&json, "resumed", path->balancer.n_resumed);
	}
	if (path->options->idle_ms) {
		json_decimal(&json, "idle_alive_s", (double)path->idle.alive_ms / 1000, 3);
		if (path->idle.dead_ms)
			json_decimal(&json, "idle_dead_s", (double)path->idle.dead_ms / 1000, 3);
		if (path->idle.is_closed)
			json_decimal(
				&json, "idle_closed_s", (double)path->idle.closed_ms / 1000, 3);
	}
	json_end(&json);
}

static void print_sizes(const struct path_finder *path)
{
	if (path->segment_forward)
		printf("segments: %u bytes there, %u back; MTU there %u\n%s", path->segment_forward,
			path->segment_back, path->forward_mtu,
			path->is_stream_lossy ? "a small answer came and a large one did not: "
						"something on the path "
						"drops large packets\n"
					      : "");
	else if (path->forward_mtu)
		printf("MTU there: %u bytes (the first hop has %u)\nMTU back: %s%u bytes\n",
			path->forward_mtu, path->local_mtu, path->back_is_more ? "at least " : "",
			path->back_mtu);
	if (*passage_of(path))
		printf("handshakes: %s\n", passage_of(path));
}

static void print_members(const struct balancer *balancer)
{
	bool is_shared = balancer->n_resumed == balancer->n_tickets;

	if (!balancer->n_members)
		return;
	printf("servers: %zu key%s in %zu connections; %zu of %zu tickets were accepted%s\n",
		balancer->n_members, balancer->n_members == 1 ? "" : "s",
		balancer->n_asked - balancer->n_tickets - 1, balancer->n_resumed,
		balancer->n_tickets,
		is_shared ? ""
			: balancer->n_resumed == 0
			? ": sessions are not resumed"
			: ": several servers, which do not share the keys of "
			  "tickets");
	for (size_t i = 0; i < balancer->n_members && balancer->n_members > 1; i++)
		printf("  key %s: %zu\n", balancer->members[i].key, balancer->members[i].n);
}

static void print_idle(const struct idle *idle)
{
	if (idle->is_closed)
		printf("idle: closed after %.1f s\n", (double)idle->closed_ms / 1000);
	else if (idle->dead_ms)
		printf("idle: alive after %.1f s, and forgotten after %.1f s\n",
			(double)idle->alive_ms / 1000, (double)idle->dead_ms / 1000);
	else
		printf("idle: alive after %.1f s\n", (double)idle->alive_ms / 1000);
}

static int refused(struct why *why)
{
	return why_set(why, CLIENT_E_UNREACHABLE, "refused; is the server running?");
}

static int path_measure(struct path_finder *path, struct why *why)
{
	const struct transport *transport = path->server.url.transport;
	const struct options *options = path->options;
	int r = 0;

	if (transport->describe) {
		try_handshakes(path);
		if (path->small_hello == PASSAGE_LOST) {
			r = path_connect(path); /* says whether it was refused */
			if (r < 0)
				return r;
			return path->is_refused
				? refused(why)
				: why_set(why, CLIENT_E_LOST, "no answer to a handshake");
		}
		r = balancer_find(&path->balancer, &path->server, (size_t)options->count, why);
		r = path->large_hello == PASSAGE_LOST && r == CLIENT_E_LOST ? 0 : r;
	}
	if (!r && transport->is_datagram && (!transport->has_session || path->balancer.n_members))
		r = measure_datagrams(path);
	else if (!r && !transport->is_datagram && !transport->is_local)
		r = measure_stream(path);
	if (!r && options->idle_ms)
		r = idle_search(&path->idle, &path->lanes, &path->server, options->idle_ms,
			options->idle_ms / 64 > 500 ? 500 : options->idle_ms / 64);
	if (r == CLIENT_E_UNREACHABLE && !*why->text)
		return refused(why);
	if (r > 0 && !*why->text)
		why_set(why, r, "no answer; is the server running?");
	return r;
}

int path_run(const struct options *options)
{
	static const struct lane_owner owner = {
		.on_open = path_on_open, .on_arrival = path_on_arrival, .on_end = path_on_end};
	__attribute__((cleanup(path_done))) struct path_finder path = {
		.options = options, .lanes = LANES_INIT};
	struct why why = {0};
	int r;

	r = server_find(options->url, options, &path.server, &why);
	if (!r)
		r = lanes_init(&path.lanes);
	if (!r) {
		lane_init(&path.lane, &path.lanes, &owner);
		path.timer.on_time = path_on_time;
		find_headers(&path);
		r = path_measure(&path, &why);
	}
	if (r)
		return r < 0 ? r : report_failure(options, path.server.name, r, &why);
	if (options->json) {
		path_print_json(&path);
		return 0;
	}
	printf("%s:\n", path.server.name);
	print_sizes(&path);
	print_members(&path.balancer);
	if (options->idle_ms)
		print_idle(&path.idle);
	return 0;
}
