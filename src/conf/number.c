/* SPDX-License-Identifier: Apache-2.0 */

/* Values that are quantities: numbers, sizes, times, ratios and modes, each with its range. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "conf/value.h"

static bool is_integer(const config_setting_t *setting)
{
	int type = config_setting_type(setting);

	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

int value_read_bool(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
		return value_wrong_type(row, setting, complaint);

	*(bool *)field = config_setting_get_bool(setting);
	return 0;
}

static int read_integer(const struct conf_row *row, const config_setting_t *setting,
	uint64_t *ret_value, char *complaint)
{
	long long value;

	if (!is_integer(setting))
		return value_wrong_type(row, setting, complaint);
	value = config_setting_get_int64(setting);
	if (value < 0 || (uint64_t)value < row->min || (uint64_t)value > row->max)
		return VALUE_COMPLAIN("%lld is out of range; %" PRIu64 " to %" PRIu64 " will do",
			value, row->min, row->max);

	*ret_value = (uint64_t)value;
	return 0;
}

int value_read_number(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	uint64_t value = 0;
	int r = read_integer(row, setting, &value, complaint);

	if (r == 0)
		*(unsigned *)field = (unsigned)value;
	return r;
}

int value_read_port(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	uint64_t value = 0;
	int r = read_integer(row, setting, &value, complaint);

	if (r == 0)
		*(uint16_t *)field = (uint16_t)value;
	return r;
}

int value_read_count(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	return read_integer(row, setting, field, complaint);
}

int value_read_size(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	const char *text = value_string(setting);
	uint64_t bytes = 0;
	int r;

	if (!text) {
		r = read_integer(row, setting, &bytes, complaint);
		if (r == 0)
			*(size_t *)field = bytes;
		return r;
	}

	r = quantity_parse_size(text, &bytes);
	if (r == QUANTITY_E_SYNTAX)
		return value_wrong_type(row, setting, complaint);
	if (r == QUANTITY_E_RANGE || bytes < row->min || bytes > row->max)
		return VALUE_COMPLAIN("\"%.64s\" is out of range; %" PRIu64 " to %" PRIu64
				      " will do",
			text, row->min, row->max);
	*(size_t *)field = bytes;
	return 0;
}

int value_read_time(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	const char *text = value_string(setting);
	char min[QUANTITY_TEXT], max[QUANTITY_TEXT];
	uint64_t ms = 0;
	int r = text ? quantity_parse_time(text, &ms) : QUANTITY_E_SYNTAX;

	if (r == QUANTITY_E_SYNTAX)
		return value_wrong_type(row, setting, complaint);
	if (r == QUANTITY_E_RANGE || ms < row->min || ms > row->max)
		return VALUE_COMPLAIN("\"%.64s\" is out of range; \"%s\" to \"%s\" will do", text,
			quantity_format_time(row->min, min), quantity_format_time(row->max, max));

	*(uint64_t *)field = ms;
	return 0;
}

int value_read_ratio(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	double value;

	if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
		value = config_setting_get_float(setting);
	else if (is_integer(setting))
		value = (double)config_setting_get_int64(setting);
	else
		return value_wrong_type(row, setting, complaint);
	if (!(value >= (double)row->min && value <= (double)row->max))
		return VALUE_COMPLAIN("%g is out of range; %" PRIu64 ".0 to %" PRIu64 ".0 will do",
			value, row->min, row->max);

	*(double *)field = value;
	return 0;
}

/* libconfig reads 0660 as six hundred and sixty, so that only a string can be octal. */
int value_read_mode(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	const char *text = value_string(setting);

	if (!text || !*text || strspn(text, "01234567") != strlen(text) || strlen(text) > 8)
		return value_wrong_type(row, setting, complaint);
	if (strtoul(text, NULL, 8) > row->max)
		return VALUE_COMPLAIN("\"%s\" is out of range; at most \"0%o\" will do", text,
			(unsigned)row->max);

	*(mode_t *)field = (mode_t)strtoul(text, NULL, 8);
	return 0;
}
