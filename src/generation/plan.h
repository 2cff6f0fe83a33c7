/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The plan of a generation: a configuration, sealed, and its sockets. */

#include "base/why.h"
#include "conf/conf.h"
#include "core/counters.h"
#include "generation/child.h"
#include "generation/resources.h"
#include "process/files.h"
#include "sockets/sockets.h"

struct plan_parts {
	struct resources *resources;
	bool refuse_expired;   /* a certificate that has expired fails the build */
	struct faults *faults; /* of its files, while it is built */
};

struct plan {
	struct conf *conf;
	int conf_fd;
	unsigned workers;
	uint64_t connections;         /* open at most, in all workers together */
	struct socket_group **groups; /* per listener */
	bool is_claim;                /* they are claimed, and do not serve yet */
	struct socket_group *metrics; /* NULL: no metrics are served */
	struct files files;           /* open, so that they stay what they were */
	const struct plan_parts *parts;
};

/* Fit for plan_done(). */
#define PLAN_EMPTY ((struct plan){.conf_fd = -1})

/* Takes `conf` over, also when it fails; then `why` says what could not be had, and the return value is
 * the exit code that fits. */
int plan_make(
	struct plan *plan, struct conf *conf, const struct plan_parts *parts, struct why *why);
/* It is about to serve: its sockets are bound. When one cannot be had, it returns as does plan_make(). */
int plan_bind(const struct plan *plan, struct why *why);
/* It serves, and so do its sockets. */
void plan_commit(struct plan *plan);
void plan_done(struct plan *plan);

/* The configuration once more. */
int plan_conf_again(const struct plan *plan, struct conf **ret_conf);
/* Whether there are private keys, and so a keeper. */
bool plan_has_keys(const struct plan *plan);
