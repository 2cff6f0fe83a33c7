/* SPDX-License-Identifier: Apache-2.0 */

/* One message at a time: the frame says how long it is, the service answers it. A message that is
 * answered in several calls, since `out` was full, is measured again from where it stands: the end of
 * a line is still its end, and all that has arrived is still all. */

#include "core/talk.h"

static int talk_one(
	const struct talk *talk, bool last, struct upper_in *message, struct upper_out *out)
{
	switch (talk->service->answer(&talk->rule, last, message, out)) {
	case UPPER_E_ROOM:
		return TALK_E_ROOM;
	case UPPER_E_INVALID:
		return TALK_E_INVALID;
	default:
		return 0;
	}
}

int talk_answer(const struct talk *talk, bool last, size_t seen, struct upper_in *in,
	struct upper_out *out, uint64_t *messages)
{
	bool once = talk->frame.framing == UPPER_DATAGRAM;
	size_t length;
	int r;

	for (;;) {
		struct upper_in message = *in;

		r = upper_frame_next(&talk->frame, in, seen, last, &length);
		if (r == UPPER_FRAME_E_MORE)
			return 0;
		if (r == UPPER_FRAME_E_TOO_LONG)
			return TALK_E_TOO_LONG;

		message.end = message.at + length;
		r = talk_one(talk, once || (last && message.end == in->end), &message, out);
		in->at = message.at;
		if (r > 0)
			return r;

		(*messages)++;
		seen = 0;
		if (once)
			return TALK_E_OVER;
		if (in->at < message.end) /* an unfinished character */
			return 0;
	}
}
