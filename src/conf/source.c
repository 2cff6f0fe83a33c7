/* SPDX-License-Identifier: Apache-2.0 */

/* Reads a configuration and all that it includes into one text. Which file to read is decided here,
 * what is in it by conf/scan.c. Must open nothing itself: the caller's `read` does. */

#include "conf/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "conf/scan.h"

/* A file being read, and which one includes it. */
struct reading {
	const struct conf_source *source;
	const struct reading *outer;
	const char *file;
	unsigned depth;
};

static int read_one(struct conf_text *t, struct reading *reading, struct faults *faults,
	const struct scan *from);

void conf_text_done(struct conf_text *t)
{
	for (size_t i = 0; i < t->n_files; i++)
		free(t->files[i]);
	free(t->files);
	free(t->names);
	free(t->lines);
	free(t->text);
	*t = CONF_TEXT_EMPTY;
}

/* Lines point to the name of their file, which the text owns. */
static int keep_file(struct conf_text *t, char *file)
{
	char **files = reallocarray(t->files, t->n_files + 1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	t->files = files;
	files[t->n_files++] = file;
	return 0;
}

/* A path of an @include is seen from the file that it stands in. */
static char *path_from(const char *file, const char *path, size_t len)
{
	const char *slash = strrchr(file, '/');
	int folder = path[0] != '/' && slash ? (int)(slash - file) + 1 : 0;
	char *whole;

	return asprintf(&whole, "%.*s%.*s", folder, file, (int)len, path) < 0 ? NULL : whole;
}

static int include(struct scan *scan, const char *path, size_t len)
{
	const struct reading *outer = scan->userdata;
	_cleanup_free_ char *file = path_from(outer->file, path, len);
	struct reading reading = {
		.source = outer->source,
		.outer = outer,
		.depth = outer->depth + 1,
	};
	int r;

	if (!file)
		return -ENOMEM;
	for (const struct reading *at = outer; at; at = at->outer)
		if (strcmp(at->file, file) == 0)
			return scan_fault(scan, path, len, "%s includes itself", file);
	if (reading.depth > CONF_MAX_DEPTH)
		return scan_fault(
			scan, path, len, "files are included deeper than %d", CONF_MAX_DEPTH);
	if (scan->text->n_files > CONF_MAX_INCLUDES)
		return scan_fault(
			scan, path, len, "more than %d files are included", CONF_MAX_INCLUDES);

	r = keep_file(scan->text, file);
	if (r)
		return r;
	reading.file = take_ptr(&file);
	return read_one(scan->text, &reading, scan->faults, scan);
}

static int unreadable(const struct scan *from, const char *file, struct faults *faults, int error)
{
	const char *why = error == -EFBIG ? "larger than 16 MiB"
		: error == -EISDIR        ? "a folder, not a file"
					  : strerror(-error);

	if (from)
		return scan_fault(from, from->at, strcspn(from->at, "\""), "%s cannot be read: %s",
			file, why);
	faults_add(faults, &(struct fault_place){.file = file}, "cannot be read: %s", why);
	return CONF_E_FAULTS;
}

/* A file that is no text is refused whole, at the first byte that shows it. */
static int check_bytes(struct scan *s)
{
	size_t len = (size_t)(s->end - s->at), bad;
	const char *nul = memchr(s->at, '\0', len);
	bool is_text = text_is_utf8(s->at, nul ? (size_t)(nul - s->at) : len, &bad);
	const char *at = is_text ? nul : s->at + bad;
	struct scan place = *s;

	if (!at)
		return 0;
	place.number = 1;
	for (const char *end; (end = memchr(place.line, '\n', (size_t)(at - place.line)));) {
		place.line = end + 1;
		place.number++;
	}
	return scan_fault(
		&place, at, 1, is_text ? "a NUL byte: this is not a text" : "this is not UTF-8");
}

static int read_one(struct conf_text *t, struct reading *reading, struct faults *faults,
	const struct scan *from)
{
	static const char mark[] = "\xef\xbb\xbf"; /* as some editors put before UTF-8 */
	const struct conf_source *source = reading->source;
	_cleanup_free_ char *text = NULL;
	struct scan scan = {
		.text = t,
		.faults = faults,
		.file = reading->file,
		.include = include,
		.userdata = reading,
	};
	size_t len = 0;
	int r;

	r = source->read(source->userdata, reading->file, &text, &len);
	if (r == 0 && len > CONF_MAX_BYTES)
		r = -EFBIG;
	if (r == -ENOMEM)
		return r;
	if (r)
		return unreadable(from, reading->file, faults, r);

	scan.at = text + (len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0);
	scan.line = scan.copied = scan.at;
	scan.end = text + len;
	r = check_bytes(&scan);
	return r ? r : scan_file(&scan);
}

static int check_brackets(const struct conf_text *t, struct faults *faults)
{
	const struct conf_bracket *last;
	struct fault_place place;

	if (t->n_open == 0)
		return 0;
	last = &t->open[t->n_open - 1];
	place = conf_text_place(t, (unsigned)last->line, NULL);
	place.column = last->column;
	place.width = 1;
	faults_add(faults, &place, "syntax error: this '%c' is never closed", last->sign);
	return CONF_E_FAULTS;
}

int conf_text_join(struct conf_text *text, const struct conf_source *source, struct faults *faults)
{
	_cleanup_free_ char *file = strdup(source->file);
	struct reading reading = {.source = source};
	int r;

	if (!file)
		return -ENOMEM;
	r = keep_file(text, file);
	if (r)
		return r;
	reading.file = take_ptr(&file);

	r = read_one(text, &reading, faults, NULL);
	if (r == 0)
		r = check_brackets(text, faults);
	return r == 0 && text->is_refused ? CONF_E_FAULTS : r;
}

static const struct conf_line *line_of(const struct conf_text *t, unsigned line)
{
	size_t last = t->n_lines;

	return &t->lines[(line == 0 ? 1 : line > last ? last : line) - 1];
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-' || c == '*';
}

/* `name` as a whole word with its sign behind it, and not as part of a value. */
static const char *find_setting(const char *line, const char *end, const char *name)
{
	size_t len = strlen(name);

	if (*name == '{')
		return memchr(line, '{', (size_t)(end - line));

	for (const char *at = line; (at = memmem(at, (size_t)(end - at), name, len)); at++) {
		const char *after = at + len;

		while (after < end && (*after == ' ' || *after == '\t'))
			after++;
		if ((at == line || !is_name(at[-1])) &&
			(after == end || *after == '=' || *after == ':' || *after == '\r'))
			return at;
	}
	return NULL;
}

/* The column of a setting in a line, or of the first thing in it. */
static struct fault_place place_in(const char *begin, const char *name)
{
	const char *end = strchrnul(begin, '\n');
	const char *at = name ? find_setting(begin, end, name) : NULL;
	const char *to = at ? at + strlen(name) : end;

	if (!at)
		at = begin + strspn(begin, " \t");
	while (!name && to > at && strchr(" \t\r", to[-1]))
		to--;

	return (struct fault_place){
		.column = scan_characters(begin, at) + 1,
		.width = scan_characters(at, to),
		.source = begin,
		.source_len = (size_t)(end - begin),
	};
}

struct fault_place conf_text_place(const struct conf_text *t, unsigned number, const char *name)
{
	const struct conf_line *line = line_of(t, number);
	struct fault_place place = place_in(t->text + line->start, name);

	place.file = line->file;
	place.line = line->number;
	return place;
}

/* "key" of "listeners.tls.tls.certificates[0].key". */
static const char *last_name(const char *key)
{
	const char *dot = key ? strrchr(key, '.') : NULL;
	const char *name = dot ? dot + 1 : key;

	return name && *name ? name : NULL;
}

static void show(struct fault *fault, const char *text)
{
	struct fault_place place;

	for (unsigned line = 1; line < fault->line; line++) {
		text = strchr(text, '\n');
		if (!text)
			return;
		text++;
	}
	if (*text == '\0')
		return;
	place = place_in(text, last_name(fault->key));
	fault_show(fault, &place);
}

void conf_show_faults(struct faults *faults, conf_read_fn read, void *userdata)
{
	const char *file = NULL;
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < faults->n; i++) {
		struct fault *f = &faults->list[i];
		size_t len;

		if (!f->file || f->line == 0 || f->source)
			continue;
		if (!file || strcmp(file, f->file) != 0) {
			free(take_ptr(&text));
			file = f->file;
			if (read(userdata, file, &text, &len) != 0)
				text = NULL;
		}
		if (text)
			show(f, text);
	}
}

char *conf_text_origin(const struct conf_text *t, unsigned number)
{
	const struct conf_line *line = line_of(t, number);
	size_t size = 4 * strlen(line->file) + 16;
	char *origin;

	if (line->origin_len)
		return strndup(t->text + line->origin, line->origin_len);

	origin = malloc(size);
	if (origin) {
		size_t len = text_escape(line->file, strlen(line->file), origin, size);

		snprintf(origin + len, size - len, ":%u", line->number);
	}
	return origin;
}
