/* SPDX-License-Identifier: Apache-2.0 */
/* The form, and an exporter: GET /probe?target=URL probes that server and answers with the samples. A child does it for
 * each connection, so that a slow name server, a slow target or a slow scraper holds up no other, and at
 * most MOST of them run. A target has to match one of the patterns of the command line: otherwise any
 * client of the exporter could reach any server that its machine can. */

#include "client/probe.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/options.h"
#include "client/report.h"
#include "client/transport.h"

#define MOST         64   /* probes at a time */
#define REQUEST_MS   5000 /* for a request to be whole */
#define REQUEST_SIZE 8192

struct probe_server {
	const struct probing *probing;
	char *const *patterns;
	size_t n_patterns, n_children;
	int fd;
};

static void send_answer(int fd, const char *status, const char *type, const char *body)
{
	size_t len = strlen(body);

	dprintf(fd,
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		status, type, len, body);
}

/* The head of a request, up to the empty line; false when it does not come in time. */
static bool read_request(int fd, char request[static REQUEST_SIZE])
{
	uint64_t until_ms = clock_ms() + REQUEST_MS, now;
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	size_t len = 0;
	ssize_t n;

	while (len < REQUEST_SIZE - 1 && (now = clock_ms()) < until_ms) {
		if (poll(&wait, 1, (int)(until_ms - now)) <= 0)
			return false;
		n = read(fd, request + len, REQUEST_SIZE - 1 - len);
		if (n <= 0)
			return false;
		len += (size_t)n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n"))
			return true;
	}
	return false;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The value of a parameter, decoded, in place; NULL when it is not there. */
static char *parameter(char *query, const char *name)
{
	size_t len = strlen(name);
	char *to, *value = NULL;

	for (char *at = query; at && !value; at = strchr(at, '&')) {
		at += *at == '&';
		if (strncmp(at, name, len) == 0 && at[len] == '=')
			value = at + len + 1;
	}
	if (!value)
		return NULL;
	to = value;
	for (char *at = value; *at && *at != '&'; at++) {
		if (*at == '%' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
			*to++ = (char)(hex_digit(at[1]) << 4 | hex_digit(at[2]));
			at += 2;
		} else {
			*to++ = *at == '+' ? ' ' : *at;
		}
	}
	*to = '\0';
	return value;
}

static void to_lower(char to[static URL_TEXT], const char *text)
{
	size_t i;

	for (i = 0; i < URL_TEXT - 1 && text[i]; i++)
		to[i] = (char)tolower((unsigned char)text[i]);
	to[i] = '\0';
}

/* Schemes, names and addresses are the same in either case; paths are not. */
static bool is_match(const char *pattern, const char *target, bool is_local)
{
	char small[URL_TEXT], small_pattern[URL_TEXT];

	if (is_local)
		return fnmatch(pattern, target, 0) == 0;
	if (strlen(pattern) >= URL_TEXT) /* longer than any URL */
		return false;
	to_lower(small, target);
	to_lower(small_pattern, pattern);
	return fnmatch(small_pattern, small, 0) == 0;
}

/* Patterns see a URL in full. Sockets of this machine are probed only where a pattern names them. */
static bool is_allowed(const struct probe_server *exporter, const char *target)
{
	char text[URL_TEXT];
	struct why why = {0};
	struct url url;
	bool is_local;

	if (url_parse(target, &url, &why))
		return false;
	target = url_format(&url, text);
	is_local = url.transport->is_local;

	for (size_t i = 0; i < exporter->n_patterns; i++) {
		const char *pattern = exporter->patterns[i];

		if (is_local && strncasecmp(pattern, "unix:", 5) != 0)
			continue;
		if (is_match(pattern, target, is_local))
			return true;
	}
	return false;
}

static void answer_probe(
	const struct probe_server *exporter, int fd, char *target, bool is_open_metrics)
{
	struct probed *probed = calloc(1, sizeof(*probed));
	_cleanup_free_ char *body = NULL;
	size_t size = 0;
	FILE *to = probed ? open_memstream(&body, &size) : NULL;

	if (to && probe_all(exporter->probing, &target, probed, 1) >= 0) {
		probe_print(to, probed, 1, false);
		fclose(to);
		send_answer(fd, "200 OK",
			is_open_metrics
				? "application/openmetrics-text; version=1.0.0; charset=utf-8"
				: "text/plain; version=0.0.4; charset=utf-8",
			body);
	} else {
		send_answer(fd, "500 Internal Server Error", "text/plain", "out of memory\n");
	}
	if (probed)
		probed_done(probed, 1);
	free(probed);
}

/* In either case of its letters. */
static bool has_word(const char *text, const char *word)
{
	while (*text && strncasecmp(text, word, strlen(word)) != 0)
		text++;
	return *text != '\0';
}

static void answer_request(const struct probe_server *exporter, int fd)
{
	static const char page[] = "upper probe: /probe?target=URL\n";
	char request[REQUEST_SIZE], *query, *target, *end;
	bool is_open_metrics;

	if (!read_request(fd, request)) {
		send_answer(fd, "408 Request Timeout", "text/plain", "no request came\n");
		return;
	}
	is_open_metrics = has_word(request, "application/openmetrics-text");
	end = request + strcspn(request, "\r\n");
	*end = '\0';
	end = strrchr(request, ' ');
	if (strncmp(request, "GET /", 5) != 0 || !end || strncmp(end, " HTTP/1.", 8) != 0) {
		send_answer(fd, "405 Method Not Allowed", "text/plain", "GET only\n");
		return;
	}
	*end = '\0';
	query = strchr(request, '?');
	if (strncmp(request, "GET /probe", 10) != 0 || (request[10] && request[10] != '?')) {
		bool is_root = strcmp(request, "GET /") == 0;

		send_answer(fd, is_root ? "200 OK" : "404 Not Found", "text/plain", page);
		return;
	}
	target = query ? parameter(query + 1, "target") : NULL;
	if (!target || !url_is_one(target))
		send_answer(fd, "400 Bad Request", "text/plain", "target=URL is missing\n");
	else if (!is_allowed(exporter, target))
		send_answer(fd, "403 Forbidden", "text/plain", "no pattern allows this target\n");
	else
		answer_probe(exporter, fd, target, is_open_metrics);
}

/* Waits for a child when there are as many as may be. */
static void reap(struct probe_server *exporter)
{
	bool is_full = exporter->n_children >= MOST;

	while (exporter->n_children && waitpid(-1, NULL, is_full ? 0 : WNOHANG) > 0) {
		exporter->n_children--;
		is_full = false;
	}
}

static void serve_connection(struct probe_server *exporter, int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		close(exporter->fd);
		answer_request(exporter, fd);
		shutdown(fd, SHUT_WR);
		_exit(0);
	}
	if (pid > 0)
		exporter->n_children++;
}

/* HOST:PORT, [HOST]:PORT or PORT; the last one listens on this machine alone. */
static int listen_at(const char *text, int *ret_fd, struct why *why)
{
	_cleanup_close_ int fd = -1;
	char url[URL_TEXT];
	struct addr addr;
	struct url parsed;
	int on = 1, r;

	snprintf(url, sizeof(url), "tcp://%s%s", strchr(text, ':') ? "" : "127.0.0.1:", text);
	r = url_parse(url, &parsed, why);
	if (!r && addr_parse(parsed.host, parsed.port, &addr))
		r = why_set(why, CLIENT_E_USAGE, "an address, not a name");
	if (r)
		return why_set(why, CLIENT_E_USAGE,
			"--listen %s: write ADDRESS:PORT, [ADDRESS]:PORT or PORT", text);
	fd = socket(addr.sa.sa_family, SOCK_STREAM, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &addr.sa, addr.len) < 0 || listen(fd, MOST) < 0)
		return why_set(why, CLIENT_E_LOCAL, "--listen %s: %s", text, strerror(errno));
	*ret_fd = take_fd(&fd);
	return 0;
}

static int probe_listen(const struct probing *probing, char *const *patterns, size_t n)
{
	struct probe_server exporter = {
		.probing = probing, .patterns = patterns, .n_patterns = n, .fd = -1};
	const struct options *options = probing->options;
	struct why why = {0};
	int r;

	if (n == 0)
		r = why_set(&why, CLIENT_E_USAGE,
			"--listen needs patterns of URLs that may be probed, such as "
			"'udp://*.example:*'");
	else
		r = listen_at(options->listen, &exporter.fd, &why);
	if (r)
		return r < 0 ? r : report_failure(options, NULL, r, &why);
	for (;;) {
		_cleanup_close_ int fd = accept(exporter.fd, NULL, NULL);

		reap(&exporter);
		if (fd >= 0)
			serve_connection(&exporter, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			poll(NULL, 0, 100); /* out of descriptors: some will be closed */
	}
}

int probe_run(const struct options *options)
{
	__attribute__((cleanup(probing_done))) struct probing probing;
	_cleanup_free_ char **urls = calloc(options->n_rest + 1, sizeof(*urls));
	size_t n = options->has_url ? options->n_rest + 1 : 1;
	struct why why = {0};
	int r;

	r = probing_init(&probing, options, &why);
	if (r)
		return r < 0 ? r : report_failure(options, NULL, r, &why);
	if (!urls)
		return -ENOMEM;
	urls[0] = (char *)(uintptr_t)options->url;
	for (size_t i = 1; i < n; i++)
		urls[i] = options->rest[i - 1];
	if (options->listen)
		return probe_listen(&probing, urls, options->has_url ? n : 0);
	return probe_once(&probing, urls, n);
}
