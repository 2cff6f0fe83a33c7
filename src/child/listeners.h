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
struct listener_socket;

struct listeners {
	struct loop *loop;
	const struct conf *conf;
	struct counters *counters;
	const struct tls_files *tls_files; /* built, for listeners with TLS */
	struct acceptor acceptor;
	struct handshakes handshakes;
	struct scratch scratch;
	struct udp_batch *batch;
	struct guard guard;
	struct listener_socket *sockets;
};

/* Empty, and fit for listeners_done(). */
#define LISTENERS_EMPTY ((struct listeners){.acceptor.reserve_fd = -1})

/* A socket of the listener with that place in the configuration; takes the descriptor over. */
int listeners_take(struct listeners *all, size_t listener, int *fd);
/* Puts the sockets for datagrams where no later descriptor can be, which is how the sandbox knows them:
 * they alone may send control data. No more than `files` descriptors can be open from then on. */
int listeners_fix_sockets(struct listeners *all, uint64_t files);
/* Makes everything that serving needs. `on_idle` is called when no connection is open any more. */
int listeners_build(struct listeners *all, struct shared *shared, uint64_t connections,
	void (*on_idle)(struct acceptor *acceptor));
/* Another worker that has a socket of ours too; takes the descriptor over, if there is such a socket. */
int listeners_meet(struct listeners *all, const struct msg_dtls_peer *peer, int *fd);
/* Another build reads the sockets of that listener now, and cannot forward datagrams: its sessions end. */
void listeners_end_sessions(struct listeners *all, size_t listener);
int listeners_serve(struct listeners *all);
/* Gives back to the system what is kept to be used again. Between two events, no buffer holds anything. */
void listeners_give_back(struct listeners *all);
/* Answers what is in the sockets, and lets go of them. */
void listeners_stop(struct listeners *all);
/* Ends all connections. */
void listeners_cut(struct listeners *all);
void listeners_done(struct listeners *all);
