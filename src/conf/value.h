/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One value: from a setting of the file into a field of the configuration. */

#include <libconfig.h>

#include "base/why.h"
#include "conf/schema.h"

/* How the fields of TYPE_STRINGS lie in their struct. */
struct value_strings {
	char **list;
	size_t n;
};

enum { VALUE_E_BAD = 1 /* the reason says what was found and what would do */ };

/* `object` is the struct of the row's scope. 0, VALUE_E_BAD, or -ENOMEM. Not for types that hold
 * groups: TYPE_TLS, TYPE_LISTENERS and TYPE_CERTIFICATES. */
int value_read(
	const struct conf_row *row, const config_setting_t *setting, void *object, struct why *why);

/* "the number 3", "a list": what was found. */
void value_describe(const config_setting_t *setting, char *to, size_t size);

const char *value_string(const config_setting_t *setting); /* NULL: it is none */
