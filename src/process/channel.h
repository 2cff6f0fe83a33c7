/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What supervisor and children say to each other: messages over a SEQPACKET socket pair, which is
 * descriptor 3 in every child. The table below is all that can be said. */

#include <stddef.h>
#include <stdint.h>

#include "process/files.h"

#define CHANNEL_FD      3
#define CHANNEL_PAYLOAD 4096
#define CHANNEL_FDS     2

/* MESSAGE(name, who may send it, descriptors, least and longest payload) */
#define MESSAGES(MESSAGE)                                                                            \
	/* The first four keep their numbers for good: they are all that a supervisor and the      \
	 * children of the one before an upgrade have to say to each other.                        \
	 * DRAIN: take nothing new, finish what is open, and end; struct msg_drain */ \
	MESSAGE(DRAIN, SUPERVISOR, 0, sizeof(struct msg_drain), sizeof(struct msg_drain))            \
	/* a record, as base/logwire.h has it */                                                     \
	MESSAGE(RECORD, CHILD, 0, 1, CHANNEL_PAYLOAD)                                                \
	/* told to drain, it takes nothing new from here on */                                       \
	MESSAGE(RELEASED, CHILD, 0, 0, 0)                                                            \
	/* to a worker: others have the sockets, who know of no sessions; struct msg_listener */     \
	MESSAGE(LOST, SUPERVISOR, 0, sizeof(struct msg_listener), sizeof(struct msg_listener))       \
	/* the configuration, and the page of counters of this child; struct msg_setup */            \
	MESSAGE(SETUP, SUPERVISOR, 2, sizeof(struct msg_setup), sizeof(struct msg_setup))            \
	/* to a worker: what all workers share */                                                    \
	MESSAGE(SHARED, SUPERVISOR, 1, 0, 0)                                                         \
	/* a listening socket; struct msg_listener */                                                \
	MESSAGE(LISTENER, SUPERVISOR, 1, sizeof(struct msg_listener), sizeof(struct msg_listener))   \
	/* a file that the configuration names; struct file_place */                                 \
	MESSAGE(FILE, SUPERVISOR, 1, sizeof(struct file_place), sizeof(struct file_place))           \
	/* to a worker: memory with the keys of tickets */                                           \
	MESSAGE(TICKETS, SUPERVISOR, 1, 0, 0)                                                        \
	/* to a worker: its channel to the keeper, which may be a new one */                         \
	MESSAGE(KEEPER, SUPERVISOR, 1, 0, 0)                                                         \
	/* to the keeper: the channel of a worker; struct msg_client */                              \
	MESSAGE(CLIENT, SUPERVISOR, 1, sizeof(struct msg_client), sizeof(struct msg_client))         \
	/* to the keeper: the worker has ended, and its channel with it; struct msg_client */        \
	MESSAGE(CLIENT_GONE, SUPERVISOR, 0, sizeof(struct msg_client), sizeof(struct msg_client))    \
	/* to the exporter: the socket that scrapes come to, and the page */                         \
	MESSAGE(METRICS, SUPERVISOR, 2, 0, 0)                                                        \
	/* all is said: get ready, and say so */                                                     \
	MESSAGE(PREPARE, SUPERVISOR, 0, 0, 0)                                                        \
	/* the whole generation is ready: begin */                                                   \
	MESSAGE(SERVE, SUPERVISOR, 0, 0, 0)                                                          \
	/* to a self-test: try every sandbox, and answer that client; struct msg_selftest */         \
	MESSAGE(SELFTEST, SUPERVISOR, 1, sizeof(struct msg_selftest), sizeof(struct msg_selftest))   \
	MESSAGE(READY, CHILD, 0, 0, 0)                                                               \
	/* told to serve, it does */                                                                 \
	MESSAGE(SERVING, CHILD, 0, 0, 0)                                                             \
	/* while it gets ready: something is wrong with what a listener names; struct msg_fault */   \
	MESSAGE(FAULT, CHILD, 0, sizeof(struct msg_fault), sizeof(struct msg_fault))                 \
	/* it cannot serve: an exit code, and why, as text */                                        \
	MESSAGE(FAILED, CHILD, 0, sizeof(struct msg_failed), sizeof(struct msg_failed))              \
	/* to a worker: the way to one that has a socket of it too; struct msg_sibling */            \
	MESSAGE(SIBLING, SUPERVISOR, 1, sizeof(struct msg_sibling), sizeof(struct msg_sibling))

enum message_type {
#define MESSAGE(name, from, fds, least, longest) MSG_##name,
	MESSAGES(MESSAGE)
#undef MESSAGE
		N_MESSAGES
};

enum message_from { FROM_SUPERVISOR, FROM_CHILD };

struct msg_setup {
	uint32_t index;
	uint32_t refuse_expired; /* what has expired is refused */
	uint64_t connections;    /* at most this many open, in all workers together */
};

struct msg_listener {
	uint32_t listener; /* its place in the configuration */
};

struct msg_client {
	uint32_t worker; /* its number */
};

struct msg_sibling {
	uint32_t listener; /* its place in the configuration of who is told */
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
	char text[492];
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
	CHANNEL_E_WAIT = 1,  /* nothing there, or no room */
	CHANNEL_E_CLOSED,    /* the other end is gone */
	CHANNEL_E_MALFORMED, /* not in the table: whoever sent it is not to be trusted any more */
};

/* Two ends, close-on-exec; the supervisor's does not block. */
int channel_pair(int *ret_supervisor, int *ret_child);

/* Sends descriptors too, as many as the table says; they stay the caller's. With `flags` as of send(). */
int channel_send(
	int fd, enum message_type type, const void *data, size_t len, const int *fds, int flags);
/* `from` is who is at the other end; what that one may not send is malformed. */
int channel_receive(int fd, enum message_from from, struct message *ret_message, int flags);
void message_done(struct message *message);
