/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Giving up, for good, all that a role does not need. */

#include <sys/types.h>

#include "priv/policy.h"

enum sandbox_mode {
	SANDBOX_REQUIRED,    /* a layer that cannot be had is a failure */
	SANDBOX_STRICT,      /* and a call that is not listed kills */
	SANDBOX_BEST_EFFORT, /* a layer that cannot be had is a warning */
	SANDBOX_OFF,         /* user and capabilities, and nothing else */
};

struct sandbox {
	const struct policy *policy;
	enum sandbox_mode mode;
	uid_t uid; /* the user to become, when root enters */
	gid_t gid;
};

/* A layer that does not fit: only root can have an empty root. Not a fault. */
enum { SANDBOX_E_NOT_ROOT = 1 };

/* Enters every layer, in order. A negative errno names in `ret_layer` what could not be had. */
int sandbox_enter(const struct sandbox *sandbox, enum layer *ret_layer);
/* The process was executed in a sandbox that holds still: after an upgrade, or on trial for one. */
void sandbox_inherit(void);
/* Whether this process is in one, entered or inherited. */
bool sandbox_is_entered(void);
/* Removes what children left behind that were killed on their way in; for a start, before there are any. */
void sandbox_sweep(void);
/* Only those from `first` to `last`: to try what each of them holds. */
int sandbox_enter_some(
	const struct sandbox *sandbox, enum layer first, enum layer last, enum layer *ret_layer);

/* The layers that this process is in, as bits. */
unsigned sandbox_layers(void);
/* Whether this system and this build have the layers at all; enters none. */
int sandbox_probe(enum layer *ret_layer);
/* Whether "best-effort" goes on without it. */
bool sandbox_can_lack(enum layer layer);
/* Why a layer cannot be had, as a sentence to follow its name. */
const char *sandbox_explain(enum layer layer, int error);
