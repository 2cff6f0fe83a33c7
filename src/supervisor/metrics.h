/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that is counted, as OpenMetrics text: what upperctl prints and what the exporter serves. */

#include <stdio.h>

#include "supervisor/stats.h"

void metrics_print(const struct lasting *lasting, const struct moment *moment, FILE *out);
