/* SPDX-License-Identifier: Apache-2.0 */

#include "core/dtls_records.h"

#include <string.h>

#define AT_EPOCH  3
#define AT_LENGTH 11

static size_t number_at(const uint8_t *data)
{
	return (size_t)data[0] << 8 | data[1];
}

size_t dtls_records_filter(
	uint8_t *to, const uint8_t *data, size_t len, size_t least, unsigned *dropped)
{
	size_t n = 0;

	while (len > 0) {
		size_t record = len, epoch = 0, body = 0;

		/* A rest that is no whole record passes as it is: a library drops it unread. */
		if (len >= DTLS_RECORD_HEADER &&
			number_at(data + AT_LENGTH) <= len - DTLS_RECORD_HEADER) {
			epoch = number_at(data + AT_EPOCH);
			body = number_at(data + AT_LENGTH);
			record = DTLS_RECORD_HEADER + body;
		}
		if (epoch > 1 || (epoch == 1 && body < least)) {
			++*dropped;
		} else {
			memcpy(to + n, data, record);
			n += record;
		}
		data += record;
		len -= record;
	}
	return n;
}
