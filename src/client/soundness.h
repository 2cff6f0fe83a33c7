/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Requests that a sound server refuses, or answers only so much: those of reflection attacks and loops, and
 * of old TLS. */

#include <stddef.h>

#include "client/server.h"

enum soundness { IS_SOUND, IS_UNSOUND, IS_UNKNOWN };

struct finding {
	const char *name, *text; /* for scripts, and for people */
	enum soundness soundness;
};

#define FINDINGS 8

/* Tries all that the transport of the server has; returns how many. It takes up to two seconds. */
size_t soundness_find(const struct server *server, struct finding findings[static FINDINGS]);

/* tls_soundness.c: a handshake of a version before TLS 1.2, and one in the middle of a session. */
struct finding soundness_old_version(struct server *plain);
struct finding soundness_renegotiation(struct server *plain);

/* The fate of a ClientHello on its way. */
enum passage { PASSAGE_UNKNOWN, PASSAGE_ANSWERED, PASSAGE_LOST };

/* Sends a usual ClientHello, or one that is as large as one with keys for post-quantum groups. */
enum passage soundness_hello(struct server *plain, bool is_large);
