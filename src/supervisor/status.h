/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "upperctl status": whether all is well, and how things are, as text and as JSON. upperctl(8) has the
 * members of the JSON; they stay. */

#include <stdio.h>

#include "supervisor/stats.h"

/* With plots of the last minutes, in a terminal of so many columns; 0: without. */
void status_print(
	const struct stats *stats, const struct moment *moment, unsigned columns, FILE *out);
void status_print_json(const struct stats *stats, const struct moment *moment, FILE *out);
