/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which texts the server of a TLS handshake signs. The keeper signs these and no others. */

#include <openssl/ec.h>
#include <stddef.h>

#include "tls/keys.h"

#define TEXT_CURVES 3

/* The groups of TLS 1.2, made when the first point on one is checked. */
struct text_curves {
	EC_GROUP *groups[TEXT_CURVES];
};

void text_curves_done(struct text_curves *curves);

enum text_kind {
	TEXT_HANDSHAKE,
	TEXT_AMBIGUOUS, /* a handshake that can be read as another signed document as well */
	TEXT_FOREIGN,   /* no handshake of a listener with this use */
};

struct text {
	const unsigned char *data;
	size_t len;
};

enum text_kind text_kind(const struct text *text, enum key_use use, struct text_curves *curves);
