/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>

#include "client/ask.h"

/* No datagram is longer; and on a stream, what an answer may have beyond what is expected. */
#define ANSWER_ROOM 65536

void asker_init(struct asker *asker, const struct server *server)
{
	*asker = (struct asker){.server = server, .link = LINK_INIT};
}

void asker_done(struct asker *asker)
{
	link_close(&asker->link);
	free(asker->answer.text);
	free(asker->before.text);
}

static int answer_reserve(struct answer *answer, size_t size)
{
	uint8_t *text;

	if (answer->size >= size)
		return 0;
	text = realloc(answer->text, size);
	if (!text)
		return -ENOMEM;
	answer->text = text;
	answer->size = size;
	return 0;
}

/* Sets the last answer aside, and makes room for the next. */
static int prepare(struct asker *asker, size_t expected_len)
{
	struct answer before = asker->before;

	asker->before = asker->answer;
	asker->answer = before;
	asker->answer.len = 0;
	asker->answer.is_right = false;
	asker->is_again = false;
	return answer_reserve(&asker->answer, expected_len + ANSWER_ROOM);
}

int ask(struct asker *asker, const void *text, size_t len, struct why *why)
{
	_cleanup_expect_ struct expect expect = {0};
	struct question question = {.text = text, .len = len};
	int r;

	r = expect_upper(&expect, text, len);
	if (r)
		return r;
	question.expect = expect;
	r = prepare(asker, expect.len);
	if (r)
		return r;

	r = asker->server->url.transport->is_datagram ? ask_datagram(asker, &question, why)
						      : ask_stream(asker, &question, why);
	asker->answer.is_right = !r && expect_is(&expect, asker->answer.text, asker->answer.len);
	return r;
}
