/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A request of HTTP/1.x without a body: its head, read and judged. Pure: no call to the system. */

#include <stdbool.h>
#include <stddef.h>

/* The longest head; a longer one is refused with 431. */
#define HTTP_LONGEST 8192

struct http_span {
	const char *at; /* in the head that was read; NULL: there is none */
	size_t len;
};

struct http_request {
	unsigned status; /* 200: answer it; otherwise the status to refuse it with */
	bool is_head;    /* the answer is to have no body */
	/* Valid with status 200. The path is without its query. */
	struct http_span path, host, origin, accept;
};

enum {
	HTTP_E_MORE = 1, /* the head has not ended */
};

/* Reads the head that `data` begins with. */
int http_parse(const char *data, size_t len, struct http_request *ret_request);
/* Whether that Host can only be meant for this machine: a literal address, a name without a dot, or one
 * below localhost. Any site could have made its own name lead here. */
bool http_host_is_local(struct http_span host);
/* Without its port. */
struct http_span http_host_name(struct http_span host);
/* Whether the page that asks, if one does, is of that Host. */
bool http_origin_is_same(const struct http_request *request);
bool http_span_is(struct http_span span, const char *word);
/* How much a peer with this Accept wants `type`, such as "text/plain": 0, not at all, to 1000. A range that names
 * another version than `version`, if it is not NULL, is of something else. */
unsigned http_quality(struct http_span accept, const char *type, const char *version);
const char *http_phrase(unsigned status);
