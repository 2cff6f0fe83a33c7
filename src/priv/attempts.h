/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Attempts of a process that was taken over. Each is tried in a process of its own, which enters the
 * sandbox of a role up to the layer that the attempt is about, so that each layer is seen to hold by
 * itself and not behind a stronger one. */

#include <stdbool.h>
#include <sys/types.h>

#include "priv/sandbox.h"

struct attempt {
	enum layer layer;
	const char *words;      /* "open a file" */
	bool everywhere;        /* the supervisor may not either */
	unsigned landlock;      /* the version of Landlock that it takes; 0: any, or none */
	int (*before)(void);    /* outside of the sandbox; returns a descriptor or a process */
	int (*attempt)(int on); /* inside, on that: 0 when it could do it, or the errno */
	const char *kernel;     /* the version of Linux that it takes; NULL: any */
	bool (*is_known)(void); /* whether this kernel knows it; NULL: `landlock` says so */
	void (*after)(pid_t); /* outside: removes what `before` of that process has made; or NULL */
};

extern const struct attempt attempts[];
extern const unsigned n_attempts;

enum attempt_kind {
	ATTEMPT_FAILED,    /* as it must */
	ATTEMPT_SUCCEEDED, /* so the layer does not hold */
	ATTEMPT_ABSENT,    /* the layer could not be had; `error` says why */
	ATTEMPT_NOT_FOR,   /* the layer is not for this role, user, service or mode */
	ATTEMPT_TOO_NEW,   /* this kernel does not know what would stop it; another one does */
};

struct attempt_outcome {
	enum attempt_kind kind;
	int error;  /* what it heard ... */
	int signal; /* ... or what killed it */
};

/* Forks; the caller must be outside of any sandbox but the supervisor's. */
int attempt_make(const struct attempt *attempt, const struct sandbox *sandbox,
	struct attempt_outcome *ret_outcome);
