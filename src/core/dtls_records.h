/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Records of DTLS 1.2 before a library sees them: those that no peer of a session can have sent are left
 * out. Without keys, any host can forge them, and libraries have stumbled over them. */

#include <stddef.h>
#include <stdint.h>

#define DTLS_RECORD_HEADER 13

/* Copies the records of a datagram to `to`, which has room for all of it, and returns their length. Left out
 * are sealed ones of fewer than `least` bytes, which is what sealing adds to an empty one, and ones of a later
 * epoch than the first sealed one: there is no renegotiation here. They are added to *dropped. */
size_t dtls_records_filter(
	uint8_t *to, const uint8_t *data, size_t len, size_t least, unsigned *dropped);
