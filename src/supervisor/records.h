/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the supervisor writes log records, its own and those that its children send. It never waits. */

#include "conf/conf.h"

/* May be called again, when a reload has changed where they go. */
void records_to_log(const struct conf *conf);
/* From here on, stderr gets what it is configured to get. */
void records_leave_stderr(void);
