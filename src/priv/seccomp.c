/* SPDX-License-Identifier: Apache-2.0 */

/* From the lists of policy.c to a filter in the kernel, by libseccomp. Names that this machine's
 * library or architecture does not know are passed over: there is nothing to let through or to stop. */

#include <errno.h>
#include <limits.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "priv/layers.h"

static void filter_freep(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/* All numbers from the limit on, as blocks whose first number and size are told by bits: a comparison
 * with the whole argument could be passed with bits that the kernel does not look at. */
static int filter_add_fixed(
	scmp_filter_ctx filter, uint32_t action, int number, const struct policy_call *call)
{
	struct rlimit files;
	uint64_t first, size;
	int r = 0;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	for (first = files.rlim_cur; first > 0 && first <= INT_MAX && r >= 0; first += size) {
		size = first & -first;
		r = seccomp_rule_add(filter, action, number, 1,
			SCMP_CMP64(call->argument, SCMP_CMP_MASKED_EQ, call->mask & ~(size - 1),
				first));
	}
	return r;
}

static int filter_add(scmp_filter_ctx filter, uint32_t action, const struct policy_call *call)
{
	int number = seccomp_syscall_resolve_name(call->name);
	uint64_t value = call->value == POLICY_SELF ? (uint64_t)getpid() : call->value;

	if (number == __NR_SCMP_ERROR)
		return 0;
	if (call->mask == 0)
		return seccomp_rule_add(filter, action, number, 0);
	if (call->value == POLICY_FIXED_FD)
		return filter_add_fixed(filter, action, number, call);
	return seccomp_rule_add(filter, action, number, 1,
		SCMP_CMP64(call->argument, SCMP_CMP_MASKED_EQ, call->mask, value));
}

static int filter_stop(scmp_filter_ctx filter, uint32_t action, const struct policy *policy,
	const struct policy_call *calls)
{
	int r = 0;

	for (const struct policy_call *call = calls; call->name && r >= 0; call++)
		if (!policy_contradicts(policy, call))
			r = filter_add(filter, action, call);
	return r;
}

static int filter_allow(scmp_filter_ctx filter, const struct policy *policy)
{
	int r = 0;

	for (const struct policy_call *const *list = policy->calls; *list && r >= 0; list++)
		for (const struct policy_call *call = *list; call->name && r >= 0; call++)
			if (call->mask == 0 || !policy_has_all_of(policy, call->name))
				r = filter_add(filter, SCMP_ACT_ALLOW, call);
	return r;
}

int seccomp_enter(const struct policy *policy, bool strict)
{
	__attribute__((cleanup(filter_freep))) scmp_filter_ctx filter = NULL;
	int r;

	filter = seccomp_init(strict ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(ENOSYS));
	if (!filter)
		return -ENOMEM;
	/* Searched by halves, instead of from the first call to the last. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r >= 0)
		r = filter_allow(filter, policy);
	if (r >= 0 && !strict)
		r = filter_stop(filter, SCMP_ACT_KILL_PROCESS, policy, policy_attacks);
	if (r >= 0 && !strict)
		r = filter_stop(filter, SCMP_ACT_ERRNO(EPERM), policy, policy_refused);
	return r >= 0 ? seccomp_load(filter) : r;
}

int seccomp_probe(void)
{
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0 ? -errno : 0;
}
