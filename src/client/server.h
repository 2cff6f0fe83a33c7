/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A server: its URL, and the addresses behind the name in the order in which to try them. A URL is
 * udp://HOST[:PORT], and so for tcp, tls and dtls; or unix:PATH. */

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "client/report.h"

#define URL_HOST 254 /* the longest name that DNS has, and the end of the string */
#define URL_TEXT 300

/* More than this many addresses are not tried. */
#define SERVER_ADDRESSES 16

struct options;
struct transport;

struct url {
	const struct transport *transport;
	char host
		[URL_HOST]; /* a name, in ASCII, or an address without brackets; for unix, the path */
	uint16_t port;
};

struct server {
	struct url url;
	char name[URL_TEXT]; /* the URL in full, for messages */
	const struct options *options;
	struct addr addresses[SERVER_ADDRESSES]; /* families take turns, the preferred one first */
	size_t n_addresses;
	uint64_t name_us;  /* that the look-up of the name took */
	bool has_any_peer; /* datagrams from other addresses are received as well */
	bool is_announced; /* a link that was opened is described on stderr */
	bool resumes;      /* sessions of TLS, when the server gave a ticket */
	void *tls;         /* the transport's own, shared by all links */
};

/* The session of TLS on a link. */
struct session_facts {
	char version[16], cipher[64], group[64];
	bool is_resumed, is_trusted;
	char distrust[128]; /* why the certificate is not trusted */
	char names[256];    /* in the certificate */
	int64_t expires; /* of the first certificate in the chain to expire, in seconds of time() */
	char fingerprint[65]; /* SHA-256 of the server's public key, in hexadecimal */
};

/* Whether a word would be read as a URL rather than as text: it begins with a scheme and "://",
 * known or not, or with "unix:". False for NULL. */
bool url_is_one(const char *word);

/* CLIENT_E_USAGE, with the accepted forms, when it is not a URL that this build can talk to. */
int url_parse(const char *text, struct url *ret_url, struct why *why);

/* The URL in full, its port included. Returns `text`. */
const char *url_format(const struct url *url, char text[static URL_TEXT]);

/* CLIENT_E_USAGE or CLIENT_E_NO_NAME. `ret_server->name` is set whatever the outcome. */
int server_find(
	const char *url, const struct options *options, struct server *ret_server, struct why *why);
/* The same for many at a time, in threads that are over when it returns: the resolver blocks, and a slow name holds
 * up no other. */
struct lookup {
	const char *url;
	struct server *server;
	int outcome; /* of server_find() */
	struct why why;
};

void servers_find(struct lookup *lookups, size_t n, const struct options *options);
/* Frees what its links have shared. All links are closed. */
void server_done(struct server *server);

#define _cleanup_server_ __attribute__((cleanup(server_done)))
