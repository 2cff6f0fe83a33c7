/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Renders all that the exporters serve, into the page of the statistics. */

#include "supervisor/stats.h"

void stats_publish(struct stats *stats, const struct moment *moment);
