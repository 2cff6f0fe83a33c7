/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, taken apart with the scheme's row of the transport table as the only knowledge. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/transport.h"
#include "client/url.h"

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

static int copy_host(struct url *url, const char *from, size_t len, struct why *why)
{
	if (len == 0)
		return why_set(why, CLIENT_E_USAGE, "the %s is missing",
			url->transport->is_local ? "path" : "host");
	if (len >= sizeof(url->host))
		return why_set(why, CLIENT_E_USAGE, "the %s is longer than %zu characters",
			url->transport->is_local ? "path" : "host", sizeof(url->host) - 1);
	memcpy(url->host, from, len);
	url->host[len] = '\0';
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
