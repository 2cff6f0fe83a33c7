/* SPDX-License-Identifier: Apache-2.0 */

/* Where a message ends. Looks at bytes, not at characters: in UTF-8 no other character has the
 * byte of a LF in it, so a line never ends inside one. */

#include <string.h>
#include <upper/frame.h>

#include "upper/export.h"

static int end_of_line(
	const struct upper_frame *frame, const struct upper_in *in, size_t seen, size_t *ret_len)
{
	size_t length = (size_t)(in->end - in->at);
	size_t window = length <= frame->max_line ? length : frame->max_line + 1;
	const uint8_t *end = NULL;

	if (seen < window)
		end = memchr(in->at + seen, '\n', window - seen);
	if (end) {
		*ret_len = (size_t)(end - in->at) + 1;
		return 0;
	}

	return length <= frame->max_line ? UPPER_FRAME_E_MORE : UPPER_FRAME_E_TOO_LONG;
}

_public_ int upper_frame_next(const struct upper_frame *frame, const struct upper_in *in,
	size_t seen, bool last, size_t *ret_len)
{
	size_t length = (size_t)(in->end - in->at);
	int r = 0;

	if (length == 0 && frame->framing != UPPER_DATAGRAM)
		return UPPER_FRAME_E_MORE;
	if (frame->framing == UPPER_LINE)
		r = end_of_line(frame, in, seen, &length);
	if (r == UPPER_FRAME_E_TOO_LONG || (r == UPPER_FRAME_E_MORE && !last))
		return r;

	*ret_len = length;
	return 0;
}
