/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where records go. The supervisor writes them, its own and those of its children; a child sends them
 * over its channel. Neither ever waits. */

#include "conf/conf.h"

/* For the supervisor: may be called again, when a reload has changed where they go. */
void records_to_log(const struct conf *conf);
/* From here on, stderr gets what it is configured to get. */
void records_leave_stderr(void);
/* For a child; what the channel does not take is counted in `lost`. */
void records_to_channel(int channel_fd, enum log_level level, uint64_t *lost);
