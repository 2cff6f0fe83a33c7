/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The listening sockets. The supervisor owns them, keyed by what they are bound to, for as long as any
 * configuration that serves has them: nothing that is queued in them is lost by a reload or a crash. */

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "conf/conf.h"

struct inheritance;

struct handover;

struct sockets {
	struct list all;
	bool frozen; /* groups that are there must not grow: a socket more would take its share at once */
};

/* The manager's socket of the listener's name is of another type, or bound to something else. */
enum { SOCKETS_E_OTHER = 16 };

/* The sockets of one address: one per worker, or a single one that all workers share. */
struct socket_group;

void sockets_init(struct sockets *sockets);
/* Also removes the files of unix sockets. */
void sockets_done(struct sockets *sockets);

/* Takes over what the service manager passes: a group for each name. They are there before any
 * configuration is, stay when none has them, and are neither closed by sockets_prune() nor removed. A
 * negative errno, with the name of what cannot be used in `ret_name`, which is the inheritance's. */
int sockets_inherit(
	struct sockets *sockets, struct inheritance *inheritance, const char **ret_name);
/* Describes all of them for the supervisor after an upgrade. */
size_t sockets_count(const struct sockets *sockets);
void sockets_hand_over(const struct sockets *sockets, struct handover *handover);
bool sockets_any_inherited(const struct sockets *sockets);
/* The names of all that were passed, as a list for people; "none" when there are none. */
const char *sockets_inherited(const struct sockets *sockets, char text[static 256]);
/* A passed socket that no listener of `conf` has the name of: what it is called, or NULL. */
const char *sockets_unclaimed(const struct sockets *sockets, const struct conf *conf);

/* The group of a listener as it is; NULL: there is none. */
struct socket_group *sockets_look(struct sockets *sockets, const struct conf_listener *listener);
/* Finds the group of a listener, opening what is missing for `workers`; -errno says what the system
 * refused, IDENT_E_* that an owner is not known. SOCKETS_E_OTHER comes with the group. */
int sockets_claim(struct sockets *sockets, const struct conf_listener *listener, unsigned workers,
	struct socket_group **ret_group);

/* `conf` is what serves now (NULL: nothing does): groups that no listener of it claims are closed, and the
 * others get what it says of the queue, and of the mode and the owner of a path. */
void sockets_settle(struct sockets *sockets, const struct conf *conf);
/* Before that: a group that stays while anything serves, since who drains has sessions on it. NULL: from here
 * on, none of those named before. */
void sockets_keep(struct sockets *sockets, const struct socket_group *kept);
/* Before that, when those who claimed do not come to serve: sockets that were made anew, since their file
 * was gone, are given up for the ones before. */
void sockets_restore(struct sockets *sockets);

/* Opens again what a child has shut down that was taken over; whoever is started from now on gets that. */
void sockets_mend(struct sockets *sockets);

/* "udp [::]:12000" */
const char *socket_group_text(const struct socket_group *group);

unsigned socket_group_count(const struct socket_group *group);
/* The sockets that a worker is to have: calls for each; stops at the first failure. */
int socket_group_share(const struct socket_group *group, unsigned worker, unsigned workers,
	int (*give)(void *userdata, int fd), void *userdata);
