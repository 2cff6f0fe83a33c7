/* SPDX-License-Identifier: Apache-2.0 */

/* The lexical half of reading: just enough of libconfig's grammar to tell strings and comments from
 * the rest, so that includes, nesting and numbers can be judged before libconfig sees them. It
 * truncates large numbers, drops \x00 and recurses on brackets; none of that may reach it. */

#include "conf/scan.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "conf/names.h"

unsigned scan_characters(const char *from, const char *to)
{
	unsigned n = 0;

	for (; from < to; from++)
		n += ((unsigned char)*from & 0xc0) != 0x80;
	return n;
}

int scan_fault(const struct scan *s, const char *at, size_t len, const char *format, ...)
{
	const char *end = memchr(s->line, '\n', (size_t)(s->end - s->line));
	_cleanup_free_ char *message = NULL;
	struct fault_place place = {
		.file = s->file,
		.line = s->number,
		.column = scan_characters(s->line, at) + 1,
		.width = scan_characters(at, at + len),
		.key = s->key,
		.source = s->line,
		.source_len = (size_t)((end ? end : s->end) - s->line),
	};
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&message, format, args);
	va_end(args);
	if (n < 0) {
		message = NULL;
		return -ENOMEM;
	}

	faults_add(s->faults, &place, "%s", message);
	return CONF_E_FAULTS;
}

/* The joined text up to `to`, which is not itself taken. */
static int append(struct scan *s, const char *to)
{
	struct conf_text *t = s->text;
	size_t len = (size_t)(to - s->copied);

	if (t->len + len + 2 > CONF_MAX_BYTES)
		return scan_fault(s, s->at, 0, "more than 16 MiB with what is included");
	if (t->len + len + 2 > t->size) {
		size_t size = t->size + len + 2 < 2 * t->size ? 2 * t->size : t->size + len + 2;
		char *text = realloc(t->text, size);

		if (!text)
			return -ENOMEM;
		t->text = text;
		t->size = size;
	}

	memcpy(t->text + t->len, s->copied, len);
	t->len += len;
	t->text[t->len] = '\0';
	s->copied = to;
	return 0;
}

static size_t joined(const struct scan *s, const char *at)
{
	return s->text->len + (size_t)(at - s->copied);
}

static int begin_line(struct scan *s)
{
	struct conf_text *t = s->text;

	s->line = s->at;
	s->number++;
	if (t->n_lines == CONF_MAX_LINES)
		return scan_fault(s, s->at, 0, "more than %d lines", CONF_MAX_LINES);
	if (t->n_lines == t->lines_size) {
		size_t size = t->lines_size ? 2 * t->lines_size : 64;
		struct conf_line *lines = reallocarray(t->lines, size, sizeof(*lines));

		if (!lines)
			return -ENOMEM;
		t->lines = lines;
		t->lines_size = size;
	}

	t->lines[t->n_lines++] = (struct conf_line){
		.file = s->file,
		.number = s->number,
		.start = joined(s, s->at),
	};
	return 0;
}

static bool next_is(const struct scan *s, char c)
{
	return s->end - s->at > 1 && s->at[1] == c;
}

static const char *end_of_line(const struct scan *s)
{
	const char *end = memchr(s->at, '\n', (size_t)(s->end - s->at));

	return end ? end : s->end;
}

/* "#: FILE:LINE" is how a dump says where a value came from: it is carried over to the next. */
static int skip_comment(struct scan *s)
{
	const char *end = end_of_line(s);

	if (end - s->at > 3 && memcmp(s->at, "#: ", 3) == 0) {
		struct conf_line *line = &s->text->lines[s->text->n_lines - 1];

		line->origin = joined(s, s->at + 3);
		line->origin_len = (size_t)(end - s->at - 3 - (end[-1] == '\r'));
	}
	s->at = end;
	return 0;
}

/* One byte on, inside what may run over lines. */
static int step(struct scan *s)
{
	return *s->at++ == '\n' ? begin_line(s) : 0;
}

static int skip_block(struct scan *s)
{
	const struct scan begin = *s;
	int r;

	for (s->at += 2; s->at < s->end;) {
		if (*s->at == '*' && next_is(s, '/')) {
			s->at += 2;
			return 0;
		}
		r = step(s);
		if (r)
			return r;
	}
	return scan_fault(&begin, begin.at, 2, "syntax error: this comment is never closed");
}

static bool is_nul_escape(const struct scan *s)
{
	return s->end - s->at >= 4 && memcmp(s->at, "\\x00", 4) == 0;
}

static int scan_string(struct scan *s)
{
	const struct scan begin = *s;
	int r;

	for (s->at++; s->at < s->end && *s->at != '"';) {
		if (s->at - begin.at > CONF_MAX_STRING)
			return scan_fault(&begin, begin.at, 1,
				"this string is longer than %d bytes", CONF_MAX_STRING);
		if (is_nul_escape(s))
			return scan_fault(s, s->at, 4, "a string cannot hold a NUL byte");
		if (*s->at == '\\' && (next_is(s, '"') || next_is(s, '\\')))
			s->at++;
		r = step(s);
		if (r)
			return r;
	}
	if (s->at == s->end)
		return scan_fault(&begin, begin.at, 1, "syntax error: this string is never closed");
	s->at++;
	return 0;
}

static bool is_value(const struct scan *s)
{
	const struct conf_text *t = s->text;

	if (s->last == ',')
		return t->n_open > 0 && t->open[t->n_open - 1].sign != '{';
	return s->last && strchr("=:[(", s->last);
}

/* From here on, faults name the setting whose value is being read. */
static void key_of_value(struct scan *s, char key[static NAMES_KEY])
{
	names_key(s->text, key);
	s->key = is_value(s) && *key ? key : NULL;
}

static int skip_string(struct scan *s)
{
	char key[NAMES_KEY];
	int r;

	key_of_value(s, key);
	r = scan_string(s);
	s->key = NULL;
	return r;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c && strchr("_*+-.", c));
}

/* libconfig keeps the low 32 bits of what it does not hold, and does not say so. */
static bool is_number_it_spoils(const char *word)
{
	const char *digits = word + strspn(word, "+-");
	bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
	char *end;
	long long value;

	if (*digits < '0' || *digits > '9' || (!hex && strpbrk(digits, ".eE")))
		return false;

	errno = 0;
	value = strtoll(word, &end, hex ? 16 : 10);
	return errno == ERANGE || (*end != 'L' && (value > INT_MAX || value < INT_MIN));
}

/* libconfig would only say that there is a syntax error, and take the whole line for it. */
static bool is_bare_string(const char *word)
{
	static const char in_numbers[] = "0123456789abcdefABCDEFxXlLoO+-.";

	if (strchr("0123456789+-.", *word))
		return word[strspn(word, in_numbers)] != '\0';
	return strcasecmp(word, "true") != 0 && strcasecmp(word, "false") != 0;
}

/* The scan goes on, since one value says nothing about the next. */
static void check_word(const struct scan *s, const char *word, const char *at, size_t len)
{
	bool is_bare = is_value(s) && is_bare_string(word);
	char key[NAMES_KEY];
	struct scan place = *s;

	if (!is_bare && !is_number_it_spoils(word))
		return;
	s->text->is_refused = true;
	if (s->faults->cut)
		return;
	names_key(s->text, key);
	place.key = *key ? key : NULL;
	if (is_bare)
		scan_fault(&place, at, len, "%s is no value; a string goes in quotes, as in \"%s\"",
			word, word);
	else
		scan_fault(&place, at, len, "%s is out of range; no number may be beyond %d", word,
			INT_MAX);
}

static int skip_word(struct scan *s)
{
	const char *begin = s->at;
	char word[CONF_MAX_WORD + 1] = "", key[NAMES_KEY];
	size_t len;

	while (s->at < s->end && is_word(*s->at))
		s->at++;
	len = (size_t)(s->at - begin);
	if (len > CONF_MAX_WORD) {
		key_of_value(s, key);
		return scan_fault(
			s, begin, len, "this word is longer than %d bytes", CONF_MAX_WORD);
	}

	memcpy(word, begin, len);
	check_word(s, word, begin, len);
	s->word = (struct scan_word){begin, len, s->line, s->number};
	return 0;
}

static int open_bracket(struct scan *s)
{
	struct conf_text *t = s->text;

	if (t->n_open == CONF_MAX_NESTING)
		return scan_fault(
			s, s->at, 1, "brackets are nested deeper than %d", CONF_MAX_NESTING);

	t->open[t->n_open++] = (struct conf_bracket){
		.sign = *s->at,
		.line = t->n_lines,
		.column = scan_characters(s->line, s->at) + 1,
		.n_names = t->n_names,
	};
	s->at++;
	return 0;
}

static int close_bracket(struct scan *s)
{
	static const char pairs[] = "(){}[]";
	struct conf_text *t = s->text;
	char sign = t->n_open ? t->open[t->n_open - 1].sign : '\0';

	if (!sign)
		return scan_fault(s, s->at, 1,
			"syntax error: nothing is open that this '%c' could close", *s->at);
	if (strchr(pairs, sign)[1] != *s->at)
		return scan_fault(s, s->at, 1,
			"syntax error: this '%c' cannot close the '%c' of line %u", *s->at, sign,
			t->lines[t->open[t->n_open - 1].line - 1].number);

	if (s->last == ',' && sign != '{')
		return scan_fault(s, s->at, 1,
			"syntax error: a comma goes between two elements, not behind the last");

	t->n_open--;
	names_forget(t, t->open[t->n_open].n_names);
	s->at++;
	return 0;
}

static int count_setting(struct scan *s)
{
	if (++s->text->n_settings > CONF_MAX_SETTINGS)
		return scan_fault(s, s->at, 1, "more than %d settings and elements of lists",
			CONF_MAX_SETTINGS);
	return *s->at++ == ',' ? 0 : names_add(s);
}

static bool is_blank(const char *from, const char *to)
{
	for (; from < to; from++)
		if (*from != ' ' && *from != '\t' && *from != '\r')
			return false;
	return true;
}

/* Nothing but blanks or a comment. */
static bool is_rest(const char *from, const char *to)
{
	while (from < to && is_blank(from, from + 1))
		from++;
	return from == to || *from == '#' || (to - from > 1 && from[0] == '/' && from[1] == '/');
}

/* The line itself leaves no trace: its record is dropped, and the text goes on behind it. */
static int include_line(struct scan *s)
{
	static const char word[] = "@include";
	const char *sign = s->at, *end = end_of_line(s), *path, *quote;
	int r;

	path = memchr(sign, '"', (size_t)(end - sign));
	quote = path ? memchr(path + 1, '"', (size_t)(end - path - 1)) : NULL;
	if (!is_blank(s->line, sign) || !quote || (size_t)(path - sign) < strlen(word) ||
		memcmp(sign, word, strlen(word)) != 0 || !is_blank(sign + strlen(word), path) ||
		!is_rest(quote + 1, end))
		return scan_fault(s, sign, 1,
			"syntax error: '@' stands only in a line of its own, as in @include "
			"\"FILE\"");

	r = append(s, s->line);
	if (r)
		return r;
	s->text->n_lines--;
	s->at = path + 1;
	r = s->include(s, path + 1, (size_t)(quote - path - 1));
	if (r)
		return r;

	s->at = end < s->end ? end + 1 : end;
	s->copied = s->at;
	return begin_line(s);
}

static int scan_one(struct scan *s)
{
	switch (*s->at) {
	case '"':
		return skip_string(s);
	case '#':
		return skip_comment(s);
	case '/':
		if (next_is(s, '/'))
			return skip_comment(s);
		return next_is(s, '*') ? skip_block(s) : step(s);
	case '(':
	case '{':
	case '[':
		return open_bracket(s);
	case ')':
	case '}':
	case ']':
		return close_bracket(s);
	case '=':
	case ':':
	case ',':
		return count_setting(s);
	case '@':
		return include_line(s);
	default:
		return is_word(*s->at) ? skip_word(s) : step(s);
	}
}

int scan_file(struct scan *s)
{
	struct conf_text *t = s->text;
	int r;

	r = begin_line(s);
	while (r == 0 && s->at < s->end) {
		const char *token = s->at;

		r = scan_one(s);
		if (is_blank(token, token + 1) || *token == '\n' || *token == '#' || *token == '/')
			continue;
		s->last = *token;
		if (!is_word(*token))
			s->word.at = NULL;
	}
	if (r == 0)
		r = append(s, s->end);
	if (r)
		return r;

	if (s->line == s->end && t->n_lines > 1) {
		t->n_lines--;
	} else {
		memcpy(t->text + t->len, "\n", 2);
		t->len++;
	}
	return 0;
}
