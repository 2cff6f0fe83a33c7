/* SPDX-License-Identifier: Apache-2.0 */

/* The other side of an upgrade: the new supervisor finds what the old one has left, in the order in which
 * it was written. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "priv/sandbox.h"
#include "process/channel.h"
#include "supervisor/records.h"
#include "supervisor/supervisor.h"
#include "upgrade/handover.h"

/* Two builds that say the same count the same things in the same places, speak of as many, and tell
 * children the same. */
const char *supervisor_layout(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "%zu %zu %zu %d %d %d", sizeof(struct shared),
		sizeof(struct counters), sizeof(struct ticket_page), N_COUNTERS, N_REASONS,
		N_MESSAGES);
	return text;
}

struct resume {
	struct supervisor *supervisor;
	struct inheritance *inheritance;
	size_t n_sockets;
	struct generation *generation; /* whose children come next */
};

static int on_kind_line(void *userdata, const char *word, char *rest)
{
	struct supervisor *s = userdata;

	if (strcmp(word, "trial") == 0)
		s->trial = s->resources.sockets.is_trial = true;
	else if (strcmp(word, "confined") == 0)
		s->confined = true;
	return 0;
}

int supervisor_find_handover(struct supervisor *s)
{
	int r;

	r = handover_take(&s->handed);
	if (r >= 0 && s->handed)
		r = handover_each(s->handed, on_kind_line, s);
	if (r >= 0 && s->confined)
		sandbox_inherit();
	return r;
}

/* Of the socket in the line before. */
static int on_file_line(const struct resume *resume, char *rest)
{
	struct socket_file file = {(dev_t)handover_number(&rest), (ino_t)handover_number(&rest)};

	if (resume->n_sockets == 0)
		return -EINVAL;
	resume->inheritance->list[resume->n_sockets - 1].file = file;
	return 0;
}

static int on_socket_line(void *userdata, const char *word, char *rest)
{
	struct resume *resume = userdata;
	struct inherited *one;

	if (strcmp(word, "file") == 0)
		return on_file_line(resume, rest);
	if (strcmp(word, "socket") != 0)
		return 0;
	if (resume->n_sockets == resume->inheritance->n)
		return -EINVAL;
	one = &resume->inheritance->list[resume->n_sockets++];
	if (*rest == '\0')
		return 0;
	one->key = strdup(rest);
	return one->key ? 0 : -ENOMEM;
}

int resume_sockets(const struct supervisor *s, struct inheritance *inheritance)
{
	struct resume resume = {.inheritance = inheritance};

	return s->handed ? handover_each(s->handed, on_socket_line, &resume) : 0;
}

static int resume_layout(struct resume *resume, char *rest)
{
	resume->supervisor->other_build = strcmp(rest, supervisor_layout()) != 0;
	return 0;
}

static int resume_shared(struct resume *resume, char *rest)
{
	struct supervisor *s = resume->supervisor;
	_cleanup_close_ int fd = handover_own(&rest);

	return fd < 0 || s->other_build ? 0 : resources_take_shared(&s->resources, &fd);
}

/* So that a session which was begun before the upgrade is resumed after it. */
static int resume_tickets(struct resume *resume, char *rest)
{
	struct supervisor *s = resume->supervisor;
	_cleanup_close_ int fd = handover_own(&rest);

	return fd < 0 || s->other_build ? 0 : tickets_resume(&s->resources.tickets, &fd);
}

static int resume_started(struct resume *resume, char *rest)
{
	resume->supervisor->started_ms = (uint64_t)handover_number(&rest);
	return 0;
}

/* The one that serves must be had; one that drains can be done without. */
static int resume_generation(struct resume *resume, char *rest)
{
	struct supervisor *s = resume->supervisor;
	struct generations *all = &s->generations;
	int r;

	resume->generation = NULL;
	r = generation_adopt(&all->parts, rest, &resume->generation);
	if (r < 0)
		return all->serving ? 0 : r;
	if (!all->serving) {
		all->serving = resume->generation;
		records_to_log(generation_conf(all->serving));
	} else {
		generations_keep_draining(all, resume->generation);
	}
	return 0;
}

static int resume_child(struct resume *resume, char *rest)
{
	if (!resume->generation)
		return 0;
	return generation_adopt_child(resume->generation, rest, resume->supervisor->other_build);
}

static int resume_listener(struct resume *resume, char *rest)
{
	stats_resume_listener(&resume->supervisor->stats, rest);
	return 0;
}

static int resume_lasting(struct resume *resume, char *rest)
{
	stats_resume_lasting(&resume->supervisor->stats, rest);
	return 0;
}

static int resume_control(struct resume *resume, char *rest)
{
	struct supervisor *s = resume->supervisor;

	int fd = handover_own(&rest);
	int64_t device = handover_number(&rest), inode = handover_number(&rest);
	struct socket_file file = SOCKET_FILE_NONE;

	if (inode > 0)
		file = (struct socket_file){(dev_t)device, (ino_t)inode};
	return control_resume(&s->control, &s->loop, fd, &file);
}

static int resume_client(struct resume *resume, char *rest)
{
	return control_resume_client(&resume->supervisor->control, rest, FIRST_BUILD);
}

static const struct {
	const char *word;
	int (*resume)(struct resume *resume, char *rest);
} lines[] = {
	{"layout", resume_layout},
	{"shared", resume_shared},
	{"tickets", resume_tickets},
	{"started", resume_started},
	{"generation", resume_generation},
	{"child", resume_child},
	{"listener", resume_listener},
	{"lasting", resume_lasting},
	{"control", resume_control},
	{"client", resume_client},
};

static int on_line(void *userdata, const char *word, char *rest)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (strcmp(lines[i].word, word) == 0)
			return lines[i].resume(userdata, rest);
	return 0;
}

int supervisor_take_over(struct supervisor *s)
{
	struct resume resume = {.supervisor = s};
	int r;

	r = handover_each(s->handed, on_line, &resume);
	return r >= 0 && !s->generations.serving ? -EINVAL : r;
}

static int on_trial_line(void *userdata, const char *word, char *rest)
{
	return strcmp(word, "generation") == 0 ? generation_could_adopt(rest) : 0;
}

int supervisor_could_take_over(const struct supervisor *s)
{
	return handover_each(s->handed, on_trial_line, NULL);
}
