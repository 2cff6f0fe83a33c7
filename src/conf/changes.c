/* SPDX-License-Identifier: Apache-2.0 */

/* The keys in which two configurations differ, by their dumps: the indentation of a line is its depth, and the
 * name of a listener comes first among its keys. Whatever conf_dump() prints is compared, so that no key can
 * be forgotten here. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "conf/conf.h"

/* Where a line of a dump stands. */
struct dump_place {
	char listener[64];
	char group[32];
};

/* "\tgroup.key = value\n" for each line of the dump, so that a line can be found whole. */
static void flatten_line(const char *line, size_t len, struct dump_place *place, FILE *to)
{
	size_t depth = strspn(line, "\t"), key = strcspn(line + depth, " \n");
	const char *at = line + depth, *end = memmem(line, len, "; #:", 4);
	const char *value = at + key + 3;

	if (len > 2 && memcmp(line + len - 3, "= {", 3) == 0)
		snprintf(place->group, sizeof(place->group), "%.*s.", (int)key, at);
	else if (*at == '}')
		*place->group = '\0';
	if (!end || *at == '#')
		return;
	if (depth == 2 && key == 4 && memcmp(at, "name", 4) == 0)
		snprintf(place->listener, sizeof(place->listener), "%.*s", (int)(end - value),
			value);
	if (depth >= 2)
		fprintf(to, "\tlisteners.%s.", place->listener);
	else
		fprintf(to, "\t");
	fprintf(to, "%s%.*s\n", place->group, (int)(end - at), at);
}

static int flatten(const struct conf *conf, char **ret_flat)
{
	_cleanup_free_ char *dump = NULL;
	struct dump_place place = {0};
	size_t size;
	FILE *to;
	int r = conf_dump(conf, &dump);

	if (r < 0)
		return r;
	to = open_memstream(ret_flat, &size);
	if (!to)
		return -ENOMEM;
	for (const char *line = dump, *end; (end = strchr(line, '\n')); line = end + 1)
		flatten_line(line, (size_t)(end - line), &place, to);
	return fclose(to) == 0 ? 0 : -ENOMEM;
}

/* Lines of `these` that `those` do not have, by key; keys that are in both are left out where `once`. */
static void print_missing(const char *these, const char *those, bool once, FILE *to)
{
	for (const char *line = these, *end; (end = strchr(line, '\n')); line = end + 1) {
		_cleanup_free_ char *whole = strndup(line, (size_t)(end + 1 - line));
		char *mark = whole ? strstr(whole, " = ") : NULL;

		if (!mark || strstr(those, whole))
			continue;
		mark[3] = '\0';
		if (once && strstr(those, whole))
			continue;
		mark[0] = '\0';
		fprintf(to, "%s%s", ftell(to) > 0 ? ", " : "", whole + 1);
	}
}

int conf_changes(const struct conf *before, const struct conf *after, char **ret_keys)
{
	_cleanup_free_ char *old = NULL, *new = NULL;
	size_t size;
	FILE *to;
	int r = flatten(before, &old);

	if (r == 0)
		r = flatten(after, &new);
	to = r == 0 ? open_memstream(ret_keys, &size) : NULL;
	if (!to)
		return r < 0 ? r : -ENOMEM;
	print_missing(new, old, false, to);
	print_missing(old, new, true, to);
	return fclose(to) == 0 ? 0 : -ENOMEM;
}
