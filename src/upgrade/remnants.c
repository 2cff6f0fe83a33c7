/* SPDX-License-Identifier: Apache-2.0 */

/* A generation that outlives the supervisor that made it: described by the old one, taken over by the new.
 * Its configuration is read again from the sealed text that its children have. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "conf/fault.h"
#include "generation/slot.h"
#include "upgrade/handover.h"

#define LONGEST (64 << 20)

static void child_hand_over(const struct child *child, struct handover *h)
{
	if (child->state == CHILD_ENDED) {
		fprintf(h->state, "child %s %u ended\n", role_word(child->role), child->index);
		return;
	}
	fprintf(h->state, "child %s %u %d %d %d %d %" PRIu64 "\n", role_word(child->role),
		child->index, (int)child->pid,
		child->channel_fd >= 0 ? handover_fd(h, child->channel_fd) : -1,
		child->stderr_fd >= 0 ? handover_fd(h, child->stderr_fd) : -1,
		handover_fd(h, child->counters_fd), child->started_ms);
}

void generation_hand_over(const struct generation *g, struct handover *h, bool with_children)
{
	fprintf(h->state, "generation %s",
		g->state == GENERATION_DRAINING ? "draining" : "serving");
	plan_hand_over(&g->plan, h);
	fprintf(h->state, "\n");
	if (!with_children)
		return;
	for (unsigned i = 0; i < g->n; i++)
		child_hand_over(&g->slots[i].child, h);
	if (g->keeper)
		child_hand_over(&g->keeper->child, h);
	if (g->exporter)
		child_hand_over(&g->exporter->child, h);
}

static int read_sealed(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	return fd_read_all(*(int *)userdata, LONGEST, ret_text, ret_len);
}

static int load_sealed(int fd, struct conf **ret_conf)
{
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	struct conf_source source = {
		.file = "configuration from before the upgrade",
		.read = read_sealed,
		.userdata = &fd,
	};
	int r;

	r = conf_load(&source, &faults, ret_conf);
	if (r == 0)
		return 0;
	log_each(EVENT_START_FAILED, ABOUT_NOTHING, "%s: %s", source.file,
		faults.n > 0 ? faults.list[0].message : "no memory");
	return -EINVAL;
}

int generation_could_adopt(char *line)
{
	_cleanup_conf_ struct conf *conf = NULL;

	handover_word(&line);
	return load_sealed(handover_own(&line), &conf);
}

/* What drains needs no socket any more, and must not open one; but to know which it had, for its kin, and
 * its keys, for another keeper. */
static int adopt_plan(struct generation *g, struct conf *conf, int conf_fd, char *line)
{
	char why[512];
	int r;

	if (g->state == GENERATION_DRAINING) {
		g->plan.conf = conf;
		g->plan.conf_fd = fcntl(conf_fd, F_DUPFD_CLOEXEC, 0);
		if (g->plan.conf_fd < 0)
			return -errno;
		r = plan_resume_groups(&g->plan, &g->parts.resources->sockets);
		return r < 0 ? r : plan_resume_files(&g->plan, line);
	}
	if (plan_resume(&g->plan, conf, &g->parts.resources->sockets, line, why) == 0)
		return 0;
	log_each(EVENT_START_FAILED, ABOUT_NOTHING, "%s", why);
	return -EINVAL;
}

int generation_adopt(
	const struct generation_parts *parts, char *line, struct generation **ret_generation)
{
	__attribute__((cleanup(generation_freep))) struct generation *g = NULL;
	const char *state = handover_word(&line);
	_cleanup_close_ int conf_fd = handover_own(&line);
	struct conf *conf;
	int r;

	r = load_sealed(conf_fd, &conf);
	if (r < 0)
		return r;
	g = generation_alloc(parts);
	if (!g) {
		conf_free(conf);
		return -ENOMEM;
	}
	g->state = strcmp(state, "serving") == 0 ? GENERATION_SERVING : GENERATION_DRAINING;
	r = adopt_plan(g, conf, conf_fd, line);
	if (r < 0)
		return r;
	if (g->state == GENERATION_DRAINING)
		generation_limit_drain(g);
	*ret_generation = take_ptr(&g);
	return 0;
}

static int child_map_counters(struct child *child, int fd)
{
	_cleanup_close_ int owned = fd;
	void *page;

	page = mmap(NULL, child->counters_size, PROT_READ | PROT_WRITE, MAP_SHARED, owned, 0);
	if (page == MAP_FAILED)
		return -errno;
	munmap(child->counters, child->counters_size);
	close(child->counters_fd);
	child->counters = page;
	child->counters_fd = take_fd(&owned);
	return 0;
}

/* A child of ours stays one across an exec: it can be waited for, and its descriptor be had again. */
static int child_adopt(struct child *child, char *line, bool other_build)
{
	_cleanup_close_ int counters_fd = -1;
	int r;

	child->pid = (pid_t)handover_number(&line);
	if (child->pid < 0)
		return 0; /* it had ended */
	child->channel_fd = handover_own(&line);
	child->stderr_fd = handover_own(&line);
	counters_fd = handover_own(&line);
	child->started_ms = (uint64_t)handover_number(&line);
	child->other_build = other_build;
	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	if (child->pidfd < 0)
		return -errno;
	r = other_build ? 0 : child_map_counters(child, take_fd(&counters_fd));
	if (r < 0)
		return r;
	child->state = CHILD_SERVING;
	child->heartbeat_ms = child->loop->now_ms;
	child->heartbeat = child->counters->heartbeat;
	return child_watch(child);
}

/* A slot is known by its address from the moment it is watched, so that the array may not grow. */
static struct slot *generation_make_room(struct generation *g, enum role role)
{
	if (role == ROLE_KEEPER)
		return g->keeper = calloc(1, sizeof(*g->keeper));
	if (role == ROLE_EXPORTER)
		return g->exporter = calloc(1, sizeof(*g->exporter));
	if (!g->slots)
		g->slots = calloc(SLOTS_MAX, sizeof(*g->slots));
	return g->slots && g->n < SLOTS_MAX ? &g->slots[g->n] : NULL;
}

/* What the state of the generation means for a child that has just been added. A keeper serves until
 * the last worker is gone. An exporter reads a page that is not written any more, and makes place for
 * another. */
static void generation_settle(struct generation *g, struct slot *slot)
{
	bool serving = g->state == GENERATION_SERVING, worker = slot->child.role == ROLE_WORKER;

	if (slot->child.state == CHILD_ENDED && serving)
		slot_replace(slot);
	else if (serving && slot->child.role == ROLE_EXPORTER)
		slot_drain(slot);
	else if (slot->child.state != CHILD_ENDED && !serving && slot != g->keeper)
		slot->child.state = CHILD_RELEASED; /* or is taken for it: its time is limited */
	if (worker && serving)
		g->plan.workers = g->n;
}

int generation_adopt_child(struct generation *g, char *line, bool other_build)
{
	enum role role = role_find(handover_word(&line));
	int64_t index = handover_number(&line);
	struct slot *slot;
	int r;

	if (role >= ROLE_SELFTEST || index < 0 || (role == ROLE_KEEPER && g->keeper) ||
		(role == ROLE_EXPORTER && g->exporter))
		return -EINVAL;
	slot = generation_make_room(g, role);
	if (!slot)
		return -ENOMEM;
	r = slot_init(slot, g, role, (unsigned)index);
	if (r < 0)
		return r;
	g->n += role == ROLE_WORKER;
	r = child_adopt(&slot->child, line, other_build);
	if (r < 0)
		return r;
	generation_settle(g, slot);
	return 0;
}
