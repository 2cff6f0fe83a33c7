/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a worker can ask of the keeper, one packet a question and one an answer. What is signed comes
 * whole and not as a digest: the keeper signs the handshakes of TLS servers and nothing else. */

#include <stdint.h>

#define QUESTION_DATA 512
#define ANSWER_DATA   4096

/* QUESTION(name, most bytes of data) */
#define QUESTIONS(QUESTION)                       \
	QUESTION(PUBLIC, 0) /* the public half */ \
	QUESTION(SIGN, QUESTION_DATA)

enum question_what {
#define QUESTION(name, most) ASK_##name,
	QUESTIONS(QUESTION)
#undef QUESTION
		N_QUESTIONS
};

enum question_digest { DIGEST_NONE, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512, N_DIGESTS };
enum question_padding { PADDING_NONE, PADDING_PKCS1, PADDING_PSS, N_PADDINGS };

struct question_head {
	uint32_t what, number, key, digest, padding, len;
};

struct question {
	struct question_head head;
	unsigned char data[QUESTION_DATA];
};

struct answer_head {
	uint32_t number; /* of the question */
	uint32_t len;    /* 0: no */
};

struct answer {
	struct answer_head head;
	unsigned char data[ANSWER_DATA];
};

/* By enum question_digest; NULL for none. */
extern const char *const question_digests[N_DIGESTS];
