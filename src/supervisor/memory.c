/* SPDX-License-Identifier: Apache-2.0 */

/* Two signs tell that memory is short.
 *
 * * The control group that we are in is near its limit (memory.max or memory.high). Its figures are read once a
 *   second, and twenty times a second beyond half of the limit: a burst of handshakes takes many megabytes in a
 *   second. Pages of files do not count, since the kernel takes them back; without them, a limit that is reached
 *   means that a process is killed at once, and the kernel tells of no pressure before.
 * * The service manager has the kernel tell of pressure: of time that was lost to waiting for memory, which also
 *   other services can bring about (systemd 254, MemoryPressureWatch=, MEMORY_PRESSURE_WATCH in the environment). */

#include "supervisor/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

#define LOOK_MS       1000
#define LOOK_OFTEN_MS 50
/* As long as the window of the kernel, which tells of pressure no more often. */
#define SHORT_MS      2000
#define LONGEST_FILE  65536
#define WRITE_MAX     256

/* The number at the start of a file of our group; UINT64_MAX for "max", and where there is no such file. */
static uint64_t group_number(const char *group, const char *name)
{
	_cleanup_free_ char *text = NULL;
	char path[CGROUP_TEXT];
	unsigned long long number;
	char *end;
	size_t len;

	if (snprintf(path, sizeof(path), CGROUP_ROOT "%s/%s", group, name) >= (int)sizeof(path) ||
		fd_read_path(path, LONGEST_FILE, &text, &len) < 0)
		return UINT64_MAX;
	number = strtoull(text, &end, 10);
	return end == text ? UINT64_MAX : number;
}

/* A row of memory.stat, at the start of a line. */
static uint64_t stat_number(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return strtoull(line + len, NULL, 10);
	}
	return 0;
}

static uint64_t group_reclaimable(const char *group)
{
	_cleanup_free_ char *text = NULL;
	char path[CGROUP_TEXT];
	size_t len;

	if (snprintf(path, sizeof(path), CGROUP_ROOT "%s/memory.stat", group) >=
			(int)sizeof(path) ||
		fd_read_path(path, LONGEST_FILE, &text, &len) < 0)
		return 0;
	return stat_number(text, "inactive_file") + stat_number(text, "active_file") +
		stat_number(text, "slab_reclaimable");
}

static void memory_is_short(struct memory_watch *w, const char *sign)
{
	_Atomic(uint64_t) *until = &w->shared->memory_short_until_ms;
	bool is_new = atomic_load(until) <= w->loop->now_ms;

	atomic_store(until, w->loop->now_ms + SHORT_MS);
	if (!is_new)
		return;
	++*w->counted;
	log_event(EVENT_MEMORY_SHORT, ABOUT(.reason = "memory"),
		"memory is short (%s); idle buffers are given back, and handshakes wait", sign);
}

static void memory_on_look(struct timer *timer, uint64_t now_ms)
{
	struct memory_watch *w = container_of(timer, struct memory_watch, look);
	char text[CGROUP_TEXT], sign[128];
	const char *group = cgroup_own(text);
	uint64_t max = group_number(group, "memory.max"), high = group_number(group, "memory.high");
	uint64_t limit = high < max ? high : max, used = 0, files;

	if (limit < UINT64_MAX)
		used = group_number(group, "memory.current");
	if (used == UINT64_MAX || used <= limit / 2) {
		loop_set_timer(w->loop, timer, now_ms + LOOK_MS);
		return;
	}
	files = group_reclaimable(group);
	used -= files < used ? files : used;
	if (used > limit - limit / 8) {
		snprintf(sign, sizeof(sign), "%llu of %llu MB of the control group are in use",
			(unsigned long long)used >> 20, (unsigned long long)limit >> 20);
		memory_is_short(w, sign);
	}
	loop_set_timer(w->loop, timer, now_ms + LOOK_OFTEN_MS);
}

/* A file of the kernel tells by an event alone. A fifo is for tests, and for managers that watch themselves: what
 * it brings has no meaning but that it came. */
static void memory_on_pressure(struct source *source, uint32_t events)
{
	struct memory_watch *w = container_of(source, struct memory_watch, pressure);
	char some[256];

	if (events & EPOLLIN && read(w->pressure_fd, some, sizeof(some)) < 0 && errno == EAGAIN)
		return;
	if (events & (EPOLLHUP | EPOLLERR) && !(events & (EPOLLPRI | EPOLLIN))) {
		loop_unwatch(w->loop, source);
		return;
	}
	memory_is_short(w, "time was lost to waiting for memory");
}

static int digit_of_base64(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* How many bytes there are; what follows the first character of another kind is left. */
static size_t decode_base64(const char *text, char to[static WRITE_MAX])
{
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;
	int digit;

	while (n < WRITE_MAX && (digit = digit_of_base64(*text++)) >= 0) {
		bits = bits << 6 | (unsigned)digit;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		to[n++] = (char)(bits >> n_bits & 0xff);
	}
	return n;
}

/* 0 also when the manager asks for nothing. */
static int watch_pressure(struct memory_watch *w)
{
	const char *path = getenv("MEMORY_PRESSURE_WATCH"), *text = getenv("MEMORY_PRESSURE_WRITE");
	_cleanup_close_ int fd = -1;
	char to_write[WRITE_MAX];
	size_t n = text ? decode_base64(text, to_write) : 0;
	struct stat st;
	int r;

	if (!path || strcmp(path, "/dev/null") == 0)
		return 0;
	fd = open(path, (n > 0 ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || (n > 0 && write(fd, to_write, n) < 0))
		return -errno;
	r = loop_watch(w->loop, &w->pressure, fd, S_ISREG(st.st_mode) ? EPOLLPRI : EPOLLIN);
	if (r >= 0)
		w->pressure_fd = take_fd(&fd);
	return r;
}

void memory_watch_start(struct memory_watch *w)
{
	int r;

	w->pressure.on_event = memory_on_pressure;
	w->look.on_time = memory_on_look;
	r = watch_pressure(w);
	if (r < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r),
			"pressure on memory is not watched, although the service manager asks for "
			"it");
	memory_on_look(&w->look, w->loop->now_ms);
}

void memory_watch_done(struct memory_watch *w)
{
	loop_clear_timer(&w->look);
	if (w->pressure_fd >= 0)
		close(w->pressure_fd);
}
