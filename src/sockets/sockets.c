/* SPDX-License-Identifier: Apache-2.0 */

/* A build claims what it will serve with, and nothing that serves changes by that: a socket that would share
 * an address with those that serve is made, and handed to the new workers, but not bound before the build is
 * ready. Then it is bound, and the claim is committed; or the build fails, and the claim is rolled back.
 * There is one build at a time, so that a group has room for one claim.
 *
 * A group never shrinks: when a reload asks for fewer workers, each of those serves several sockets,
 * since to close one would lose what is queued in it.
 *
 * The service manager's go by name. It may have others than we would make, and narrower ones; but never
 * one that is open to more than the listener says. */

#include "sockets/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "sockets/inherit.h"
#include "sockets/listen.h"
#include "sockets/socket_spec.h"

/* The claim of a build on a group. */
struct claim {
	bool is_made;
	bool is_bound;   /* as far as it has sockets */
	bool is_instead; /* its socket takes the place of the one that serves, whose file is gone */
	struct listen_spec spec;
	int *fds; /* beyond those that serve */
	unsigned n;
	struct socket_file file;
};

struct socket_group {
	struct list node;
	char key[LISTEN_KEY];
	char *name;    /* owned; the manager's; NULL when the socket is our own */
	bool attached; /* by the build that is to serve with it, and that has not come to serve yet */
	bool borrowed;   /* in a trial, which leaves everything as it is */
	bool held;       /* for sessions that drain */
	char *interface; /* owned, for the specs */
	struct listen_spec spec;
	int *fds; /* that serve */
	unsigned n;
	struct socket_file file;
	uint32_t drops; /* of all its sockets, that were counted */
	struct claim claim;
};

static void report_other_file(const struct socket_group *group)
{
	log_each(EVENT_SOCKET_REPLACED, ABOUT_NOTHING,
		"something else has taken the path of %s; it is left alone, and the listener is "
		"not "
		"reached there",
		group->key);
}

static void group_remove_file(const struct socket_group *group, const struct listen_spec *spec,
	const struct socket_file *file)
{
	if (listen_has_file(spec) && socket_file_remove(spec, file) == SOCKET_FILE_E_OTHER)
		report_other_file(group);
}

static void claim_close(struct socket_group *group)
{
	struct claim *claim = &group->claim;

	for (unsigned i = 0; i < claim->n; i++)
		close(claim->fds[i]);
	if (claim->n > 0 && claim->is_bound)
		group_remove_file(group, &claim->spec, &claim->file);
	free(claim->fds);
	*claim = (struct claim){0};
}

static void group_free(struct socket_group *group)
{
	if (!group)
		return;
	claim_close(group);
	for (unsigned i = 0; i < group->n; i++)
		close(group->fds[i]);
	if (group->n > 0 && !group->name && !group->borrowed)
		group_remove_file(group, &group->spec, &group->file);
	free(group->fds);
	free(group->name);
	free(group->interface);
	free(group);
}

static void group_freep(struct socket_group **group)
{
	group_free(*group);
}

void sockets_init(struct sockets *sockets)
{
	list_init(&sockets->all);
}

void sockets_done(struct sockets *sockets)
{
	list_foreach (node, &sockets->all) {
		list_remove(node);
		group_free(container_of(node, struct socket_group, node));
	}
}

static struct socket_group *sockets_find_key(struct sockets *sockets, const char *key)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		if (!group->name && strcmp(group->key, key) == 0)
			return group;
	}
	return NULL;
}

/* LISTEN_FDNAMES has no room for a colon: "udp:53" is passed as "udp-53". */
static bool is_name_of(const char *passed, const char *listener)
{
	for (; *passed && *listener; passed++, listener++)
		if (*passed != (*listener == ':' ? '-' : *listener))
			return false;
	return *passed == *listener;
}

static struct socket_group *sockets_find_named(const struct sockets *sockets, const char *name)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		if (group->name && is_name_of(group->name, name))
			return group;
	}
	return NULL;
}

static int group_new(const struct listen_spec *spec, struct socket_group **ret_group)
{
	__attribute__((cleanup(group_freep))) struct socket_group *group = NULL;

	group = calloc(1, sizeof(*group));
	if (!group)
		return -ENOMEM;
	group->spec = *spec;
	if (spec->interface) {
		group->spec.interface = group->interface = strdup(spec->interface);
		if (!group->interface)
			return -ENOMEM;
	}
	listen_key(spec, group->key);

	*ret_group = take_ptr(&group);
	return 0;
}

/* Adds a socket; the group closes it. */
static int group_take(struct socket_group *group, int *fd)
{
	int *fds = reallocarray(group->fds, group->n + 1, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	group->fds = fds;
	group->fds[group->n++] = take_fd(fd);
	return 0;
}

/* Drops of a socket from before this daemon had it are none of its counts. */
static uint32_t drops_before(const struct inherited *one)
{
	return one->knows_drops ? one->drops : fd_drops(one->fd);
}

static int sockets_inherit_one(struct sockets *sockets, struct inherited *one)
{
	struct socket_group *group = one->key ? sockets_find_key(sockets, one->key)
					      : sockets_find_named(sockets, one->name);
	char interface[LISTEN_INTERFACE], key[LISTEN_KEY];
	struct listen_spec spec;
	int r;

	r = listen_take(one->fd, &spec, interface);
	if (r < 0)
		return r;
	if (group && !one->key && strcmp(group->key, listen_key(&spec, key)) != 0)
		return -ENOTUNIQ;
	if (group) {
		group->drops += drops_before(one);
		return group_take(group, &one->fd);
	}
	r = group_new(&spec, &group);
	if (r < 0)
		return r;
	list_append(&sockets->all, &group->node);
	group->borrowed = sockets->is_trial;
	if (one->key)
		snprintf(group->key, sizeof(group->key), "%s", one->key);
	else
		group->name = take_ptr(&one->name);
	group->file = one->file;
	group->drops = drops_before(one);
	return group_take(group, &one->fd);
}

int sockets_inherit(struct sockets *sockets, struct inheritance *inheritance, const char **ret_name)
{
	for (size_t i = 0; i < inheritance->n; i++) {
		int r = sockets_inherit_one(sockets, &inheritance->list[i]);

		if (r < 0) {
			*ret_name = inheritance->list[i].name;
			return r;
		}
	}
	return 0;
}

/* The socket is there for the next build alone until that serves: see sockets_rollback(). */
int sockets_attach(struct sockets *sockets, const char *name, int *fd)
{
	__attribute__((cleanup(group_freep))) struct socket_group *group = NULL;
	char interface[LISTEN_INTERFACE];
	struct listen_spec spec;
	int r;

	if (sockets_find_named(sockets, name))
		return SOCKETS_E_THERE;
	r = listen_take(*fd, &spec, interface);
	if (r >= 0)
		r = group_new(&spec, &group);
	if (r < 0)
		return r;
	group->name = strdup(name);
	if (!group->name)
		return -ENOMEM;
	group->attached = true;
	group->drops = fd_drops(*fd);
	r = group_take(group, fd);
	if (r < 0)
		return r;
	list_append(&sockets->all, &group->node);
	group = NULL;
	return 0;
}

size_t sockets_count(const struct sockets *sockets)
{
	size_t n = 0;

	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next)
		n += container_of(node, struct socket_group, node)->n;
	return n;
}

void sockets_each(const struct sockets *sockets,
	void (*on_socket)(void *userdata, const struct socket_entry *entry), void *userdata)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		const struct socket_group *group = container_of(node, struct socket_group, node);

		for (unsigned i = 0; i < group->n; i++)
			on_socket(userdata,
				&(struct socket_entry){group->fds[i], group->name, group->key,
					&group->file, i == 0 ? group->drops : 0});
	}
}

const char *sockets_inherited(const struct sockets *sockets, char text[static 256])
{
	size_t len = 0;

	snprintf(text, 256, "none");
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		const struct socket_group *group = container_of(node, struct socket_group, node);

		if (group->name && len < 256)
			len += (size_t)snprintf(
				text + len, 256 - len, "%s%s", len > 0 ? ", " : "", group->name);
	}
	return text;
}

bool sockets_any_inherited(const struct sockets *sockets)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next)
		if (container_of(node, struct socket_group, node)->name)
			return true;
	return false;
}

static bool conf_names(const struct conf *conf, const char *name)
{
	struct conf_listener listener;

	for (size_t i = 0; socket_spec_listener(conf, i, &listener); i++)
		if (is_name_of(name, listener.name))
			return true;
	return false;
}

const char *sockets_unclaimed(const struct sockets *sockets, const struct conf *conf)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		const struct socket_group *group = container_of(node, struct socket_group, node);

		if (group->name && !conf_names(conf, group->name))
			return group->name;
	}
	return NULL;
}

/* A worker can shut down a socket that all share, and no sandbox forbids it: the call is
 * needed for connections. So the supervisor looks before it starts a child, and makes the
 * socket anew. */
static void group_reopen(struct socket_group *group)
{
	for (unsigned i = 0; i < group->n; i++) {
		int r;

		if (listen_probe_shutdown(&group->spec, group->fds[i]) == 0)
			continue;
		r = listen_reopen(&group->spec, &group->fds[i], group->name ? NULL : &group->file);
		log_each(EVENT_SOCKET_SHUT, ABOUT(.error = r),
			r < 0 ? "a child has shut %s down, and it cannot be opened again"
			      : "a child has shut %s down; it is open again",
			group->key);
	}
}

void sockets_reopen(struct sockets *sockets)
{
	list_foreach (node, &sockets->all)
		group_reopen(container_of(node, struct socket_group, node));
}

struct socket_group *sockets_find(struct sockets *sockets, const struct conf_listener *listener)
{
	struct socket_group *group = sockets_find_named(sockets, listener->name);
	struct listen_spec spec;
	char key[LISTEN_KEY];

	if (group || socket_spec_of(listener, &spec) != 0)
		return group;
	return sockets_find_key(sockets, listen_key(&spec, key));
}

/* A socket that was made anew begins anew. */
uint32_t sockets_count_drops(struct sockets *sockets, const struct conf_listener *listener)
{
	struct socket_group *group = sockets_find(sockets, listener);
	uint32_t before, now = 0;

	if (!group)
		return 0;
	for (unsigned i = 0; i < group->n; i++)
		now += fd_drops(group->fds[i]);
	before = now < group->drops ? 0 : group->drops;
	group->drops = now;
	return now - before;
}

/* Room for them is made here, so that a commit cannot fail. */
static int group_claim_sockets(struct socket_group *group, unsigned wanted)
{
	struct claim *claim = &group->claim;
	int *fds = reallocarray(group->fds, group->n + wanted, sizeof(*fds));
	int r;

	if (!fds)
		return -ENOMEM;
	group->fds = fds;
	claim->fds = calloc(wanted, sizeof(*claim->fds));
	if (!claim->fds)
		return -ENOMEM;
	while (claim->n < wanted) {
		r = listen_make(&claim->spec, &claim->fds[claim->n]);
		if (r < 0)
			return r;
		claim->n++;
	}
	return 0;
}

/* Sockets that a serving group has too few of, or a file that was removed. */
static int group_claim(struct socket_group *group, const struct listen_spec *spec, unsigned wanted)
{
	struct claim *claim = &group->claim;

	claim->is_made = true;
	claim->spec = *spec;
	claim->spec.interface = group->interface;
	claim->is_instead = group->n > 0 && listen_has_file(spec) && socket_file_is_gone(spec);
	if (claim->is_instead)
		return group_claim_sockets(group, 1);
	return wanted > group->n ? group_claim_sockets(group, wanted - group->n) : 0;
}

/* A socket of ours that has an address in common with `spec` and is about to be given up. The probe cannot
 * tell it from another program's, so that one of the same user which shares the port would not be noticed.
 * -EADDRINUSE: there is one that stays. */
static int sockets_give_way(
	const struct sockets *sockets, const struct conf *conf, const struct listen_spec *spec)
{
	struct listen_spec named;
	int gives_way = 0;

	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		const struct socket_group *group = container_of(node, struct socket_group, node);

		if (!listen_overlaps(&group->spec, spec))
			continue;
		if (group->name || group->claim.is_made ||
			socket_spec_find(conf, group->key, &named))
			return -EADDRINUSE;
		gives_way = 1;
	}
	return gives_way;
}

static int claim_new(struct sockets *sockets, const struct socket_want *want,
	const struct listen_spec *spec, struct socket_group **ret_group)
{
	__attribute__((cleanup(group_freep))) struct socket_group *group = NULL;
	int gives_way, r;

	gives_way = sockets_give_way(sockets, want->conf, spec);
	r = gives_way == 0 ? listen_probe(spec) : gives_way;
	if (r >= 0)
		r = group_new(spec, &group);
	if (r >= 0)
		r = group_claim(group, spec, spec->shared ? want->n : 1);
	if (r >= 0 && !gives_way)
		r = socket_group_bind(group);
	if (r < 0)
		return r;

	list_append(&sockets->all, &group->node);
	*ret_group = take_ptr(&group);
	return 0;
}

int sockets_claim(
	struct sockets *sockets, const struct socket_want *want, struct socket_group **ret_group)
{
	struct socket_group *group;
	struct listen_spec spec;
	char key[LISTEN_KEY];
	int r;

	r = socket_spec_of(want->listener, &spec);
	if (r != 0)
		return r;
	group = sockets_find_named(sockets, want->listener->name);
	if (group) {
		*ret_group = group;
		return socket_spec_allows(&spec, &group->spec) ? 0 : SOCKETS_E_OTHER;
	}
	group = sockets_find_key(sockets, listen_key(&spec, key));
	if (!group)
		return claim_new(sockets, want, &spec, ret_group);

	*ret_group = group;
	return sockets->is_trial ? 0 : group_claim(group, &spec, spec.shared ? want->n : 1);
}

int socket_group_bind(struct socket_group *group)
{
	struct claim *claim = &group->claim;

	for (unsigned i = 0; i < claim->n && !claim->is_bound; i++) {
		int r = listen_bind(&claim->spec, claim->fds[i], &claim->file);

		if (r < 0)
			return r;
	}
	claim->is_bound = true;
	return 0;
}

static void group_adjust(struct socket_group *group)
{
	int r = 0;

	for (unsigned i = 0; i < group->n && r == 0; i++)
		r = listen_adjust(&group->spec, group->fds[i], &group->file);
	if (r == SOCKET_FILE_E_OTHER)
		report_other_file(group);
	else if (r < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r), "cannot adjust %s", group->key);
}

bool socket_group_commit(struct socket_group *group)
{
	struct claim *claim = &group->claim;
	bool is_new = group->n == 0 || group->attached;

	group->attached = false;
	if (!claim->is_made)
		return is_new;
	group->spec = claim->spec;
	if (claim->n > 0)
		group->file = claim->file;
	if (claim->is_instead)
		close(group->fds[--group->n]);
	for (unsigned i = 0; i < claim->n; i++)
		group->fds[group->n++] = claim->fds[i];
	claim->n = 0;
	claim_close(group);
	group_adjust(group);
	return is_new;
}

void sockets_rollback(struct sockets *sockets)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		claim_close(group);
		if (group->n > 0 && !group->attached)
			continue;
		list_remove(node);
		group_free(group);
	}
}

void sockets_hold(struct sockets *sockets, const struct socket_group *held)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		group->held = held && (group->held || group == held);
	}
}

static bool sockets_overlap(const struct sockets *sockets, const struct socket_group *group)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		const struct socket_group *other = container_of(node, struct socket_group, node);

		if (other != group && listen_overlaps(&other->spec, &group->spec))
			return true;
	}
	return false;
}

/* Where another of ours has the address, too, the kernel must not prefer this one, neither while sessions on
 * it drain nor while the old workers read what is queued in it. */
void sockets_prune(struct sockets *sockets, const struct conf *conf)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);
		bool gives_way = sockets_overlap(sockets, group);
		struct listen_spec spec;

		if (group->name || socket_spec_find(conf, group->key, &spec) ||
			(conf && group->held && !gives_way))
			continue;
		for (unsigned i = 0; i < group->n && gives_way; i++)
			listen_divert(&group->spec, group->fds[i]);
		list_remove(node);
		group_free(group);
	}
}

const char *socket_group_text(const struct socket_group *group)
{
	return group->key;
}

unsigned socket_group_count(const struct socket_group *group, bool claimed)
{
	if (!claimed)
		return group->n;
	return group->claim.is_instead ? 1 : group->n + group->claim.n;
}

int socket_group_fd(const struct socket_group *group, bool claimed, unsigned number)
{
	if (claimed && group->claim.is_instead)
		return group->claim.fds[0];
	return number < group->n ? group->fds[number] : group->claim.fds[number - group->n];
}
