/* SPDX-License-Identifier: Apache-2.0 */

/* Folders are watched and not files, since a file is replaced by giving its name to another: by rename,
 * or by a link that is swapped further up, as certbot and Kubernetes do. An event in a folder only says
 * that it is time to look: others may write there all day long. A certificate and its key are two
 * files, so that these have to be at rest for a moment. */

#include "supervisor/watch.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LOOK_MS    100 /* after an event; there may be many */
#define SETTLE_MS  500
#define LINKS_MOST 40 /* on the way to a file; the kernel follows no more */
#define EVENTS                                                                              \
	(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ATTRIB | \
		IN_MOVE_SELF | IN_ONLYDIR)

/* True when something is different from last time. */
static bool watch_look(struct watch *w)
{
	bool changed = false;

	for (size_t i = 0; i < w->files.n; i++) {
		uint64_t fingerprint = file_fingerprint(w->files.list[i].path);

		changed = changed || fingerprint != w->fingerprints[i];
		w->fingerprints[i] = fingerprint;
	}
	return changed;
}

/* A folder that is not there is waited for in the one above. One that cannot be watched is not: its files
 * are then taken up by the next reload. */
static void watch_folder(const struct watch *w, const char *path, size_t len)
{
	_cleanup_free_ char *copy = strndup(path, len);
	const char *folder = copy ? dirname(copy) : NULL;

	while (folder && inotify_add_watch(w->fd, folder, EVENTS) < 0 && errno == ENOENT)
		folder = folder[strspn(folder, "./")] != '\0' ? dirname(copy) : NULL;
}

/* The part of the path before `end`, if that is a link: then where the path leads by it. */
static char *way_on(const char *path, const char *end)
{
	_cleanup_free_ char *name = strndup(path, (size_t)(end - path));
	char target[PATH_MAX], *on;
	ssize_t n = name ? readlink(name, target, sizeof(target) - 1) : -1;
	int r;

	if (n < 0)
		return NULL;
	target[n] = '\0';
	r = asprintf(&on, "%s%s%s%s", target[0] == '/' ? "" : dirname(name),
		target[0] == '/' ? "" : "/", target, end);
	return r < 0 ? NULL : on;
}

/* The folder that the file is in, and those of all links that lead there, since each may be made to lead
 * elsewhere. */
static void watch_way(const struct watch *w, const char *path)
{
	_cleanup_free_ char *way = strdup(path);
	const char *end = way;

	for (int links = 0; way && links <= LINKS_MOST;) {
		_cleanup_free_ char *on = NULL;

		end += strspn(end, "/");
		end += strcspn(end, "/");
		on = way_on(way, end);
		if (!on && *end != '\0')
			continue;
		watch_folder(w, way, (size_t)(end - way));
		if (!on)
			return;
		free(way);
		end = way = take_ptr(&on);
		links++;
	}
}

static void watch_folders(const struct watch *w)
{
	for (size_t i = 0; i < w->files.n; i++)
		watch_way(w, w->files.list[i].path);
}

static void watch_on_event(struct source *source, uint32_t events)
{
	struct watch *w = container_of(source, struct watch, source);
	_Alignas(struct inotify_event) char buffer[4096];

	while (read(w->fd, buffer, sizeof(buffer)) > 0)
		;
	if (!w->settle.node.next || list_is_empty(&w->settle.node))
		loop_set_timer(w->loop, &w->settle, w->loop->now_ms + LOOK_MS);
}

static void watch_on_settle(struct timer *timer, uint64_t now_ms)
{
	struct watch *w = container_of(timer, struct watch, settle);

	watch_folders(w);
	if (watch_look(w)) {
		w->moving = true;
		loop_set_timer(w->loop, &w->settle, now_ms + SETTLE_MS);
	} else if (w->moving) {
		w->moving = false;
		w->on_change(w);
	}
}

int watch_start(struct watch *w, const struct conf *conf, const struct files *open)
{
	int r;

	watch_done(w);
	r = files_list(&w->files, conf);
	if (r < 0 || w->files.n == 0)
		return r;
	w->fingerprints = calloc(w->files.n, sizeof(*w->fingerprints));
	if (!w->fingerprints)
		return -ENOMEM;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0)
		return -errno;
	w->source.on_event = watch_on_event;
	w->settle.on_time = watch_on_settle;
	watch_folders(w);
	for (size_t i = 0; i < w->files.n; i++) {
		w->fingerprints[i] = i < open->n ? open->list[i].fingerprint : 0;
		/* Copied by another program that did not say: as good as now. */
		if (w->fingerprints[i] == 0)
			w->fingerprints[i] = file_fingerprint(w->files.list[i].path);
	}
	/* Since they were opened, something may have happened that no event will tell. */
	loop_set_timer(w->loop, &w->settle, w->loop->now_ms + SETTLE_MS);
	return loop_watch(w->loop, &w->source, w->fd, EPOLLIN);
}

void watch_done(struct watch *w)
{
	if (w->fd >= 0) {
		loop_unwatch(w->loop, &w->source);
		loop_clear_timer(&w->settle);
		close(take_fd(&w->fd));
	}
	files_done(&w->files);
	free(w->fingerprints);
	w->fingerprints = NULL;
	w->moving = false;
}
