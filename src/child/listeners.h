/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A worker's network: from what the configuration says of each listener to the objects that serve. */

#include "base/loop.h"
#include "conf/conf.h"
#include "core/counters.h"
#include "net/accept.h"
#include "net/dtls.h"
#include "net/guard.h"
#include "net/scratch.h"
#include "net/udp.h"
#include "process/channel.h"

struct tls_files;
struct port;

struct engine {
	struct loop *loop;
	const struct conf *conf;
	struct counters *counters;
	const struct tls_files *tls_files; /* built, for listeners with TLS */
	struct acceptor acceptor;
	struct handshakes handshakes;
	struct scratch scratch;
	struct udp_batch *batch;
	struct guard guard;
	struct port *ports;
};

/* Empty, and fit for engine_done(). */
#define ENGINE_EMPTY ((struct engine){.acceptor.reserve_fd = -1})

/* A socket of the listener with that place in the configuration; takes the descriptor over. */
int engine_take(struct engine *engine, size_t listener, int *fd);
/* Puts the sockets for datagrams where no later descriptor can be, which is how the sandbox knows them:
 * they alone may send control data. No more than `files` descriptors can be open from then on. */
int engine_fix_sockets(struct engine *engine, uint64_t files);
/* Makes everything that serving needs. `on_idle` is called when no connection is open any more. */
int engine_build(struct engine *engine, struct shared *shared, uint64_t connections,
	void (*on_idle)(struct acceptor *acceptor));
/* Another worker that has a socket of ours too; takes the descriptor over, if there is such a socket. */
int engine_meet(struct engine *engine, const struct msg_sibling *sibling, int *fd);
/* The sockets of that listener are for others, who cannot pass on what is for its sessions: they end. */
void engine_lose(struct engine *engine, size_t listener);
int engine_serve(struct engine *engine);
/* Answers what is in the sockets, and lets go of them. */
void engine_stop(struct engine *engine);
/* Ends all connections. */
void engine_cut(struct engine *engine);
void engine_done(struct engine *engine);
