/* SPDX-License-Identifier: Apache-2.0 */

/* Groups end in the reverse order of their beginning, so that one stack holds the names of all. */

#include "conf/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct conf_bracket *innermost(const struct conf_text *t)
{
	return t->n_open > 0 ? &t->open[t->n_open - 1] : NULL;
}

static const struct conf_name *find(const struct conf_text *t, const char *name)
{
	const struct conf_bracket *group = innermost(t);

	for (size_t i = group ? group->n_names : 0; i < t->n_names; i++)
		if (strcmp(t->names[i].name, name) == 0)
			return &t->names[i];
	return NULL;
}

/* A bracket behind "log =" began when that was the last name. */
void names_key(const struct conf_text *t, char key[static NAMES_KEY])
{
	size_t len = 0, before = 0;

	key[0] = '\0';
	for (size_t i = 0; i <= t->n_open; i++) {
		size_t n = i < t->n_open ? t->open[i].n_names : t->n_names;

		if (n > before)
			len += (size_t)snprintf(key + len, NAMES_KEY - len, "%s%s",
				len > 0 ? "." : "", t->names[n - 1].name);
		before = n;
	}
}

static void blame_twice(struct scan *s, const char *file, unsigned line)
{
	const struct scan_word *word = &s->word;
	const char *end = memchr(word->line, '\n', (size_t)(s->end - word->line));
	char key[NAMES_KEY];
	const struct fault_place place = {
		.file = s->file,
		.line = word->number,
		.column = scan_characters(word->line, word->at) + 1,
		.width = (unsigned)word->len,
		.key = key,
		.source = word->line,
		.source_len = (size_t)((end ? end : s->end) - word->line),
	};

	names_key(s->text, key);
	faults_add(s->faults, &place, "set twice; %s:%u has it already", file, line);
}

static int push(struct conf_text *t, const struct conf_name *name)
{
	if (t->n_names == t->names_size) {
		size_t size = t->names_size ? 2 * t->names_size : 64;
		struct conf_name *names = reallocarray(t->names, size, sizeof(*names));

		if (!names)
			return -ENOMEM;
		t->names = names;
		t->names_size = size;
	}
	t->names[t->n_names++] = *name;
	return 0;
}

int names_add(struct scan *s)
{
	struct conf_text *t = s->text;
	const struct conf_bracket *group = innermost(t);
	struct conf_name name = {.file = s->file, .line = s->word.number};
	const struct conf_name *first;
	unsigned line;
	const char *file;

	if (!s->word.at || (group && group->sign != '{'))
		return 0;
	memcpy(name.name, s->word.at, s->word.len);
	first = find(t, name.name);
	if (!first)
		return push(t, &name);

	file = first->file;
	line = first->line;
	t->is_refused = true;
	if (push(t, &name) < 0)
		return -ENOMEM;
	/* The search for a column takes time, and a million faults get no more of it. */
	if (!s->faults->cut)
		blame_twice(s, file, line);
	return 0;
}

void names_forget(struct conf_text *t, size_t n)
{
	t->n_names = n;
}
