/* SPDX-License-Identifier: Apache-2.0 */

/* From the configuration to the sandbox of a role: the policy is in priv/policy.c, by the name
 * of the role; the user and the mode come from the configuration. A reason is a sentence that
 * names what could not be had and, where there is one, the setting that would do without it. */

#include "process/role_sandbox.h"

#include <errno.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/why.h"
#include "priv/ident.h"

static const enum sandbox_mode modes[] = {
	[CONF_SANDBOX_REQUIRED] = SANDBOX_REQUIRED,
	[CONF_SANDBOX_STRICT] = SANDBOX_STRICT,
	[CONF_SANDBOX_BEST_EFFORT] = SANDBOX_BEST_EFFORT,
	[CONF_SANDBOX_OFF] = SANDBOX_OFF,
};

int sandbox_plan(const char *role, const struct conf *conf, struct sandbox *ret_sandbox)
{
	struct sandbox sandbox = {
		.policy = policy_find(role),
		.mode = modes[conf->sandbox],
	};

	if (ident_is_root() && ident_find(conf->user, conf->group, &sandbox.uid, &sandbox.gid) != 0)
		return -ENOENT;
	/* Another name of root: the configuration refuses root itself. */
	if (ident_is_root() && sandbox.uid == 0)
		return -EPERM;
	*ret_sandbox = sandbox;
	return 0;
}

static int lacks_layer(enum layer layer, int error, struct why *why)
{
	return why_set(why, EX_OSERR, "the sandbox cannot have its layer \"%s\": %s%s",
		layer_words(layer), sandbox_explain(layer, error),
		sandbox_can_lack(layer) ? "; sandbox = \"best-effort\" would go on without it"
					: ", and nothing serves without it");
}

int enter_sandbox(const char *role, const struct conf *conf, struct why *why)
{
	struct sandbox sandbox;
	enum layer missing;
	int r;

	r = sandbox_plan(role, conf, &sandbox);
	if (r == -EPERM)
		return why_set(why, EX_CONFIG, "user \"%s\" is root", conf->user);
	if (r < 0)
		return why_set(why, EX_CONFIG, "there is no user \"%s\" or no group \"%s\"",
			conf->user, conf->group);
	if (sandbox.mode == SANDBOX_OFF)
		log_event(EVENT_SANDBOX_OFF, ABOUT_NOTHING,
			"the sandbox is off: an attacker who takes this process over can do all "
			"that its "
			"user can");
	r = sandbox_enter(&sandbox, &missing);
	return r < 0 ? lacks_layer(missing, r, why) : 0;
}

int sandbox_precheck(const struct conf *conf, struct why *why)
{
	enum layer missing;
	int r;

	if (modes[conf->sandbox] != SANDBOX_REQUIRED && modes[conf->sandbox] != SANDBOX_STRICT)
		return 0;
	r = sandbox_probe(&missing);
	return r < 0 ? lacks_layer(missing, r, why) : 0;
}
