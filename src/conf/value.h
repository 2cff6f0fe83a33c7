/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One value: from a setting of the file into a field of the configuration. */

#include <libconfig.h>
#include <stdio.h>

#include "conf/schema.h"

/* Room for what is wrong with a value. */
#define VALUE_COMPLAINT 512

/* How the fields of TYPE_STRINGS lie in their struct. */
struct value_strings {
	char **list;
	size_t n;
};

enum { VALUE_E_BAD = 1 /* the complaint says what was found and what would do */ };

/* `object` is the struct of the row's scope. 0, VALUE_E_BAD, or -ENOMEM. Not for types that hold
 * groups: TYPE_TLS, TYPE_LISTENERS and TYPE_CERTIFICATES. */
int value_read(const struct conf_row *row, const config_setting_t *setting, void *object,
	char complaint[static VALUE_COMPLAINT]);

/* "the number 3", "a list": what was found. */
void value_describe(const config_setting_t *setting, char *to, size_t size);

/* For the functions that read one type each, below. */
#define VALUE_COMPLAIN(...) (snprintf(complaint, VALUE_COMPLAINT, __VA_ARGS__), VALUE_E_BAD)
int value_wrong_type(const struct conf_row *row, const config_setting_t *setting, char *complaint);
const char *value_string(const config_setting_t *setting); /* NULL: it is none */

typedef int value_read_fn(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint);
value_read_fn value_read_bool, value_read_number, value_read_port, value_read_count,
	value_read_size, value_read_time, value_read_ratio, value_read_mode;
