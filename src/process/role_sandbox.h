/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From the configuration to the sandbox of a role. */

#include "base/why.h"
#include "conf/conf.h"
#include "priv/sandbox.h"

/* The sandbox of `role`; -ENOENT when `user` or `group` is not known. */
int sandbox_plan(const char *role, const struct conf *conf, struct sandbox *ret_sandbox);
/* Enters it. Returns 0, or the exit code that fits, and `why` says what could not be had. */
int enter_sandbox(const char *role, const struct conf *conf, struct why *why);
/* Whether a start would get what `conf` asks for, as far as can be told without entering anything.
 * Returns and says the same. */
int sandbox_precheck(const struct conf *conf, struct why *why);
