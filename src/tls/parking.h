/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A handshake that is left while the keeper signs, and gone on with later. */

#include <openssl/async.h>
#include <openssl/ssl.h>

#include "tls/signer.h"

#define PARKING_E_WAIT (-2) /* no result of SSL_accept(): the reply of the keeper is awaited */

struct parking {
	SSL *ssl; /* borrowed, as the next two */
	struct signer *signer;
	ASYNC_WAIT_CTX *waits;
	struct parked parked;
	ASYNC_JOB *job; /* NULL: the handshake is not in the middle of a signature */
	struct {
		const void *top, *before;
		size_t size_before;
	} stack; /* for a sanitizer */
};

/* For this thread. */
int parking_init(void);
void parking_done(void);

/* SSL_accept(), or PARKING_E_WAIT; then parked.resume is deferred when it can go on. Without a task there it
 * waits for the keeper itself. */
int parking_accept(struct parking *parking);
/* The handshake will not go on: its signature fails, and so does all that was to follow. */
void parking_end(struct parking *parking);
