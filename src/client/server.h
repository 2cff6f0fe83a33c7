/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A server: its URL, and the addresses behind the name in the order in which to try them. */

#include "base/addr.h"
#include "client/outcome.h"
#include "client/url.h"

/* More than this many addresses are not tried. */
#define SERVER_ADDRESSES 16

struct options;

struct server {
	struct url url;
	char name[URL_TEXT]; /* the URL in full, for what we say */
	const struct options *options;
	struct addr addresses[SERVER_ADDRESSES]; /* families take turns, the preferred one first */
	size_t n_addresses;
};

/* CLIENT_E_USAGE or CLIENT_E_NO_NAME. `ret_server->name` is set whatever the outcome. */
int server_find(
	const char *url, const struct options *options, struct server *ret_server, struct why *why);
