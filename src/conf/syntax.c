/* SPDX-License-Identifier: Apache-2.0 */

/* Why libconfig refuses a text. It says no more than a line, and takes the first mistake for the end; people
 * want the value, the cause and all mistakes at once. So a text that was refused is walked once more, by the
 * same grammar, and what does not fit is held against the mistakes that people make: those of other
 * languages, bare strings, a sign that is missing. A mistake in a value does not end the walk. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "conf/schema.h"
#include "conf/text.h"

#define MAX_NESTING 32
#define KEY_MAX     (MAX_NESTING * CONF_NAME)

enum expected { A_NAME, AN_EQUALS, A_VALUE, A_VALUE_OR_NONE, AN_END };

struct level {
	struct token sign; /* the bracket; none: the whole text */
	struct token name; /* of the setting that is being read */
	size_t first_name;
};

struct syntax {
	const struct conf_text *text;
	struct faults *faults;
	const char *at, *end;
	enum expected expected;
	struct level levels[MAX_NESTING + 1], *in; /* the innermost */
	bool has_names;
	const char *value; /* where the last one began */
};

static const struct conf_line *line_at(const struct conf_text *t, const char *at)
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
static const char *key_path(const struct syntax *s, char key[static KEY_MAX])
{
	size_t len = 0;

	key[0] = '\0';
	for (const struct level *l = s->levels; l <= s->in; l++)
		if (l->name.len > 0 && len < KEY_MAX)
			len += (size_t)snprintf(key + len, KEY_MAX - len, "%s%.*s",
				len > 0 ? "." : "",
				(int)(l->name.len < CONF_NAME ? l->name.len : CONF_NAME - 1),
				l->name.at);
	return *key ? key : NULL;
}

__attribute__((format(printf, 3, 4))) static int syntax_fault(
	const struct syntax *s, const struct token *token, const char *format, ...)
{
	const struct conf_line *line = line_at(s->text, token->at);
	const char *begin = s->text->text + line->start;
	_cleanup_free_ char *message = NULL;
	char key[KEY_MAX];
	struct fault_place place = {
		.file = line->file,
		.line = line->number,
		.column = text_characters(begin, token->at) + 1,
		.width = text_characters(token->at, token->at + token->len),
		.key = key_path(s, key),
	};
	va_list args;

	va_start(args, format);
	if (vasprintf(&message, format, args) < 0)
		message = NULL;
	va_end(args);
	faults_add(s->faults, &place, "%s", message ? message : "out of memory");
	return CONF_E_FAULTS;
}

/* As much of a token as is worth showing. */
#define SHOWN(token) (int)((token)->len < 64 ? (token)->len : 64), (token)->at

/* The same name earlier in the group, or NULL. Groups are short, and this runs for a text that is wrong. */
static const char *earlier(const struct syntax *s, const struct token *name)
{
	const char *at = s->in->sign.at ? s->in->sign.at + 1 : s->text->text, *next;
	struct token token = token_next(&at, name->at), before = {0};
	int depth = 0;

	for (; token.at < name->at; before = token, token = token_next(&at, name->at)) {
		next = token.kind == TOKEN_SIGN ? token.at : " ";
		depth += strchr("({[", *next) ? 1 : strchr(")}]", *next) ? -1 : 0;
		if (depth == 0 && strchr("=:", *next) && before.at && before.len == name->len &&
			memcmp(before.at, name->at, name->len) == 0)
			return before.at;
	}
	return NULL;
}

static int take_name(struct syntax *s, const struct token *name)
{
	const char *twin = s->faults->cut ? NULL : earlier(s, name);

	s->in->name = *name;
	s->expected = AN_EQUALS;
	s->has_names = true;
	if (twin)
		syntax_fault(s, name, "set twice; %s:%u has it already",
			line_at(s->text, twin)->file, line_at(s->text, twin)->number);
	return 0;
}

/* All up to what could end a value, since a bare one may hold anything. */
static struct token bare_value(const struct token *token, const char *end)
{
	struct token bare = {TOKEN_WORD, token->at, 0};

	if (*bare.at == '\'') {
		const char *quote = memchr(bare.at + 1, '\'', (size_t)(end - bare.at - 1));
		const char *line = memchr(bare.at, '\n', (size_t)(end - bare.at));

		if (quote && quote < line) {
			bare.len = (size_t)(quote + 1 - bare.at);
			return bare;
		}
	}
	bare.len = strcspn(bare.at, " \t\r\n=;,)}]\"#");
	return bare;
}

static bool is_word(const struct token *token, const char *word)
{
	return token->len == strlen(word) && strncasecmp(token->at, word, token->len) == 0;
}

static bool is_number(const struct token *token)
{
	char text[64], *end;
	size_t len = token->len;

	if (len == 0 || len >= sizeof(text) || !strchr("+-.0123456789", *token->at))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)len, token->at);
	while (len > 1 && text[len - 1] == 'L')
		len--;
	text[len] = '\0';
	strtod(text, &end);
	return *end == '\0';
}

static bool is_switch(const char *key)
{
	const char *last = key ? strrchr(key, '.') : NULL;
	const struct conf_row *row = NULL;

	for (unsigned scope = 0; key && scope < N_SCOPES && !row; scope++)
		row = conf_schema_find(scope, scope == SCOPE_TOP || !last ? key : last + 1);
	return row && (row->type == TYPE_BOOL || row->type == TYPE_SAMPLE);
}

static int bad_value(struct syntax *s, const struct token *value)
{
	static const char *const yes[] = {"yes", "on", "enable", "enabled"},
				 *const no[] = {"no", "off", "disable", "disabled"};
	bool is_yes = false, is_no = false;
	char key[KEY_MAX];

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		is_yes = is_yes || is_word(value, yes[i]);
		is_no = is_no || is_word(value, no[i]);
	}
	if (value->len == 0)
		return syntax_fault(s, &(struct token){TOKEN_SIGN, value->at, 1},
			"a value is missing before this '%c'", *value->at);
	if (is_word(value, "-"))
		return syntax_fault(s, value,
			"this looks like YAML; a list is ( { ... }, { ... } ), and each setting is "
			"NAME = VALUE;");
	if ((is_yes || is_no) && is_switch(key_path(s, key)))
		syntax_fault(s, value, "%.*s is no value; say %s", SHOWN(value),
			is_yes ? "true" : "false");
	else if (*value->at == '\'')
		syntax_fault(
			s, value, "%.*s is no value; a string goes in double quotes", SHOWN(value));
	else
		syntax_fault(s, value, "%.*s is no value; a string goes in quotes, as in \"%.*s\"",
			SHOWN(value), SHOWN(value));
	return 0;
}

static int open_level(struct syntax *s, const struct token *sign)
{
	if (s->in == &s->levels[MAX_NESTING])
		return syntax_fault(s, sign, "brackets are nested deeper than %d", MAX_NESTING);
	*++s->in = (struct level){.sign = *sign};
	s->expected = *sign->at == '{' ? A_NAME : A_VALUE_OR_NONE;
	return 0;
}

static int close_level(struct syntax *s, const struct token *sign)
{
	static const char pairs[] = "(){}[]";
	const char *open = s->in->sign.at;

	if (!open)
		return syntax_fault(s, sign,
			"syntax error: nothing is open that this '%c' could close", *sign->at);
	if (strchr(pairs, *open)[1] != *sign->at)
		return syntax_fault(s, sign,
			"syntax error: this '%c' cannot close the '%c' of line %u", *sign->at,
			*open, line_at(s->text, open)->number);
	s->in--;
	s->expected = AN_END;
	return 0;
}

static bool is_in_list(const struct syntax *s)
{
	return s->in->sign.at && *s->in->sign.at != '{';
}

static int walk_name(struct syntax *s, const struct token *token)
{
	bool is_group = s->in->sign.at;

	if (is_group && token->kind == TOKEN_SIGN && strchr(")}]", *token->at))
		return close_level(s, token);
	if (token->kind == TOKEN_WORD && !strchr("-+.0123456789", *token->at))
		return take_name(s, token);
	s->in->name.len = 0;
	if (token->kind == TOKEN_STRING || (*token->at == '{' && !s->has_names))
		return syntax_fault(s, token,
			"this looks like JSON; each setting is NAME = VALUE; with no quotes around "
			"its name, and no brackets around the whole");
	if (*token->at == '-')
		return syntax_fault(s, token,
			"this looks like YAML; each setting is NAME = VALUE; and a group is NAME = "
			"{ ... };");
	return syntax_fault(s, token,
		strchr(")}]", *token->at)
			? "syntax error: nothing is open that this '%.*s' could close"
			: "syntax error: a name is needed here, not '%.*s'",
		SHOWN(token));
}

static int walk_equals(struct syntax *s, const struct token *token)
{
	const struct token name = s->in->name;

	if (token->kind == TOKEN_SIGN && strchr("=:", *token->at)) {
		s->expected = A_VALUE;
		return 0;
	}
	if (s->value && line_at(s->text, s->value) == line_at(s->text, name.at)) {
		s->in->name.len = 0;
		return syntax_fault(s, &name,
			"\"%.*s\" is left over behind a value; a setting ends with ';'",
			SHOWN(&name));
	}
	return syntax_fault(s, token->kind == TOKEN_END ? &name : token,
		"'=' is missing between \"%.*s\" and its value", SHOWN(&name));
}

static int unclosed_level(struct syntax *s)
{
	s->in->name.len = 0;
	return syntax_fault(
		s, &s->in->sign, "syntax error: this '%c' is never closed", *s->in->sign.at);
}

/* A setting where an element should be: the list was to end before it. */
static bool is_followed_by_equals(const struct syntax *s)
{
	const char *at = s->at;

	return *token_next(&at, s->end).at == '=';
}

static int walk_value(struct syntax *s, const struct token *token)
{
	bool may_close = s->expected == A_VALUE_OR_NONE;
	struct token value;

	s->expected = AN_END;
	s->value = token->at;
	if (token->kind == TOKEN_STRING)
		return 0;
	if (strchr("({[", *token->at))
		return open_level(s, token);
	if (strchr(")}]", *token->at) && is_in_list(s))
		return may_close ? close_level(s, token)
				 : syntax_fault(s, token,
					   "syntax error: a comma goes between two elements, not "
					   "behind the last");
	value = bare_value(token, s->end);
	s->at = value.at + value.len;
	if (is_in_list(s) && is_followed_by_equals(s))
		return unclosed_level(s);
	if (is_number(&value) || is_word(&value, "true") || is_word(&value, "false"))
		return 0;
	return bad_value(s, &value);
}

static int walk_end(struct syntax *s, const struct token *token)
{
	bool is_list = is_in_list(s), is_sign = token->kind == TOKEN_SIGN;

	if (is_sign && strchr(is_list ? "," : ",;", *token->at)) {
		s->expected = is_list ? A_VALUE : A_NAME;
		s->value = NULL;
		return 0;
	}
	if (is_sign && strchr(")}]", *token->at))
		return close_level(s, token);
	if (token->kind == TOKEN_STRING && s->value && *s->value == '"')
		return 0; /* two strings are one */
	if (is_list)
		return syntax_fault(s, token, "a comma is missing before this%s",
			*token->at == '{' ? " group" : "");
	if (token->kind == TOKEN_WORD)
		return take_name(s, token);
	s->in->name.len = 0;
	return syntax_fault(s, token, "%.*s is left over behind a value; a setting ends with ';'",
		SHOWN(token));
}

static int walk_last(struct syntax *s, const struct token *end)
{
	if (s->expected == AN_EQUALS)
		return walk_equals(s, end);
	return s->in == s->levels ? 0 : unclosed_level(s);
}

static int walk_unclosed(struct syntax *s, struct token *token)
{
	bool is_string = *token->at == '"';

	if (s->expected == A_NAME || s->expected == AN_END || !is_string)
		s->in->name.len = 0;
	token->len = is_string ? 1 : 2;
	return syntax_fault(s, token, "syntax error: this %s is never closed",
		is_string ? "string" : "comment");
}

static int walk(struct syntax *s)
{
	int r = 0;

	while (r == 0) {
		struct token token = token_next(&s->at, s->end);

		if (token.kind == TOKEN_COMMENT)
			continue;
		if (token.kind == TOKEN_UNCLOSED)
			return walk_unclosed(s, &token);
		if (token.kind == TOKEN_END)
			return walk_last(s, &token);
		if (s->expected == A_NAME)
			r = walk_name(s, &token);
		else if (s->expected == AN_EQUALS)
			r = walk_equals(s, &token);
		else if (s->expected == AN_END)
			r = walk_end(s, &token);
		else
			r = walk_value(s, &token);
	}
	return r;
}

int text_explain(const struct conf_text *text, unsigned line, struct faults *faults)
{
	struct syntax s = {
		.text = text,
		.faults = faults,
		.at = text->text,
		.end = text->text + text->len,
	};
	struct fault_place place = text_place(text, line);

	s.in = s.levels;
	if (walk(&s) == 0 && !faults->errors)
		faults_add(faults, &place, "syntax error here or just before");
	return CONF_E_FAULTS;
}
