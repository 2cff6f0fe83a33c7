/* SPDX-License-Identifier: Apache-2.0 */

/* A process that executes another program keeps its number, its children and its open descriptors. The rest
 * is written down: a line for each thing, in memory that cannot be changed afterwards, whose descriptor is
 * named by a variable of the environment.
 *
 * Nothing that the present supervisor needs is touched until all is written: up to then, a failure leaves it
 * as it was. From the first dup2() on, there is no way back but to execute the present program once more. */

#include "upgrade/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define VARIABLE "UPPERD_HANDOVER"
#define LONGEST  (16 << 20)

int handover_begin(struct handover *h, size_t n_sockets)
{
	h->above = INHERIT_FIRST_FD + (int)n_sockets;
	h->sockets.list = calloc(n_sockets + 1, sizeof(*h->sockets.list));
	h->state = open_memstream(&h->text, &h->len);
	return h->state && h->sockets.list ? 0 : -ENOMEM;
}

static void handover_fail(struct handover *h, int error)
{
	if (h->error == 0)
		h->error = error;
}

int handover_fd(struct handover *h, int fd)
{
	int *fds = reallocarray(h->fds, h->n_fds + 1, sizeof(*fds));
	int copy;

	if (!fds) {
		handover_fail(h, -ENOMEM);
		return -1;
	}
	h->fds = fds;
	copy = fcntl(fd, F_DUPFD, h->above);
	if (copy < 0) {
		handover_fail(h, -errno);
		return -1;
	}
	return h->fds[h->n_fds++] = copy;
}

void handover_socket(struct handover *h, const struct socket_entry *entry)
{
	struct inherited one = {.fd = fcntl(entry->fd, F_DUPFD_CLOEXEC, h->above)};

	if (one.fd < 0) {
		handover_fail(h, -errno);
		return;
	}
	one.name = strdup(entry->name ? entry->name : "");
	if (!one.name)
		handover_fail(h, -ENOMEM);
	h->sockets.list[h->sockets.n++] = one;
	fprintf(h->state, "socket %s\ndrops %" PRIu32 "\n", entry->name ? "" : entry->key,
		entry->drops);
	if (entry->file->inode != 0)
		fprintf(h->state, "file %ju %ju\n", (uintmax_t)entry->file->device,
			(uintmax_t)entry->file->inode);
}

static int set_number(const char *variable, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", number);
	return setenv(variable, text, 1) < 0 ? -errno : 0;
}

/* The names, with colons between them. */
static int set_names(const struct inheritance *sockets)
{
	_cleanup_free_ char *names = NULL;
	size_t len;
	FILE *out = open_memstream(&names, &len);

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < sockets->n; i++)
		fprintf(out, "%s%s", i > 0 ? ":" : "", sockets->list[i].name);
	if (fclose(out) != 0)
		return -ENOMEM;
	return setenv("LISTEN_FDNAMES", names, 1) < 0 ? -errno : 0;
}

/* All that may fail: up to its end, nothing of the present supervisor was touched. */
static int handover_publish(struct handover *h)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = fclose(h->state) == 0 ? h->error : -ENOMEM;
	h->state = NULL;
	if (r >= 0)
		r = fd_sealed("upperd-handover", h->text, h->len, &fd);
	if (r >= 0)
		r = set_number(VARIABLE, handover_fd(h, fd));
	if (r >= 0)
		r = set_number("LISTEN_PID", getpid());
	if (r >= 0)
		r = set_number("LISTEN_FDS", (long)h->sockets.n);
	if (r >= 0)
		r = set_names(&h->sockets);
	return r < 0 ? r : h->error;
}

int handover_exec(struct handover *h, const char *path, char *const argv[])
{
	int r;

	r = handover_publish(h);
	if (r >= 0 && access(path, X_OK) < 0)
		r = -errno;
	if (r < 0)
		return r;

	/* From here on there is no way back: descriptors that the supervisor uses are overwritten. */
	for (size_t i = 0; i < h->sockets.n; i++)
		if (dup2(h->sockets.list[i].fd, INHERIT_FIRST_FD + (int)i) < 0)
			_exit(EX_OSERR);
	execv(path, argv);
	/* A trial has its say on stderr; the supervisor has no more descriptors to go on with, and
 * becomes itself once more. */
	if (h->trial)
		return -errno;
	execv("/proc/self/exe", argv);
	_exit(EX_OSERR);
}

void handover_done(struct handover *h)
{
	if (h->state)
		fclose(h->state);
	free(h->text);
	for (size_t i = 0; i < h->n_fds; i++)
		close(h->fds[i]);
	free(h->fds);
	inheritance_done(&h->sockets);
	inheritance_forget();
	unsetenv(VARIABLE);
}

int handover_take(char **ret_text)
{
	const char *number = getenv(VARIABLE);
	_cleanup_close_ int fd = -1;
	size_t len;

	*ret_text = NULL;
	if (!number)
		return 0;
	fd = (int)strtol(number, NULL, 10);
	/* No child is to take it for its own. */
	unsetenv(VARIABLE);
	return fd_read_all(fd, LONGEST, ret_text, &len);
}

int handover_each(const char *text, int (*on_line)(void *userdata, const char *word, char *rest),
	void *userdata)
{
	_cleanup_free_ char *lines = strdup(text);
	char *more = NULL;
	int r = lines ? 0 : -ENOMEM;

	for (char *line = lines ? strtok_r(lines, "\n", &more) : NULL; line && r == 0;
		line = strtok_r(NULL, "\n", &more)) {
		char *blank = strchr(line, ' ');

		if (blank)
			*blank = '\0';
		r = on_line(userdata, line, blank ? blank + 1 : line + strlen(line));
	}
	return r;
}

const char *handover_word(char **line)
{
	char *word = strsep(line, " ");

	return word ? word : "";
}

static int64_t descriptor_number(const char *word)
{
	char *end;
	long long number = strtoll(word, &end, 10);

	return *word != '\0' && *end == '\0' && number >= 0 ? number : -1;
}

int64_t handover_number(char **line)
{
	return descriptor_number(handover_word(line));
}

int handover_own(char **line)
{
	int64_t fd = handover_number(line);

	return fd >= 0 && fd <= INT_MAX && fcntl((int)fd, F_SETFD, FD_CLOEXEC) >= 0 ? (int)fd : -1;
}
