/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keeper's side: private keys, and the questions of workers about them. */

#include <stdint.h>

#include "tls/tls.h"

struct keys;

/* What the listener of a key speaks: nothing else is signed with it. */
enum key_use {
	KEY_USE_TLS,     /* 1.2 and 1.3 */
	KEY_USE_TLS_1_3, /* 1.3 alone */
	KEY_USE_DTLS,    /* 1.2 alone */
};

int keys_new(struct keys **ret_keys);
void keys_free(struct keys *keys);

/* The next key: the first is number 0. Or TLS_E_REFUSED. */
int keys_add(
	struct keys *keys, const struct tls_text *pem, enum key_use use, struct tls_fault *fault);

enum {
	KEYS_E_WAIT = 1, /* nothing is asked */
	KEYS_E_CLOSED,   /* the worker is gone */
	KEYS_E_MALFORMED /* no question a worker could have: it is not to be trusted any more */
};

/* Reads one question from a worker's channel, and answers it. */
int keys_answer(struct keys *keys, int fd);
