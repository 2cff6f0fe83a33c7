/* SPDX-License-Identifier: Apache-2.0 */

/* One message at a time: the frame says how long it is, the service answers it. A message that is
 * answered in several calls, since `out` was full, is measured again from where it stands: the end of
 * a line is still its end, and all that has arrived is still all. */

#include "core/answerer.h"

static int answerer_answer_one(
	const struct answerer *answerer, bool last, struct upper_in *message, struct upper_out *out)
{
	switch (answerer->service->answer(&answerer->rule, last, message, out)) {
	case UPPER_E_ROOM:
		return ANSWERER_E_ROOM;
	case UPPER_E_INVALID:
		return ANSWERER_E_INVALID;
	default:
		return 0;
	}
}

int answerer_answer(const struct answerer *answerer, bool last, size_t seen, struct upper_in *in,
	struct upper_out *out, uint64_t *messages)
{
	bool once = answerer->frame.framing == UPPER_DATAGRAM;
	size_t length;
	int r;

	for (;;) {
		struct upper_in message = *in;

		r = upper_frame_next(&answerer->frame, in, seen, last, &length);
		if (r == UPPER_FRAME_E_MORE)
			return 0;
		if (r == UPPER_FRAME_E_TOO_LONG)
			return ANSWERER_E_TOO_LONG;

		message.end = message.at + length;
		r = answerer_answer_one(
			answerer, once || (last && message.end == in->end), &message, out);
		in->at = message.at;
		if (r > 0)
			return r;

		(*messages)++;
		seen = 0;
		if (once)
			return ANSWERER_E_OVER;
		if (in->at < message.end) /* an unfinished character */
			return 0;
	}
}
