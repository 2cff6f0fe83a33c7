/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The first record of a DTLS datagram, read as far as is needed without keeping state: whether it is a
 * record, whether that is a ClientHello, and what of it a cookie binds. And the one answer to it that
 * needs no memory either, the HelloVerifyRequest (RFC 6347, 4.2.1).
 *
 * How a cookie travels is known here alone. DTLS 1.3 asks for it with a HelloRetryRequest and gets it back in an
 * extension (RFC 9147, 5.1): a hello of that version would be told apart in hello_parse(), which finds its
 * cookie, in hello_verify(), which asks for one, and in hello_answers(). Its contents are the caller's. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELLO_RANDOM 32
#define HELLO_COOKIE 32 /* as long as ours are */
#define HELLO_LEAST  67 /* no ClientHello is shorter */
#define HELLO_VERIFY 60 /* and a HelloVerifyRequest is never longer than this */

struct hello_span {
	const uint8_t *data;
	size_t len;
};

/* Points into the datagram. */
struct hello {
	const uint8_t *sequence; /* of its record, eight bytes with the epoch */
	uint16_t message_seq;
	const uint8_t *random; /* HELLO_RANDOM bytes */
	struct hello_span cookie;
	struct hello_span before,
		after; /* the cookie: version to session id; ciphers, compression */
};

enum {
	HELLO_E_NO_RECORD = 1, /* no record of DTLS 1.0 or 1.2 */
	HELLO_E_OTHER,         /* a record, but not with a ClientHello in the clear */
	HELLO_E_PIECE,         /* a piece of a ClientHello */
	HELLO_E_MALFORMED,     /* a ClientHello that is none, or not alone in its datagram */
};

int hello_parse(const uint8_t *data, size_t len, struct hello *ret_hello);

/* Answers `hello` with a cookie; returns the length. */
size_t hello_verify(const struct hello *hello, const uint8_t cookie[static HELLO_COOKIE],
	uint8_t out[static HELLO_VERIFY]);

/* Whether it comes with a cookie as long as ours, in the place of an answer to hello_verify(). */
bool hello_answers(const struct hello *hello);

/* In a time that does not show where they differ. */
bool hello_has_cookie(const struct hello *hello, const uint8_t cookie[static HELLO_COOKIE]);
