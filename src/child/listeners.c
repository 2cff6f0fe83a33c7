/* SPDX-License-Identifier: Apache-2.0 */

/* The only place where the configuration of a listener meets the network. A worker may have several
 * sockets of one listener; each is a port of its own, and they share the listener's counters. */

#include "child/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "child/tls_files.h"
#include "core/answerer.h"
#include "tls/tls.h"

struct port {
	struct port *next;
	const struct conf_listener *conf;
	struct listener_counters *counters;
	unsigned number; /* among those of its listener */
	int fd;          /* until it is handed on */
	enum { PORT_NEW, PORT_UDP, PORT_DTLS, PORT_STREAM } kind;
	union {
		struct udp udp;
		struct dtls dtls;
		struct listener listener;
	};
	struct tls_datagrams *datagrams;
};

int engine_take(struct engine *engine, size_t listener, int *fd)
{
	struct port *port;

	port = calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	port->conf = &engine->conf->listeners[listener];
	port->counters = &engine->counters->listeners[listener];
	for (const struct port *other = engine->ports; other; other = other->next)
		port->number += other->conf == port->conf;
	port->fd = take_fd(fd);
	port->next = engine->ports;
	engine->ports = port;
	return 0;
}

static bool port_is_datagram(const struct port *port)
{
	return port->conf->transport == CONF_UDP || port->conf->transport == CONF_DTLS;
}

/* The lowest number from `first` on that is free. */
static int port_move(struct port *port, rlim_t first)
{
	int fd = fcntl(port->fd, F_DUPFD_CLOEXEC, (int)first);

	if (fd < 0)
		return errno == EINVAL ? -EMFILE : -errno;
	close(port->fd);
	port->fd = fd;
	return 0;
}

int engine_fix_sockets(struct engine *engine, uint64_t files)
{
	struct rlimit limit;
	rlim_t n = 0, first;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	for (const struct port *port = engine->ports; port; port = port->next)
		n += port_is_datagram(port);
	if (n == 0)
		return 0;
	if (limit.rlim_cur <= n)
		return -EMFILE;
	first = limit.rlim_cur - n < files ? limit.rlim_cur - n : files;
	for (struct port *port = engine->ports; port; port = port->next) {
		int r = port_is_datagram(port) ? port_move(port, first) : 0;

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

/* A socket outlives workers: what it lost before has been counted by others. */
static uint32_t overflows_of(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

static void port_make_udp(struct engine *engine, struct port *port)
{
	port->udp = (struct udp){
		.socket = {.fd = port->fd, .name = port->conf->name, .loop = engine->loop},
		.batch = engine->batch,
		.answerer = answerer_of(port->conf),
		.amplification = port->conf->amplification,
		.access = engine->conf->log.access,
		.counters = port->counters,
		.guard = &engine->guard,
		.overflows = overflows_of(port->fd),
		.proxy = proxy_rule_of(port->conf),
	};
	take_fd(&port->fd);
	port->udp.answerer.frame.framing = UPPER_DATAGRAM;
	port->kind = PORT_UDP;
}

static int port_make_dtls(struct engine *engine, struct port *port)
{
	const struct shared *shared = engine->acceptor.shared;
	int r;

	r = tls_datagrams_new(engine->tls_files->contexts[port->conf - engine->conf->listeners],
		shared->secret, port->conf->tls.mtu, &port->datagrams);
	if (r < 0)
		return r;
	port->dtls = (struct dtls){
		.socket = {.fd = port->fd, .name = port->conf->name, .loop = engine->loop},
		.batch = engine->batch,
		.scratch = &engine->scratch,
		.answerer = answerer_of(port->conf),
		.amplification = port->conf->amplification,
		.access = engine->conf->log.access,
		.counters = port->counters,
		.acceptor = &engine->acceptor,
		.allotment =
			allotment_of(&engine->guard, port->conf->name, port->conf->connections),
		.handshakes = &engine->handshakes,
		.maker = tls_datagrams_maker(port->datagrams),
		.overflows = overflows_of(port->fd),
	};
	take_fd(&port->fd);
	dtls_init(&port->dtls, port->conf->idle_ms, port->conf->handshake_ms);
	port->kind = PORT_DTLS;
	return 0;
}

static void port_make_stream(struct engine *engine, struct port *port)
{
	struct stream_timeouts timeouts = {
		.idle_ms = port->conf->idle_ms,
		.write_ms = port->conf->write_ms,
		.handshake_ms = port->conf->handshake_ms,
	};

	port->listener = (struct listener){
		.class =
			{
				.loop = engine->loop,
				.scratch = &engine->scratch,
				.name = port->conf->name,
				.answerer = answerer_of(port->conf),
				.access = engine->conf->log.access,
				.counters = port->counters,
			},
		.fd = take_fd(&port->fd),
		.backlog = port->conf->backlog,
		.allotment =
			allotment_of(&engine->guard, port->conf->name, port->conf->connections),
		.transport_open = plain_open,
	};
	if (port->conf->transport == CONF_TLS) {
		port->listener.transport_open = tls_open;
		port->listener.userdata =
			engine->tls_files->contexts[port->conf - engine->conf->listeners];
		port->listener.class.handshakes = &engine->handshakes;
	}
	stream_class_init(&port->listener.class, &timeouts);
	port->listener.wait.rule = proxy_rule_of(port->conf);
	proxy_wait_init(&port->listener.wait, engine->loop, port->conf->handshake_ms);
	port->kind = PORT_STREAM;
}

static size_t longest_line(const struct conf *conf)
{
	size_t longest = 0;

	for (size_t i = 0; i < conf->n_listeners; i++)
		if (conf->listeners[i].frame.max_line > longest)
			longest = conf->listeners[i].frame.max_line;
	return longest;
}

static void engine_make_guard(struct engine *engine, struct shared *shared)
{
	const struct conf_limits *conf = &engine->conf->limits;
	const struct guard_limits limits = {
		.datagrams = conf->datagrams,
		.unchanged = conf->unchanged,
		.per_client = conf->per_client,
		.exempt = conf->exempt.list,
		.n_exempt = conf->exempt.n,
		.dry_run = conf->dry_run,
	};

	guard_init(&engine->guard, shared, &limits);
	for (size_t i = 0; i < engine->conf->n_listeners; i++) {
		const struct conf_listener *l = &engine->conf->listeners[i];

		if (l->transport == CONF_UDP || l->transport == CONF_DTLS)
			own_ports_add(&engine->guard.ports, l->port);
	}
}

static int port_make(struct engine *engine, struct port *port)
{
	switch (port->conf->transport) {
	case CONF_UDP:
		port_make_udp(engine, port);
		return 0;
	case CONF_DTLS:
		return port_make_dtls(engine, port);
	case CONF_TCP:
	case CONF_TLS:
		break;
	}
	port_make_stream(engine, port);
	return 0;
}

int engine_build(struct engine *engine, struct shared *shared, uint64_t connections,
	void (*on_idle)(struct acceptor *acceptor))
{
	int r;

	r = scratch_init(&engine->scratch, longest_line(engine->conf));
	if (r >= 0)
		r = udp_batch_new(&engine->batch);
	if (r >= 0)
		r = acceptor_init(&engine->acceptor, engine->loop);
	if (r < 0)
		return r;

	handshakes_init(&engine->handshakes, engine->conf->limits.handshakes);
	engine_make_guard(engine, shared);
	engine->acceptor.counters = engine->counters;
	engine->acceptor.shared = engine->acceptor.displacer.shared = shared;
	engine->acceptor.guard = &engine->guard;
	engine->acceptor.limit = connections;
	engine->acceptor.on_idle = on_idle;
	for (struct port *port = engine->ports; port && r >= 0; port = port->next)
		r = port_make(engine, port);
	return r;
}

int engine_meet(struct engine *engine, const struct msg_sibling *sibling, int *fd)
{
	for (struct port *port = engine->ports; port; port = port->next)
		if (port->kind == PORT_DTLS && port->number == sibling->number &&
			port->conf == &engine->conf->listeners[sibling->listener])
			return dtls_meet(&port->dtls, take_fd(fd), sibling->is_newer);
	return 0;
}

void engine_lose(struct engine *engine, size_t listener)
{
	for (struct port *port = engine->ports; port; port = port->next)
		if (port->kind == PORT_DTLS && port->conf == &engine->conf->listeners[listener])
			dtls_lose(&port->dtls);
}

static int port_open(struct engine *engine, struct port *port)
{
	if (port->kind == PORT_UDP)
		return udp_open(&port->udp);
	if (port->kind == PORT_DTLS)
		return dtls_serve(&port->dtls);
	return acceptor_add(&engine->acceptor, &port->listener);
}

int engine_serve(struct engine *engine)
{
	int r = 0;

	for (struct port *port = engine->ports; port && r >= 0; port = port->next)
		r = port_open(engine, port);
	return r;
}

void engine_stop(struct engine *engine)
{
	acceptor_stop(&engine->acceptor);
	for (struct port *port = engine->ports; port; port = port->next) {
		if (port->kind == PORT_UDP)
			udp_stop(&port->udp);
		else if (port->kind == PORT_DTLS)
			dtls_stop(&port->dtls);
	}
}

void engine_cut(struct engine *engine)
{
	for (struct port *port = engine->ports; port; port = port->next) {
		if (port->kind == PORT_STREAM)
			listener_cut(&port->listener, REASON_drain);
		else if (port->kind == PORT_DTLS)
			dtls_cut(&port->dtls, REASON_drain);
	}
}

static void port_free(struct port *port)
{
	if (port->kind == PORT_UDP)
		udp_done(&port->udp);
	else if (port->kind == PORT_DTLS)
		dtls_done(&port->dtls);
	else if (port->kind == PORT_STREAM)
		listener_done(&port->listener);
	tls_datagrams_free(port->datagrams);
	if (port->fd >= 0)
		close(port->fd);
	free(port);
}

void engine_done(struct engine *engine)
{
	while (engine->ports) {
		struct port *port = engine->ports;

		engine->ports = port->next;
		port_free(port);
	}
	acceptor_done(&engine->acceptor);
	scratch_done(&engine->scratch);
	udp_batch_free(engine->batch);
	engine->batch = NULL;
}
