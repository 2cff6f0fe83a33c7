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

/* The length of what all keys of a listener begin with, if this is the line with its name, the first of them. */
static size_t listener_len(const char *whole, const char *mark)
{
	static const char before[] = "\tlisteners.", after[] = ".name";
	size_t value = strlen(mark + 3) - 1, len = sizeof(before) - 1 + value;

	if (strncmp(whole, before, sizeof(before) - 1) != 0)
		return 0;
	if ((size_t)(mark - whole) != len + sizeof(after) - 1)
		return 0;
	return memcmp(whole + len - value, mark + 3, value) == 0 ? len + 1 : 0;
}

/* Lines of `these` that `those` do not have, by key; a listener that is not there at all by its name. Keys that are in
 * both are told of when they are `added` alone. */
static void print_missing(const char *these, const char *those, bool added, FILE *to)
{
	const char *listener = NULL, *how = added ? " added" : " removed";
	size_t all_of_it = 0;

	for (const char *line = these, *end; (end = strchr(line, '\n')); line = end + 1) {
		_cleanup_free_ char *whole = strndup(line, (size_t)(end + 1 - line));
		char *mark = whole ? strstr(whole, " = ") : NULL;

		if (!mark || strstr(those, whole))
			continue;
		if (listener && strncmp(line, listener, all_of_it) == 0)
			continue;
		all_of_it = listener_len(whole, mark);
		listener = all_of_it > 0 ? line : NULL;
		mark[3] = '\0';
		if (!added && strstr(those, whole))
			continue;
		whole[listener ? all_of_it - 1 : (size_t)(mark - whole)] = '\0';
		fprintf(to, "%s%s%s", ftell(to) > 0 ? ", " : "", whole + 1, listener ? how : "");
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
	print_missing(new, old, true, to);
	print_missing(old, new, false, to);
	return fclose(to) == 0 ? 0 : -ENOMEM;
}
