/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where a server is, as people write it: udp://HOST[:PORT], and so for tcp, tls and dtls; unix:PATH. */

#include <stdbool.h>
#include <stdint.h>

#include "client/outcome.h"

#define URL_HOST 254 /* the longest name that DNS has, and the end of the string */
#define URL_TEXT 300

struct transport;

struct url {
	const struct transport *transport;
	char host[URL_HOST]; /* a name or an address without brackets; for unix, the path */
	uint16_t port;
};

/* Whether a word would be read as a URL rather than as text: it begins with a scheme and "://",
 * known or not, or with "unix:". False for NULL. */
bool url_is_one(const char *word);

/* CLIENT_E_USAGE, with what would do, when it is not a URL that this build can talk to. */
int url_parse(const char *text, struct url *ret_url, struct why *why);

/* The URL in full, its port included. Returns `text`. */
const char *url_format(const struct url *url, char text[static URL_TEXT]);
