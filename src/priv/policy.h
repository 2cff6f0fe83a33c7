/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The system calls, capabilities and limits of each role once it is in its sandbox. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From the first that is entered to the last. */
#define LAYERS(LAYER)                             \
	LAYER(NO_NEW_PRIVS, "no new privileges")  \
	LAYER(ROOT, "empty root")                 \
	LAYER(IDENTITY, "user and capabilities")  \
	LAYER(DUMPABLE, "memory closed to peers") \
	LAYER(RLIMITS, "resource limits")         \
	LAYER(LANDLOCK, "landlock")               \
	LAYER(SECCOMP, "seccomp")

enum layer {
#define LAYER(name, words) LAYER_##name,
	LAYERS(LAYER)
#undef LAYER
		N_LAYERS
};

const char *layer_words(enum layer layer);

/* As a value: the process that enters. */
#define POLICY_SELF     UINT64_MAX
/* As a value: a descriptor at or above the limit on open files (RLIMIT_NOFILE). Nothing new gets such a
 * number: it was opened before the limit was lowered. */
#define POLICY_FIXED_FD (UINT64_MAX - 1)

/* A system call; where `mask` is not zero, only with `argument & mask` equal to `value`. */
struct policy_call {
	const char *name; /* NULL ends a list */
	const char *why;
	unsigned argument;
	uint64_t mask, value;
};

/* The numbers of PR_SET_MDWE and PR_GET_MDWE where its header is new enough. */
#define SANDBOX_SET_MDWE              65
#define SANDBOX_GET_MDWE              66
#define SANDBOX_MDWE_REFUSE_EXEC_GAIN 1

struct policy_limit {
	int resource;
	uint64_t most;
};

struct policy {
	const char *role;
	unsigned layers;              /* bits, by enum layer */
	const unsigned *capabilities; /* kept of those of root; NULL: none */
	size_t n_capabilities;
	const struct policy_limit *limits;
	size_t n_limits;
	const struct policy_call *const *calls; /* lists, ended by NULL */
};

extern const struct policy policies[];
extern const size_t n_policies;
/* NULL when there is no such role. */
const struct policy *policy_find(const char *role);

/* For all roles: the calls that get EPERM, where the rest get ENOSYS; and those that kill. */
extern const struct policy_call policy_refused[], policy_attacks[];

/* Whether it may make this call whatever the arguments. */
bool policy_has_all_of(const struct policy *policy, const char *name);
/* Whether a rule that stops `call` would contradict the lists. */
bool policy_contradicts(const struct policy *policy, const struct policy_call *call);
