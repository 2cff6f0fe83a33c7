/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The names of settings in the groups that are open, so that none is there twice. libconfig would only
 * say in which line, and not which. */

#include "conf/scan.h"

#define NAMES_KEY ((CONF_MAX_NESTING + 1) * (CONF_MAX_WORD + 1))

/* "log.level": the setting whose value is being read; empty before the first. */
void names_key(const struct conf_text *text, char key[static NAMES_KEY]);
/* Takes the word before a '=' or ':' as the name of a setting: 0, or -ENOMEM. A name that its group has
 * already is added to the faults, and the scan goes on. */
int names_add(struct scan *scan);
/* A group has ended, which began with this many names. */
void names_forget(struct conf_text *text, size_t n);
