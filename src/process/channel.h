/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Everything that a supervisor and a child can say to each other.
 *
 * * Each child has a channel, a SEQPACKET socket pair, on descriptor 3. A message is one packet: its
 * type, a payload that is a fixed struct, and as many descriptors as the table says. Both ends are one
 * program on one machine, so numbers are as they are in memory.
 *
 * * The table is the whole protocol. A row says who may send the message, to or from children of which
 * roles, in which states of the child, whether once or any number of times, and what comes with it.
 * Each end keeps a struct dialogue for its channel and holds every packet against the table before
 * anything looks inside: dialogue_permits() is that check, on either side. A packet that is not
 * permitted ends the child: it is either a bug of ours or a worker that was taken over. A check that
 * the table makes, a handler need not ask again; it still checks the values in the payload.
 *
 * * The two sides know the state of the child at different times. A child that is told to drain while
 * it gets ready may have said READY already: such crossings are in the table. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/log.h"
#include "process/files.h"
#include "process/role.h"

#define CHANNEL_FD      3
#define CHANNEL_PAYLOAD 4096
#define CHANNEL_FDS     2

/* The life of a child. On its own side it is never OPENING, RELEASED or ENDED. */
enum child_state {
	CHILD_STARTING,
	CHILD_READY,
	CHILD_OPENING, /* told to serve */
	CHILD_SERVING,
	CHILD_DRAINING,
	CHILD_RELEASED,
	CHILD_ENDED,
};

enum message_from { FROM_SUPERVISOR, FROM_CHILD };
enum message_times { ONCE, ANY };

// clang-format off
#define A_WORKER    (1u << ROLE_WORKER)
#define A_KEEPER    (1u << ROLE_KEEPER)
#define AN_EXPORTER (1u << ROLE_EXPORTER)
#define A_SELFTEST  (1u << ROLE_SELFTEST)
#define A_SERVER    (A_WORKER | A_KEEPER | AN_EXPORTER)
#define ANYONE      (A_SERVER | A_SELFTEST)

#define IN_STARTING (1u << CHILD_STARTING)
#define IN_READY    (1u << CHILD_READY)
#define IN_OPENING  (1u << CHILD_OPENING)
#define IN_SERVING  (1u << CHILD_SERVING)
#define IN_DRAINING (1u << CHILD_DRAINING)
#define IN_RELEASED (1u << CHILD_RELEASED)
#define ONCE_READY  (IN_READY | IN_OPENING | IN_SERVING | IN_DRAINING | IN_RELEASED)
#define ALWAYS      (IN_STARTING | ONCE_READY)

/* MESSAGE(name, sender, roles and states of the child, times, descriptors, least and longest payload) */
#define NOTHING       0, 0
#define PAYLOAD(type) sizeof(struct type), sizeof(struct type)
#define MESSAGES(MESSAGE) \
	/* The first four keep their numbers for good: they are all that a supervisor and the children of the \
	 * program before an upgrade have to say to each other. */ \
	/* Take nothing new, finish what is open, and end. */ \
	MESSAGE(DRAIN,       SUPERVISOR, A_SERVER,            ALWAYS,              ONCE, 0, PAYLOAD(msg_drain)) \
	/* For the log; as long as its text. */ \
	MESSAGE(RECORD,      CHILD,      ANYONE,              ALWAYS,              ANY,  0, \
		offsetof(struct msg_record, text), sizeof(struct msg_record)) \
	/* Told to drain, it takes nothing new from here on. */ \
	MESSAGE(RELEASED,    CHILD,      A_WORKER | AN_EXPORTER, IN_DRAINING,   ONCE, 0, NOTHING) \
	/* Another build reads this listener now and cannot forward datagrams: end its DTLS sessions. */ \
	MESSAGE(END_SESSIONS, SUPERVISOR, A_WORKER,           ONCE_READY,          ANY,  0, PAYLOAD(msg_listener)) \
	/* The configuration, and the page of counters of this child. */ \
	MESSAGE(SETUP,       SUPERVISOR, A_SERVER,            IN_STARTING,         ONCE, 2, PAYLOAD(msg_setup)) \
	/* Memory that all workers share. */ \
	MESSAGE(SHARED,      SUPERVISOR, A_WORKER,            IN_STARTING,         ONCE, 1, NOTHING) \
	/* A listening socket. */ \
	MESSAGE(LISTENER,    SUPERVISOR, A_WORKER,            IN_STARTING,         ANY,  1, PAYLOAD(msg_listener)) \
	/* A file that the configuration names. */ \
	MESSAGE(FILE,        SUPERVISOR, A_WORKER | A_KEEPER, IN_STARTING,         ANY,  1, PAYLOAD(file_place)) \
	/* Memory with the keys of tickets. */ \
	MESSAGE(TICKETS,     SUPERVISOR, A_WORKER,            IN_STARTING,         ONCE, 1, NOTHING) \
	/* Its channel to the keeper, which may be a new one. */ \
	MESSAGE(KEEPER,      SUPERVISOR, A_WORKER,            ALWAYS,              ANY,  1, NOTHING) \
	/* The channel of a worker. */ \
	MESSAGE(CLIENT,      SUPERVISOR, A_KEEPER,            ALWAYS,              ANY,  1, PAYLOAD(msg_client)) \
	/* The worker has ended, and its channel with it. */ \
	MESSAGE(CLIENT_GONE, SUPERVISOR, A_KEEPER,            ALWAYS,              ANY,  0, PAYLOAD(msg_client)) \
	/* The socket that scrapes come to, and the page. */ \
	MESSAGE(METRICS,     SUPERVISOR, AN_EXPORTER,         IN_STARTING,         ONCE, 2, NOTHING) \
	/* Nothing more is to come: get ready, and say so. */ \
	MESSAGE(PREPARE,     SUPERVISOR, A_SERVER,            IN_STARTING,         ONCE, 0, NOTHING) \
	/* The whole generation is ready: begin, and say so. */ \
	MESSAGE(SERVE,       SUPERVISOR, A_SERVER,            IN_READY,            ONCE, 0, NOTHING) \
	/* Try every sandbox, and answer that client. */ \
	MESSAGE(SELFTEST,    SUPERVISOR, A_SELFTEST,          IN_STARTING,         ONCE, 1, PAYLOAD(msg_selftest)) \
	MESSAGE(READY,       CHILD,      A_SERVER,            IN_STARTING | IN_DRAINING, ONCE, 0, NOTHING) \
	/* Told to serve, it does. */ \
	MESSAGE(SERVING,     CHILD,      A_SERVER,            IN_OPENING | IN_DRAINING,  ONCE, 0, NOTHING) \
	/* While it gets ready: something is wrong with a file of a listener. */ \
	MESSAGE(FAULT,       CHILD,      A_WORKER | A_KEEPER, IN_STARTING | IN_DRAINING, ANY,  0, PAYLOAD(msg_fault)) \
	/* It cannot serve, and ends. */ \
	MESSAGE(FAILED,      CHILD,      ANYONE,              ALWAYS,              ONCE, 0, PAYLOAD(msg_failed)) \
	/* Which records to send, until the next configuration. */ \
	MESSAGE(LOG_LEVEL,   SUPERVISOR, A_SERVER,            ALWAYS,              ANY,  0, PAYLOAD(msg_log_level)) \
	/* The way to a worker of another generation that reads, or has read, the same DTLS socket. */ \
	MESSAGE(DTLS_PEER,   SUPERVISOR, A_WORKER,            ONCE_READY,          ANY,  1, PAYLOAD(msg_dtls_peer))
// clang-format on

enum message_type {
#define MESSAGE(name, ...) MSG_##name,
	MESSAGES(MESSAGE)
#undef MESSAGE
		N_MESSAGES
};

struct msg_setup {
	uint32_t index;
	uint32_t refuse_expired; /* what has expired is refused */
	uint64_t connections;    /* at most this many open, in all workers together */
};

struct msg_log_level {
	uint32_t level; /* enum log_level */
};

struct msg_listener {
	uint32_t listener; /* its place in the configuration */
};

struct msg_client {
	uint32_t worker; /* its number */
};

struct msg_dtls_peer {
	uint32_t listener; /* its place in the configuration of the worker that is told */
	uint32_t number;   /* of the socket, among those of the listener */
	uint32_t is_newer; /* the other one is of a later generation */
};

struct msg_drain {
	uint64_t within_ms;
};

struct msg_selftest {
	uint32_t mode; /* enum sandbox_mode */
	uint32_t uid, gid;
	uint32_t json; /* how to print */
};

struct msg_fault {
	struct file_place place;
	uint32_t level; /* enum fault_level */
	char text[488];
};

#define RECORD_WORD 128 /* the longest name of a listener, or reason; what is beyond is cut */

/* The role and the process are not in it: the receiver knows whose channel it is. Facts, if there are any,
 * follow the end of the text. */
struct msg_record {
	uint64_t suppressed;
	uint32_t event;
	int32_t error;
	uint32_t peer_len; /* 0: no peer */
	struct sockaddr_un peer;
	char listener[RECORD_WORD], reason[RECORD_WORD]; /* empty: none */
	char text[LOG_TEXT + sizeof(struct log_facts)];
};

struct msg_failed {
	int32_t exit_code;
	char text[508];
};

struct message {
	enum message_type type;
	size_t len;
	int fds[CHANNEL_FDS]; /* owned; -1 where there is none */
	_Alignas(uint64_t) unsigned char data[CHANNEL_PAYLOAD];
};

enum {
	CHANNEL_E_WAIT = 1, /* nothing there, or no room */
	CHANNEL_E_CLOSED,   /* the other end is gone */
	CHANNEL_E_MALFORMED, /* not permitted by the table: the sender is not to be trusted any more */
};

/* Two ends, close-on-exec; the supervisor's does not block. */
int channel_pair(int *ret_supervisor, int *ret_child);

/* Sends descriptors too, as many as the table says; they stay the caller's. With `flags` as of send(). */
int channel_send(
	int fd, enum message_type type, const void *data, size_t len, const int *fds, int flags);

/* One side's knowledge of the child at the other end of a channel, or of itself. */
struct dialogue {
	enum message_from from; /* of messages that are received */
	enum role role;         /* of the child */
	enum child_state state; /* of the child; kept by the owner */
	uint32_t had;           /* messages that were received, as bits */
};

/* Whether the table permits this packet now. */
bool dialogue_permits(const struct dialogue *dialogue, uint32_t type, size_t len, size_t n_fds);
/* CHANNEL_E_MALFORMED for a packet that is not permitted; descriptors that came with it are closed. */
int channel_receive(int fd, struct dialogue *dialogue, struct message *ret_message, int flags);
void message_done(struct message *message);

int channel_send_record(int fd, const struct log_record *record);

/* The places that a record points to. */
struct record_parts {
	struct addr peer;
	struct log_facts facts;
};

/* Trusts nothing in the payload; the strings point into it, and the rest to `ret_parts`. False when no
 * channel_send_record() has made it. */
bool message_read_record(const struct message *message, struct log_record *ret_record,
	struct record_parts *ret_parts);
