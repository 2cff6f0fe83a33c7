/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reading the configuration that the command line names, the same way for a start, a reload and --check. */

#include "conf/conf.h"
#include "conf/fault.h"
#include "process/options.h"

/* 0 or CONF_E_FAULTS; any other failure is among the faults as well. */
int configuration_load(
	const struct options *options, struct faults *faults, struct conf **ret_conf);
/* The same, and *ret_conf is set also when there are faults, as far as the configuration could be read. */
int configuration_load_draft(
	const struct options *options, struct faults *faults, struct conf **ret_conf);
/* Quotes the lines of faults that were found after loading. */
void configuration_quote(struct faults *faults);
/* Adds a fault for each user and group that is named and unknown to the system. Takes a draft as well. */
void configuration_check_accounts(const struct conf *conf, struct faults *faults);
