/* SPDX-License-Identifier: Apache-2.0 */

/* upperctl: asks a running daemon one thing, prints its answer, and exits with its verdict. The daemon
 * knows the verbs; the table here is for those who ask for help. */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "config.h"
#include "process/ctl.h"

static const struct {
	const char *verb, *help;
	const char *argument; /* NULL: it takes none */
} verbs[] = {
	{"status", "how it is; with --check, fails when it is not well", "--check"},
	{"reload", "read the configuration again; prints what is wrong with it"},
	{"metrics", "all counters, as OpenMetrics"},
	{"clients", "who has connections open, or is turned away; \"clear\" forgives", "clear"},
	{"drain", "finish what is open, and stop"},
	{"sandbox", "try to break the sandbox of every role; fails when anything gives way"},
	{"upgrade", "put the installed program in the place of the running one"},
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

struct request {
	const char *path;
	bool json, check;
	char text[CONTROL_QUESTION];
};

static void help(void)
{
	printf("usage: upperctl [-s SOCKET] [--json] VERB\n\n"
	       "Asks a running upperd; the exit status is its verdict.\n\n");
	for (size_t i = 0; i < N_VERBS; i++)
		printf("  %-10s %s\n", verbs[i].verb, verbs[i].help);
	printf("\n  -s, --socket SOCKET  instead of " UPPERD_RUNDIR "/upperd/control\n"
	       "      --json           answer as JSON\n"
	       "      --version        print the version\n"
	       "  -h, --help           print this\n\nSee upperctl(8).\n");
}

static int try_help(void)
{
	fprintf(stderr, "Try 'upperctl --help'.\n");
	return EX_USAGE;
}

static int usage(const char *what, const char *which)
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
static int control_read(int fd)
{
	char packet[CONTROL_PACKET + 1];
	ssize_t n;

	while ((n = recv(fd, packet, CONTROL_PACKET, 0)) > 0) {
		packet[n] = '\0';
		if (packet[0] == CONTROL_END)
			return fflush(stdout) == 0 ? (int)strtol(packet + 1, NULL, 10) : EX_IOERR;
		fwrite(packet + 1, 1, (size_t)n - 1, stdout);
	}
	fprintf(stderr, "upperctl: the daemon went away without an answer\n");
	return EX_UNAVAILABLE;
}

static int control_ask(const struct request *request)
{
	_cleanup_close_ int fd = -1;

	fd = control_connect(request->path);
	if (fd < 0) {
		fprintf(stderr, "upperctl: %s: %s%s\n", request->path, strerror(-fd),
			fd == -EACCES ? " (it is for root, or the daemon's own user)"
				      : "; is upperd running, with this control.path?");
		return fd == -EACCES ? EX_NOPERM : EX_UNAVAILABLE;
	}
	if (send(fd, request->text, strlen(request->text), MSG_NOSIGNAL) < 0) {
		perror("upperctl: send");
		return EX_UNAVAILABLE;
	}
	return control_read(fd);
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

static int check_words(const char *verb, const char *argument)
{
	size_t i = 0;

	while (i < N_VERBS && strcmp(verbs[i].verb, verb) != 0)
		i++;
	if (i == N_VERBS)
		return unknown_verb(verb);
	if (!argument || (verbs[i].argument && strcmp(argument, verbs[i].argument) == 0))
		return 0;
	if (!verbs[i].argument)
		return usage("one verb at a time, and not also ", argument);
	fprintf(stderr, "upperctl: all that can follow %s is \"%s\", not %s\n", verb,
		verbs[i].argument, argument);
	return try_help();
}

static int request_take(struct request *request, int argc, char *argv[])
{
	const char *argument = optind < argc ? argv[optind + 1] : NULL;
	int len, r;

	if (optind == argc)
		return usage("a verb is missing, such as \"status\"", "");
	if (argc - optind > 2)
		return usage("one thing at a time: ", argv[optind + 2]);
	if (request->check)
		argument = argument ? "--check and more" : "--check";
	r = check_words(argv[optind], argument);
	if (r != 0)
		return r;
	len = snprintf(request->text, sizeof(request->text), "%s%s%s%s",
		request->json ? CONTROL_JSON : "", argv[optind], argument ? " " : "",
		argument ? argument : "");
	return (size_t)len < sizeof(request->text) ? 0 : usage("too long: ", argv[optind]);
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"check", no_argument, NULL, 'C'},
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
	return r != 0 ? r : control_ask(&request);
}
