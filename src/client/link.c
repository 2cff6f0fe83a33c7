/* SPDX-License-Identifier: Apache-2.0 */
/* The common part of all links: opening, waiting, and the message when no address could be reached. */

#include "client/link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

int link_step(struct link *link, struct why *why)
{
	int r;

	r = link->server->url.transport->open(link, why);
	if (r == LINK_E_AGAIN)
		return r;
	link->due_ms = 0;
	if (r) {
		link->stage = LINK_CLOSED;
		return r;
	}
	link->stage = LINK_OPEN;
	link->times.open_us = link->session ? clock_us() : link->times.connected_us;
	link->read_wants = POLLIN;
	link->write_wants = POLLOUT;
	return 0;
}

int link_start(struct link *link, struct server *server, struct why *why)
{
	*link = (struct link){.server = server, .fd = -1, .times.begun_us = clock_us()};
	return link_step(link, why);
}

/* Address, and over TLS the session and the certificate. */
static void link_announce(const struct link *link)
{
	struct session_facts facts;
	char address[ADDR_TEXT], expires[32] = "";
	time_t then;
	struct tm tm;

	addr_format(&link->server->addresses[link->at], address);
	if (!link_describe(link, &facts)) {
		note("%s, at %s", link->server->name, address);
		return;
	}
	then = (time_t)facts.expires;
	if (gmtime_r(&then, &tm))
		strftime(expires, sizeof(expires), "%F", &tm);
	note("%s, at %s: %s, %s, %s%s%s session", link->server->name, address, facts.version,
		facts.cipher, facts.group, *facts.group ? ", " : "",
		facts.is_resumed ? "resumed" : "new");
	note("certificate for %s until %s, %s%s; key %s", *facts.names ? facts.names : "no name",
		expires, facts.is_trusted ? "trusted" : "not trusted: ", facts.distrust,
		facts.fingerprint);
}

/* Goes on with an opening until it is over. */
static int link_await(struct link *link, int r, struct why *why)
{
	while (r == LINK_E_AGAIN) {
		r = link_wait(link, link->read_wants, link->due_ms);
		if (r < 0)
			return r;
		r = link_step(link, why);
	}
	if (!r && link->server->is_announced)
		link_announce(link);
	return r;
}

int link_open(struct link *link, struct server *server, struct why *why)
{
	return link_await(link, link_start(link, server, why), why);
}

void link_close(struct link *link)
{
	if (link->server && link->fd >= 0)
		link->server->url.transport->close(link);
	link->fd = -1;
	link->stage = LINK_CLOSED;
}

int link_advance(struct link *link, struct why *why)
{
	link_close(link);
	link->at++;
	return link_await(link, link_step(link, why), why);
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

bool link_describe(const struct link *link, struct session_facts *ret_facts)
{
	const struct transport *transport = link->server->url.transport;

	if (!transport->describe || !link->session)
		return false;
	transport->describe(link, ret_facts);
	return true;
}

static uint64_t between(uint64_t from_us, uint64_t to_us)
{
	return from_us && to_us > from_us ? to_us - from_us : 0;
}

struct phases link_phases(const struct link *link, uint64_t first_us, uint64_t last_us)
{
	const struct link_times *times = &link->times;
	uint64_t now = clock_us(), connected = times->connected_us ? times->connected_us : now;
	uint64_t open = times->open_us ? times->open_us : now;
	struct phases phases = {
		.name = link->server->name_us,
		.connect = between(times->begun_us, connected),
		.tls = times->connected_us ? between(connected, open) : 0,
		.first = times->open_us ? between(open, first_us ? first_us : now) : 0,
		.rest = between(first_us, last_us),
	};

	phases.whole = phases.name + phases.connect + phases.tls + phases.first + phases.rest;
	return phases;
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

static void why_append(struct why *why, const char *text)
{
	size_t len = strlen(why->text);

	snprintf(why->text + len, sizeof(why->text) - len, "%s", text);
}

/* An IPv6 address goes in brackets, so that a colon after it is not taken for a part of it. */
static void append_address(struct why *why, const struct addr *addr)
{
	char text[ADDR_TEXT];

	addr_format_host(addr, text);
	why_append(why, addr->sa.sa_family == AF_INET6 ? "[" : "");
	why_append(why, text);
	why_append(why, addr->sa.sa_family == AF_INET6 ? "]" : "");
}

/* "[::1] and 127.0.0.1", or "[::1]: connection refused, 10.0.0.1: no answer". */
static void append_addresses(struct why *why, const struct link *link, bool with_errors)
{
	const char *between = "";

	for (size_t i = 0; i < link->server->n_addresses; i++) {
		if (!link->errors[i])
			continue;
		why_append(why, between);
		append_address(why, &link->server->addresses[i]);
		if (with_errors) {
			why_append(why, ": ");
			why_append(why, errno_phrase(link->errors[i]));
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
		why_append(why, " (");
		append_addresses(why, link, false);
		why_append(why, ")");
	} else if (!common) {
		append_addresses(why, link, true);
	}
	if (advice) {
		why_append(why, "; ");
		why_append(why, advice);
	}
	return common == ETIMEDOUT ? CLIENT_E_LOST : CLIENT_E_UNREACHABLE;
}
