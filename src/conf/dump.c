/* SPDX-License-Identifier: Apache-2.0 */

/* The whole configuration as text: every key that applies, one a line, and behind it as "#: " where
 * its value comes from. The reader carries such a comment over, so that the dump of a dump is the
 * same to the byte. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/quantity.h"
#include "conf/conf.h"
#include "conf/schema.h"
#include "conf/value.h"

static void print_string(FILE *to, const char *text)
{
	putc('"', to);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(to, "\\x%02x", c);
		else
			putc(c, to);
	}
	putc('"', to);
}

/* The shortest text that reads back as the same number, and as no integer. */
static void print_ratio(FILE *to, double value)
{
	char text[32];

	for (int digits = 4; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	fprintf(to, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void print_sample(FILE *to, unsigned of)
{
	if (of > 1)
		fprintf(to, "\"1/%u\"", of);
	else
		fputs(of == 1 ? "true" : "false", to);
}

static void print_strings(FILE *to, const struct value_strings *strings)
{
	fputs("[", to);
	for (size_t i = 0; i < strings->n; i++) {
		fputs(i ? ", " : "", to);
		print_string(to, strings->list[i]);
	}
	fputs("]", to);
}

static void print_prefixes(FILE *to, const struct conf_prefixes *prefixes)
{
	char text[ADDR_TEXT];

	fputs("[", to);
	for (size_t i = 0; i < prefixes->n; i++)
		fprintf(to, "%s\"%s\"", i ? ", " : "",
			addr_format_prefix(&prefixes->list[i], text));
	fputs("]", to);
}

/* In one line, like every value, so that the comment behind it is theirs. */
static void print_certificates(FILE *to, const struct conf_tls *tls)
{
	const struct conf_schema *schema = &conf_schemas[SCOPE_CERTIFICATE];

	fputs("(", to);
	for (size_t i = 0; i < tls->n_certificates; i++) {
		fputs(i ? ", {" : " {", to);
		for (size_t j = 0; j < schema->n; j++) {
			const struct conf_row *row = &schema->rows[j];
			const char *text =
				*(char *const *)((const char *)&tls->certificates[i] + row->offset);

			if (!text)
				continue;
			fprintf(to, " %s = ", row->key);
			print_string(to, text);
			fputs(";", to);
		}
		fputs(" }", to);
	}
	fputs(" )", to);
}

static void print_value(FILE *to, const struct conf_row *row, const void *object)
{
	const void *field = (const char *)object + row->offset;
	char text[ADDR_TEXT];
	unsigned word;

	switch (row->type) {
	case TYPE_BOOL:
		fputs(*(const bool *)field ? "true" : "false", to);
		break;
	case TYPE_NUMBER:
		fprintf(to, "%u", *(const unsigned *)field);
		break;
	case TYPE_PORT:
		fprintf(to, "%u", *(const uint16_t *)field);
		break;
	case TYPE_COUNT:
		fprintf(to, "%" PRIu64, *(const uint64_t *)field);
		break;
	case TYPE_SIZE:
		fprintf(to, "%zu", *(const size_t *)field);
		break;
	case TYPE_TIME:
		fprintf(to, "\"%s\"", quantity_format_time(*(const uint64_t *)field, text));
		break;
	case TYPE_RATIO:
		print_ratio(to, *(const double *)field);
		break;
	case TYPE_SAMPLE:
		print_sample(to, *(const unsigned *)field);
		break;
	case TYPE_MODE:
		fprintf(to, "\"%04o\"", (unsigned)*(const mode_t *)field);
		break;
	case TYPE_WORD:
		memcpy(&word, field, sizeof(word));
		print_string(to, row->words[word].word);
		break;
	case TYPE_STRING:
		print_string(to, *(char *const *)field);
		break;
	case TYPE_STRINGS:
	case TYPE_CLIENT_NAMES:
		print_strings(to, field);
		break;
	case TYPE_ADDRESS:
		print_string(to, addr_format_host(field, text));
		break;
	case TYPE_PREFIXES:
		print_prefixes(to, field);
		break;
	case TYPE_CERTIFICATES:
		print_certificates(to, object);
		break;
	case TYPE_TLS:
	case TYPE_LISTENERS:
		break;
	}
}

static bool is_value_set(const struct conf_row *row, const void *object)
{
	const void *field = (const char *)object + row->offset;

	switch ((int)row->type) {
	case TYPE_PORT:
		return *(const uint16_t *)field;
	case TYPE_STRING:
		return *(char *const *)field;
	case TYPE_ADDRESS:
		return ((const struct addr *)field)->len > 0;
	case TYPE_CERTIFICATES:
		return ((const struct conf_tls *)object)->n_certificates;
	default:
		return true;
	}
}

/* A group of rows on its way out. */
struct dump {
	FILE *to;
	int depth;
};

static void print_indent(const struct dump *d)
{
	for (int i = 0; i < d->depth; i++)
		putc('\t', d->to);
}

static void print_row(
	const struct dump *d, const struct conf_row *row, const void *object, const char *origin)
{
	const char *dot = strchr(row->key, '.');
	const char *name = dot ? dot + 1 : row->key;

	print_indent(d);
	if (!is_value_set(row, object)) {
		fprintf(d->to, "# %s is not set\n", name);
		return;
	}
	fprintf(d->to, "%s = ", name);
	print_value(d->to, row, object);
	fprintf(d->to, "; #: %s\n", origin ? origin : "default");
}

static void open_group(struct dump *d, const char *name, int name_len)
{
	print_indent(d);
	fprintf(d->to, "%.*s = {\n", name_len, name);
	d->depth++;
}

static void close_group(struct dump *d)
{
	d->depth--;
	print_indent(d);
	fputs("};\n", d->to);
}

static void print_tls(struct dump *d, const struct conf_tls *tls)
{
	const struct conf_schema *schema = &conf_schemas[SCOPE_TLS];

	open_group(d, "tls", 3);
	for (size_t i = 0; i < schema->n; i++)
		print_row(d, &schema->rows[i], tls, tls->origins[i]);
	close_group(d);
}

static bool applies(const struct conf_row *row, const struct conf_listener *l)
{
	bool is_file = l->path && l->path[0] != '@';

	if (conf_schema_lacks(row->flags))
		return false;
	if (row->flags & ON_ALL && !(row->flags & (1u << l->transport)))
		return false;
	return !(row->flags & ON_PORT && l->path) && !(row->flags & ON_FILE && !is_file);
}

static void print_listener(struct dump *d, const struct conf_listener *l)
{
	const struct conf_schema *schema = &conf_schemas[SCOPE_LISTENER];

	for (size_t i = 0; i < schema->n; i++) {
		const struct conf_row *row = &schema->rows[i];

		if (!applies(row, l))
			continue;
		if (row->type == TYPE_TLS)
			print_tls(d, &l->tls);
		else
			print_row(d, row, l, l->origins[i]);
	}
}

static void print_listeners(struct dump *d, const struct conf *conf)
{
	fputs("listeners = (\n", d->to);
	for (size_t i = 0; i < conf->n_listeners; i++) {
		fputs("\t{\n", d->to);
		d->depth = 2;
		print_listener(d, &conf->listeners[i]);
		d->depth = 0;
		fprintf(d->to, "\t}%s\n", i + 1 < conf->n_listeners ? "," : "");
	}
	fputs(");\n", d->to);
}

/* Keys with a dot share a group with those before them, if it has the same name. */
static void change_group(struct dump *d, const struct conf_row *from, const struct conf_row *row)
{
	int len = (int)strcspn(row->key, ".");
	bool had = from && strchr(from->key, '.'), has = row->key[len];

	if (had && has && strncmp(from->key, row->key, (size_t)len + 1) == 0)
		return;
	if (had)
		close_group(d);
	if (has)
		open_group(d, row->key, len);
}

static void print_top(struct dump *d, const struct conf *conf)
{
	const struct conf_schema *schema = &conf_schemas[SCOPE_TOP];
	const struct conf_row *before = NULL;

	for (size_t i = 0; i < schema->n; i++) {
		const struct conf_row *row = &schema->rows[i];

		if (conf_schema_lacks(row->flags))
			continue;
		change_group(d, before, row);
		before = row;
		if (row->type == TYPE_TLS)
			print_tls(d, &conf->tls);
		else if (row->type == TYPE_LISTENERS)
			print_listeners(d, conf);
		else
			print_row(d, row, conf, conf->origins[i]);
	}
}

int conf_dump(const struct conf *conf, char **ret_text)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	struct dump d = {.to = open_memstream(&text, &size)};
	bool failed;

	if (!d.to)
		return -ENOMEM;
	fputs("# The effective configuration. Behind each value is where it comes from.\n", d.to);
	print_top(&d, conf);
	failed = ferror(d.to);
	if (fclose(d.to) != 0 || failed)
		return -ENOMEM;

	*ret_text = take_ptr(&text);
	return 0;
}

const char *conf_origin(const struct conf *conf, const char *key)
{
	const struct conf_schema *schema = &conf_schemas[SCOPE_TOP];

	for (size_t i = 0; i < schema->n; i++)
		if (strcmp(schema->rows[i].key, key) == 0)
			return conf->origins[i] ? conf->origins[i] : "default";
	return NULL;
}

static void print_key(FILE *to, const char *listener, const char *group, const char *key)
{
	fprintf(to, "%s%s%s%s%s=\n", listener ? "listeners." : "", listener ? listener : "",
		listener ? "." : "", group, key);
}

/* Of all rows that one value can be set for. */
static void print_keys(FILE *to, const struct conf_schema *schema, const struct conf_listener *l)
{
	const struct conf_schema *tls = &conf_schemas[SCOPE_TLS];

	for (size_t i = 0; i < schema->n; i++) {
		const struct conf_row *row = &schema->rows[i];

		if (l ? !applies(row, l) : conf_schema_lacks(row->flags) != NULL)
			continue;
		if (row->type == TYPE_TLS)
			for (size_t j = 0; j < tls->n; j++)
				print_key(to, l ? l->name : NULL, "tls.", tls->rows[j].key);
		else if (row->type != TYPE_LISTENERS)
			print_key(to, l ? l->name : NULL, "", row->key);
	}
}

void conf_print_keys(const struct conf *conf, FILE *to)
{
	print_keys(to, &conf_schemas[SCOPE_TOP], NULL);
	for (size_t i = 0; conf && i < conf->n_listeners; i++)
		if (conf->listeners[i].name)
			print_keys(to, &conf_schemas[SCOPE_LISTENER], &conf->listeners[i]);
}
