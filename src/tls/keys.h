/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keeper's side: private keys, and the requests of workers to sign with them. */

#include <stdint.h>

#include "tls/tls.h"

struct keys;

/* The versions that the listener of a key speaks: no others are signed with it. */
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
	KEYS_E_WAIT = 1, /* no request is there */
	KEYS_E_CLOSED,   /* the worker is gone */
	KEYS_E_MALFORMED /* no request of an honest worker: this one is captured */
};

/* Reads one request from a worker's channel, and replies. */
int keys_reply(struct keys *keys, int fd);
