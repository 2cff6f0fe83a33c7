/* SPDX-License-Identifier: Apache-2.0 */

/* Line by line, so that the verdict is the same however the head arrives. The first line that is none
 * ends it; what is well formed and not to be had is answered when the whole head is there. */

#include "core/http.h"

#include <string.h>

struct line {
	const char *at;
	size_t len;
};

struct head {
	const char *path;
	unsigned status; /* by the request line */
	bool is_head;
	bool needs_host; /* HTTP/1.1 does */
	bool has_body;
	unsigned hosts;
};

const char *http_phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} rows[] = {
#define STATUS(status, phrase) {status, phrase},
		HTTP_STATUSES(STATUS)
#undef STATUS
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status)
			return rows[i].phrase;
	return "Unknown";
}

/* A token is what methods and the names of fields are made of. */
static size_t token_length(const struct line *line)
{
	static const char fine[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz";
	size_t len = 0;

	while (len < line->len && line->at[len] != '\0' && strchr(fine, line->at[len]))
		len++;
	return len;
}

/* No control character but the tab. A CR at the end belongs to the end of the line. */
static bool line_is_clean(const struct line *line)
{
	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static void line_trim(struct line *line)
{
	if (line->len > 0 && line->at[line->len - 1] == '\r')
		line->len--;
}

static bool line_is(const struct line *line, const char *word)
{
	return line->len == strlen(word) && memcmp(line->at, word, line->len) == 0;
}

/* The part before the next blank; `line` moves behind that. False when there is none. */
static bool line_split(struct line *line, struct line *ret_part)
{
	const char *blank = memchr(line->at, ' ', line->len);

	if (!blank)
		return false;
	ret_part->at = line->at;
	ret_part->len = (size_t)(blank - line->at);
	line->at = blank + 1;
	line->len -= ret_part->len + 1;
	return true;
}

/* "/metrics", with or without a query; "http://host/metrics" is the same to a proxy. */
static bool is_for(struct line target, const char *path)
{
	static const char scheme[] = "http://";
	size_t len = strlen(path);

	if (target.len >= strlen(scheme) && strncasecmp(target.at, scheme, strlen(scheme)) == 0) {
		const char *slash =
			memchr(target.at + strlen(scheme), '/', target.len - strlen(scheme));

		if (!slash)
			return false;
		target.len -= (size_t)(slash - target.at);
		target.at = slash;
	}
	return target.len >= len && memcmp(target.at, path, len) == 0 &&
		(target.len == len || target.at[len] == '?');
}

/* Returns 0 when it is no version at all. */
static unsigned status_of_version(const struct line *version)
{
	const char *at = version->at;

	if (version->len != strlen("HTTP/1.1") || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' ||
		at[5] > '9' || at[6] != '.' || at[7] < '0' || at[7] > '9')
		return 0;
	return at[5] == '1' ? 200 : 505;
}

static bool read_request_line(struct head *head, struct line line)
{
	struct line method, target;

	if (!line_split(&line, &method) || method.len == 0 || token_length(&method) != method.len ||
		!line_split(&line, &target) || target.len == 0)
		return false;
	head->status = status_of_version(&line);
	if (head->status != 200)
		return head->status != 0;
	head->needs_host = line.at[7] != '0';
	head->is_head = line_is(&method, "HEAD");
	if (!head->is_head && !line_is(&method, "GET"))
		head->status = 405;
	else if (!is_for(target, head->path))
		head->status = 404;
	return true;
}

static bool field_is(const struct line *field, size_t name, const char *word)
{
	return name == strlen(word) && strncasecmp(field->at, word, name) == 0;
}

static bool read_field(struct head *head, const struct line *line)
{
	size_t name = token_length(line);

	if (name == 0 || name == line->len || line->at[name] != ':')
		return false;
	head->hosts += field_is(line, name, "host");
	if (field_is(line, name, "transfer-encoding"))
		head->has_body = true;
	if (field_is(line, name, "content-length")) {
		size_t blank = name + 1;

		while (blank < line->len && strchr(" \t0", line->at[blank]))
			blank++;
		head->has_body = head->has_body || blank < line->len;
	}
	return true;
}

static unsigned verdict_of(const struct head *head)
{
	if (head->hosts > 1 || (head->needs_host && head->hosts == 0))
		return 400;
	return head->status == 200 && head->has_body ? 413 : head->status;
}

/* Returns the status, or 0 as long as the head has not ended. */
static unsigned read_head(struct head *head, const char *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		const char *end = memchr(data + at, '\n', len - at);
		struct line line = {data + at, (end ? (size_t)(end - data) : len) - at};

		at += line.len + 1;
		line_trim(&line);
		if (!line_is_clean(&line))
			return 400;
		if (!end)
			return 0;
		if (line.at == data && line.len == 0) /* RFC 9112 2.2: left over from a body */
			continue;
		if (head->status != 0 && line.len == 0)
			return verdict_of(head);
		if (head->status == 0 ? !read_request_line(head, line) : !read_field(head, &line))
			return 400;
	}
	return 0;
}

int http_parse(const char *data, size_t len, const char *path, struct http_verdict *ret_verdict)
{
	struct head head = {.path = path};
	unsigned status = read_head(&head, data, len < HTTP_LONGEST ? len : HTTP_LONGEST);

	if (status == 0 && len < HTTP_LONGEST)
		return HTTP_E_MORE;
	ret_verdict->status = status > 0 ? status : 431;
	ret_verdict->is_head = head.is_head;
	return 0;
}
