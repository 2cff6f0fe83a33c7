/* SPDX-License-Identifier: Apache-2.0 */

/* Questions to the tables of policy.c. */

#include <string.h>

#include "priv/policy.h"

static const char *const words[N_LAYERS] = {
#define LAYER(name, words) words,
	LAYERS(LAYER)
#undef LAYER
};

const char *layer_words(enum layer layer)
{
	return words[layer];
}

const struct policy *policy_find(const char *role)
{
	for (size_t i = 0; i < n_policies; i++)
		if (strcmp(policies[i].role, role) == 0)
			return &policies[i];
	return NULL;
}

bool policy_has_all_of(const struct policy *policy, const char *name)
{
	for (const struct policy_call *const *list = policy->calls; *list; list++)
		for (const struct policy_call *call = *list; call->name; call++)
			if (call->mask == 0 && strcmp(call->name, name) == 0)
				return true;
	return false;
}

/* A rule that is about some arguments stands beside a line that is about others. */
bool policy_contradicts(const struct policy *policy, const struct policy_call *stopped)
{
	if (stopped->mask != 0)
		return policy_has_all_of(policy, stopped->name);
	for (const struct policy_call *const *list = policy->calls; *list; list++)
		for (const struct policy_call *call = *list; call->name; call++)
			if (strcmp(call->name, stopped->name) == 0)
				return true;
	return false;
}

/* Whether a call is named before this place in the lists. */
static bool is_named_before(const struct policy *policy, const struct policy_call *place)
{
	for (const struct policy_call *const *list = policy->calls; *list; list++)
		for (const struct policy_call *call = *list; call->name; call++) {
			if (call == place)
				return false;
			if (strcmp(call->name, place->name) == 0)
				return true;
		}
	return false;
}

size_t policy_count(const struct policy *policy)
{
	size_t n = 0;

	for (const struct policy_call *const *list = policy->calls; *list; list++)
		for (const struct policy_call *call = *list; call->name; call++)
			if (!is_named_before(policy, call))
				n++;
	return n;
}
