/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Commands of upperd that start no daemon. Each returns the exit code. */

#include "conf/conf.h"
#include "process/options.h"

int command_check(const struct options *options);
int command_dump(const struct options *options);
int command_completions(const struct options *options);
int command_version(const struct options *options);
