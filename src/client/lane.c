/* SPDX-License-Identifier: Apache-2.0 */
/* Plain datagrams leave and arrive in batches, with the address, TTL and TOS of each; everything else goes
 * through the functions of the link's transport. */

#include "client/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "client/messages.h"
#include "client/transport.h"
#include "config.h"

#define BATCH         16    /* datagrams, or runs of them, in one system call */
#define BATCH_LEAST   2     /* one more than usually come tells that there are no more */
#define ROOM          65536 /* for each */
#define TURN          32    /* reads before other lanes have their turn */
#define MAX_SEGMENTS  64
#define SEGMENTS_ROOM CMSG_SPACE(sizeof(uint16_t))

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* Room to receive into. */
struct batch {
	struct mmsghdr msgs[BATCH];
	struct iovec parts[BATCH];
	struct addr from[BATCH];
	char control[BATCH][128];
	uint8_t room[BATCH][ROOM];
};

static int signal_end = -1; /* to which the handler writes; lanes catch signals once in a program */

int lanes_init(struct lanes *lanes)
{
	struct rlimit files;
	int r;

	*lanes = (struct lanes)LANES_INIT;
	/* A lane has a descriptor, and there may be thousands. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	r = loop_init(&lanes->loop);
	if (r)
		return r;
	lanes->batch = malloc(sizeof(*lanes->batch));
	return lanes->batch ? 0 : -ENOMEM;
}

void lanes_done(struct lanes *lanes)
{
	loop_done(&lanes->loop);
	close_fdp(&lanes->signal_fd);
	close_fdp(&signal_end);
	lanes->signal_fd = signal_end = -1;
	free(lanes->batch);
	lanes->batch = NULL;
}

static void lanes_take_signals(struct source *source, uint32_t events)
{
	struct lanes *lanes = container_of(source, struct lanes, signals);
	unsigned char number;

	while (read(lanes->signal_fd, &number, 1) == 1)
		lanes->on_signal(lanes, number);
}

static void pass_signal(int number)
{
	const unsigned char byte = (unsigned char)number;
	int error = errno;

	/* A pipe that is full has told of signals enough. */
	(void)!write(signal_end, &byte, 1);
	errno = error;
}

int lanes_catch_signals(struct lanes *lanes, void (*on_signal)(struct lanes *lanes, int signal))
{
	static const int caught[] = {SIGINT, SIGQUIT,
#ifdef SIGWINCH
		SIGWINCH
#endif
	};
	const struct sigaction action = {.sa_handler = pass_signal, .sa_flags = SA_RESTART};
	int ends[2];

	if (pipe(ends) < 0)
		return -errno;
	lanes->signal_fd = ends[0];
	signal_end = ends[1];
	for (size_t i = 0; i < 2; i++)
		if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0 || fd_nonblock(ends[i]) < 0)
			return -errno;
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaction(caught[i], &action, NULL);
	lanes->on_signal = on_signal;
	lanes->signals = (struct source){.on_event = lanes_take_signals};
	return loop_watch(&lanes->loop, &lanes->signals, lanes->signal_fd, EPOLLIN);
}

void lane_init(struct lane *lane, struct lanes *lanes, const struct lane_owner *owner)
{
	*lane = (struct lane){.link = LINK_INIT, .lanes = lanes, .owner = owner};
}

bool lane_is_open(const struct lane *lane)
{
	return lane->link.stage == LINK_OPEN;
}

bool lane_is_idle(const struct lane *lane)
{
	return lane->out_at == lane->out_end;
}

static void lane_unwatch(struct lane *lane)
{
	if (lane->watched)
		loop_unwatch(&lane->lanes->loop, &lane->source);
	lane->watched = 0;
}

/* Of a descriptor that is closed already, or that is no longer the link's. */
static void lane_forget(struct lane *lane)
{
	if (lane->watched)
		loop_forget(&lane->source);
	lane->watched = 0;
}

void lane_close(struct lane *lane)
{
	if (!lane->lanes)
		return;
	loop_clear_timer(&lane->timer);
	lane_unwatch(lane);
	link_close(&lane->link);
	lane->out_at = lane->out_end = 0;
	lane->epoch++;
}

void lane_done(struct lane *lane)
{
	lane_close(lane);
	free(lane->out);
	lane->out = NULL;
}

/* LINK_E_* as CLIENT_E_* and a message. */
static int explain_end(const struct lane *lane, int error, struct why *why)
{
	switch (error) {
	case LINK_E_END:
		return why_set(why, CLIENT_E_LOST, "the server closed the connection");
	case LINK_E_RESET:
		return why_set(why, CLIENT_E_LOST, "the server reset the connection");
	case LINK_E_REFUSED:
		return link_explain(&lane->link, why);
	case LINK_E_TOO_LONG:
		return why_set(why, CLIENT_E_USAGE,
			"a message is longer than a datagram can be: %zu bytes",
			lane->link.server->url.transport->longest);
	default:
		return error;
	}
}

static void lane_end(struct lane *lane, int error)
{
	struct why why = {0};
	int outcome = explain_end(lane, error, &why);

	lane_close(lane);
	lane->owner->on_end(lane, outcome, &why);
}

/* The descriptor of a link that is being opened changes when an address has been chosen. */
static void lane_watch(struct lane *lane)
{
	struct link *link = &lane->link;
	short wants = link->read_wants;
	int r;

	if (lane_is_open(lane) && !lane_is_idle(lane))
		wants |= link->write_wants;
	if (lane->watched && lane->source.fd != link->fd)
		lane_forget(lane);
	if (lane->watched == (uint32_t)wants)
		return;
	r = lane->watched ? loop_change(&lane->lanes->loop, &lane->source, (uint32_t)wants)
			  : -ENOENT;
	if (r == -ENOENT) /* never watched, or closed and opened under the same number */
		r = loop_watch(&lane->lanes->loop, &lane->source, link->fd, (uint32_t)wants);
	if (r)
		lane_end(lane, r);
	else
		lane->watched = (uint32_t)wants;
}

/* Facts about a datagram that the system tells when asked, and the type that each comes as. */
static const struct {
	int level, option, type;
	size_t at;
} ancillary[] = {
#define TOLD(level, option, type, field) {level, option, type, offsetof(struct arrival, field)},
#ifdef IP_RECVTTL
#ifdef IP_TTL
	TOLD(IPPROTO_IP, IP_RECVTTL, IP_TTL, ttl)
#endif
#endif
#ifdef IP_RECVTOS
		TOLD(IPPROTO_IP, IP_RECVTOS, IP_TOS, tos)
#endif
#ifdef IPV6_RECVHOPLIMIT
			TOLD(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT, ttl)
#endif
#ifdef IPV6_RECVTCLASS
				TOLD(IPPROTO_IPV6, IPV6_RECVTCLASS, IPV6_TCLASS, tos)
#endif
#if WITH_LINUX
	/* Asked for by path.c alone. */
	TOLD(IPPROTO_IP, 0, IP_RECVFRAGSIZE, fragment)
		TOLD(IPPROTO_IPV6, 0, IPV6_RECVFRAGSIZE, fragment)
#endif
			{-1, 0, -1, 0},
};

#define N_ANCILLARY (sizeof(ancillary) / sizeof(ancillary[0]) - 1)

/* Options of the socket that only help: without them the values are not known. */
static void set_socket(struct lane *lane)
{
	int on = 1, fd = lane->link.fd, room = 4 << 20;

	if (!lane->link.server->url.transport->is_datagram)
		return;
	for (size_t i = 0; i < N_ANCILLARY; i++)
		if (lane->owner->wants_hops && ancillary[i].option)
			setsockopt(fd, ancillary[i].level, ancillary[i].option, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (lane->is_segmented && WITH_LINUX)
		setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
}

static void lane_progress(struct lane *lane, int r, const struct why *why)
{
	struct link *link = &lane->link;
	unsigned epoch = lane->epoch;

	loop_clear_timer(&lane->timer);
	if (r && r != LINK_E_AGAIN) {
		lane_forget(lane);
		lane->epoch++;
		lane->owner->on_end(lane, r, why);
		return;
	}
	if (r == LINK_E_AGAIN && link->due_ms)
		loop_set_timer(&lane->lanes->loop, &lane->timer, link->due_ms);
	if (!r)
		set_socket(lane);
	lane_watch(lane);
	if (!r && lane->epoch == epoch)
		lane->owner->on_open(lane);
}

static void lane_step(struct lane *lane)
{
	struct why why = {0};
	int r = link_step(&lane->link, &why);

	lane_progress(lane, r, &why);
}

static void lane_on_time(struct timer *timer, uint64_t now_ms)
{
	lane_step(container_of(timer, struct lane, timer));
}

/* Of the pieces of control data that come with a datagram, the length of its segments, or 0. */
static size_t read_ancillary(struct msghdr *msg, struct arrival *arrival)
{
	size_t segment = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		int value = 0;

		memcpy(&value, CMSG_DATA(c),
			c->cmsg_len - CMSG_LEN(0) < sizeof(value) ? 1 : sizeof(value));
		if (WITH_LINUX && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
			segment = (size_t)(value & 0xffff);
		for (size_t i = 0; i < N_ANCILLARY; i++)
			if (c->cmsg_level == ancillary[i].level &&
				c->cmsg_type == ancillary[i].type)
				*(int *)((char *)arrival + ancillary[i].at) = value;
	}
	arrival->tos = arrival->tos < 0 ? -1 : arrival->tos & 0xff;
	return segment;
}

/* Whether the callbacks have left the lane as it was. */
static bool deliver(struct lane *lane, struct msghdr *msg, size_t len, struct arrival *arrival)
{
	size_t segment = read_ancillary(msg, arrival);
	const uint8_t *at = msg->msg_iov->iov_base, *end = at + len;
	unsigned epoch = lane->epoch;

	do {
		arrival->data = at;
		arrival->len =
			segment && segment < (size_t)(end - at) ? segment : (size_t)(end - at);
		at += arrival->len;
		lane->owner->on_arrival(lane, arrival);
	} while (at < end && lane->epoch == epoch);
	return lane->epoch == epoch;
}

/* Twice as many as came last time. */
static unsigned batch_prepare(struct lane *lane)
{
	bool has_any_peer = lane->link.server->has_any_peer;
	struct batch *batch = lane->lanes->batch;
	unsigned size = 2 * lane->n_batch;

	size = size < BATCH_LEAST ? BATCH_LEAST : size > BATCH ? BATCH : size;
	for (size_t i = 0; i < size; i++) {
		batch->parts[i] = (struct iovec){batch->room[i], ROOM};
		batch->msgs[i].msg_hdr = (struct msghdr){
			.msg_name = has_any_peer ? &batch->from[i].sa : NULL,
			.msg_namelen = has_any_peer ? sizeof(batch->from[i].in6) : 0,
			.msg_iov = &batch->parts[i],
			.msg_iovlen = 1,
			.msg_control = batch->control[i],
			.msg_controllen = sizeof(batch->control[i]),
		};
	}
	return size;
}

/* 0 when there may be more. */
static int receive_batch(struct lane *lane)
{
	bool has_any_peer = lane->link.server->has_any_peer;
	struct batch *batch = lane->lanes->batch;
	struct arrival arrival = {0};
	unsigned size = batch_prepare(lane);
	int n;

	n = messages_receive(lane->link.fd, batch->msgs, size);
	if (n < 0) {
		int error = errno;

		if (has_any_peer)
			messages_drop_errors(lane->link.fd);
		return link_plain_outcome(&lane->link, error);
	}
	arrival.at_us = clock_us();
	lane->n_batch = (unsigned)n;
	for (int i = 0; i < n; i++) {
		struct mmsghdr *msg = &batch->msgs[i];

		batch->from[i].len = msg->msg_hdr.msg_namelen;
		arrival.from = has_any_peer ? &batch->from[i] : NULL;
		arrival.ttl = arrival.tos = -1;
		arrival.fragment = 0;
		if (!deliver(lane, &msg->msg_hdr, msg->msg_len, &arrival))
			return LINK_E_AGAIN;
	}
	return (unsigned)n < size ? LINK_E_AGAIN : 0;
}

/* The library that reads a session's datagrams leaves out what the kernel says of them. */
static void peek_fragment(const struct lane *lane, struct arrival *arrival)
{
	char control[128];
	struct msghdr msg = {.msg_control = control, .msg_controllen = sizeof(control)};

	if (recvmsg(lane->link.fd, &msg, MSG_PEEK | MSG_DONTWAIT) >= 0)
		read_ancillary(&msg, arrival);
}

static int receive_one(struct lane *lane)
{
	uint8_t *room = lane->lanes->batch->room[0];
	struct arrival arrival = {.data = room, .ttl = -1, .tos = -1};
	unsigned epoch = lane->epoch;
	int r;

	if (lane->peeks)
		peek_fragment(lane, &arrival);
	r = link_read(&lane->link, room, (size_t)4 * ROOM, &arrival.len);
	if (r)
		return r;
	arrival.at_us = clock_us();
	lane->owner->on_arrival(lane, &arrival);
	/* A short read of a socket has emptied it; a session of TLS may hold more. */
	if (!lane->link.session && arrival.len < (size_t)4 * ROOM)
		return LINK_E_AGAIN;
	return lane->epoch == epoch ? 0 : LINK_E_AGAIN;
}

static bool is_plain_datagram(const struct lane *lane)
{
	const struct transport *transport = lane->link.server->url.transport;

	return transport->is_datagram && !transport->has_session;
}

/* False when the lane is not as it was. */
static bool lane_receive(struct lane *lane)
{
	bool is_batched = is_plain_datagram(lane);
	unsigned epoch = lane->epoch;
	int r = 0;

	for (int i = 0; i < TURN && !r; i++)
		r = is_batched ? receive_batch(lane) : receive_one(lane);
	if (lane->epoch != epoch)
		return false;
	if (r && r != LINK_E_AGAIN) {
		lane_end(lane, r);
		return false;
	}
	return true;
}

static void on_event(struct source *source, uint32_t events)
{
	struct lane *lane = container_of(source, struct lane, source);
	unsigned epoch = lane->epoch;

	if (!lane_is_open(lane)) {
		if (lane->link.stage != LINK_CLOSED)
			lane_step(lane);
		return;
	}
	if (!lane_receive(lane))
		return;
	if (!lane_is_idle(lane))
		lane_flush(lane);
	if (lane->epoch != epoch)
		return;
	if (lane->owner->on_turn)
		lane->owner->on_turn(lane);
	lane_flush(lane);
}

void lane_open(struct lane *lane, struct server *server)
{
	struct why why = {0};
	int r;

	lane_close(lane);
	lane->source = (struct source){.on_event = on_event, .fd = -1};
	lane->timer.on_time = lane_on_time;
	if (!lane->out)
		lane->out = malloc(LANE_OUT);
	r = lane->out ? link_start(&lane->link, server, &why) : -ENOMEM;
	lane_progress(lane, r, &why);
}

bool lane_advance(struct lane *lane)
{
	struct link *link = &lane->link;

	if (!link->server || link->at + 1 >= link->server->n_addresses)
		return false;
	lane_close(lane);
	link->at++;
	link->times = (struct link_times){.begun_us = clock_us()};
	lane_step(lane);
	return true;
}

/* Control data that has the kernel cut a run into datagrams. */
static void say_segments(struct msghdr *msg, char control[static SEGMENTS_ROOM], uint16_t length)
{
#if WITH_LINUX
	struct cmsghdr *c = (struct cmsghdr *)control;

	msg->msg_control = control;
	msg->msg_controllen = SEGMENTS_ROOM;
	*c = (struct cmsghdr){CMSG_LEN(sizeof(length)), IPPROTO_UDP, UDP_SEGMENT};
	memcpy(CMSG_DATA(c), &length, sizeof(length));
#endif
}

/* As many datagrams of one length as a run may have. */
static int send_run(struct lane *lane, size_t n)
{
	const struct server *server = lane->link.server;
	struct addr to = server->addresses[lane->link.at];
	struct iovec part = {lane->out + lane->out_at, n * lane->piece};
	char control[SEGMENTS_ROOM] = {0};
	struct msghdr msg = {
		.msg_name = server->has_any_peer ? &to.sa : NULL,
		.msg_namelen = server->has_any_peer ? to.len : 0,
		.msg_iov = &part,
		.msg_iovlen = 1,
	};

	if (n > 1)
		say_segments(&msg, control, (uint16_t)lane->piece);
	if (sendmsg(lane->link.fd, &msg, MSG_NOSIGNAL) < 0)
		return errno == EINVAL && n > 1 ? -EINVAL : link_plain_outcome(&lane->link, errno);
	lane->out_at += n * lane->piece;
	return 0;
}

/* Each by itself, in one system call. */
static int send_singly(struct lane *lane, size_t n)
{
	const struct server *server = lane->link.server;
	struct addr to = server->addresses[lane->link.at];
	struct mmsghdr msgs[MAX_SEGMENTS];
	struct iovec parts[MAX_SEGMENTS];
	int sent;

	for (size_t i = 0; i < n; i++) {
		parts[i] = (struct iovec){lane->out + lane->out_at + i * lane->piece, lane->piece};
		msgs[i].msg_hdr = (struct msghdr){
			.msg_name = server->has_any_peer ? &to.sa : NULL,
			.msg_namelen = server->has_any_peer ? to.len : 0,
			.msg_iov = &parts[i],
			.msg_iovlen = 1,
		};
	}
	sent = messages_send(lane->link.fd, msgs, (unsigned)n);
	if (sent < 0)
		return link_plain_outcome(&lane->link, errno);
	lane->out_at += (size_t)sent * lane->piece;
	return 0;
}

static int flush_datagrams(struct lane *lane)
{
	size_t n = (lane->out_end - lane->out_at) / lane->piece;
	int r;

	n = n < MAX_SEGMENTS ? n : MAX_SEGMENTS;
	if (!lane->is_segmented || !WITH_LINUX)
		return send_singly(lane, n);
	r = send_run(lane, n);
	if (r == -EINVAL) { /* longer than the interface takes in one packet */
		lane->is_segmented = false;
		r = send_singly(lane, n);
	}
	return r;
}

static int flush_link(struct lane *lane)
{
	bool is_datagram = lane->link.server->url.transport->is_datagram;
	size_t len = is_datagram ? lane->piece : lane->out_end - lane->out_at, n = 0;
	int r;

	r = link_write(&lane->link, lane->out + lane->out_at, len, &n);
	if (!r)
		lane->out_at += is_datagram ? len : n;
	return r;
}

void lane_flush(struct lane *lane)
{
	int r = 0;

	if (!lane_is_open(lane))
		return;
	while (!r && !lane_is_idle(lane))
		r = is_plain_datagram(lane) ? flush_datagrams(lane) : flush_link(lane);
	if (lane_is_idle(lane))
		lane->out_at = lane->out_end = 0;
	/* A peer that takes no more may have answered before: the next read tells. */
	if (r == LINK_E_RESET || r == LINK_E_END)
		lane->out_at = lane->out_end = 0;
	else if (r && r != LINK_E_AGAIN) {
		lane_end(lane, r);
		return;
	}
	lane_watch(lane);
}

static bool lane_has_room(const struct lane *lane, size_t len)
{
	bool is_datagram = lane->link.server->url.transport->is_datagram;

	return lane_is_idle(lane) ||
		(lane->out_end + len <= LANE_OUT && (!is_datagram || lane->piece == len));
}

uint8_t *lane_reserve(struct lane *lane, size_t len)
{
	uint8_t *room;

	if (!lane_has_room(lane, len))
		lane_flush(lane);
	if (!lane_is_open(lane) || !lane_has_room(lane, len))
		return NULL;
	room = lane->out + lane->out_end;
	lane->out_end += len;
	lane->piece = len;
	return room;
}

int lane_send(struct lane *lane, const void *data, size_t len)
{
	uint8_t *room = lane_reserve(lane, len);

	if (!room)
		return LINK_E_AGAIN;
	memcpy(room, data, len);
	return 0;
}
