/* SPDX-License-Identifier: Apache-2.0 */

/* How each type is read: one row a type; numbers are in conf/number.c. A complaint names what was
 * found and what would do, and never the key, which the caller knows. */

#include "conf/value.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/quantity.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/source.h"

struct value_type {
	const char *wanted;
	value_read_fn *read;
};

static const struct value_type types[TYPE_LISTENERS + 1];

/* Long values are cut: a complaint is to be read. */
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

int value_wrong_type(const struct conf_row *row, const config_setting_t *setting, char *complaint)
{
	char found[128];

	value_describe(setting, found, sizeof(found));
	return VALUE_COMPLAIN("%s is needed, not %s", types[row->type].wanted, found);
}

const char *value_string(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_STRING
		? config_setting_get_string(setting)
		: NULL;
}

static int unknown_word(const struct conf_row *row, const char *word, char *complaint)
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
	if (nearest)
		return VALUE_COMPLAIN("%s is not known; did you mean \"%s\"?", found, nearest);
	return VALUE_COMPLAIN("%s is not known; %s will do", found, all);
}

static int read_word(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	const char *word = value_string(setting);
	unsigned i = 0;

	if (!word)
		return value_wrong_type(row, setting, complaint);
	while (row->words[i].word && strcmp(row->words[i].word, word) != 0)
		i++;
	if (!row->words[i].word)
		return unknown_word(row, word, complaint);

	memcpy(field, &i, sizeof(i));
	return 0;
}

static int copy_string(const struct conf_row *row, const config_setting_t *setting,
	char **ret_string, char *complaint)
{
	const char *text = value_string(setting);
	size_t len = text ? strlen(text) : 0;
	char *copy;

	if (!text)
		return value_wrong_type(row, setting, complaint);
	if (!text_is_utf8(text, len, NULL))
		return VALUE_COMPLAIN("the string is not UTF-8");
	if (len < row->min || len > row->max)
		return VALUE_COMPLAIN("a string of %zu bytes is out of range; %" PRIu64
				      " to %" PRIu64 " bytes will do",
			len, row->min, row->max);

	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	*ret_string = copy;
	return 0;
}

static int read_string(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	return copy_string(row, setting, field, complaint);
}

static int read_address(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	const char *text = value_string(setting);
	char found[128];

	if (!text)
		return value_wrong_type(row, setting, complaint);
	if (addr_parse(text, 0, field) == 0)
		return 0;
	describe_string(text, found, sizeof(found));
	return VALUE_COMPLAIN("%s is not an IPv4 or IPv6 address; names are not looked up", found);
}

/* The element `i` of an array of strings; elements of a list may be of other types. */
static int read_element(const struct conf_row *row, const config_setting_t *setting, unsigned i,
	const char **ret_text, char *complaint)
{
	const config_setting_t *element = config_setting_get_elem(setting, i);

	*ret_text = value_string(element);
	return *ret_text ? 0 : value_wrong_type(row, element, complaint);
}

static int array_length(const struct conf_row *row, const config_setting_t *setting,
	unsigned *ret_n, char *complaint)
{
	int type = config_setting_type(setting);
	int n;

	if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
		return value_wrong_type(row, setting, complaint);
	n = config_setting_length(setting);
	if ((uint64_t)n > row->max)
		return VALUE_COMPLAIN(
			"%d of them are too many; at most %" PRIu64 " will do", n, row->max);

	*ret_n = (unsigned)n;
	return 0;
}

static int read_prefixes(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	_cleanup_free_ struct addr_prefix *list = NULL;
	struct conf_prefixes *prefixes = field;
	unsigned n;
	int r;

	r = array_length(row, setting, &n, complaint);
	if (r)
		return r;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;

	for (unsigned i = 0; i < n; i++) {
		const char *text;

		r = read_element(row, setting, i, &text, complaint);
		if (r)
			return r;
		if (addr_parse_prefix(text, &list[i]))
			return VALUE_COMPLAIN("\"%.64s\" is not a prefix such as \"192.0.2.0/24\", "
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

static int read_strings(
	const struct conf_row *row, const config_setting_t *setting, void *field, char *complaint)
{
	const struct conf_row element = {.type = TYPE_STRINGS, .min = 1, .max = 255};
	struct value_strings *strings = field;
	char **list;
	unsigned n;
	int r;

	r = array_length(row, setting, &n, complaint);
	if (r)
		return r;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;

	for (unsigned i = 0; i < n && r == 0; i++)
		r = copy_string(&element, config_setting_get_elem(setting, i), &list[i], complaint);
	if (r) {
		free_strings(list, n);
		return r;
	}

	strings->list = list;
	strings->n = n;
	return 0;
}

static const struct value_type types[TYPE_LISTENERS + 1] = {
	[TYPE_BOOL] = {"true or false", value_read_bool},
	[TYPE_NUMBER] = {"a whole number", value_read_number},
	[TYPE_PORT] = {"a whole number", value_read_port},
	[TYPE_COUNT] = {"a whole number", value_read_count},
	[TYPE_SIZE] = {"a number of bytes or a string such as \"64k\"", value_read_size},
	[TYPE_TIME] = {"a string with a number and its unit, such as \"30s\",", value_read_time},
	[TYPE_RATIO] = {"a number such as 3.0", value_read_ratio},
	[TYPE_MODE] = {"a string in octal, such as \"0660\",", value_read_mode},
	[TYPE_WORD] = {"a string", read_word},
	[TYPE_STRING] = {"a string", read_string},
	[TYPE_STRINGS] = {"an array of strings", read_strings},
	[TYPE_ADDRESS] = {"a string", read_address},
	[TYPE_PREFIXES] = {"an array of strings", read_prefixes},
	[TYPE_CERTIFICATES] = {"a list of groups, ( { ... } ),", NULL},
	[TYPE_TLS] = {"a group { ... }", NULL},
	[TYPE_LISTENERS] = {"a list of groups, ( { ... } ),", NULL},
};

int value_read(const struct conf_row *row, const config_setting_t *setting, void *object,
	char complaint[static VALUE_COMPLAINT])
{
	return types[row->type].read(row, setting, (char *)object + row->offset, complaint);
}
