/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* As much of HTTP as it takes to serve one page: the head of a request is read, and what it deserves is
 * said. Strict: what no client would send is refused as a whole. */

#include <stdbool.h>
#include <stddef.h>

/* The longest head; browsers and scrapers need a tenth of it. */
#define HTTP_LONGEST 8192

/* STATUS(code, phrase) */
#define HTTP_STATUSES(STATUS)                          \
	STATUS(200, "OK")                              \
	STATUS(400, "Bad Request")                     \
	STATUS(404, "Not Found")                       \
	STATUS(405, "Method Not Allowed")              \
	STATUS(413, "Content Too Large")               \
	STATUS(431, "Request Header Fields Too Large") \
	STATUS(503, "Service Unavailable")             \
	STATUS(505, "HTTP Version Not Supported")

struct http_verdict {
	unsigned status;
	bool is_head; /* the answer is to have no body */
};

enum {
	HTTP_E_MORE = 1, /* the head has not ended */
};

/* Reads the head that `data` begins with, of a request for the page at `path`. */
int http_parse(const char *data, size_t len, const char *path, struct http_verdict *ret_verdict);
const char *http_phrase(unsigned status);
