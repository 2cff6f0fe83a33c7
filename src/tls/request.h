/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The requests of workers to the keeper and its replies, one packet each. A text to sign comes whole and
 * not as a digest: the keeper signs the handshakes of TLS servers and nothing else. */

#include <stdint.h>

#define REQUEST_DATA 512
#define REPLY_DATA   4096

/* REQUEST(name, most bytes of data) */
#define REQUESTS(REQUEST)                        \
	REQUEST(PUBLIC, 0) /* the public half */ \
	REQUEST(SIGN, REQUEST_DATA)

enum request_what {
#define REQUEST(name, most) REQUEST_##name,
	REQUESTS(REQUEST)
#undef REQUEST
		N_REQUESTS
};

enum request_digest { DIGEST_NONE, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512, N_DIGESTS };
enum request_padding { PADDING_NONE, PADDING_PKCS1, PADDING_PSS, N_PADDINGS };

struct request_head {
	uint32_t what, number, key, digest, padding, len;
};

struct key_request {
	struct request_head head;
	unsigned char data[REQUEST_DATA];
};

struct reply_head {
	uint32_t number; /* of the request */
	uint32_t len;    /* 0: no */
};

struct key_reply {
	struct reply_head head;
	unsigned char data[REPLY_DATA];
};

/* By enum request_digest; NULL for none. */
extern const char *const request_digests[N_DIGESTS];
