/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets that came with the process: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. Not left to
 * libsystemd, since an upgrade speaks the same protocol and needs it in every build. The
 * variables are cleared as they are read, so that no child takes the sockets again; and
 * variables that make no sense stop the start, since to serve without the sockets that someone
 * meant to pass would look like success. */

#include "sockets/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/pid.h"

#define MOST 4096

static int inherited_number(const char *variable, unsigned long *ret_number)
{
	const char *text = getenv(variable);
	char *end;

	if (!text)
		return -ENOENT;
	errno = 0;
	*ret_number = strtoul(text, &end, 10);
	return errno != 0 || end == text || *end != '\0' ? -EINVAL : 0;
}

/* The name up to the next colon; `names` moves behind it. */
static char *next_name(const char **names)
{
	size_t len = *names ? strcspn(*names, ":") : 0;
	char *name = strndup(*names ? *names : "", len);

	if (*names)
		*names = (*names)[len] == ':' ? *names + len + 1 : NULL;
	return name;
}

static int inheritance_fill(struct inheritance *inheritance, size_t n, const char *names)
{
	inheritance->list = calloc(n, sizeof(*inheritance->list));
	if (!inheritance->list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct inherited *one = &inheritance->list[i];

		one->fd = INHERIT_FIRST_FD + (int)i;
		if (fcntl(one->fd, F_SETFD, FD_CLOEXEC) < 0)
			return -EINVAL;
		inheritance->n++;
		one->name = next_name(&names);
		if (!one->name)
			return -ENOMEM;
	}
	return 0;
}

void inheritance_forget(void)
{
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

int inheritance_take(struct inheritance *ret_inheritance)
{
	_cleanup_inheritance_ struct inheritance inheritance = INHERITANCE_EMPTY;
	unsigned long pid, n;
	int r;

	r = inherited_number("LISTEN_PID", &pid);
	if (r == 0 && pid_is_ours(pid))
		r = inherited_number("LISTEN_FDS", &n);
	else if (r == 0)
		r = -ENOENT; /* meant for another */
	if (r == 0)
		r = n > MOST ? -EINVAL
			     : inheritance_fill(&inheritance, n, getenv("LISTEN_FDNAMES"));
	inheritance_forget();
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;

	*ret_inheritance = inheritance;
	inheritance = INHERITANCE_EMPTY;
	return 0;
}

void inheritance_done(struct inheritance *inheritance)
{
	for (size_t i = 0; i < inheritance->n; i++) {
		close_fdp(&inheritance->list[i].fd);
		free(inheritance->list[i].name);
		free(inheritance->list[i].key);
	}
	free(inheritance->list);
	*inheritance = INHERITANCE_EMPTY;
}
