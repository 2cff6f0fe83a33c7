/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Faults that no parser sees, at the place in the configuration that they come from. */

#include "conf/conf.h"
#include "conf/fault.h"
#include "conf/schema.h"
#include "process/files.h"

/* Where a key was set; NULL: nowhere, so that it has its default. */
const char *origin_of(char **origins, enum conf_scope scope, const char *key);
void blame(const char *origin, enum fault_level level, const char *key, const char *message,
	struct faults *faults);
/* A file that a listener names, or with FILE_NONE the tls group that names it: the words may say more
 * closely which one. What was said of the same place already is not said again. */
void blame_file(const struct conf *conf, const struct file_place *said, enum fault_level level,
	const char *message, struct faults *faults);
