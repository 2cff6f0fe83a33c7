/* SPDX-License-Identifier: Apache-2.0 */

/* Lines and upper-casing together: a text line by line, as a connection answers it, becomes what
 * the text as a whole becomes. The first byte is max_line, the rest the text. */

#include <upper/frame.h>

#include "feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;

	const struct upper_frame frame = {UPPER_LINE, data[0]};
	const struct upper_rule rule = {UPPER_UTF8, UPPER_REPLACE};
	struct upper_in in = {data + 1, data + size};
	struct feed whole = feed_new(size), lines = feed_new(size);
	size_t length;

	for (; upper_frame_next(&frame, &in, 0, true, &length) == 0; in.at += length) {
		require(length > 0 && length <= frame.max_line + 1 && length <= size);
		require(feed(&lines, &rule, in.at, length, length) == 0);
	}
	require(in.at == in.end || (size_t)(in.end - in.at) > frame.max_line);
	require(feed(&whole, &rule, data + 1, (size_t)(in.at - data) - 1, size) == 0);
	require(feed_equal(&whole, &lines));

	feed_done(&whole);
	feed_done(&lines);
	return 0;
}
