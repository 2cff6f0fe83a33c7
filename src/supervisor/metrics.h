/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All metrics, as one table: what is exposed, in whatever format, and upperd-metrics(7) are made from it. */

#include <stdio.h>

#include "supervisor/exposition.h"
#include "supervisor/stats.h"

void metrics_print(const struct stats *stats, const struct moment *moment,
	enum exposition_format format, FILE *out);

/* The row at that place; NULL behind the last. */
const struct metric *metrics_row(size_t place);
