/* SPDX-License-Identifier: Apache-2.0 */

/* upperctl: asks a running daemon one thing, prints its answer, and exits with its verdict. The daemon
 * knows the verbs; the table here is for those who ask for help. */

#include <errno.h>
#include <getopt.h>
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
#include "process/ctl.h"

#define ATTACH       "attach"
#define FIRST_PASSED 3 /* of the service manager */

/* A verb marked with * is for root and the daemon's own user; a control group may ask the others. */
static const struct {
	const char *verb, *help;
	const char *argument; /* NULL: it takes none; empty: any, and it needs one */
} verbs[] = {
	{"status", "whether all is well, and how things are; see below", "--check"},
	{"reload", "* read the configuration again; prints what is wrong with it"},
	{"metrics", "all counters, as OpenMetrics"},
	{"clients", "who has connections open, or is turned away; \"clear\" forgives", "clear"},
	{"drain", "* finish what is open, and stop"},
	{"sandbox", "* try to break the sandbox of every role; fails when anything gives way"},
	{"upgrade", "* put the installed program in the place of the running one"},
	{"log", "* LEVEL: write records of that level until the next reload", ""},
	{ATTACH, "* NAME: serve the socket of upperd-NAME.socket, too, without a restart", ""},
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

struct request {
	const char *path;
	bool json, check, watch;
	int passed; /* the socket to attach; 0: there is none */
	char text[CONTROL_QUESTION];
};

static void help(void)
{
	printf("usage: upperctl [-s SOCKET] [--json] VERB\n\n"
	       "Asks a running upperd; the exit status is its verdict.\n\n");
	for (size_t i = 0; i < N_VERBS; i++)
		printf("  %-10s %s\n", verbs[i].verb, verbs[i].help);
	printf("\n* is for root and the daemon's own user; the others, also for the members of "
	       "control.group.\n");
	printf("\n      --check          status: exit with 1 when not all is well\n"
	       "      --watch          status: draw it anew once a second\n");
	printf("  -s, --socket SOCKET  instead of " UPPERD_RUNDIR "/upperd/control\n"
	       "      --json           answer as JSON\n"
	       "      --version        print the version\n"
	       "  -h, --help           print this\n\nSee upperctl(8).\n");
}

static int try_help(void)
{
	fprintf(stderr, "Try 'upperctl --help'.\n");
	return EX_USAGE;
}

static int usage_error(const char *what, const char *which)
{
	fprintf(stderr, "upperctl: %s%s\n", what, which);
	return try_help();
}

static int control_connect(const char *path)
{
	_cleanup_close_ int fd = -1;
	struct addr addr;

	if (addr_parse_unix(path, &addr) != 0)
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, &addr.sa, addr.len) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Prints as it comes; the last packet has the verdict. */
static int control_read(int fd, FILE *out)
{
	char packet[CONTROL_PACKET + 1];
	ssize_t n;

	while ((n = recv(fd, packet, CONTROL_PACKET, 0)) > 0) {
		packet[n] = '\0';
		if (packet[0] == CONTROL_END)
			return fflush(out) == 0 ? (int)strtol(packet + 1, NULL, 10) : EX_IOERR;
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
	return fflush(stdout) == 0 ? r : EX_IOERR;
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

static int unknown_verb(const char *word)
{
	fprintf(stderr, "upperctl: there is no verb \"%s\"; ", word);
	for (size_t i = 0; i < N_VERBS; i++)
		fprintf(stderr, "%s%s",
			i == 0                    ? ""
				: i + 1 < N_VERBS ? ", "
						  : " or ",
			verbs[i].verb);
	fprintf(stderr, " will do\n");
	return try_help();
}

static size_t verb_find(const char *word)
{
	size_t i = 0;

	while (i < N_VERBS && strcmp(verbs[i].verb, word) != 0)
		i++;
	return i;
}

static int check_words(const char *verb, const char *argument)
{
	size_t i = verb_find(verb);

	if (i == N_VERBS)
		return unknown_verb(verb);
	if (verbs[i].argument && verbs[i].argument[0] == '\0')
		return argument ? 0 : usage_error("a name or a level is missing after ", verb);
	if (!argument || (verbs[i].argument && strcmp(argument, verbs[i].argument) == 0))
		return 0;
	if (!verbs[i].argument || verb_find(argument) < N_VERBS)
		return usage_error("one verb at a time, and not also ", argument);
	fprintf(stderr, "upperctl: all that can follow %s is \"%s\", not %s\n", verb,
		verbs[i].argument, argument);
	return try_help();
}

static int request_take(struct request *request, int argc, char *argv[])
{
	const char *argument = optind < argc ? argv[optind + 1] : NULL;
	int len, r;

	if (optind == argc)
		return usage_error("a verb is missing, such as \"status\"", "");
	if (argc - optind > 2)
		return usage_error("one thing at a time: ", argv[optind + 2]);
	if (request->watch && (request->check || argument || strcmp(argv[optind], "status") != 0))
		return usage_error("--watch goes with status, and with nothing else", "");
	if (request->check)
		argument = argument ? "--check and more" : "--check";
	r = check_words(argv[optind], argument);
	if (r != 0)
		return r;
	len = snprintf(request->text, sizeof(request->text), "%s%s%s%s",
		request->json ? CONTROL_JSON : "", argv[optind], argument ? " " : "",
		argument ? argument : "");
	return (size_t)len < sizeof(request->text) ? 0 : usage_error("too long: ", argv[optind]);
}

static long number_in(const char *variable)
{
	const char *text = getenv(variable);

	return text ? strtol(text, NULL, 10) : 0;
}

/* The daemon knows the socket by the name that the service manager gives it. */
static int attach_passed(struct request *request, const char *name)
{
	const char *passed_as = getenv("LISTEN_FDNAMES");
	int len;

	if (number_in("LISTEN_FDS") != 1) {
		printf("one socket at a time can be attached, and its unit has %ld\n",
			number_in("LISTEN_FDS"));
		return EX_CONFIG;
	}
	request->passed = FIRST_PASSED;
	len = snprintf(request->text, sizeof(request->text), "%s" ATTACH " %s",
		request->json ? CONTROL_JSON : "", passed_as ? passed_as : name);
	return (size_t)len < sizeof(request->text) ? control_ask(request, stdout)
						   : usage_error("too long: ", ATTACH);
}

/* The service manager passes the socket to the unit that runs this. At a shell, a script has to ask the manager
 * for that first. */
static int attach(struct request *request, const char *name)
{
	static const char script[] = UPPERD_LIBEXECDIR "/upperd-attach";

	if (number_in("LISTEN_PID") == getpid())
		return attach_passed(request, name);
	execl(script, script, name, (char *)NULL);
	fprintf(stderr, "upperctl: %s: %s\n", script, strerror(errno));
	return EX_UNAVAILABLE;
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"check", no_argument, NULL, 'C'},
		{"watch", no_argument, NULL, 'W'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct request request = {.path = UPPERD_RUNDIR "/upperd/control"};
	int option, r;

	if (fd_fill_standard() < 0)
		return EX_OSERR;
	while ((option = getopt_long(argc, argv, "s:h", longs, NULL)) != -1) {
		switch (option) {
		case 's':
			request.path = optarg;
			break;
		case 'j':
			request.json = true;
			break;
		case 'C':
			request.check = true;
			break;
		case 'W':
			request.watch = true;
			break;
		case 'V':
			printf("upperctl %s\n", UPPERD_VERSION);
			return EX_OK;
		case 'h':
			help();
			return EX_OK;
		default:
			return try_help(); /* getopt has said what is wrong */
		}
	}
	r = request_take(&request, argc, argv);
	if (r != 0)
		return r;
	if (strcmp(argv[optind], ATTACH) == 0)
		return attach(&request, argv[optind + 1]);
	return request.watch ? watch_status(&request) : control_ask(&request, stdout);
}
