/* SPDX-License-Identifier: Apache-2.0 */
/* Each try has a socket of its own, so that a server that silences one does not silence the next. A server
 * that says nothing is sound here: the question of the check itself shows that it is alive. */

#include "client/soundness.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "client/question.h"
#include "client/transport.h"
#include "config.h"

#define WAIT_MS     300
#define BURST       100
#define BURST_MOST  90  /* answers to it, from a server that limits none */
#define GROWING     500 /* characters that become three times as long */
#define LAST_SYSTEM 1023

/* A socket to the server; of a privileged port when asked for. -1: none to be had. */
static int connect_datagrams(const struct server *server, bool is_privileged)
{
	const struct addr *to = &server->addresses[0];
	_cleanup_close_ int fd = -1;
	struct addr from = {.len = to->len};

	fd = fd_socket(to->sa.sa_family, SOCK_DGRAM);
	if (fd < 0)
		return -1;
	from.sa.sa_family = to->sa.sa_family;
	for (uint16_t port = LAST_SYSTEM; is_privileged && port > LAST_SYSTEM / 2; port--) {
		if (to->sa.sa_family == AF_INET6)
			from.in6.sin6_port = htons(port);
		else
			from.in.sin_port = htons(port);
		if (bind(fd, &from.sa, from.len) == 0)
			break;
		if (errno != EADDRINUSE)
			return -1;
	}
	return connect(fd, &to->sa, to->len) < 0 ? -1 : take_fd(&fd);
}

/* The length of the next datagram, or -1 when none comes until then. */
static ssize_t receive_until(int fd, uint64_t until_ms, void *data, size_t size)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint64_t now = clock_ms();
	ssize_t n;

	if (now < until_ms && poll(&wait, 1, (int)(until_ms - now)) <= 0)
		return -1;
	n = recv(fd, data, size, 0);
	return n;
}

static bool is_answered(int fd, const void *text, size_t len)
{
	char answer[64];

	if (send(fd, text, len, MSG_NOSIGNAL) < 0)
		return false;
	return receive_until(fd, clock_ms() + WAIT_MS, answer, sizeof(answer)) >= 0;
}

static struct finding find_empty(const struct server *server)
{
	struct finding finding = {"empty_datagram", "answers an empty datagram", IS_UNKNOWN};
	_cleanup_close_ int fd = connect_datagrams(server, false);

	if (fd >= 0)
		finding.soundness = is_answered(fd, "", 0) ? IS_UNSOUND : IS_SOUND;
	return finding;
}

static struct finding find_low_port(const struct server *server)
{
	struct finding finding = {
		"low_source_port", "answers a source port below 1024", IS_UNKNOWN};
	_cleanup_close_ int fd = connect_datagrams(server, true);

	if (fd >= 0)
		finding.soundness = is_answered(fd, "low port", 8) ? IS_UNSOUND : IS_SOUND;
	return finding;
}

/* As two servers would send to each other for ever, once one forged datagram has come. */
static struct finding find_loop(const struct server *server)
{
	struct finding finding = {
		"unchanged_burst", "answers any number of unchanged datagrams", IS_UNKNOWN};
	_cleanup_close_ int fd = connect_datagrams(server, false);
	char answer[64];
	unsigned n = 0;

	for (unsigned i = 0; fd >= 0 && i < BURST; i++) {
		if (send(fd, "LOOP", 4, MSG_NOSIGNAL) < 0)
			continue;
		while (receive_until(fd, clock_ms() + 1, answer, sizeof(answer)) >= 0)
			n++;
	}
	while (fd >= 0 && receive_until(fd, clock_ms() + WAIT_MS, answer, sizeof(answer)) >= 0)
		n++;
	if (fd >= 0)
		finding.soundness = n >= BURST_MOST ? IS_UNSOUND : IS_SOUND;
	return finding;
}

/* Either the whole answer, or none. */
static struct finding find_growth(const struct server *server)
{
	struct finding finding = {"threefold_expansion",
		"answers a text that becomes three times as long with a part of it", IS_UNKNOWN};
	static const char growing[] = "\xce\x90"; /* iota with dialytika and tonos */
	_cleanup_expect_ struct expect right = {0};
	_cleanup_close_ int fd = connect_datagrams(server, false);
	_cleanup_free_ char *answer = malloc(65536);
	char text[2 * GROWING];
	ssize_t n;

	for (size_t i = 0; i < GROWING; i++)
		memcpy(text + 2 * i, growing, 2);
	if (fd < 0 || !answer || expect_upper(&right, text, sizeof(text)) < 0)
		return finding;
	if (send(fd, text, sizeof(text), MSG_NOSIGNAL) < 0)
		return finding;
	n = receive_until(fd, clock_ms() + WAIT_MS, answer, 65536);
	finding.soundness = n < 0 || expect_is(&right, answer, (size_t)n) ? IS_SOUND : IS_UNSOUND;
	return finding;
}

#if HAVE_TLS
static size_t find_tls(const struct server *server, struct finding *findings)
{
	bool is_datagram = server->url.transport->is_datagram;
	const char *name = is_datagram ? "udp" : "tcp";
	struct server plain = *server;
	size_t n = 0;

	plain.url.transport = transport_find(name, strlen(name));
	plain.tls = NULL;
	findings[n++] = soundness_old_version(&plain);
	if (!is_datagram)
		findings[n++] = soundness_renegotiation(&plain);
	return n;
}
#else
static size_t find_tls(const struct server *server, struct finding *findings)
{
	return 0;
}
#endif

size_t soundness_find(const struct server *server, struct finding findings[static FINDINGS])
{
	const struct transport *transport = server->url.transport;
	size_t n = 0;

	if (transport->is_datagram)
		findings[n++] = find_empty(server);
	if (transport->is_datagram && !transport->has_session) {
		findings[n++] = find_low_port(server);
		findings[n++] = find_loop(server);
		findings[n++] = find_growth(server);
	}
	if (transport->describe)
		n += find_tls(server, findings + n);
	return n;
}
