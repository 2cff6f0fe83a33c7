/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where one message ends in what has arrived so far. Pure and without state, like upper.h. */

#include <upper/upper.h>

#ifdef __cplusplus
extern "C" {
#endif

enum upper_framing {
	UPPER_STREAM,   /* a message is whatever has arrived */
	UPPER_LINE,     /* a message is a line with its LF or CRLF, or the rest at end of input */
	UPPER_ONESHOT,  /* as UPPER_STREAM; all that a connection brings is one message */
	UPPER_DATAGRAM, /* the input is exactly one message */
};

struct upper_frame {
	enum upper_framing framing;
	size_t max_line; /* bytes of the longest line, before its LF; only for UPPER_LINE */
};

enum {
	UPPER_FRAME_E_MORE = 1, /* no message has ended yet */
	UPPER_FRAME_E_TOO_LONG, /* more than max_line bytes, and no LF right behind them */
};

/* Measures the first message in `in`: 0 and its length in `ret_len`, which may be 0 only for an
 * empty datagram. The first `seen` bytes are known from an earlier call to hold no end of a line.
 * With `last`, no more input will follow: the rest is a message. */
int upper_frame_next(const struct upper_frame *frame, const struct upper_in *in, size_t seen,
	bool last, size_t *ret_len);

#ifdef __cplusplus
}
#endif
