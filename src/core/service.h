/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a listener does with a message: upper-case it, echo it, or acknowledge it. */

#include <upper/upper.h>

struct service {
	const char *name;
	/* The contract of upper_convert(), with whole or partial messages as `in`. A service that
	 * is `whole` answers once per message, and wants all of it in one call. */
	int (*answer)(const struct upper_rule *rule, bool last, struct upper_in *in,
		struct upper_out *out);
	bool whole;
	/* Whether each byte of it has an answer of its own, of one byte, whatever stands around it: then
	 * several messages may be answered as one. NULL: never. */
	bool (*is_bytewise)(const uint8_t *data, size_t len);
};

extern const struct service service_uppercase, service_echo, service_acknowledge;
