/* SPDX-License-Identifier: Apache-2.0 */
/* From a URL to addresses. The resolver's order is kept within a family; across families they
 * take turns, as RFC 8305 has it, so that one broken family costs one attempt and not all. */

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "client/options.h"
#include "client/report.h"
#include "client/server.h"
#include "client/transport.h"

static void freeaddrinfop(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

/* The first entry of the family, or of any other family, from `at` on. */
static const struct addrinfo *next_of(const struct addrinfo *at, int family, bool same)
{
	while (at && (at->ai_family == family) != same)
		at = at->ai_next;
	return at;
}

static void add_address(struct server *server, const struct addrinfo *info)
{
	struct addr *addr = &server->addresses[server->n_addresses];

	if (server->n_addresses == SERVER_ADDRESSES || info->ai_addrlen > sizeof(addr->in6))
		return;
	memcpy(&addr->sa, info->ai_addr, info->ai_addrlen);
	addr->len = info->ai_addrlen;
	server->n_addresses++;
}

static void interleave(struct server *server, const struct addrinfo *list)
{
	int family = list->ai_family;
	const struct addrinfo *same = list, *other = next_of(list, family, false);

	while (same || other) {
		if (same) {
			add_address(server, same);
			same = next_of(same->ai_next, family, true);
		}
		if (other) {
			add_address(server, other);
			other = next_of(other->ai_next, family, false);
		}
	}
}

static int explain_name(const struct server *server, int error, struct why *why)
{
	int family = server->options->family;

	if (error == EAI_SYSTEM)
		return why_set(why, CLIENT_E_NO_NAME, "the name cannot be looked up: %s",
			errno_phrase(errno));
	if (error == EAI_AGAIN)
		return why_set(why, CLIENT_E_NO_NAME,
			"the name servers do not answer; is the network up?");
	if (family != AF_UNSPEC)
		return why_set(why, CLIENT_E_NO_NAME, "the name has no %s address; try without -%c",
			family == AF_INET ? "IPv4" : "IPv6", family == AF_INET ? '4' : '6');
	return why_set(why, CLIENT_E_NO_NAME, "no such name; is it spelt right?");
}

static int find_internet(struct server *server, struct why *why)
{
	__attribute__((cleanup(freeaddrinfop))) struct addrinfo *list = NULL;
	struct addrinfo hints = {
		.ai_family = server->options->family,
		.ai_socktype = server->url.transport->is_datagram ? SOCK_DGRAM : SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV,
	};
	char port[8];
	int r;

	snprintf(port, sizeof(port), "%u", server->url.port);
	r = getaddrinfo(server->url.host, port, &hints, &list);
	if (r == EAI_MEMORY)
		return -ENOMEM;
	if (r)
		return explain_name(server, r, why);
	interleave(server, list);
	return 0;
}

static int find_local(struct server *server, struct why *why)
{
	int r;

	r = addr_parse_unix(server->url.host, &server->addresses[0]);
	if (r)
		return why_set(why, CLIENT_E_USAGE,
			"the path of a socket has at most %zu characters",
			sizeof(server->addresses[0].un.sun_path) - 1);
	server->n_addresses = 1;
	return 0;
}

int server_find(
	const char *url, const struct options *options, struct server *ret_server, struct why *why)
{
	struct server *server = ret_server;
	int r;

	*server = (struct server){.options = options};
	snprintf(server->name, sizeof(server->name), "%s", url);
	r = url_parse(url, &server->url, why);
	if (r)
		return r;
	url_format(&server->url, server->name);
	return server->url.transport->is_local ? find_local(server, why)
					       : find_internet(server, why);
}
