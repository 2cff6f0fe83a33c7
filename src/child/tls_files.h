/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of a configuration that TLS needs, in memory, and the contexts that are made of them. */

#include "base/why.h"
#include "conf/conf.h"
#include "core/counters.h"
#include "core/ticket.h"
#include "process/files.h"
#include "tls/tls.h"

struct tls_file;
struct expiry_log;

struct tls_files {
	const struct conf *conf;
	struct tls *tls;
	struct tls_file *list;
	size_t n;
	const struct ticket_page *tickets; /* NULL: only what is in files */
	struct ticket_ring **rings;        /* per listener, from a file; owned */
	struct tls_context **contexts;     /* per listener; NULL where it is not TLS */
	struct expiry_log **logged;        /* per listener and certificate */
	bool refuse_expired;               /* what has expired is refused */
	bool crl_logged;                   /* a revocation list is out of date */
};

#define TLS_FILES_EMPTY ((struct tls_files){0})

void tls_files_done(struct tls_files *files);

/* Reads the file, and closes nothing. -EINVAL when it is none of the configuration. */
int tls_files_read(struct tls_files *files, const struct file_place *place, int fd);
/* Memory with the keys of tickets, from the supervisor. */
int tls_files_set_tickets(struct tls_files *files, int fd);
/* The channel to the keeper; takes the descriptor over. */
int tls_files_set_keeper(struct tls_files *files, int *fd);
/* Handshakes begin. */
int tls_files_serve(struct tls_files *files, struct loop *loop);

/* Makes the context of one listener: 0, TLS_E_REFUSED, or a negative errno. */
int tls_files_build_one(struct tls_files *files, size_t listener, struct tls_fault *fault);
enum {
	TLS_FILES_E_MISSING = TLS_E_REFUSED + 1, /* one of the two was not read */
};

/* One certificate and its key, which is among the files here. */
int tls_files_check_certificate(struct tls_files *files, size_t listener, size_t index,
	struct tls_fault *fault, struct tls_dates *ret_dates);
/* Of all, then the files are forgotten. Calls for each fault; `why` is one of them, with its key. */
int tls_files_build(struct tls_files *files,
	void (*on_fault)(const struct file_place *place, const char *what), struct why *why);
/* Where in the configuration a fault is. */
struct file_place tls_files_place(size_t listener, const struct tls_fault *fault);

/* Calls for each file of all that is out of date: certificates, and revocation lists. After tls_files_build(). */
void tls_files_warn(const struct tls_files *files, time_t now,
	void (*on_warning)(const struct file_place *place, const char *text));

/* Whether no client with a certificate is let in, since a revocation list is out of date. */
#define CRL_EXPIRED \
	"a revocation list is out of date, so that no client with a certificate is let in"
bool tls_files_crl_expired(const struct tls_files *files, size_t listener, time_t now);
/* When the first certificate of all expires; 0: there is none. */
time_t tls_files_expiry(const struct tls_files *files);
/* Where the answers of the keeper are timed. */
void tls_files_set_timing(struct tls_files *files, struct timing *timing);
/* Lists the certificates of all listeners, for status and metrics. */
void tls_files_list_certificates(const struct tls_files *files, struct counters *counters);
/* Logs of each certificate that a third, a sixth, a twelfth of its lifetime is left, or a day, once each and
 * at most one a day; and that a list is out of date. */
void tls_files_log_expiry(struct tls_files *files, time_t now);
