/* SPDX-License-Identifier: Apache-2.0 */
/* The table of transports, and what all links have in common: opening, waiting, and words for
 * why it did not work. How bytes move is the business of the row. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "client/plain.h"
#include "client/report.h"
#include "client/tls.h"
#include "client/transport.h"
#include "config.h"

static const struct transport transports[] = {
	// clang-format off
	{"udp", 12000, .is_datagram = true, .longest = DATAGRAM_LONGEST,
		.open = datagram_open, .read = plain_read, .write = plain_write,
		.finish = datagram_finish, .close = plain_close},
	{"tcp", 12000,
		.open = stream_open, .read = plain_read, .write = plain_write,
		.finish = stream_finish, .close = plain_close},
	{"unix", .is_local = true,
		.open = stream_open, .read = plain_read, .write = plain_write,
		.finish = stream_finish, .close = plain_close},
#if HAVE_TLS
	{"tls", 12443,
		.open = tls_open, .read = tls_read, .write = tls_write,
		.finish = tls_finish, .close = tls_close},
	{"dtls", 12443, .is_datagram = true, .has_session = true, .longest = DTLS_LONGEST,
		.open = dtls_open, .read = dtls_read, .write = dtls_write,
		.finish = datagram_finish, .close = dtls_close},
#else
	{"tls", 12443, .open = NULL},
	{"dtls", 12443, .open = NULL},
#endif
	// clang-format on
};

const struct transport *transport_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(transports) / sizeof(*transports); i++)
		if (strncasecmp(transports[i].name, name, len) == 0 && !transports[i].name[len])
			return &transports[i];
	return NULL;
}

int link_open(struct link *link, const struct server *server, struct why *why)
{
	*link = (struct link){
		.server = server, .fd = -1, .read_wants = POLLIN, .write_wants = POLLOUT};
	return server->url.transport->open(link, why);
}

void link_close(struct link *link)
{
	if (link->server && link->fd >= 0)
		link->server->url.transport->close(link);
	link->fd = -1;
}

int link_advance(struct link *link, struct why *why)
{
	link_close(link);
	link->at++;
	return link->server->url.transport->open(link, why);
}

int link_read(struct link *link, void *data, size_t size, size_t *ret_len)
{
	return link->server->url.transport->read(link, data, size, ret_len);
}

int link_write(struct link *link, const void *data, size_t len, size_t *ret_len)
{
	return link->server->url.transport->write(link, data, len, ret_len);
}

int link_finish(struct link *link)
{
	return link->server->url.transport->finish(link);
}

int link_wait(struct link *link, short wants, uint64_t deadline_ms)
{
	struct pollfd wait = {.fd = link->fd, .events = wants};
	uint64_t now;
	int r;

	do {
		now = clock_ms();
		if (deadline_ms && now >= deadline_ms)
			return CLIENT_E_LOST;
		r = poll(&wait, 1, deadline_ms ? (int)(deadline_ms - now) : -1);
	} while (r == 0 || (r < 0 && errno == EINTR));
	return r < 0 ? -errno : 0;
}

/* The one error that every address tried has in common, or 0. */
static int common_error(const struct link *link)
{
	int common = 0;

	for (size_t i = 0; i < link->server->n_addresses; i++) {
		if (!link->errors[i])
			continue;
		if (common && link->errors[i] != common)
			return 0;
		common = link->errors[i];
	}
	return common;
}

static void append(struct why *why, const char *text)
{
	size_t len = strlen(why->text);

	snprintf(why->text + len, sizeof(why->text) - len, "%s", text);
}

/* An IPv6 address goes in brackets, so that a colon after it is not taken for a part of it. */
static void append_address(struct why *why, const struct addr *addr)
{
	char text[ADDR_TEXT];

	addr_format_host(addr, text);
	append(why, addr->sa.sa_family == AF_INET6 ? "[" : "");
	append(why, text);
	append(why, addr->sa.sa_family == AF_INET6 ? "]" : "");
}

/* "[::1] and 127.0.0.1", or "[::1]: connection refused, 10.0.0.1: no answer". */
static void append_addresses(struct why *why, const struct link *link, bool with_errors)
{
	const char *between = "";

	for (size_t i = 0; i < link->server->n_addresses; i++) {
		if (!link->errors[i])
			continue;
		append(why, between);
		append_address(why, &link->server->addresses[i]);
		if (with_errors) {
			append(why, ": ");
			append(why, errno_phrase(link->errors[i]));
		}
		between = with_errors ? ", " : " and ";
	}
}

int link_explain(const struct link *link, struct why *why)
{
	int common = common_error(link);
	const char *advice = errno_advice(common);

	why_set(why, 0, "%s", common ? errno_phrase(common) : "");
	if (common && !link->server->url.transport->is_local) {
		append(why, " (");
		append_addresses(why, link, false);
		append(why, ")");
	} else if (!common) {
		append_addresses(why, link, true);
	}
	if (advice) {
		append(why, "; ");
		append(why, advice);
	}
	return common == ETIMEDOUT ? CLIENT_E_LOST : CLIENT_E_UNREACHABLE;
}
