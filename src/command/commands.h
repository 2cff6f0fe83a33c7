/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What upperd does without becoming a daemon. Each returns the exit code. */

#include "conf/conf.h"
#include "process/options.h"

int command_check(const struct options *options);
int command_dump(const struct options *options);
int command_version(void);

/* Reads the configuration that the command line asks for; 0 or CONF_E_FAULTS. */
int command_load(const struct options *options, struct faults *faults, struct conf **ret_conf);
/* Looks up the lines of faults that were found after that. */
void command_show(struct faults *faults);
