/* SPDX-License-Identifier: Apache-2.0 */

/* A list of faults, and the two ways in which it is shown. Text of the user is escaped on the way out,
 * since a configuration may hold anything. Must not decide what a fault is. */

#include "conf/fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "conf/conf.h"

/* As much of a line as is worth showing on a terminal. */
#define SHOWN 160

static void fault_done(struct fault *f)
{
	free(f->file);
	free(f->key);
	free(f->message);
	free(f->source);
}

static bool fault_text_copy(const char *from, char **ret_to)
{
	*ret_to = from ? strdup(from) : NULL;
	return *ret_to || !from;
}

/* Cut between characters, and a tab is one column wide. */
static bool copy_line(const char *line, size_t len, char **ret_line)
{
	if (len > SHOWN)
		for (len = SHOWN; len > 0 && ((unsigned char)line[len] & 0xc0) == 0x80;)
			len--;
	*ret_line = strndup(line, len);
	for (char *at = *ret_line; at && *at; at++)
		if (*at == '\t')
			*at = ' ';
	return *ret_line;
}

static int fault_order(const struct fault *a, const struct fault *b)
{
	int by_file = strcmp(a->file ? a->file : "", b->file ? b->file : "");

	if (by_file)
		return by_file;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return (a->column > b->column) - (a->column < b->column);
}

static bool same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* A value that several things inherit is wrong only once. */
static bool fault_is_known(const struct faults *faults, const struct fault *fault)
{
	for (size_t i = 0; i < faults->n; i++) {
		const struct fault *f = &faults->list[i];

		if (fault_order(f, fault) == 0 && same(f->key, fault->key) &&
			same(f->message, fault->message))
			return true;
	}
	return false;
}

static bool insert(struct faults *faults, const struct fault *fault)
{
	struct fault *list;
	size_t at = faults->n;

	if (faults->n >= FAULTS_MAX)
		return false;
	list = reallocarray(faults->list, faults->n + 1, sizeof(*list));
	if (!list)
		return false;
	faults->list = list;

	while (at > 0 && fault_order(&list[at - 1], fault) > 0)
		at--;
	memmove(&list[at + 1], &list[at], (faults->n - at) * sizeof(*list));
	list[at] = *fault;
	faults->n++;
	return true;
}

void faults_vadd(
	struct faults *faults, const struct fault_place *place, const char *format, va_list args)
{
	struct fault fault = {
		.level = place->level,
		.line = place->line,
		.column = place->column,
		.width = place->width,
	};
	bool ok;

	if (place->level == FAULT_ERROR)
		faults->errors = true;

	ok = vasprintf(&fault.message, format, args) >= 0;
	if (!ok)
		fault.message = NULL;

	ok = ok && fault_text_copy(place->file, &fault.file) &&
		fault_text_copy(place->key, &fault.key);
	if (ok && fault_is_known(faults, &fault)) {
		fault_done(&fault);
	} else if (!ok || !insert(faults, &fault)) {
		fault_done(&fault);
		faults->cut = true;
	}
}

void faults_add(struct faults *faults, const struct fault_place *place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	faults_vadd(faults, place, format, args);
	va_end(args);
}

static bool is_in_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-' || c == '*';
}

/* `name` as a whole word with its sign behind it, and not as part of a value. */
static const char *find_setting(const char *line, const char *end, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = line; (at = memmem(at, (size_t)(end - at), name, len)); at++) {
		const char *after = at + len;

		while (after < end && (*after == ' ' || *after == '\t'))
			after++;
		if ((at == line || !is_in_name(at[-1])) &&
			(after == end || *after == '=' || *after == ':' || *after == '\r'))
			return at;
	}
	return NULL;
}

/* Marks the setting that the fault is about, the first group for one that is missing, or the whole line. */
static void mark(struct fault *fault, const char *line, const char *end)
{
	const char *dot = fault->key ? strrchr(fault->key, '.') : NULL;
	const char *name = dot ? dot + 1 : fault->key;
	const char *at = name && *name ? find_setting(line, end, name) : NULL;
	const char *group = name && *name ? memchr(line, '{', (size_t)(end - line)) : NULL;
	const char *to = at ? at + strlen(name) : group ? group + 1 : end;

	if (!at)
		at = group ? group : line;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (to > at && strchr(" \t\r", to[-1]))
		to--;
	fault->column = text_characters(line, at) + 1;
	fault->width = text_characters(at, to);
}

static void show(struct fault *fault, const char *text, const char *end)
{
	const char *newline;

	for (unsigned line = 1; line < fault->line; line++) {
		text = memchr(text, '\n', (size_t)(end - text));
		if (!text)
			return;
		text++;
	}
	newline = memchr(text, '\n', (size_t)(end - text));
	end = newline ? newline : end;
	if (text < end && copy_line(text, (size_t)(end - text), &fault->source) &&
		fault->column == 0)
		mark(fault, text, end);
}

void conf_show_faults(struct faults *faults, conf_read_fn read, void *userdata)
{
	const char *file = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len = 0, mark_len;

	for (size_t i = 0; i < faults->n; i++) {
		struct fault *f = &faults->list[i];

		if (!f->file || f->line == 0 || f->source)
			continue;
		if (!file || strcmp(file, f->file) != 0) {
			free(take_ptr(&text));
			file = f->file;
			if (read(userdata, file, &text, &len) != 0)
				text = NULL;
		}
		if (!text)
			continue;
		mark_len = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
		show(f, text + mark_len, text + len);
	}
}

void faults_harden(struct faults *faults)
{
	for (size_t i = 0; i < faults->n; i++)
		faults->list[i].level = FAULT_ERROR;
	faults->errors = faults->errors || faults->n > 0;
}

bool faults_any_errors(const struct faults *faults)
{
	return faults->errors;
}

static void put_escaped(FILE *to, const char *text, size_t len)
{
	_cleanup_free_ char *safe = malloc(len * 4 + 1);

	if (safe && text_escape(text, len, safe, len * 4 + 1) > 0)
		fputs(safe, to);
}

/* How many bytes the first `characters` of a line take. */
static size_t bytes_of(const char *line, unsigned characters)
{
	size_t at = 0;

	for (; line[at]; at++)
		if (((unsigned char)line[at] & 0xc0) != 0x80 && characters-- == 0)
			break;
	return at;
}

static void put_times(FILE *to, char c, size_t n)
{
	while (n-- > 0)
		putc(c, to);
}

/* A line as it stands in the file: what could harm a terminal is escaped, backslashes are not. */
static char *line_escaped(const char *line, size_t len)
{
	char *safe = malloc(len * 4 + 1), *to = safe;

	if (!safe)
		return NULL;
	text_escape(line, len, safe, len * 4 + 1);
	for (const char *from = safe; *from; from++) {
		*to++ = *from;
		if (from[0] == '\\' && from[1] == '\\')
			from++;
	}
	*to = '\0';
	return safe;
}

/* The columns that a piece of the line takes. */
static size_t columns_of(const char *text, size_t len)
{
	_cleanup_free_ char *safe = line_escaped(text, len);
	size_t columns = 0;

	for (const char *at = safe; at && *at; at++)
		columns += ((unsigned char)*at & 0xc0) != 0x80;
	return columns;
}

static void put_source(FILE *to, const struct fault *f)
{
	_cleanup_free_ char *line = line_escaped(f->source, strlen(f->source));
	size_t before, marked;

	if (!line)
		return;
	fprintf(to, "%5u | %s\n", f->line, line);

	before = bytes_of(f->source, f->column ? f->column - 1 : 0);
	if (f->column == 0 || f->source[before] == '\0')
		return;
	marked = bytes_of(f->source + before, f->width ? f->width : 1);

	fputs("      | ", to);
	put_times(to, ' ', columns_of(f->source, before));
	putc('^', to);
	put_times(to, '~', columns_of(f->source + before, marked) - 1);
	putc('\n', to);
}

static void put_fault(FILE *to, const struct fault *f)
{
	if (f->file) {
		put_escaped(to, f->file, strlen(f->file));
		if (f->line)
			fprintf(to, ":%u", f->line);
		if (f->line && f->column)
			fprintf(to, ":%u", f->column);
		fputs(": ", to);
	}
	fputs(f->level == FAULT_ERROR ? "error: " : "warning: ", to);
	if (f->key) {
		put_escaped(to, f->key, strlen(f->key));
		fputs(": ", to);
	}
	put_escaped(to, f->message, strlen(f->message));
	putc('\n', to);
	if (f->source && f->line)
		put_source(to, f);
}

void faults_print(const struct faults *faults, FILE *to)
{
	for (size_t i = 0; i < faults->n; i++)
		put_fault(to, &faults->list[i]);
	if (faults->cut)
		fputs("error: there are more faults than these\n", to);
}

static void put_json(struct json *json, const struct fault *f)
{
	json_object(json, NULL);
	json_string(json, "level", f->level == FAULT_ERROR ? "error" : "warning");
	json_string(json, "file", f->file);
	if (f->line)
		json_number(json, "line", f->line);
	if (f->column)
		json_number(json, "column", f->column);
	json_string(json, "key", f->key);
	json_string(json, "message", f->message);
	json_end(json);
}

void faults_print_json(const struct faults *faults, FILE *to)
{
	static const char more[] = "there are more faults than these";
	struct json json = JSON_TO(to);

	json_list(&json, NULL);
	for (size_t i = 0; i < faults->n; i++)
		put_json(&json, &faults->list[i]);
	if (faults->cut)
		put_json(&json, &(struct fault){.message = (char *)(uintptr_t)more});
	json_end(&json);
}

void faults_done(struct faults *faults)
{
	for (size_t i = 0; i < faults->n; i++)
		fault_done(&faults->list[i]);
	free(faults->list);
	*faults = FAULTS_EMPTY;
}
