/* SPDX-License-Identifier: Apache-2.0 */

/* upperctl: asks a running daemon one thing, prints its answer, and exits with its verdict. It
 * knows the protocol (process/ctl.h) and nothing of the answers, so that a daemon of another
 * version is served as well: texts are printed as they come, and the exit code is the last
 * packet. The help on a verb, and the rules for its argument, are in verbs.c. */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "config.h"
#include "ctl/verbs.h"
#include "process/ctl.h"

#define FIRST_PASSED 3 /* of the service manager */

static int control_connect(const char *path)
{
	_cleanup_close_ int fd = -1;
	struct addr addr;

	if (addr_parse_unix(path, &addr) != 0)
		return *path ? -ENAMETOOLONG : -ENOENT;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, &addr.sa, addr.len) < 0)
		return -errno;
	return take_fd(&fd);
}

/* A part that was lost is remembered by the stream alone; what is left may well be written. */
static int finish_output(FILE *out, int code)
{
	if (!ferror(out) && fflush(out) == 0)
		return code;
	perror("upperctl: the output cannot be written");
	return EX_IOERR;
}

/* Prints as it comes; the last packet has the verdict. */
static int control_read(int fd, FILE *out)
{
	char packet[CONTROL_PACKET + 1];
	ssize_t n;

	while ((n = recv(fd, packet, CONTROL_PACKET, 0)) > 0) {
		packet[n] = '\0';
		if (packet[0] == CONTROL_END)
			return finish_output(out, (int)strtol(packet + 1, NULL, 10));
		fwrite(packet + 1, 1, (size_t)n - 1, out);
	}
	fprintf(stderr, "upperctl: the daemon went away without an answer\n");
	return EX_UNAVAILABLE;
}

/* With the socket that is to be attached, if there is one. */
static ssize_t send_request(int fd, const struct request *request)
{
	struct iovec part = {(void *)(uintptr_t)request->text, strlen(request->text)};
	union {
		struct cmsghdr header; /* aligns */
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (request->passed) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &request->passed, sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static int control_ask(const struct request *request, FILE *out)
{
	_cleanup_close_ int fd = -1;

	fd = control_connect(request->path);
	if (fd < 0) {
		fprintf(stderr, "upperctl: %s: %s%s\n", request->path, strerror(-fd),
			fd == -EACCES
				? " (it is for root, the daemon's own user, and control.group)"
				: "; is upperd running, with this control.path?");
		return fd == -EACCES ? EX_NOPERM : EX_UNAVAILABLE;
	}
	if (send_request(fd, request) < 0) {
		perror("upperctl: send");
		return EX_UNAVAILABLE;
	}
	return control_read(fd, out);
}

/* One line, cut at the edge of the screen; a character takes one column. */
static void draw_line(const char *line, size_t len, unsigned columns)
{
	size_t end = 0;

	for (unsigned width = 0; end < len; end++) {
		bool begins = ((unsigned char)line[end] & 0xc0) != 0x80;

		if (begins && width++ == columns)
			break;
	}
	fwrite(line, 1, end, stdout);
	fputs("\033[K\n", stdout);
}

/* Over the last one, without a blank moment in between. */
static void draw_screen(const char *text, const struct winsize *screen)
{
	fputs("\033[H", stdout);
	for (unsigned row = 1; row < screen->ws_row && *text; row++) {
		size_t len = strcspn(text, "\n");

		draw_line(text, len, screen->ws_col);
		text += len + (text[len] == '\n');
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static int watch_once(struct request *request)
{
	struct winsize screen = {.ws_row = 24, .ws_col = 80};
	bool is_terminal = ioctl(STDOUT_FILENO, TIOCGWINSZ, &screen) == 0 && isatty(STDOUT_FILENO);
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return EX_OSERR;
	screen.ws_row = screen.ws_row > 0 ? screen.ws_row : 24;
	screen.ws_col = screen.ws_col > 0 ? screen.ws_col : 80;
	if (!request->json)
		snprintf(request->text, sizeof(request->text), "status --plot=%u", screen.ws_col);
	r = control_ask(request, out);
	if (fclose(out) != 0)
		return EX_OSERR;
	if (is_terminal && !request->json)
		draw_screen(text, &screen);
	else
		printf(request->json ? "%s" : "%s\n", text);
	return finish_output(stdout, r);
}

/* Until it is interrupted, or the daemon is gone. */
static int watch_status(struct request *request)
{
	int r;

	if (isatty(STDOUT_FILENO) && !request->json)
		fputs("\033[H\033[J", stdout);
	while ((r = watch_once(request)) == EX_OK)
		sleep(1);
	return r;
}

static long number_in(const char *variable)
{
	const char *text = getenv(variable);

	return text ? strtol(text, NULL, 10) : 0;
}

/* The daemon knows the socket by the name that the service manager gives it. */
static int attach_passed(struct request *request)
{
	const char *passed_as = getenv("LISTEN_FDNAMES");
	int r;

	if (number_in("LISTEN_FDS") != 1) {
		printf("one socket at a time can be attached, and its unit has %ld\n",
			number_in("LISTEN_FDS"));
		return EX_CONFIG;
	}
	request->passed = FIRST_PASSED;
	r = request_compose(request, ATTACH, passed_as ? passed_as : request->argument);
	return r != 0 ? r : control_ask(request, stdout);
}

/* The service manager passes the socket to the unit that runs this. At a shell, a script has to ask the manager
 * for that first. */
static int attach(struct request *request)
{
	static const char script[] = UPPERD_LIBEXECDIR "/upperd-attach";

	if (number_in("LISTEN_PID") == getpid())
		return attach_passed(request);
	execl(script, script, request->argument, (char *)NULL);
	fprintf(stderr, "upperctl: %s: %s\n", script, strerror(errno));
	return EX_UNAVAILABLE;
}

int main(int argc, char *argv[])
{
	struct request request;
	int r;

	if (fd_fill_standard() < 0)
		return EX_OSERR;
	r = request_parse(argc, argv, &request);
	if (r == REQUEST_E_SHOWN)
		return finish_output(stdout, EX_OK);
	if (r != 0)
		return r;
	if (strcmp(request.verb, ATTACH) == 0)
		return attach(&request);
	return request.watch ? watch_status(&request) : control_ask(&request, stdout);
}
