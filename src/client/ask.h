/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One question and its answer, over any transport. A link is kept from question to question, and
 * opened again where the server closed it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/link.h"
#include "client/question.h"

struct question {
	const void *text;
	size_t len;
	struct expect expect; /* the right answer */
};

struct answer {
	uint8_t *text;
	size_t size, len;
	bool is_right; /* equal to the expected one */
};

/* A datagram that was doubled on its way may come this many answers later. */
#define ASK_RECENT 64

struct asker {
	struct server *server;
	struct link link;
	struct answer answer;        /* to the last question */
	uint64_t recent[ASK_RECENT]; /* hashes of right answers, since a datagram may come again */
	size_t n_recent;
	bool was_right;             /* the answer to the question before */
	unsigned tries;             /* that the last question took */
	uint64_t us;                /* from its last try to the end of its answer */
	uint64_t first_us, last_us; /* when the first byte of the answer came, and the last */
	unsigned owed;              /* answers to earlier questions that may still come */
	bool is_proven;             /* the link has brought an answer */
	bool is_again;              /* its link is a new one, since the server closed the last */
};

/* Opens nothing yet. */
void asker_init(struct asker *asker, struct server *server);
void asker_done(struct asker *asker);

/* 0 when `asker->answer` holds an answer, right or wrong. CLIENT_E_LOST when there is none,
 * CLIENT_E_UNREACHABLE when no address accepts it, CLIENT_E_USAGE when no datagram can hold it. */
int ask(struct asker *asker, const void *text, size_t len, struct why *why);

#define _cleanup_asker_ __attribute__((cleanup(asker_done)))
