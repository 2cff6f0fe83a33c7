/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A configuration from memory, for harnesses. */

#include <stddef.h>

struct conf_bytes {
	const char *text;
	size_t len;
};

/* The dump of what it loads as, or NULL when there are faults; those are printed to nowhere. */
char *conf_load_and_dump(const struct conf_bytes *bytes);
