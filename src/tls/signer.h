/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The worker's side of the way to the keeper. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/timing.h"
#include "tls/request.h"

struct signer {
	int fd;      /* owned, with a time-out; -1: there is no keeper for the moment */
	bool silent; /* the last request was not replied to in time, and nothing has come since */
	uint32_t number;
	uint64_t failed;       /* counts */
	struct timing *timing; /* NULL: answers are not timed */
};

#define SIGNER_EMPTY ((struct signer){.fd = -1})

void signer_done(struct signer *signer);

/* Fills in the number of the request, and waits for the reply, once, with a time-out. A negative errno when
 * there is none, or the keeper refuses. */
int signer_request(struct signer *signer, struct key_request *request, struct key_reply *ret_reply);
