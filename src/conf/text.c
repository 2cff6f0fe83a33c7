/* SPDX-License-Identifier: Apache-2.0 */

/* libconfig reads one text. This file makes that text of a file and its includes, within bounds, and
 * remembers for each line where it is from. Nothing is opened here: the caller's `read` does.
 *
 * Four things must not reach libconfig, which would misread them without a word: a NUL, which ends its
 * text; an @include, which it would open by itself; "\x00" in a string, of which it drops the rest; and a
 * number beyond 32 bits, of which it keeps the low ones unless an L is behind it. Everything else is for
 * libconfig to judge. */

#include "conf/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

/* A file being read. */
struct reading {
	const struct conf_source *source;
	const struct reading *outer; /* includes this one */
	struct conf_text *text;
	struct faults *faults;
	const char *file, *begin, *end;
	const char *copied; /* what is before this is in the joined text */
	unsigned number;
};

void text_done(struct conf_text *t)
{
	for (size_t i = 0; i < t->n_files; i++)
		free(t->files[i]);
	free(t->lines);
	free(t->text);
}

static bool is_in_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c && strchr("_*+-.", c));
}

static const char *line_end(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', (size_t)(end - at));

	return newline ? newline : end;
}

/* Behind the closing quote, or NULL. */
static const char *string_end(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		if (*at == '\\' && end - at > 1)
			at++;
	return at < end ? at + 1 : NULL;
}

static const char *block_end(const char *at, const char *end)
{
	const char *close = memmem(at + 2, (size_t)(end - at - 2), "*/", 2);

	return close ? close + 2 : NULL;
}

struct token token_next(const char **at, const char *end)
{
	struct token token = {.kind = TOKEN_SIGN, .at = *at};
	const char *to;
	char next;

	while (token.at < end && strchr(" \t\r\n\f", *token.at))
		token.at++;
	*at = to = token.at;
	if (to == end)
		return (struct token){.kind = TOKEN_END, .at = to};

	next = end - to > 1 ? to[1] : '\0';
	to++;
	if (*token.at == '#' || (*token.at == '/' && (next == '/' || next == '*'))) {
		token.kind = TOKEN_COMMENT;
		to = next == '*' && *token.at == '/' ? block_end(token.at, end) : line_end(to, end);
	} else if (*token.at == '"') {
		token.kind = TOKEN_STRING;
		to = string_end(token.at, end);
	} else if (is_in_word(*token.at)) {
		token.kind = TOKEN_WORD;
		while (to < end && is_in_word(*to))
			to++;
	}
	if (!to) {
		token.kind = TOKEN_UNCLOSED;
		to = end;
	}
	token.len = (size_t)(to - token.at);
	*at = to;
	return token;
}

__attribute__((format(printf, 4, 5))) static int file_fault(
	const struct reading *in, const char *at, size_t len, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	struct fault_place place = {.file = in->file, .line = 1, .width = (unsigned)len};
	const char *line = in->begin;
	va_list args;

	for (const char *next; (next = memchr(line, '\n', (size_t)(at - line))); line = next + 1)
		place.line++;
	place.column = text_characters(line, at) + 1;
	va_start(args, format);
	if (vasprintf(&message, format, args) < 0)
		message = NULL;
	va_end(args);
	faults_add(in->faults, &place, "%s", message ? message : "out of memory");
	return CONF_E_FAULTS;
}

static int begin_line(struct reading *in)
{
	struct conf_text *t = in->text;

	if (t->n_lines == CONF_MAX_LINES)
		return file_fault(in, in->copied, 0, "more than %d lines", CONF_MAX_LINES);
	t->lines[t->n_lines++] = (struct conf_line){in->file, ++in->number, t->len, 0, 0};
	return 0;
}

static int append(struct reading *in, const char *data, size_t len)
{
	struct conf_text *t = in->text;

	if (t->len + len >= CONF_MAX_BYTES)
		return file_fault(in, in->copied, 0, "more than 16 MiB with what is included");
	memcpy(t->text + t->len, data, len);
	t->len += len;
	t->text[t->len] = '\0';
	return 0;
}

/* The file up to `to`. */
static int copy_to(struct reading *in, const char *to)
{
	int r = 0;

	while (r == 0 && in->copied < to) {
		const char *end = line_end(in->copied, to);
		bool has_newline = end < to;

		r = append(in, in->copied, (size_t)(end - in->copied) + has_newline);
		in->copied = end + has_newline;
		if (r == 0 && has_newline)
			r = begin_line(in);
	}
	return r;
}

static int join_file(struct reading *in, const char *path, size_t len);

/* @include "PATH" in a line of its own, with at most a comment behind it. The line leaves no trace: its
 * record is dropped, and the text goes on behind it. */
static int include_line(struct reading *in, const char *sign, const char **at)
{
	const char *end = line_end(sign, in->end), *line = sign;
	struct token word = token_next(at, end), path = token_next(at, end),
		     rest = token_next(at, end);
	struct reading included = {in->source, in, in->text, in->faults};
	int r;

	while (line > in->begin && strchr(" \t", line[-1]))
		line--;
	if ((line > in->begin && line[-1] != '\n') || word.at != sign + 1 || word.len != 7 ||
		memcmp(word.at, "include", 7) != 0 || path.kind != TOKEN_STRING ||
		(rest.kind != TOKEN_END && rest.kind != TOKEN_COMMENT))
		return file_fault(in, sign, 1,
			"syntax error: '@' stands only in a line of its own, as in @include "
			"\"FILE\"");
	r = copy_to(in, line);
	if (r)
		return r;
	in->text->n_lines--;
	r = join_file(&included, path.at + 1, path.len - 2);
	if (r)
		return r;
	*at = in->copied = end < in->end ? end + 1 : end;
	return begin_line(in);
}

static bool is_whole_number(const char *at, const char *end)
{
	bool is_hex;

	at += *at == '-' || *at == '+';
	is_hex = end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X');
	for (at += is_hex ? 2 : 0; at < end; at++)
		if (!strchr(is_hex ? "0123456789abcdefABCDEF" : "0123456789", *at))
			return false;
	return true;
}

/* With an L, libconfig keeps all of it, and the range of the key is held against the true number. */
static int join_word(struct reading *in, const struct token *token)
{
	int r;

	if (token->len < 10 || !is_whole_number(token->at, token->at + token->len))
		return 0;
	r = copy_to(in, token->at + token->len);
	return r ? r : append(in, "L", 1);
}

/* How a dump says where a value came from is carried over to the next. */
static int join_comment(struct reading *in, const struct token *token)
{
	struct conf_text *t = in->text;
	int r;

	if (token->len < 4 || memcmp(token->at, "#: ", 3) != 0)
		return 0;
	r = copy_to(in, token->at + token->len);
	if (r)
		return r;
	t->lines[t->n_lines - 1].origin = t->len - token->len + 3;
	t->lines[t->n_lines - 1].origin_len = token->len - 3 - (token->at[token->len - 1] == '\r');
	return 0;
}

static int join_token(struct reading *in, const struct token *token, const char **at)
{
	const char *nul = memmem(token->at, token->len, "\\x00", 4);

	if (token->kind == TOKEN_WORD)
		return join_word(in, token);
	if (token->kind == TOKEN_COMMENT)
		return join_comment(in, token);
	if (token->kind == TOKEN_STRING)
		return nul ? file_fault(in, nul, 4, "a string cannot hold a NUL byte") : 0;
	if (*token->at == '@')
		return include_line(in, token->at, at);
	if (strchr("=:,", *token->at) && ++in->text->n_settings > CONF_MAX_SETTINGS)
		return file_fault(in, token->at, 1, "more than %d settings and elements of lists",
			CONF_MAX_SETTINGS);
	return 0;
}

static int join_tokens(struct reading *in)
{
	const char *at = in->begin;
	struct token token;
	int r = begin_line(in);

	while (r == 0 && (token = token_next(&at, in->end)).kind != TOKEN_END) {
		if (token.kind != TOKEN_UNCLOSED) {
			r = join_token(in, &token, &at);
			continue;
		}
		r = copy_to(in, in->end);
		return r ? r : TEXT_E_UNCLOSED;
	}
	if (r == 0)
		r = copy_to(in, in->end);
	if (r)
		return r;
	/* A last line without a newline gets one, and what follows a newline is no line. */
	if (in->copied == in->begin || in->copied[-1] != '\n')
		return append(in, "\n", 1);
	in->text->n_lines--;
	return 0;
}

/* A file that is no text is refused whole, at the first byte that shows it. */
static int check_bytes(const struct reading *in)
{
	size_t len = (size_t)(in->end - in->begin), bad;
	const char *nul = memchr(in->begin, '\0', len);

	if (!text_is_utf8(in->begin, nul ? (size_t)(nul - in->begin) : len, &bad))
		return file_fault(in, in->begin + bad, 1, "this is not UTF-8");
	return nul ? file_fault(in, nul, 1, "a NUL byte: this is not a text") : 0;
}

/* A path is seen from the file that includes it. */
static int join_file(struct reading *in, const char *path, size_t len)
{
	static const char mark[] = "\xef\xbb\xbf"; /* as some editors put before UTF-8 */
	const struct reading *from = in->outer;
	const char *slash = from && *path != '/' ? strrchr(from->file, '/') : NULL, *why;
	int folder = slash ? (int)(slash - from->file) + 1 : 0, r;
	struct conf_text *t = in->text;
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	if (t->n_files > CONF_MAX_INCLUDES)
		return file_fault(
			from, path, len, "more than %d files are included", CONF_MAX_INCLUDES);
	if (asprintf(&t->files[t->n_files], "%.*s%.*s", folder, from ? from->file : "", (int)len,
		    path) < 0)
		return -ENOMEM;
	in->file = t->files[t->n_files++];
	for (const struct reading *at = from; at; at = at->outer)
		if (strcmp(at->file, in->file) == 0)
			return file_fault(from, path, len, "%s includes itself", in->file);
	r = in->source->read(in->source->userdata, in->file, &text, &size);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || size >= CONF_MAX_BYTES) {
		why = r == -EISDIR ? "a folder, not a file" : strerror(-r);
		why = r == 0 || r == -EFBIG ? "larger than 16 MiB" : why;
		if (from)
			return file_fault(from, path, len, "%s cannot be read: %s", in->file, why);
		faults_add(in->faults, &(struct fault_place){.file = in->file},
			"cannot be read: %s", why);
		return CONF_E_FAULTS;
	}
	in->begin = in->copied = text + (size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0);
	in->end = text + size;
	r = check_bytes(in);
	return r ? r : join_tokens(in);
}

int text_join(struct conf_text *text, const struct conf_source *source, struct faults *faults)
{
	struct reading in = {.source = source, .text = text, .faults = faults};

	*text = (struct conf_text){
		.text = malloc(CONF_MAX_BYTES),
		.lines = reallocarray(NULL, CONF_MAX_LINES, sizeof(*text->lines)),
	};
	if (!text->text || !text->lines)
		return -ENOMEM;
	*text->text = '\0';
	return join_file(&in, source->file, strlen(source->file));
}

static const struct conf_line *line_of(const struct conf_text *t, unsigned number)
{
	unsigned last = (unsigned)t->n_lines;

	return &t->lines[(number == 0 ? 1 : number > last ? last : number) - 1];
}

struct fault_place text_place(const struct conf_text *t, unsigned number)
{
	const struct conf_line *line = line_of(t, number);

	return (struct fault_place){.file = line->file, .line = line->number};
}

char *text_origin(const struct conf_text *t, unsigned number)
{
	const struct conf_line *line = line_of(t, number);
	size_t size = 4 * strlen(line->file) + 16, len;
	char *origin;

	if (line->origin_len)
		return strndup(t->text + line->origin, line->origin_len);

	origin = malloc(size);
	if (origin) {
		len = text_escape(line->file, strlen(line->file), origin, size);
		snprintf(origin + len, size - len, ":%u", line->number);
	}
	return origin;
}
