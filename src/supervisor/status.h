/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "upperctl status", as text and as JSON. */

#include <stdio.h>

#include "supervisor/stats.h"

void status_print(const struct stats *stats, const struct moment *moment, FILE *out);
void status_print_json(const struct stats *stats, const struct moment *moment, FILE *out);
