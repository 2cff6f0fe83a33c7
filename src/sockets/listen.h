/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Listening sockets: made as asked, or not at all. */

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/addr.h"
#include "sockets/socket_file.h"

struct listen_spec {
	int type; /* SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET */
	struct addr address;
	bool v6only;
	const char *interface; /* NULL: any */
	unsigned backlog;
	mode_t mode; /* of a unix socket's file */
	uid_t owner; /* -1: as it comes */
	gid_t group;
	bool shared; /* others of ours are, or will be, bound to the same */
};

/* A unix socket with a path, and not an abstract name. */
bool listen_has_file(const struct listen_spec *spec);

#define LISTEN_KEY       256
#define LISTEN_INTERFACE IFNAMSIZ
/* The address that a socket is bound to, as text: two with the same key are bound to the same. */
const char *listen_key(const struct listen_spec *spec, char key[static LISTEN_KEY]);

/* Whether both would be bound to some address in common, which only sockets of one user that share can. */
bool listen_overlaps(const struct listen_spec *a, const struct listen_spec *b);
/* -EADDRINUSE when another program is bound there, also when that one would share. */
int listen_probe(const struct listen_spec *spec);

/* A socket with all options, to which nothing can come yet; and what makes it listen. */
int listen_make(const struct listen_spec *spec, int *ret_fd);
int listen_bind(const struct listen_spec *spec, int fd, struct socket_file *ret_file);
/* Both in one. */
int listen_open(const struct listen_spec *spec, int *ret_fd, struct socket_file *ret_file);

/* The properties that can still be changed of an open one: the queue, and the mode and owner of its file.
 * SOCKET_FILE_E_OTHER: its path leads to another file, which is left alone. */
int listen_adjust(const struct listen_spec *spec, int fd, const struct socket_file *file);
/* A socket that was made elsewhere gets the options that serving needs; `ret_spec` says what it is and
 * is bound to, with the name of its device in `interface`. -EINVAL when it is none, or does not listen. */
int listen_take(int fd, struct listen_spec *ret_spec, char interface[static LISTEN_INTERFACE]);
/* New datagrams go to another socket of the port from here on; what is queued can still be taken. */
void listen_divert(const struct listen_spec *spec, int fd);

/* A shutdown is for the socket and not for the descriptor: when a child that was taken over shuts its
 * own down, it does so for all processes that have the same. */
enum { LISTEN_E_SHUT = 1 };
/* Asks a datagram socket by sending an empty datagram to port 9 (discard) of this host. */
int listen_probe_shutdown(const struct listen_spec *spec, int fd);
/* Has it listen again, or puts another in its place. `file` NULL: it is not ours to make. -ESHUTDOWN: then
 * there is no other way. */
int listen_reopen(const struct listen_spec *spec, int *fd, struct socket_file *file);
