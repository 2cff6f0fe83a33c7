/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One page over HTTP: a connection is one request and one answer. Who is slow is ended by a deadline,
 * and earlier when others want in. */

#include "base/deadline.h"
#include "base/loop.h"

#define HTTPD_VISITS  64    /* open at once; one more, and who has been there longest goes */
#define HTTPD_MS      10000 /* from accept to the last byte */
#define HTTPD_LAST_MS 1000  /* for a request, once nobody is let in any more */

struct httpd {
	const char *path, *type; /* such as "/metrics", and its Content-Type */
	/* Makes the page, in memory that is to be freed; or a negative errno. */
	int (*render)(void *userdata, char **ret_text, size_t *ret_len);
	/* The last one has left, after httpd_stop(). */
	void (*on_idle)(struct httpd *httpd);
	void *userdata;

	struct loop *loop;
	struct source source;
	struct timer again; /* it does not accept until then */
	struct deadlines deadlines;
	struct deadlines last; /* for who has not asked at httpd_stop() */
	struct list visits;    /* the oldest first */
	unsigned n_visits;
	int fd; /* owned; listening */
};

#define HTTPD_EMPTY ((struct httpd){.fd = -1})

/* Serves with what is above. Takes the listening socket over, also when it fails. */
int httpd_start(struct httpd *httpd, struct loop *loop, int *fd);
/* Lets nobody in any more; who is inside is served, and who has not asked by now must be quick. */
void httpd_stop(struct httpd *httpd);
/* Ends all who are still there. */
void httpd_cut(struct httpd *httpd);
void httpd_done(struct httpd *httpd);
