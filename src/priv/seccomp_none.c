/* SPDX-License-Identifier: Apache-2.0 */

/* A build without libseccomp. It has no filter, and says so when one is wanted. */

#include <errno.h>

#include "priv/layers.h"

int seccomp_enter(const struct policy *policy, bool strict)
{
	return -EOPNOTSUPP;
}

int seccomp_probe(void)
{
	return -EOPNOTSUPP;
}
