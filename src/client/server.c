/* SPDX-License-Identifier: Apache-2.0 */
/* From a URL to addresses. The resolver's order is kept within a family; across families they
 * take turns, as RFC 8305 has it, so that one broken family costs one attempt and not all. */

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "client/idn.h"
#include "client/options.h"
#include "client/report.h"
#include "client/server.h"
#include "client/transport.h"

/* The length of the scheme, or 0. */
static size_t scheme_len(const char *word)
{
	size_t len = 0;

	if (!isalpha((unsigned char)*word))
		return 0;
	while (isalnum((unsigned char)word[len]) || (word[len] && strchr("+.-", word[len])))
		len++;
	return len;
}

bool url_is_one(const char *word)
{
	if (!word)
		return false;
	if (strncasecmp(word, "unix:", 5) == 0)
		return true;
	return scheme_len(word) && strncmp(word + scheme_len(word), "://", 3) == 0;
}

static bool is_plain_name(const char *text)
{
	while (*text && !(*text & 0x80))
		text++;
	return !*text;
}

static int copy_host(struct url *url, const char *from, size_t len, struct why *why)
{
	bool is_local = url->transport->is_local;
	char given[URL_HOST];

	if (len == 0)
		return why_set(
			why, CLIENT_E_USAGE, "the %s is missing", is_local ? "path" : "host");
	if (len >= sizeof(url->host))
		return why_set(why, CLIENT_E_USAGE, "the %s is longer than %zu characters",
			is_local ? "path" : "host", sizeof(url->host) - 1);
	memcpy(given, from, len);
	given[len] = '\0';
	if (!is_local && !is_plain_name(given))
		return idn_to_ascii(given, url->host, sizeof(url->host), why);
	memcpy(url->host, given, len + 1);
	return 0;
}

static int parse_port(struct url *url, const char *text, struct why *why)
{
	unsigned long port;
	char *end;

	if (!isdigit((unsigned char)*text))
		return why_set(why, CLIENT_E_USAGE, "the port is a number from 1 to 65535");
	port = strtoul(text, &end, 10);
	if (*end || port < 1 || port > 65535)
		return why_set(why, CLIENT_E_USAGE, "the port is a number from 1 to 65535");
	url->port = (uint16_t)port;
	return 0;
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT. */
static int parse_authority(struct url *url, const char *text, struct why *why)
{
	bool is_bracketed = *text == '[';
	const char *host = is_bracketed ? text + 1 : text;
	size_t len = strcspn(host, is_bracketed ? "]" : ":");
	const char *after = host + len;
	int r;

	if (is_bracketed && *after++ != ']')
		return why_set(why, CLIENT_E_USAGE, "the bracket is not closed");
	if (!is_bracketed && *after && strchr(after + 1, ':'))
		return why_set(why, CLIENT_E_USAGE, "an IPv6 address goes in brackets: [%s]", text);
	r = copy_host(url, host, len, why);
	if (r)
		return r;
	if (*after == ':')
		return parse_port(url, after + 1, why);
	if (*after)
		return why_set(why, CLIENT_E_USAGE, "after the bracket comes :PORT, or nothing");
	return 0;
}

static int parse_internet(struct url *url, const char *rest, struct why *why)
{
	char authority[URL_TEXT] = "";
	size_t len = strlen(rest);

	if (len && rest[len - 1] == '/')
		len--;
	if (len >= sizeof(authority))
		return why_set(why, CLIENT_E_USAGE, "the URL is too long");
	memcpy(authority, rest, len);
	authority[len] = '\0';
	if (strpbrk(authority, "/?#@"))
		return why_set(why, CLIENT_E_USAGE, "only HOST and PORT can follow %s://",
			url->transport->name);
	return parse_authority(url, authority, why);
}

int url_parse(const char *text, struct url *ret_url, struct why *why)
{
	struct url url = {0};
	int r;

	if (!url_is_one(text))
		return why_set(why, CLIENT_E_USAGE,
			"not a URL; write udp://HOST, tcp://HOST, tls://HOST, dtls://HOST or "
			"unix:PATH");
	url.transport = transport_find(text, scheme_len(text));
	if (!url.transport)
		return why_set(why, CLIENT_E_USAGE,
			"not a server that upper can talk to; it knows udp://, tcp://, tls://, "
			"dtls:// and unix:");
	if (!url.transport->open)
		return why_set(why, CLIENT_E_USAGE, "%s:// is not supported by this build",
			url.transport->name);

	url.port = url.transport->port;
	text += scheme_len(text) + 1;
	if (url.transport->is_local)
		r = copy_host(&url, text, strlen(text), why);
	else
		r = parse_internet(&url, text + 2, why);
	if (r)
		return r;
	*ret_url = url;
	return 0;
}

const char *url_format(const struct url *url, char text[static URL_TEXT])
{
	const char *name = url->transport->name;

	if (url->transport->is_local)
		snprintf(text, URL_TEXT, "%s:%s", name, url->host);
	else if (strchr(url->host, ':'))
		snprintf(text, URL_TEXT, "%s://[%s]:%u", name, url->host, url->port);
	else
		snprintf(text, URL_TEXT, "%s://%s:%u", name, url->host, url->port);
	return text;
}

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

static int explain_lookup(const struct server *server, int error, struct why *why)
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
		return explain_lookup(server, r, why);
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
	uint64_t begun = clock_us();
	int r;

	*server = (struct server){.options = options};
	snprintf(server->name, sizeof(server->name), "%s", url);
	r = url_parse(url, &server->url, why);
	if (r)
		return r;
	url_format(&server->url, server->name);
	r = server->url.transport->is_local ? find_local(server, why) : find_internet(server, why);
	server->name_us = clock_us() - begun;
	return r;
}

#define LOOKUP_THREADS 32

/* The threads take what is next until nothing is left. */
struct lookup_queue {
	struct lookup *lookups;
	const struct options *options;
	size_t n;
	atomic_size_t next;
};

static void *take_lookups(void *data)
{
	struct lookup_queue *queue = data;
	size_t i;

	while ((i = atomic_fetch_add(&queue->next, 1)) < queue->n) {
		struct lookup *lookup = &queue->lookups[i];

		lookup->outcome =
			server_find(lookup->url, queue->options, lookup->server, &lookup->why);
	}
	return NULL;
}

/* This thread takes part, so that all is done also when no other can be had. */
void servers_find(struct lookup *lookups, size_t n, const struct options *options)
{
	struct lookup_queue queue = {.lookups = lookups, .options = options, .n = n};
	pthread_t threads[LOOKUP_THREADS];
	size_t n_threads = 0;

	while (n_threads < LOOKUP_THREADS && n_threads + 1 < n &&
		pthread_create(&threads[n_threads], NULL, take_lookups, &queue) == 0)
		n_threads++;
	take_lookups(&queue);
	while (n_threads > 0)
		pthread_join(threads[--n_threads], NULL);
}

void server_done(struct server *server)
{
	if (server->url.transport && server->url.transport->forget)
		server->url.transport->forget(server);
}
