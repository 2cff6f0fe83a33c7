/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One question to one server, from the connection to the end of the answer, with the time of each phase.
 * Any number of exchanges can be under way in one loop. */

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lane.h"
#include "client/question.h"

/* Of an answer that is longer than this, and than the one that is expected, the rest is forgotten. */
#define EXCHANGE_ANSWER 16384

/* The question, and the answer to expect; the same for many servers. */
struct inquiry {
	const void *question;
	size_t len;
	struct expect answer;   /* empty: not compared */
	const regex_t *pattern; /* NULL: not matched */
	unsigned tries;         /* of a datagram, at least 1 */
};

struct exchange {
	struct lane lane;
	struct server *server;
	const struct inquiry *inquiry;
	void (*on_done)(struct exchange *exchange);

	/* The result. */
	int outcome; /* 0, CLIENT_E_* with `why`, or a negative errno */
	struct why why;
	struct phases phases;
	struct session_facts facts;
	bool has_facts;
	unsigned tries; /* that it took */
	int ttl, tos;
	uint8_t *answer;
	size_t len, room;

	struct timer timer; /* of the answer */
	uint64_t first_us, last_us, deadline_ms;
	bool is_done, is_quiet;
};

int exchange_init(struct exchange *exchange, struct lanes *lanes, const struct inquiry *inquiry);
void exchange_done(struct exchange *exchange);

/* on_done follows, perhaps at once. */
void exchange_start(struct exchange *exchange, struct server *server);

/* A member, "tls". */
struct json;
void facts_print_json(const struct session_facts *facts, struct json *json);
