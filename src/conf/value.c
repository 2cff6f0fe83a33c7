/* SPDX-License-Identifier: Apache-2.0 */

/* How each type is read from a setting of libconfig: one function a type, which puts the value into the field
 * of its row. The defaults of the table go the same way, so that a default is written as in the file.
 *
 * A reason names what was found and what would do, and never the key, which the caller knows. Where people
 * write a thing in another way, the reason guesses what was meant, in the words that the file takes:
 * "5 minutes" is "5m", "UDP" is "udp". A guess is advice, and is never taken as the value.
 *
 * libconfig has integers of 32 and of 64 bits, and reads 0660 as decimal; text.c sees to the first, and modes
 * are strings because of the second. A field stays as it was when its value is refused. */

#include "conf/value.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/quantity.h"
#include "base/text.h"
#include "conf/conf.h"
#include "core/client_name.h"

struct value_type {
	const char *wanted;
	int (*read)(const struct conf_row *row, const config_setting_t *setting, void *field,
		struct why *why);
};

static const struct value_type types[TYPE_LISTENERS + 1];

/* Long values are cut: a reason is to be read. */
static void describe_string(const char *text, char *to, size_t size)
{
	size_t len = strlen(text);

	if (len <= 64) {
		snprintf(to, size, "\"%s\"", text);
		return;
	}
	for (len = 61; ((unsigned char)text[len] & 0xc0) == 0x80;)
		len--;
	snprintf(to, size, "\"%.*s...\"", (int)len, text);
}

void value_describe(const config_setting_t *setting, char *to, size_t size)
{
	const char *text;
	int len = 0;

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_STRING:
		/* Out of memory, libconfig leaves a string without its text. */
		text = config_setting_get_string(setting);
		len = snprintf(to, size, "the string ");
		describe_string(text ? text : "", to + len, size - (size_t)len);
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(to, size, "the number %lld", config_setting_get_int64(setting));
		break;
	case CONFIG_TYPE_FLOAT:
		snprintf(to, size, "the number %g", config_setting_get_float(setting));
		break;
	case CONFIG_TYPE_BOOL:
		snprintf(to, size, config_setting_get_bool(setting) ? "true" : "false");
		break;
	case CONFIG_TYPE_GROUP:
		snprintf(to, size, "a group { }");
		break;
	case CONFIG_TYPE_ARRAY:
		snprintf(to, size, "an array [ ]");
		break;
	default:
		snprintf(to, size, "a list ( )");
	}
}

static int wrong_type(const struct conf_row *row, const config_setting_t *setting, struct why *why)
{
	char found[128];

	value_describe(setting, found, sizeof(found));
	return why_set(why, VALUE_E_BAD, "%s is needed, not %s", types[row->type].wanted, found);
}

const char *value_string(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_STRING
		? config_setting_get_string(setting)
		: NULL;
}

static bool is_integer(const config_setting_t *setting)
{
	int type = config_setting_type(setting);

	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static int value_bool(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
		return wrong_type(row, setting, why);

	*(bool *)field = config_setting_get_bool(setting);
	return 0;
}

static int value_integer(const struct conf_row *row, const config_setting_t *setting,
	uint64_t *ret_value, struct why *why)
{
	long long value;

	if (!is_integer(setting))
		return wrong_type(row, setting, why);
	value = config_setting_get_int64(setting);
	if (value < 0 || (uint64_t)value < row->min || (uint64_t)value > row->max)
		return why_set(why, VALUE_E_BAD,
			"%lld is out of range; %" PRIu64 " to %" PRIu64 " will do", value, row->min,
			row->max);

	*ret_value = (uint64_t)value;
	return 0;
}

static int value_number(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	uint64_t value = 0;
	int r = value_integer(row, setting, &value, why);

	if (r == 0)
		*(unsigned *)field = (unsigned)value;
	return r;
}

static int value_port(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	uint64_t value = 0;
	int r = value_integer(row, setting, &value, why);

	if (r == 0)
		*(uint16_t *)field = (uint16_t)value;
	return r;
}

static int value_count(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	return value_integer(row, setting, field, why);
}

/* "1MB", "5 min", "30 seconds": a unit that is written out, or apart from its number. */
static bool suggest_quantity(const char *text, int (*parse)(const char *text, uint64_t *ret_value),
	char ret_meant[static QUANTITY_TEXT])
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits + strspn(text + digits, " ");
	uint64_t value;

	if (digits == 0 || digits > 18 || *unit == '\0')
		return false;
	for (size_t len = strlen(unit); len > 0; len--) {
		snprintf(ret_meant, QUANTITY_TEXT, "%.*s%.*s", (int)digits, text, (int)len, unit);
		if (parse(ret_meant, &value) == 0)
			return true;
		/* As in "kB" and "KB". */
		ret_meant[digits] = (char)(ret_meant[digits] ^ ('a' ^ 'A'));
		if (parse(ret_meant, &value) == 0)
			return true;
	}
	return false;
}

static int value_size(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	const char *text = value_string(setting);
	char meant[QUANTITY_TEXT];
	uint64_t bytes = 0;
	int r;

	if (!text) {
		r = value_integer(row, setting, &bytes, why);
		if (r == 0)
			*(size_t *)field = bytes;
		return r;
	}

	r = quantity_parse_size(text, &bytes);
	if (r == QUANTITY_E_SYNTAX && suggest_quantity(text, quantity_parse_size, meant))
		return why_set(why, VALUE_E_BAD, "\"%.64s\" is no size; did you mean \"%s\"?", text,
			meant);
	if (r == QUANTITY_E_SYNTAX)
		return wrong_type(row, setting, why);
	if (r == QUANTITY_E_RANGE || bytes < row->min || bytes > row->max)
		return why_set(why, VALUE_E_BAD,
			"\"%.64s\" is out of range; %" PRIu64 " to %" PRIu64 " will do", text,
			row->min, row->max);
	*(size_t *)field = bytes;
	return 0;
}

static int value_time(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	const char *text = value_string(setting);
	char min[QUANTITY_TEXT], max[QUANTITY_TEXT];
	uint64_t ms = 0;
	int r = text ? quantity_parse_time(text, &ms) : QUANTITY_E_SYNTAX;

	if (r == QUANTITY_E_SYNTAX && text && suggest_quantity(text, quantity_parse_time, min))
		return why_set(
			why, VALUE_E_BAD, "\"%.64s\" is no time; did you mean \"%s\"?", text, min);
	if (r == QUANTITY_E_SYNTAX)
		return wrong_type(row, setting, why);
	if (r == QUANTITY_E_RANGE || ms < row->min || ms > row->max)
		return why_set(why, VALUE_E_BAD,
			"\"%.64s\" is out of range; \"%s\" to \"%s\" will do", text,
			quantity_format_time(row->min, min), quantity_format_time(row->max, max));

	*(uint64_t *)field = ms;
	return 0;
}

static int value_ratio(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	double value;

	if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
		value = config_setting_get_float(setting);
	else if (is_integer(setting))
		value = (double)config_setting_get_int64(setting);
	else
		return wrong_type(row, setting, why);
	if (!(value >= (double)row->min && value <= (double)row->max))
		return why_set(why, VALUE_E_BAD,
			"%g is out of range; %" PRIu64 ".0 to %" PRIu64 ".0 will do", value,
			row->min, row->max);

	*(double *)field = value;
	return 0;
}

/* true is one of one, and false one of none. */
static int value_sample(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	const char *text = value_string(setting);
	const char *digits = text && strncmp(text, "1/", 2) == 0 ? text + 2 : "";
	uint64_t of;

	if (config_setting_type(setting) == CONFIG_TYPE_BOOL) {
		*(unsigned *)field = config_setting_get_bool(setting) ? 1 : 0;
		return 0;
	}
	if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits))
		return wrong_type(row, setting, why);
	of = strtoull(digits, NULL, 10);
	if (of < row->min || of > row->max)
		return why_set(why, VALUE_E_BAD,
			"\"%.64s\" is out of range; \"1/%" PRIu64 "\" to \"1/%" PRIu64 "\" will do",
			text, row->min, row->max);
	*(unsigned *)field = (unsigned)of;
	return 0;
}

/* libconfig reads 0660 as six hundred and sixty, so that only a string can be octal. */
static int value_mode(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	const char *text = value_string(setting);

	if (!text || !*text || strspn(text, "01234567") != strlen(text) || strlen(text) > 8)
		return wrong_type(row, setting, why);
	if (strtoul(text, NULL, 8) > row->max)
		return why_set(why, VALUE_E_BAD, "\"%s\" is out of range; at most \"0%o\" will do",
			text, (unsigned)row->max);

	*(mode_t *)field = (mode_t)strtoul(text, NULL, 8);
	return 0;
}

static int unknown_word(const struct conf_row *row, const char *word, struct why *why)
{
	const char *words[16], *nearest;
	char all[256] = "", found[128];
	size_t n = 0, len = 0;

	for (; row->words[n].word; n++) {
		words[n] = row->words[n].word;
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s\"%s\"",
			n == 0                           ? ""
				: row->words[n + 1].word ? ", "
							 : " or ",
			words[n]);
	}
	describe_string(word, found, sizeof(found));
	nearest = text_nearest(word, words, n);
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(word, words[i]) == 0)
			nearest = words[i];
	if (nearest)
		return why_set(
			why, VALUE_E_BAD, "%s is not known; did you mean \"%s\"?", found, nearest);
	return why_set(why, VALUE_E_BAD, "%s is not known; %s will do", found, all);
}

static int value_word(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	const char *word = value_string(setting);
	unsigned i = 0;

	if (!word)
		return wrong_type(row, setting, why);
	while (row->words[i].word && strcmp(row->words[i].word, word) != 0)
		i++;
	if (!row->words[i].word)
		return unknown_word(row, word, why);

	memcpy(field, &i, sizeof(i));
	return 0;
}

static int copy_string(const struct conf_row *row, const config_setting_t *setting,
	char **ret_string, struct why *why)
{
	const char *text = value_string(setting);
	size_t len = text ? strlen(text) : 0;
	char *copy;

	if (!text)
		return wrong_type(row, setting, why);
	if (!text_is_utf8(text, len, NULL))
		return why_set(why, VALUE_E_BAD, "the string is not UTF-8");
	if (len < row->min || len > row->max)
		return why_set(why, VALUE_E_BAD,
			"a string of %zu bytes is out of range; %" PRIu64 " to %" PRIu64
			" bytes will do",
			len, row->min, row->max);

	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	*ret_string = copy;
	return 0;
}

static int value_text(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	return copy_string(row, setting, field, why);
}

static int value_address(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	const char *text = value_string(setting);
	char found[128];
	int r;

	if (!text)
		return wrong_type(row, setting, why);
	r = addr_parse(text, 0, field);
	if (r == 0)
		return 0;
	describe_string(text, found, sizeof(found));
	return why_set(why, VALUE_E_BAD,
		r == ADDR_E_SCOPE
			? "%s names an interface that this machine does not have ('ip link' "
			  "shows those that there are)"
			: "%s is not an IPv4 or IPv6 address; names are not looked up",
		found);
}

/* The element `i` of an array of strings; elements of a list may be of other types. */
static int value_element(const struct conf_row *row, const config_setting_t *setting, unsigned i,
	const char **ret_text, struct why *why)
{
	const config_setting_t *element = config_setting_get_elem(setting, i);

	*ret_text = value_string(element);
	return *ret_text ? 0 : wrong_type(row, element, why);
}

static int array_length(const struct conf_row *row, const config_setting_t *setting,
	unsigned *ret_n, struct why *why)
{
	int type = config_setting_type(setting);
	int n;

	if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
		return wrong_type(row, setting, why);
	n = config_setting_length(setting);
	if ((uint64_t)n > row->max)
		return why_set(why, VALUE_E_BAD,
			"%d of them are too many; at most %" PRIu64 " will do", n, row->max);

	*ret_n = (unsigned)n;
	return 0;
}

static int value_prefixes(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	_cleanup_free_ struct addr_prefix *list = NULL;
	struct conf_prefixes *prefixes = field;
	unsigned n = 0;
	int r;

	r = array_length(row, setting, &n, why);
	if (r)
		return r;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;

	for (unsigned i = 0; i < n; i++) {
		const char *text;

		r = value_element(row, setting, i, &text, why);
		if (r)
			return r;
		if (addr_parse_prefix(text, &list[i]))
			return why_set(why, VALUE_E_BAD,
				"\"%.64s\" is not a prefix such as \"192.0.2.0/24\", "
				"with no bits set beyond its length",
				text);
	}

	prefixes->list = take_ptr(&list);
	prefixes->n = n;
	return 0;
}

static void free_strings(char **strings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

static int value_texts(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	const struct conf_row element = {.type = TYPE_STRINGS, .min = 1, .max = 255};
	struct value_strings *strings = field;
	char **list;
	unsigned n = 0;
	int r;

	r = array_length(row, setting, &n, why);
	if (r)
		return r;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;

	for (unsigned i = 0; i < n && r == 0; i++)
		r = copy_string(&element, config_setting_get_elem(setting, i), &list[i], why);
	if (r) {
		free_strings(list, n);
		return r;
	}

	strings->list = list;
	strings->n = n;
	return 0;
}

static int value_client_names(
	const struct conf_row *row, const config_setting_t *setting, void *field, struct why *why)
{
	struct value_strings *names = field;
	int r = value_texts(row, setting, field, why);

	for (size_t i = 0; r == 0 && i < names->n; i++) {
		struct client_name unused;
		const char *reason = client_name_parse(names->list[i], &unused);
		char found[128];

		if (!reason)
			continue;
		describe_string(names->list[i], found, sizeof(found));
		r = why_set(why, VALUE_E_BAD, "%s: %s", found, reason);
	}
	if (r == VALUE_E_BAD) {
		free_strings(names->list, names->n);
		*names = (struct value_strings){0};
	}
	return r;
}

static const struct value_type types[TYPE_LISTENERS + 1] = {
	[TYPE_BOOL] = {"true or false", value_bool},
	[TYPE_NUMBER] = {"a whole number", value_number},
	[TYPE_PORT] = {"a whole number", value_port},
	[TYPE_COUNT] = {"a whole number", value_count},
	[TYPE_SIZE] = {"a number of bytes or a string such as \"64k\"", value_size},
	[TYPE_TIME] = {"a string with a number and its unit, such as \"30s\",", value_time},
	[TYPE_RATIO] = {"a number such as 3.0", value_ratio},
	[TYPE_SAMPLE] = {"true, false, or a string such as \"1/100\",", value_sample},
	[TYPE_MODE] = {"a string in octal, such as \"0660\",", value_mode},
	[TYPE_WORD] = {"a string", value_word},
	[TYPE_STRING] = {"a string", value_text},
	[TYPE_STRINGS] = {"an array of strings", value_texts},
	[TYPE_CLIENT_NAMES] = {"an array of strings", value_client_names},
	[TYPE_ADDRESS] = {"a string", value_address},
	[TYPE_PREFIXES] = {"an array of strings", value_prefixes},
	[TYPE_CERTIFICATES] = {"a list of groups, ( { ... } ),", NULL},
	[TYPE_TLS] = {"a group { ... }", NULL},
	[TYPE_LISTENERS] = {"a list of groups, ( { ... } ),", NULL},
};

int value_read(
	const struct conf_row *row, const config_setting_t *setting, void *object, struct why *why)
{
	return types[row->type].read(row, setting, (char *)object + row->offset, why);
}
