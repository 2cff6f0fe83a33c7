/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A record as the bytes that a child sends to the supervisor. Whoever unpacks them trusts nothing
 * in them: the sender may have been taken over by the peer that it serves. */

#include <stddef.h>

#include "base/log.h"

/* More than the largest record makes. */
#define LOGWIRE_MAX 2048

/* The longest listener, role or reason; what is beyond it is cut. */
#define LOGWIRE_WORD 255

enum { LOGWIRE_E_MALFORMED = 1 };

/* Returns the length. */
size_t logwire_pack(const struct log_record *record, unsigned char to[static LOGWIRE_MAX]);

/* The strings of `ret_record` point into `data`, and its peer to `ret_peer`. The level is that of
 * the event. LOGWIRE_E_MALFORMED for all that logwire_pack() would not have written. */
int logwire_unpack(
	const void *data, size_t len, struct log_record *ret_record, struct addr *ret_peer);
