/* SPDX-License-Identifier: Apache-2.0 */

/* libconfig reads one text. One walk over the tokens makes that text of a file and its includes, within
 * bounds, and remembers for each line where it is from. Nothing is opened here: the caller's `read` does.
 *
 * Four things must not reach libconfig, which would misread them without a word: a NUL, which ends its
 * text; an @include, which it would open by itself; "\x00" in a string, of which it drops the rest; and a
 * number beyond 32 bits, of which it keeps the low ones unless an L is behind it. An unclosed string or
 * comment is the fifth: libconfig takes some of them for the end. These are refused here, or mended.
 *
 * Everything else is for libconfig to judge, but it says no more than a line, and takes the first mistake for
 * the end, where people want the value, the cause and all mistakes at once. So the same walk follows the
 * grammar, and holds what does not fit against the mistakes that people make: those of other languages, bare
 * strings, a sign that is missing. These faults count only when libconfig refuses the text. A mistake in a
 * value does not end the walk; one in the structure ends it, and only the joining goes on.
 *
 * The tokens are those of the joined text: a whole file is copied there and walked in place. At an @include,
 * the text is cut back to the beginning of its line, the included file goes there, and at the end of that
 * the rest of the file that included it. */

#include "conf/text.h"

#include <errno.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "conf/schema.h"

#define MAX_NESTING 32
#define KEY_MAX     (MAX_NESTING * CONF_NAME)
#define TAKES_COMMA \
	(LIBCONFIG_VER_MAJOR > 1 || LIBCONFIG_VER_MINOR >= 7) /* behind the last element */

/* As much of a token as is worth showing. */
#define SHOWN(token) (int)((token)->len < 64 ? (token)->len : 64), (token)->at

enum token_kind { TOKEN_END, TOKEN_STRING, TOKEN_WORD, TOKEN_SIGN, TOKEN_COMMENT, TOKEN_UNCLOSED };

struct token {
	enum token_kind kind;
	const char *at;
	size_t len;
};

/* A group or list that is open around a token; the outermost is the whole text. */
struct level {
	struct level *outer;
	struct token sign, name; /* the bracket, and the setting that is being read */
	size_t first_name, depth;
};

struct walk {
	const struct conf_source *source;
	struct conf_text *text;
	struct faults *faults;
	struct text_file *file;
	struct level *level;
	const char *at;
	struct token *names; /* of the settings so far in what is open, for those that come twice */
	size_t n_names, n_widened;
	bool is_lost; /* the grammar ends here, and only the joining goes on */
	int outcome;  /* other than 0: no more tokens */
};

static struct conf_line *line_at(const struct conf_text *t, const char *at)
{
	size_t offset = (size_t)(at - t->text), low = 0, high = t->n_lines;

	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (t->lines[middle].start <= offset)
			low = middle;
		else
			high = middle;
	}
	return &t->lines[low];
}

/* "log.level": the setting that is being read. */
static size_t key_path(const struct level *level, char key[static KEY_MAX])
{
	size_t len = level->outer ? key_path(level->outer, key) : 0;
	int shown = (int)(level->name.len < CONF_NAME ? level->name.len : CONF_NAME - 1);

	if (shown > 0 && len < KEY_MAX)
		len += (size_t)snprintf(
			key + len, KEY_MAX - len, "%s%.*s", len ? "." : "", shown, level->name.at);
	return len;
}

/* A mistake at a token; without one, it is the main file. False, for a walk that cannot go on behind it. */
__attribute__((format(printf, 3, 4))) static bool mistake(
	struct walk *w, const struct token *token, const char *format, ...)
{
	const struct conf_line *line = token ? line_at(w->text, token->at) : NULL;
	struct fault_place place = {.file = w->source->file};
	char key[KEY_MAX] = "";
	va_list args;

	if (w->outcome)
		return false;
	if (line)
		place = (struct fault_place){
			.file = line->file,
			.line = line->number,
			.column = text_characters(w->text->text + line->start, token->at) + 1,
			.width = text_characters(token->at, token->at + token->len),
			.key = key_path(w->level, key) ? key : NULL,
		};
	va_start(args, format);
	faults_vadd(w->faults, &place, format, args);
	va_end(args);
	return false;
}

/* A mistake that libconfig would not see: the text is refused here. */
#define REFUSE(w, ...) ((void)mistake((w), __VA_ARGS__), (w)->outcome = CONF_E_FAULTS)

static bool is_sign(const struct token *token, const char *signs)
{
	return token->kind == TOKEN_SIGN && strchr(signs, *token->at);
}

static bool is_word(const struct token *token, const char *word)
{
	return token->len == strlen(word) && strncasecmp(token->at, word, token->len) == 0;
}

static size_t quoted_length(const char *at)
{
	const char *to = at + 1;

	for (; *to && *to != '"'; to++)
		to += *to == '\\' && to[1];
	return *to ? (size_t)(to + 1 - at) : 0;
}

static size_t comment_length(const char *at)
{
	const char *close = at[1] == '*' ? strstr(at + 2, "*/") : at + strcspn(at, "\n") - 2;

	return close ? (size_t)(close + 2 - at) : 0;
}

static bool is_comment(const char *at)
{
	return *at == '#' || (*at == '/' && (at[1] == '/' || at[1] == '*'));
}

/* Just enough of libconfig's grammar to tell strings and comments from the rest. Where a value is expected,
 * a word goes on to what could end a bare one, which may hold anything. */
static struct token lex(const char *at, bool is_value)
{
	static const char word[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_*+-.";
	static const char ends[] = " \t\r\n=;,)}]\"#";
	const char *from = at + strspn(at, " \t\r\n\f");
	size_t len = strspn(from, word);

	if (*from == '\0')
		return (struct token){TOKEN_END, from, 0};
	if (is_comment(from) || *from == '"') {
		len = *from == '"' ? quoted_length(from) : comment_length(from);
		if (len == 0)
			return (struct token){TOKEN_UNCLOSED, from, *from == '"' ? 1 : 2};
		return (struct token){*from == '"' ? TOKEN_STRING : TOKEN_COMMENT, from, len};
	}
	if (is_value && *from == '\'' && from[1 + strcspn(from + 1, "'\n")] == '\'')
		len = strcspn(from + 1, "'") + 2;
	else if (is_value && !strchr("({[@", *from) && !is_comment(from + len))
		len = strcspn(from, ends);
	return len > 0 ? (struct token){TOKEN_WORD, from, len}
		       : (struct token){TOKEN_SIGN, from, 1};
}

/* The rest of the file, up to its end; each line remembers where it is from. */
static void put_rest(struct walk *w)
{
	struct conf_text *t = w->text;
	struct text_file *file = w->file;
	const char *next;

	file->start = t->len;
	w->at = t->text + t->len;
	if (t->len + (size_t)(file->end - file->rest) >= CONF_MAX_BYTES)
		REFUSE(w, &(struct token){.at = w->at}, "more than 16 MiB with what is included");
	for (const char *at = file->rest; at < file->end && !w->outcome; at = next) {
		next = memchr(at, '\n', (size_t)(file->end - at));
		next = next ? next + 1 : file->end;
		if (t->n_lines == CONF_MAX_LINES)
			REFUSE(w, &(struct token){.at = t->text + t->len}, "more than %d lines",
				CONF_MAX_LINES);
		else if (t->len == 0 || t->text[t->len - 1] == '\n')
			t->lines[t->n_lines++] =
				(struct conf_line){file->name, file->number, t->len, 0, 0};
		memcpy(t->text + t->len, at, (size_t)(next - at));
		t->len += (size_t)(next - at);
		t->text[t->len] = '\0';
		file->number++;
	}
}

/* A file that is no text is refused whole, at the first byte that shows it. */
static void enter_file(struct walk *w, struct text_file *file)
{
	struct conf_text *t = w->text;
	const char *begin = t->text + t->len, *nul;
	size_t bad;

	w->file = file;
	put_rest(w);
	nul = memchr(begin, '\0', (size_t)(t->text + t->len - begin));
	if (!text_is_utf8(begin, (size_t)((nul ? nul : t->text + t->len) - begin), &bad))
		REFUSE(w, (&(struct token){.at = begin + bad, .len = 1}), "this is not UTF-8");
	else if (nul)
		REFUSE(w, (&(struct token){.at = nul, .len = 1}), "a NUL byte: this is not a text");
}

/* Reads one more file. A path is seen from the file that includes it; NULL: that of the source. */
static struct text_file *open_file(struct walk *w, const struct token *path)
{
	static const char mark[] = "\xef\xbb\xbf"; /* as some editors put before UTF-8 */
	struct text_file *file = &w->text->files[w->text->n_files];
	const char *of = path ? path->at : w->source->file, *outer = path ? w->file->name : "";
	const char *slash = *of == '/' ? NULL : strrchr(outer, '/'), *why;
	size_t size = 0;
	int r = asprintf(&file->name, "%.*s%.*s", slash ? (int)(slash - outer) + 1 : 0, outer,
		path ? (int)path->len : (int)strlen(of), of);

	if (r < 0) {
		w->outcome = -ENOMEM;
		return NULL;
	}
	w->text->n_files++;
	for (const struct text_file *at = w->file; at; at = at->outer)
		if (strcmp(at->name, file->name) == 0)
			REFUSE(w, path, "%s includes itself", file->name);
	r = w->outcome ? 0 : w->source->read(w->source->userdata, file->name, &file->data, &size);
	r = r == 0 && size >= CONF_MAX_BYTES ? -EFBIG : r;
	why = r == -EISDIR ? "a folder, not a file" : strerror(-r);
	if (r == -ENOMEM)
		w->outcome = r;
	else if (r < 0)
		REFUSE(w, path, "%s%scannot be read: %s", path ? file->name : "", path ? " " : "",
			r == -EFBIG ? "larger than 16 MiB" : why);
	file->rest = file->data + (size >= 3 && memcmp(file->data, mark, 3) == 0 ? 3 : 0);
	file->end = file->data + size;
	file->number = 1;
	file->outer = w->file;
	return w->outcome ? NULL : file;
}

/* @include "PATH" in a line of its own, with at most a comment behind it. The newline stays. */
static void include(struct walk *w, const struct token *sign)
{
	struct conf_text *t = w->text;
	struct conf_line *line = line_at(t, sign->at);
	char *begin = t->text + line->start;
	const char *end = sign->at + strcspn(sign->at, "\n");
	struct token path = lex(sign->at + strcspn(sign->at, "\" \t\n"), false);
	struct token comment = lex(path.at + path.len, false);
	struct text_file *included;

	w->level->name.len = 0;
	if (begin + strspn(begin, " \t") != sign->at || strncmp(sign->at, "@include", 8) != 0 ||
		!strchr("\" \t", sign->at[8]) || path.kind != TOKEN_STRING ||
		path.at + path.len > end ||
		(comment.at < end &&
			(comment.kind != TOKEN_COMMENT || comment.at + comment.len > end))) {
		REFUSE(w, sign,
			"syntax error: '@' stands only in a line of its own, as in @include "
			"\"FILE\"");
		return;
	}
	path.at++;
	path.len -= 2;
	if (t->n_files > CONF_MAX_INCLUDES)
		REFUSE(w, &path, "more than %d files are included", CONF_MAX_INCLUDES);
	included = w->outcome ? NULL : open_file(w, &path);
	if (!included)
		return;
	w->file->rest += end - (t->text + w->file->start);
	w->file->number = line->number;
	t->len = line->start;
	t->text[t->len] = '\0';
	t->n_lines = (size_t)(line - t->lines);
	enter_file(w, included);
}

/* With an L, libconfig keeps all of a number, and the range of the key is held against the true one. More of
 * them than faults are kept cannot matter. */
static void widen(struct walk *w, const struct token *token)
{
	struct conf_text *t = w->text;
	struct conf_line *line = line_at(t, token->at);
	bool is_hex = strncasecmp(token->at + strspn(token->at, "+-"), "0x", 2) == 0;
	char *end;

	strtoll(token->at, &end, is_hex ? 16 : 10);
	if (token->len < 10 || end != token->at + token->len || w->n_widened > FAULTS_MAX ||
		t->len + 1 == CONF_MAX_BYTES)
		return;
	memmove(end + 1, end, (size_t)(t->text + t->len + 1 - end));
	*end = 'L';
	t->len++;
	w->at++;
	w->n_widened++;
	w->file->start++; /* what is behind it is one place on */
	while (++line < t->lines + t->n_lines)
		line->start++;
}

/* How a dump says where a value came from is carried over to the next. */
static void note_origin(struct walk *w, const struct token *comment)
{
	struct conf_line *line;

	if (comment->len < 4 || memcmp(comment->at, "#: ", 3) != 0)
		return;
	line = line_at(w->text, comment->at);
	line->origin = (size_t)(comment->at + 3 - w->text->text);
	line->origin_len = comment->len - 3 - (comment->at[comment->len - 1] == '\r');
}

/* The next token of the grammar. Includes are in place of their line, and nothing that libconfig would misread
 * is left. */
static struct token next(struct walk *w, bool is_value)
{
	while (!w->outcome) {
		struct token token = lex(w->at, is_value);
		const char *nul = memmem(token.at, token.len, "\\x00", 4);

		w->at = token.at + token.len;
		if (token.kind == TOKEN_COMMENT) {
			note_origin(w, &token);
		} else if (is_sign(&token, "@")) {
			include(w, &token);
		} else if (token.kind == TOKEN_END && w->file->outer) {
			w->file = w->file->outer;
			put_rest(w);
		} else if (token.kind == TOKEN_UNCLOSED) {
			if (!is_value || *token.at != '"')
				w->level->name.len = 0;
			if (w->is_lost) /* by a mistake that may well be the cause */
				w->outcome = CONF_E_FAULTS;
			REFUSE(w, &token, "syntax error: this %s is never closed",
				*token.at == '"' ? "string" : "comment");
		} else if (token.kind == TOKEN_STRING && nul) {
			REFUSE(w, (&(struct token){TOKEN_STRING, nul, 4}),
				"a string cannot hold a NUL byte");
		} else if (is_sign(&token, "=:,") && ++w->text->n_settings > CONF_MAX_SETTINGS) {
			REFUSE(w, &token, "more than %d settings and elements of lists",
				CONF_MAX_SETTINGS);
		} else {
			if (token.kind == TOKEN_WORD && is_value)
				widen(w, &token);
			return token;
		}
	}
	return (struct token){TOKEN_END, w->text->text, 0};
}

/* The end of a group, a list, or the whole. False: what is there cannot end it. */
static bool close_level(struct walk *w, const struct token *token)
{
	const struct token *open = &w->level->sign;

	if (token->kind == TOKEN_END || !open->at)
		w->level->name.len = 0;
	if (token->kind == TOKEN_END)
		return !open->at ||
			mistake(w, open, "syntax error: this '%c' is never closed", *open->at);
	if (!open->at)
		return mistake(w, token, "syntax error: nothing is open that this '%c' could close",
			*token->at);
	if (strchr("(){}[]", *open->at)[1] != *token->at)
		return mistake(w, token, "syntax error: this '%c' cannot close the '%c' of line %u",
			*token->at, *open->at, line_at(w->text, open->at)->number);
	return true;
}

static bool ends_level(const struct token *token)
{
	return token->kind == TOKEN_END || is_sign(token, ")}]");
}

static bool is_number(const struct token *token)
{
	char *end;

	if (!strchr("+-.0123456789", *token->at))
		return false;
	strtod(token->at, &end);
	return end + strspn(end, "L") == token->at + token->len || end == token->at + token->len;
}

static bool is_switch(const char *key)
{
	const char *last = strrchr(key, '.');
	const struct conf_row *row = NULL;

	for (unsigned scope = 0; scope < N_SCOPES && !row; scope++)
		row = conf_schema_find(scope, scope == SCOPE_TOP || !last ? key : last + 1);
	return row && (row->type == TYPE_BOOL || row->type == TYPE_SAMPLE);
}

/* The fault of a value. It ends the walk only where the structure depends on it. */
static bool explain_value(struct walk *w, const struct token *value)
{
	static const char *const words[] = {
		"no", "yes", "off", "on", "disable", "enable", "disabled", "enabled"};
	size_t n = sizeof(words) / sizeof(words[0]), i = 0;
	char key[KEY_MAX] = "";

	if (value->kind != TOKEN_WORD)
		return mistake(w, value, "a value is missing before this '%c'", *value->at);
	if (is_word(value, "-"))
		return mistake(w, value,
			"this looks like YAML; a list is ( { ... }, { ... } ), and each setting is "
			"NAME = VALUE;");
	while (i < n && !is_word(value, words[i]))
		i++;
	if (i < n && key_path(w->level, key) && is_switch(key))
		mistake(w, value, "%.*s is no value; say %s", SHOWN(value),
			i % 2 ? "true" : "false");
	else if (*value->at == '\'')
		mistake(w, value, "%.*s is no value; a string goes in double quotes", SHOWN(value));
	else
		mistake(w, value, "%.*s is no value; a string goes in quotes, as in \"%.*s\"",
			SHOWN(value), SHOWN(value));
	return true;
}

static bool walk_group(struct walk *w);
static bool walk_list(struct walk *w);

/* A value in the innermost level, and the token behind it. */
static bool walk_value(struct walk *w, struct token value, struct token *ret_next)
{
	struct level level = {
		.outer = w->level,
		.sign = value,
		.first_name = w->n_names,
		.depth = w->level->depth + 1,
	};
	bool goes_on = true;

	if (is_sign(&value, "({[") && level.depth > MAX_NESTING)
		return mistake(w, &value, "brackets are nested deeper than %d", MAX_NESTING);
	if (is_sign(&value, "({[")) {
		w->level = &level;
		goes_on = *value.at == '{' ? walk_group(w) : walk_list(w);
		w->level = level.outer;
		w->n_names = level.first_name;
	} else if (value.kind != TOKEN_STRING && value.kind != TOKEN_END && !is_number(&value) &&
		!is_word(&value, "true") && !is_word(&value, "false")) {
		goes_on = explain_value(w, &value);
	}
	if (!goes_on)
		return false;
	*ret_next = next(w, false);
	while (value.kind == TOKEN_STRING && ret_next->kind == TOKEN_STRING)
		*ret_next = next(w, false); /* two strings are one */
	return true;
}

static bool walk_list(struct walk *w)
{
	struct token token = next(w, true), after;

	while (!ends_level(&token)) {
		after = lex(w->at, false);
		/* A setting where an element should be: the list was to end before it. */
		if (token.kind == TOKEN_WORD && is_sign(&after, "="))
			return close_level(w, &(struct token){TOKEN_END, NULL, 0});
		if (!walk_value(w, token, &token))
			return false;
		if (ends_level(&token))
			break;
		if (!is_sign(&token, ","))
			return mistake(w, &token, "a comma is missing before this%s",
				*token.at == '{' ? " group" : "");
		token = next(w, true);
		if (is_sign(&token, ")}]") && !TAKES_COMMA)
			return mistake(w, &token,
				"syntax error: a comma goes between two elements, not behind the "
				"last");
	}
	return close_level(w, &token);
}

static bool walk_name(struct walk *w, const struct token *name)
{
	if (name->kind == TOKEN_WORD && !strchr("-+.0123456789", *name->at)) {
		w->level->name = *name;
		for (size_t i = w->level->first_name; i < w->n_names; i++) {
			const struct token *twin = &w->names[i];

			if (twin->len != name->len || memcmp(twin->at, name->at, name->len) != 0)
				continue;
			mistake(w, name, "set twice; %s:%u has it already",
				line_at(w->text, twin->at)->file,
				line_at(w->text, twin->at)->number);
			break;
		}
		w->names[w->n_names++] = *name;
		return true;
	}
	w->level->name.len = 0;
	if (name->kind == TOKEN_STRING || (*name->at == '{' && w->text->n_settings == 0))
		return mistake(w, name,
			"this looks like JSON; each setting is NAME = VALUE; with no quotes around "
			"its name, and no brackets around the whole");
	if (*name->at == '-')
		return mistake(w, name,
			"this looks like YAML; each setting is NAME = VALUE; and a group is NAME = "
			"{ ... };");
	return mistake(w, name, "syntax error: a name is needed here, not '%.*s'", SHOWN(name));
}

/* No equals sign follows a name; `value` is the one before it, if no sign ended that. */
static bool explain_equals(struct walk *w, const struct token *token, const char *value)
{
	const struct token name = w->level->name;

	if (value && line_at(w->text, value) == line_at(w->text, name.at)) {
		w->level->name.len = 0;
		return mistake(w, &name,
			"\"%.*s\" is left over behind a value; a setting ends with ';'",
			SHOWN(&name));
	}
	return mistake(w, token->kind == TOKEN_END ? &name : token,
		"'=' is missing between \"%.*s\" and its value", SHOWN(&name));
}

static bool walk_group(struct walk *w)
{
	struct token token = next(w, false);
	const char *value = NULL;

	while (!ends_level(&token)) {
		if (!walk_name(w, &token))
			return false;
		token = next(w, false);
		if (!is_sign(&token, "=:"))
			return explain_equals(w, &token, value);
		token = next(w, true);
		value = token.at;
		if (!walk_value(w, token, &token))
			return false;
		if (is_sign(&token, ",;")) {
			value = NULL;
			token = next(w, false);
		} else if (token.kind != TOKEN_WORD && !ends_level(&token)) {
			w->level->name.len = 0;
			return mistake(w, &token,
				"%.*s is left over behind a value; a setting ends with ';'",
				SHOWN(&token));
		}
	}
	return close_level(w, &token);
}

int text_join(struct conf_text *text, const struct conf_source *source, struct faults *faults)
{
	struct level top = {0};
	struct walk w = {.source = source, .text = text, .faults = faults, .level = &top};
	struct text_file *file;

	*text = (struct conf_text){
		.text = malloc(CONF_MAX_BYTES + 1),
		.lines = reallocarray(NULL, CONF_MAX_LINES, sizeof(*text->lines)),
	};
	w.names = reallocarray(NULL, CONF_MAX_SETTINGS + 2, sizeof(*w.names));
	if (text->text && text->lines && w.names) {
		*text->text = '\0';
		*text->lines = (struct conf_line){source->file, 1, 0, 0, 0};
		file = open_file(&w, NULL);
		if (file)
			enter_file(&w, file);
		w.is_lost = file && !walk_group(&w);
		while (w.is_lost && next(&w, false).kind != TOKEN_END)
			;
	} else {
		w.outcome = -ENOMEM;
	}
	/* libconfig knows no comment that ends with the text. */
	if (w.outcome == 0 && text->len > 0 && text->text[text->len - 1] != '\n')
		memcpy(text->text + text->len++, "\n", 2);
	free(w.names);
	return w.outcome;
}

void text_done(struct conf_text *t)
{
	for (size_t i = 0; i < t->n_files; i++) {
		free(t->files[i].name);
		free(t->files[i].data);
	}
	free(t->lines);
	free(t->text);
}

static const struct conf_line *line_of(const struct conf_text *t, unsigned number)
{
	size_t last = number < t->n_lines ? number : t->n_lines;

	return &t->lines[last > 0 ? last - 1 : 0];
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
