/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The services of a listener: upper-case it, echo it, or acknowledge it. */

#include <upper/upper.h>

/* Each service by the name that the configuration gives it. A new one is a row here and a struct
 * service_NAME in service.c; neither compiles without the other. */
#define SERVICES(SERVICE)  \
	SERVICE(uppercase) \
	SERVICE(echo)      \
	SERVICE(acknowledge)

enum service_kind {
#define SERVICE(name) SERVICE_##name,
	SERVICES(SERVICE)
#undef SERVICE
		N_SERVICES
};

struct service {
	/* The contract of upper_convert(), with whole or partial messages as `in`. */
	int (*answer)(const struct upper_rule *rule, bool last, struct upper_in *in,
		struct upper_out *out);
	/* Whether each byte has an answer of its own, of one byte, whatever stands around it: then several
	 * messages may be answered as one. NULL: never. */
	bool (*is_bytewise)(const uint8_t *data, size_t len);
	/* Its answer is the same for every message, and says only that one has come: the size and sender of
	 * each go to the log, and a message in pieces is answered once. */
	bool acknowledges;
};

/* By enum service_kind. */
extern const struct service *const services[N_SERVICES];
