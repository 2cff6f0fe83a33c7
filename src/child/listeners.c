/* SPDX-License-Identifier: Apache-2.0 */

/* The only place where the configuration of a listener meets the network: all code in net/ takes
 * its values as arguments, and here they are filled in.
 *
 * A worker has one set of shared parts, made once and used by all of its sockets in turn, since
 * it has one thread: the scratch buffers, the batch of datagrams, the guard, the acceptor, and
 * the count of handshakes. Beside these, each socket that came over the channel is one object, a
 * struct listener_socket, of one of three kinds: UDP, DTLS, or a stream (TCP and TLS). A worker
 * may have several sockets of one listener; they share the listener's counters.
 *
 * The steps follow the messages of the supervisor:
 *
 *      LISTENER   listeners_take()         a descriptor is put aside; nothing is read
 *      PREPARE    listeners_fix_sockets()  then listeners_build(): each gets its object
 *      SERVE      listeners_serve()        the sockets are watched from here on
 *      DRAIN      listeners_stop()         queued datagrams are answered; nothing new is taken
 *                 listeners_cut()          the time is up: open connections are reset
 *
 * Descriptors of datagram sockets are moved above the limit on open files before the sandbox is
 * entered. The system call filter knows them by that: no descriptor that is opened later can get
 * such a number. */

#include "child/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "child/tls_files.h"
#include "core/answerer.h"
#include "tls/tls.h"

struct listener_socket {
	struct listener_socket *next;
	const struct conf_listener *conf;
	struct listener_counters *counters;
	unsigned number; /* among those of its listener */
	int fd;          /* until it is handed on */
	enum { SOCKET_NEW, SOCKET_UDP, SOCKET_DTLS, SOCKET_STREAM } kind;
	union {
		struct udp udp;
		struct dtls dtls;
		struct listener listener;
	};
	struct tls_datagrams *datagrams;
};

int listeners_take(struct listeners *all, size_t listener, int *fd)
{
	struct listener_socket *one;

	one = calloc(1, sizeof(*one));
	if (!one)
		return -ENOMEM;
	one->conf = &all->conf->listeners[listener];
	one->counters = &all->counters->listeners[listener];
	for (const struct listener_socket *other = all->sockets; other; other = other->next)
		one->number += other->conf == one->conf;
	one->fd = take_fd(fd);
	one->next = all->sockets;
	all->sockets = one;
	return 0;
}

static bool listener_socket_is_datagram(const struct listener_socket *one)
{
	return one->conf->transport == CONF_UDP || one->conf->transport == CONF_DTLS;
}

/* The lowest number from `first` on that is free. */
static int listener_socket_move(struct listener_socket *one, rlim_t first)
{
	int fd = fcntl(one->fd, F_DUPFD_CLOEXEC, (int)first);

	if (fd < 0)
		return errno == EINVAL ? -EMFILE : -errno;
	close(one->fd);
	one->fd = fd;
	return 0;
}

int listeners_fix_sockets(struct listeners *all, uint64_t files)
{
	struct rlimit limit;
	rlim_t n = 0, first;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	for (const struct listener_socket *one = all->sockets; one; one = one->next)
		n += listener_socket_is_datagram(one);
	if (n == 0)
		return 0;
	if (limit.rlim_cur <= n)
		return -EMFILE;
	first = limit.rlim_cur - n < files ? limit.rlim_cur - n : files;
	for (struct listener_socket *one = all->sockets; one; one = one->next) {
		int r = listener_socket_is_datagram(one) ? listener_socket_move(one, first) : 0;

		if (r < 0)
			return r;
	}
	limit = (struct rlimit){first, first};
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static struct answerer answerer_of(const struct conf_listener *conf)
{
	return (struct answerer){
		.service = services[conf->service],
		.rule = conf->rule,
		.frame = conf->frame,
	};
}

static struct proxy_rule proxy_rule_of(const struct conf_listener *conf)
{
	static const enum proxy_mode modes[] = {
		[CONF_PROXY_OFF] = PROXY_OFF,
		[CONF_PROXY_OPTIONAL] = PROXY_OPTIONAL,
		[CONF_PROXY_REQUIRED] = PROXY_REQUIRED,
	};

	return (struct proxy_rule){
		.mode = modes[conf->proxy_protocol],
		.from = conf->proxy_from.list,
		.n_from = conf->proxy_from.n,
	};
}

static int plain_open(void *userdata, int fd, struct transport *ret_transport)
{
	*ret_transport = (struct transport){.ops = &transport_plain, .fd = fd};
	return 0;
}

static void listener_socket_make_udp(struct listeners *all, struct listener_socket *one)
{
	one->udp = (struct udp){
		.socket = {.fd = one->fd, .name = one->conf->name, .loop = all->loop},
		.batch = all->batch,
		.answerer = answerer_of(one->conf),
		.amplification = one->conf->amplification,
		.access = all->conf->log.access,
		.counters = one->counters,
		.guard = &all->guard,
		.overflows = fd_drops(one->fd),
		.proxy = proxy_rule_of(one->conf),
	};
	take_fd(&one->fd);
	one->udp.answerer.frame.framing = UPPER_DATAGRAM;
	one->kind = SOCKET_UDP;
}

static int listener_socket_make_dtls(struct listeners *all, struct listener_socket *one)
{
	const struct shared *shared = all->acceptor.shared;
	int r;

	r = tls_datagrams_new(all->tls_files->contexts[one->conf - all->conf->listeners],
		shared->secret, one->conf->tls.mtu, &one->datagrams);
	if (r < 0)
		return r;
	one->dtls = (struct dtls){
		.socket = {.fd = one->fd, .name = one->conf->name, .loop = all->loop},
		.batch = all->batch,
		.scratch = &all->scratch,
		.answerer = answerer_of(one->conf),
		.amplification = one->conf->amplification,
		.access = all->conf->log.access,
		.counters = one->counters,
		.acceptor = &all->acceptor,
		.allotment = allotment_of(&all->guard, one->conf->name, one->conf->connections),
		.handshakes = &all->handshakes,
		.maker = tls_datagrams_maker(one->datagrams),
		.overflows = fd_drops(one->fd),
	};
	take_fd(&one->fd);
	dtls_init(&one->dtls, one->conf->idle_ms, one->conf->handshake_ms);
	one->kind = SOCKET_DTLS;
	return 0;
}

static void listener_socket_make_stream(struct listeners *all, struct listener_socket *one)
{
	struct stream_timeouts timeouts = {
		.idle_ms = one->conf->idle_ms,
		.write_ms = one->conf->write_ms,
		.handshake_ms = one->conf->handshake_ms,
	};

	one->listener = (struct listener){
		.class =
			{
				.loop = all->loop,
				.scratch = &all->scratch,
				.name = one->conf->name,
				.answerer = answerer_of(one->conf),
				.access = all->conf->log.access,
				.counters = one->counters,
			},
		.fd = take_fd(&one->fd),
		.backlog = one->conf->backlog,
		.allotment = allotment_of(&all->guard, one->conf->name, one->conf->connections),
		.transport_open = plain_open,
	};
	if (one->conf->transport == CONF_TLS) {
		one->listener.transport_open = tls_open;
		one->listener.userdata = all->tls_files->contexts[one->conf - all->conf->listeners];
		one->listener.class.handshakes = &all->handshakes;
	}
	stream_class_init(&one->listener.class, &timeouts);
	one->listener.wait.rule = proxy_rule_of(one->conf);
	proxy_wait_init(&one->listener.wait, all->loop, one->conf->handshake_ms);
	one->kind = SOCKET_STREAM;
}

static size_t longest_line(const struct conf *conf)
{
	size_t longest = 0;

	for (size_t i = 0; i < conf->n_listeners; i++)
		if (conf->listeners[i].frame.max_line > longest)
			longest = conf->listeners[i].frame.max_line;
	return longest;
}

static void listeners_make_guard(struct listeners *all, struct shared *shared)
{
	const struct conf_limits *conf = &all->conf->limits;
	const struct guard_limits limits = {
		.datagrams = conf->datagrams,
		.unchanged = conf->unchanged,
		.per_client = conf->per_client,
		.exempt = conf->exempt.list,
		.n_exempt = conf->exempt.n,
		.dry_run = conf->dry_run,
	};

	guard_init(&all->guard, shared, &limits);
	for (size_t i = 0; i < all->conf->n_listeners; i++) {
		const struct conf_listener *l = &all->conf->listeners[i];

		if (l->transport == CONF_UDP || l->transport == CONF_DTLS)
			own_ports_add(&all->guard.ports, l->port);
	}
}

static int listener_socket_make(struct listeners *all, struct listener_socket *one)
{
	switch (one->conf->transport) {
	case CONF_UDP:
		listener_socket_make_udp(all, one);
		return 0;
	case CONF_DTLS:
		return listener_socket_make_dtls(all, one);
	case CONF_TCP:
	case CONF_TLS:
		break;
	}
	listener_socket_make_stream(all, one);
	return 0;
}

int listeners_build(struct listeners *all, struct shared *shared, uint64_t connections,
	void (*on_idle)(struct acceptor *acceptor))
{
	int r;

	r = scratch_init(&all->scratch, longest_line(all->conf));
	if (r >= 0)
		r = udp_batch_new(&all->batch);
	if (r >= 0)
		r = acceptor_init(&all->acceptor, all->loop);
	if (r < 0)
		return r;

	handshakes_init(
		&all->handshakes, all->conf->limits.handshakes, &shared->memory_short_until_ms);
	listeners_make_guard(all, shared);
	all->acceptor.counters = all->counters;
	all->acceptor.shared = all->acceptor.displacer.shared = shared;
	all->acceptor.guard = &all->guard;
	all->acceptor.limit = connections;
	all->acceptor.limit_is_of_files = all->conf->limits.connections == 0;
	all->acceptor.on_idle = on_idle;
	for (struct listener_socket *one = all->sockets; one && r >= 0; one = one->next)
		r = listener_socket_make(all, one);
	return r;
}

int listeners_meet(struct listeners *all, const struct msg_dtls_peer *peer, int *fd)
{
	for (struct listener_socket *one = all->sockets; one; one = one->next)
		if (one->kind == SOCKET_DTLS && one->number == peer->number &&
			one->conf == &all->conf->listeners[peer->listener])
			return dtls_meet(&one->dtls, take_fd(fd), peer->is_newer);
	return 0;
}

void listeners_end_sessions(struct listeners *all, size_t listener)
{
	for (struct listener_socket *one = all->sockets; one; one = one->next)
		if (one->kind == SOCKET_DTLS && one->conf == &all->conf->listeners[listener])
			dtls_lose(&one->dtls);
}

static int listener_socket_open(struct listeners *all, struct listener_socket *one)
{
	if (one->kind == SOCKET_UDP)
		return udp_open(&one->udp);
	if (one->kind == SOCKET_DTLS)
		return dtls_serve(&one->dtls);
	return acceptor_add(&all->acceptor, &one->listener);
}

int listeners_serve(struct listeners *all)
{
	int r = 0;

	for (struct listener_socket *one = all->sockets; one && r >= 0; one = one->next)
		r = listener_socket_open(all, one);
	return r;
}

void listeners_give_back(struct listeners *all)
{
	scratch_give_back(&all->scratch);
	udp_batch_give_back(all->batch);
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

void listeners_stop(struct listeners *all)
{
	acceptor_stop(&all->acceptor);
	for (struct listener_socket *one = all->sockets; one; one = one->next) {
		if (one->kind == SOCKET_UDP)
			udp_stop(&one->udp);
		else if (one->kind == SOCKET_DTLS)
			dtls_stop(&one->dtls);
	}
}

void listeners_cut(struct listeners *all)
{
	for (struct listener_socket *one = all->sockets; one; one = one->next) {
		if (one->kind == SOCKET_STREAM)
			listener_cut(&one->listener, REASON_drain);
		else if (one->kind == SOCKET_DTLS)
			dtls_cut(&one->dtls, REASON_drain);
	}
}

static void listener_socket_free(struct listener_socket *one)
{
	if (one->kind == SOCKET_UDP)
		udp_done(&one->udp);
	else if (one->kind == SOCKET_DTLS)
		dtls_done(&one->dtls);
	else if (one->kind == SOCKET_STREAM)
		listener_done(&one->listener);
	tls_datagrams_free(one->datagrams);
	if (one->fd >= 0)
		close(one->fd);
	free(one);
}

void listeners_done(struct listeners *all)
{
	while (all->sockets) {
		struct listener_socket *one = all->sockets;

		all->sockets = one->next;
		listener_socket_free(one);
	}
	acceptor_done(&all->acceptor);
	scratch_done(&all->scratch);
	udp_batch_free(all->batch);
	all->batch = NULL;
}
