/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For --check: what a start would find out about files and people, without a start. */

#include "conf/conf.h"
#include "conf/fault.h"

/* Both take a draft as well, and pass over what is missing in it.
 *
 * Adds a fault for each file that will not do, and a warning for what has expired. */
void rehearse_files(const struct conf *conf, struct faults *faults);
/* Adds a fault for each user and group that the system does not know. */
void rehearse_people(const struct conf *conf, struct faults *faults);
