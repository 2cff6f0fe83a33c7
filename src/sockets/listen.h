/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Listening sockets: made as asked, or not at all. */

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/addr.h"

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

/* What two sockets have in common that are bound to the same: their key, as text. */
#define LISTEN_KEY       256
#define LISTEN_INTERFACE IFNAMSIZ
const char *listen_key(const struct listen_spec *spec, char key[static LISTEN_KEY]);

/* -EADDRINUSE when somebody else is there, also when that one would share. */
int listen_probe(const struct listen_spec *spec);
int listen_open(const struct listen_spec *spec, int *ret_fd);
/* What can still be changed of one that is open: the queue, and a path's mode and owner. */
int listen_adjust(const struct listen_spec *spec, int fd);
/* A socket that was made elsewhere gets the options that serving needs; `ret_spec` says what it is and
 * is bound to, with the name of its device in `interface`. -EINVAL when it is none, or does not listen. */
int listen_take(int fd, struct listen_spec *ret_spec, char interface[static LISTEN_INTERFACE]);
/* Somebody has removed the file of a unix socket. */
bool listen_is_gone(const struct listen_spec *spec);
/* Removes the file of a unix socket. */
void listen_remove(const struct listen_spec *spec);
