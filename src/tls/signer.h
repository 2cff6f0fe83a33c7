/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The worker's side of the way to the keeper. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/timing.h"
#include "tls/question.h"

struct signer {
	int fd;      /* owned, with a time-out; -1: there is no keeper for the moment */
	bool silent; /* the last question was not answered in time, and nothing has come since */
	uint32_t number;
	uint64_t failed;       /* counts */
	struct timing *timing; /* NULL: answers are not timed */
};

#define SIGNER_EMPTY ((struct signer){.fd = -1})

void signer_done(struct signer *signer);

/* Waits for the answer, though not for ever, nor again while it is silent. `question` but for its number is filled in; a negative
 * errno when there is no answer, or the answer is no. */
int signer_ask(struct signer *signer, struct question *question, struct answer *ret_answer);
