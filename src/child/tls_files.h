/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a process needs to serve TLS, as it is handed to it: certificates and their like, in memory,
 * and the contexts that are made of them. */

#include "conf/conf.h"
#include "core/counters.h"
#include "core/ticket.h"
#include "process/files.h"
#include "tls/tls.h"

struct paper;

struct papers {
	const struct conf *conf;
	struct tls *tls;
	struct paper *list;
	size_t n;
	const struct ticket_page *tickets; /* NULL: only what is in files */
	struct ticket_ring **rings;        /* per listener, from a file; owned */
	struct tls_context **contexts;     /* per listener; NULL where it is not TLS */
	bool refuse_expired;               /* what has expired is refused */
	unsigned days_told;                /* until the first certificate expires */
	bool lists_told;                   /* a revocation list is out of date */
};

#define PAPERS_EMPTY ((struct papers){0})

void papers_done(struct papers *papers);

/* Reads the file, and closes nothing. -EINVAL when it is none of the configuration. */
int papers_take(struct papers *papers, const struct file_place *place, int fd);
/* Memory with the keys of tickets, from the supervisor. */
int papers_take_tickets(struct papers *papers, int fd);
/* The way to the keeper; takes the descriptor over. */
int papers_take_keeper(struct papers *papers, int *fd);

/* Makes the context of one listener: 0, TLS_E_REFUSED with `why`, or a negative errno. */
int papers_build_one(struct papers *papers, size_t listener, char why[static TLS_WHY]);
enum {
	PAPERS_E_MISSING = TLS_E_REFUSED + 1, /* one of the two was not taken */
};

/* One certificate and its key, which is among the files here. */
int papers_check_certificate(struct papers *papers, size_t listener, size_t index,
	char why[static TLS_WHY], struct tls_dates *ret_dates);
/* Of all, then the files are forgotten. Calls for each thing that is wrong; `why` is the first. */
int papers_build(struct papers *papers,
	void (*on_fault)(const struct file_place *place, const char *what),
	char why[static TLS_WHY]);

/* Whether no client with a certificate is let in, since a revocation list is out of date. */
#define PAPERS_OVER \
	"a revocation list is out of date, so that no client with a certificate is let in"
bool papers_lists_are_over(const struct papers *papers, size_t listener, time_t now);
/* When the first certificate of all expires; 0: there is none. */
time_t papers_expiry(const struct papers *papers);
/* Lists the certificates of all listeners, for status and metrics. */
void papers_list_certificates(const struct papers *papers, struct counters *counters);
/* Logs once each time that 30, 14, 7 and 1 days are left to the first that expires, and of a list that is
 * out of date. */
void papers_tell_expiry(struct papers *papers, time_t now);
