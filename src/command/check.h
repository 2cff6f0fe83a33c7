/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For --check: what a start would find out about files, without a start. */

#include "conf/conf.h"
#include "conf/fault.h"

/* Adds a fault for each file that will not do, and a warning for each that has expired. Takes a draft as
 * well, and passes over what is missing in it. */
void check_files(const struct conf *conf, struct faults *faults);
