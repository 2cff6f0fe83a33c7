/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The listening sockets. The supervisor owns them, keyed by what they are bound to, for as long as any
 * configuration that serves has them: nothing that is queued in them is lost by a reload or a crash. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "conf/conf.h"

struct inheritance;
struct socket_file;

struct sockets {
	struct list all;
	bool is_trial; /* another process serves with these: they stay as they are */
};

/* The manager's socket of the listener's name is of another type, or bound to something else. */
enum { SOCKETS_E_OTHER = 16, SOCKETS_E_THERE };

/* The sockets of one address: one per worker, or a single one that all workers share. */
struct socket_group;

void sockets_init(struct sockets *sockets);
/* Also removes the files of unix sockets. */
void sockets_done(struct sockets *sockets);

/* Takes over what the service manager passes, a group for each name; and what was ours before an upgrade.
 * The manager's stay when no listener has their name, and are never closed or removed. A negative errno,
 * with the name of the socket that cannot be used in `ret_name`, which is the inheritance's. */
int sockets_inherit(
	struct sockets *sockets, struct inheritance *inheritance, const char **ret_name);
/* Takes one more that the service manager has made while the daemon runs: the next build is to have a listener
 * of its name, and if it does not come to serve, the socket is given up. SOCKETS_E_THERE: it is there. */
int sockets_attach(struct sockets *sockets, const char *name, int *fd);
bool sockets_any_inherited(const struct sockets *sockets);
/* The names of all that were passed, as a list for people; "none" when there are none. */
const char *sockets_inherited(const struct sockets *sockets, char text[static 256]);
/* A passed socket that no listener of `conf` has the name of: its name, or NULL. */
const char *sockets_unclaimed(const struct sockets *sockets, const struct conf *conf);

/* For the program after an upgrade: calls for each socket that serves. `name` is the manager's name, or NULL where the socket is our own. */
struct socket_entry {
	int fd;
	const char *name, *key;
	const struct socket_file *file;
	uint32_t drops; /* that were counted */
};
size_t sockets_count(const struct sockets *sockets);
void sockets_each(const struct sockets *sockets,
	void (*on_socket)(void *userdata, const struct socket_entry *entry), void *userdata);

/* The group of a listener as it is; NULL: there is none. */
struct socket_group *sockets_find(struct sockets *sockets, const struct conf_listener *listener);

/* A listener that a build wants `n` sockets for; `conf` is the configuration that will serve. */
struct socket_want {
	const struct conf *conf;
	const struct conf_listener *listener;
	unsigned n;
};
/* Finds the group of a listener, and makes the sockets that it lacks. Nothing comes to them yet where that
 * would take something from those that serve. A negative errno: the system refused; IDENT_E_*: an owner is not known.
 * SOCKETS_E_OTHER comes with the group. */
int sockets_claim(
	struct sockets *sockets, const struct socket_want *want, struct socket_group **ret_group);
/* The build is ready: binds what was claimed. The last step that can fail. */
int socket_group_bind(struct socket_group *group);
/* The build serves: the group is as it was claimed. True when it is new. */
bool socket_group_commit(struct socket_group *group);
/* The build does not come to serve: what was claimed is closed, and the rest is as it was before. */
void sockets_rollback(struct sockets *sockets);

/* Keeps a group open although the configuration no longer names it: a draining generation has sessions on
 * it. NULL forgets all such groups. */
void sockets_hold(struct sockets *sockets, const struct socket_group *held);
/* Closes what neither `conf` names (NULL: nothing serves) nor is held. A socket of another group that has the
 * address, too, gets what comes from then on, and is no reason to hold. */
void sockets_prune(struct sockets *sockets, const struct conf *conf);

/* Opens again what a child has shut down that was taken over; children started from now on get that. */
void sockets_reopen(struct sockets *sockets);

/* Attempts to connect that the system has dropped at a listener since the last call, since the queue was full. */
uint32_t sockets_count_drops(struct sockets *sockets, const struct conf_listener *listener);

/* "udp [::]:12000" */
const char *socket_group_text(const struct socket_group *group);
/* The groups that serve; or, with `claimed`, those that a build under way will serve with. */
unsigned socket_group_count(const struct socket_group *group, bool claimed);
int socket_group_fd(const struct socket_group *group, bool claimed, unsigned number);
