/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of hosts in any script, as the ASCII that DNS and certificates have (IDNA 2008). */

#include <stddef.h>

#include "client/report.h"

/* Writes the ASCII form of a name in UTF-8. CLIENT_E_USAGE and why when it has none. */
int idn_to_ascii(const char *name, char *ascii, size_t size, struct why *why);
