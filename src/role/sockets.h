/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The listening sockets. The supervisor owns them, keyed by what they are bound to, for as long as any
 * configuration that serves has them: nothing that is queued in them is lost by a reload or a crash. */

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "conf/conf.h"

struct sockets {
	struct list all;
};

/* The sockets of one address: one per worker, or a single one that all workers share. */
struct socket_group;

void sockets_init(struct sockets *sockets);
/* Also removes the files of unix sockets. */
void sockets_done(struct sockets *sockets);

/* Finds the group of a listener, opening what is missing for `workers`; -errno says what the system
 * refused, IDENT_E_* that an owner is not known. */
int sockets_claim(struct sockets *sockets, const struct conf_listener *listener, unsigned workers,
	struct socket_group **ret_group);

/* `conf` is what serves now (NULL: nothing does): groups that no listener of it claims are closed, and the
 * others get what it says of the queue, and of the mode and the owner of a path. */
void sockets_settle(struct sockets *sockets, const struct conf *conf);

/* The sockets that a worker is to have: calls for each; stops at the first failure. */
int socket_group_share(const struct socket_group *group, unsigned worker, unsigned workers,
	int (*give)(void *userdata, int fd), void *userdata);
