/* SPDX-License-Identifier: Apache-2.0 */

/* A sandbox is a list of layers, entered once and for good. This file is the order of them and what to do when
 * one cannot be had; each layer that is more than a call has a file of its own. The policy of a role says which
 * layers it has and with what contents.
 *
 * The order matters. Each layer stands where the calls that it needs still work and where no later one undoes it:
 *
 *	no new privileges   first: Landlock and seccomp ask for it
 *	empty root          while CAP_SYS_CHROOT is still there
 *	user, capabilities  setresuid() makes the memory readable to peers again, so before the next
 *	closed memory
 *	resource limits
 *	Landlock
 *	seccomp             last: it forbids the calls that make all others
 *
 * A layer that cannot be had is a failure, unless the mode is best-effort; then it is logged, and the others
 * still count. Two of them are never left out, in no mode: without no_new_privs a program that is executed could
 * gain what was given up, and without its user a child of root is root.
 *
 * A layer that failed must never pass for one that holds. Every step is checked by
 * its result, and giving up the user also by trying to get it back. */

#include "priv/sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "config.h"
#include "priv/ident.h"
#include "priv/layers.h"

/* At the end, LeakSanitizer would start a process that traces this one. No policy lets it; leaks are
 * looked for where the sandbox is off. */
static bool is_confined;

static unsigned entered; /* bits, by enum layer */

#if WITH_ASAN
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return is_confined || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 0;
}
#endif

/* With it, memory that can be executed comes from files alone, also in the supervisor, whose filter must let
 * its children be loaded. Kernels before 6.3 do not know it, and go without. */
static int enter_no_new_privs(const struct sandbox *sandbox)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	prctl(SANDBOX_SET_MDWE, SANDBOX_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
	return 0;
}

static int enter_root(const struct sandbox *sandbox)
{
	return ident_is_root() ? root_enter() : SANDBOX_E_NOT_ROOT;
}

static int enter_identity(const struct sandbox *sandbox)
{
	const struct policy *policy = sandbox->policy;

	/* Capabilities that the service manager gave to an ordinary user are needed again after an upgrade. */
	if (policy->n_capabilities > 0 && !ident_is_root())
		return 0;
	if (policy->n_capabilities > 0)
		return ident_narrow(policy->capabilities, policy->n_capabilities);
	return ident_is_root() ? ident_become(sandbox->uid, sandbox->gid) : ident_renounce();
}

static int enter_dumpable(const struct sandbox *sandbox)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

static int enter_rlimits(const struct sandbox *sandbox)
{
	const struct policy *policy = sandbox->policy;

	for (size_t i = 0; i < policy->n_limits; i++) {
		struct rlimit limit = {policy->limits[i].most, policy->limits[i].most};

		if (setrlimit((__rlimit_resource_t)policy->limits[i].resource, &limit) < 0)
			return -errno;
	}
	return 0;
}

static int enter_landlock(const struct sandbox *sandbox)
{
	return landlock_enter();
}

static int enter_seccomp(const struct sandbox *sandbox)
{
	return seccomp_enter(sandbox->policy, sandbox->mode == SANDBOX_STRICT);
}

static const struct {
	int (*enter)(const struct sandbox *sandbox);
	bool always; /* whatever the mode */
} layers[N_LAYERS] = {
	[LAYER_NO_NEW_PRIVS] = {enter_no_new_privs, true},
	[LAYER_ROOT] = {enter_root},
	[LAYER_IDENTITY] = {enter_identity, true},
	[LAYER_DUMPABLE] = {enter_dumpable},
	[LAYER_RLIMITS] = {enter_rlimits},
	[LAYER_LANDLOCK] = {enter_landlock},
	[LAYER_SECCOMP] = {enter_seccomp},
};

static bool sandbox_has(const struct sandbox *sandbox, enum layer layer)
{
	return (sandbox->policy->layers & 1U << layer) &&
		(sandbox->mode != SANDBOX_OFF || layers[layer].always);
}

int sandbox_enter_some(
	const struct sandbox *sandbox, enum layer first, enum layer last, enum layer *ret_layer)
{
	int r;

	is_confined = sandbox->mode != SANDBOX_OFF;
	for (enum layer layer = first; layer <= last; layer++) {
		if (!sandbox_has(sandbox, layer))
			continue;
		r = layers[layer].enter(sandbox);
		if (r == 0)
			entered |= 1U << layer;
		if (r >= 0)
			continue;
		if (sandbox->mode != SANDBOX_BEST_EFFORT || layers[layer].always) {
			*ret_layer = layer;
			return r;
		}
		log_event(EVENT_SANDBOX_GAP, ABOUT(.role = sandbox->policy->role),
			"%s cannot be had (%s), and it goes on without", layer_words(layer),
			sandbox_explain(layer, r));
	}
	return 0;
}

unsigned sandbox_layers(void)
{
	return entered;
}

void sandbox_inherit(void)
{
	is_confined = true;
}

bool sandbox_is_entered(void)
{
	return is_confined;
}

int sandbox_enter(const struct sandbox *sandbox, enum layer *ret_layer)
{
	return sandbox_enter_some(sandbox, 0, N_LAYERS - 1, ret_layer);
}

void sandbox_sweep(void)
{
	if (ident_is_root())
		root_sweep();
}

int sandbox_probe(enum layer *ret_layer)
{
	int r;

	r = landlock_version();
	if (r < 0) {
		*ret_layer = LAYER_LANDLOCK;
		return r;
	}
	*ret_layer = LAYER_SECCOMP;
	return seccomp_probe();
}

bool sandbox_can_lack(enum layer layer)
{
	return !layers[layer].always;
}

const char *sandbox_explain(enum layer layer, int error)
{
	if (layer == LAYER_SECCOMP && !HAVE_SECCOMP)
		return "this build has no libseccomp: see the build option \"seccomp\"";
	if (layer == LAYER_LANDLOCK && (error == -ENOSYS || error == -EOPNOTSUPP))
		return "this kernel has no Landlock, or does not turn it on";
	if (layer == LAYER_ROOT && error == -EPERM)
		return "CAP_SYS_CHROOT is missing";
	return strerror(-error);
}
