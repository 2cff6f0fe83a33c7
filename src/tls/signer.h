/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The worker's side of the way to the keeper. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"
#include "core/timing.h"
#include "tls/request.h"

#define PARKED_MOST 64 /* handshakes at once */

/* A request of a handshake that is parked; see parking.c. Empty at first. */
struct parked {
	struct list node;
	uint32_t number; /* of the request; 0: there was none yet */
	bool waits;
	int outcome;                          /* once it does not wait any more */
	uint64_t start;                       /* as for a stopwatch */
	struct key_reply *reply;              /* of the caller */
	struct task *resume;                  /* deferred then */
	void (*leave)(struct parked *parked); /* returns after that */
};

struct signer {
	int fd;      /* owned, with a time-out; -1: there is no keeper for the moment */
	bool silent; /* the last request was not replied to in time, and nothing has come since */
	uint32_t number,
		replied; /* of the newest request, and of the one that the newest reply was to */
	uint64_t failed; /* counts */
	struct timing *timing;  /* NULL: answers are not timed */
	struct loop *loop;      /* NULL: every request is waited for */
	struct source source;   /* replies to requests that are parked */
	struct timer patience;  /* with the keeper, while one is */
	struct list parked;     /* the oldest first */
	struct parked *current; /* of the handshake that runs; NULL: it cannot be parked */
};

void signer_init(struct signer *signer);
/* Ends the way; what is parked fails. */
void signer_done(struct signer *signer);
/* From now on there is a loop, in which replies are awaited. */
int signer_serve(struct signer *signer, struct loop *loop);
int signer_set_channel(struct signer *signer, int *fd);

/* Fills in the number of the request, and waits for the reply, once, with a time-out. A negative errno when
 * there is none, or the keeper refuses. */
int signer_request(struct signer *signer, struct key_request *request, struct key_reply *ret_reply);
/* The handshake has ended, and takes no reply any more. */
void signer_forget(struct parked *parked);
