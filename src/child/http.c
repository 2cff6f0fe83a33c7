/* SPDX-License-Identifier: Apache-2.0 */

/* Line by line, so that the outcome is the same in whatever pieces the head arrives. The first malformed
 * line ends it; a request that is well formed and refused is answered when the whole head is there. */

#include "child/http.h"

#include <string.h>

#define STATUSES(STATUS)                               \
	STATUS(200, "OK")                              \
	STATUS(400, "Bad Request")                     \
	STATUS(403, "Forbidden")                       \
	STATUS(404, "Not Found")                       \
	STATUS(405, "Method Not Allowed")              \
	STATUS(413, "Content Too Large")               \
	STATUS(421, "Misdirected Request")             \
	STATUS(431, "Request Header Fields Too Large") \
	STATUS(503, "Service Unavailable")             \
	STATUS(505, "HTTP Version Not Supported")

struct head {
	struct http_request request; /* its status by the request line; 0 before that */
	bool needs_host;             /* HTTP/1.1 does */
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
		STATUSES(STATUS)
#undef STATUS
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status)
			return rows[i].phrase;
	return "Unknown";
}

/* A token is what methods and the names of fields are made of. */
static size_t token_length(const struct http_span *line)
{
	static const char fine[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz";
	size_t len = 0;

	while (len < line->len && line->at[len] != '\0' && strchr(fine, line->at[len]))
		len++;
	return len;
}

/* No control character but the tab. A CR at the end belongs to the end of the line. */
static bool line_is_clean(const struct http_span *line)
{
	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static void line_trim(struct http_span *line)
{
	if (line->len > 0 && line->at[line->len - 1] == '\r')
		line->len--;
}

bool http_span_is(struct http_span span, const char *word)
{
	return span.len == strlen(word) && memcmp(span.at, word, span.len) == 0;
}

/* The part before the next blank; `line` moves behind that. False when there is none. */
static bool line_split(struct http_span *line, struct http_span *ret_part)
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

/* "/metrics?all" and, as to a proxy, "http://host/metrics" are both "/metrics". */
static struct http_span target_path(struct http_span target)
{
	static const char scheme[] = "http://";
	const size_t len = strlen(scheme);
	const char *query, *slash;

	if (target.len >= len && strncasecmp(target.at, scheme, len) == 0) {
		slash = memchr(target.at + len, '/', target.len - len);
		if (!slash)
			return (struct http_span){target.at, 0};
		target.len -= (size_t)(slash - target.at);
		target.at = slash;
	}
	query = memchr(target.at, '?', target.len);
	if (query)
		target.len = (size_t)(query - target.at);
	return target;
}

/* Returns 0 when it is no version at all. */
static unsigned status_of_version(const struct http_span *version)
{
	const char *at = version->at;

	if (version->len != strlen("HTTP/1.1") || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' ||
		at[5] > '9' || at[6] != '.' || at[7] < '0' || at[7] > '9')
		return 0;
	return at[5] == '1' ? 200 : 505;
}

static bool read_request_line(struct head *head, struct http_span line)
{
	struct http_request *request = &head->request;
	struct http_span method, target;

	if (!line_split(&line, &method) || method.len == 0 || token_length(&method) != method.len ||
		!line_split(&line, &target) || target.len == 0)
		return false;
	request->status = status_of_version(&line);
	if (request->status != 200)
		return request->status != 0;
	head->needs_host = line.at[7] != '0';
	request->is_head = http_span_is(method, "HEAD");
	request->path = target_path(target);
	if (!request->is_head && !http_span_is(method, "GET"))
		request->status = 405;
	return true;
}

static bool field_is(const struct http_span *field, size_t name, const char *word)
{
	return name == strlen(word) && strncasecmp(field->at, word, name) == 0;
}

/* A span without the blanks around it. */
static struct http_span value_of(const struct http_span *line, size_t name)
{
	struct http_span value = {line->at + name + 1, line->len - name - 1};

	for (; value.len > 0 && strchr(" \t", value.at[0]); value.len--)
		value.at++;
	while (value.len > 0 && strchr(" \t", value.at[value.len - 1]))
		value.len--;
	return value;
}

static bool is_zero(struct http_span value)
{
	while (value.len > 0 && value.at[value.len - 1] == '0')
		value.len--;
	return value.len == 0;
}

static bool read_field(struct head *head, const struct http_span *line)
{
	size_t name = token_length(line);
	struct http_request *request = &head->request;
	struct http_span value;

	if (name == 0 || name == line->len || line->at[name] != ':')
		return false;
	value = value_of(line, name);
	if (field_is(line, name, "host")) {
		head->hosts++;
		request->host = value;
	} else if (field_is(line, name, "origin")) {
		request->origin = value;
	} else if (field_is(line, name, "accept")) {
		request->accept = value;
	} else if (field_is(line, name, "transfer-encoding")) {
		head->has_body = true;
	} else if (field_is(line, name, "content-length")) {
		head->has_body = head->has_body || !is_zero(value);
	}
	return true;
}

static unsigned status_of(const struct head *head)
{
	const unsigned status = head->request.status;

	if (head->hosts > 1 || (head->needs_host && head->hosts == 0))
		return 400;
	return status == 200 && head->has_body ? 413 : status;
}

/* Returns the status, or 0 as long as the head has not ended. */
static unsigned read_head(struct head *head, const char *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		const char *end = memchr(data + at, '\n', len - at);
		struct http_span line = {data + at, (end ? (size_t)(end - data) : len) - at};
		bool is_first = head->request.status == 0;

		at += line.len + 1;
		line_trim(&line);
		if (!line_is_clean(&line))
			return 400;
		if (!end)
			return 0;
		if (line.at == data && line.len == 0) /* RFC 9112 2.2: left over from a body */
			continue;
		if (!is_first && line.len == 0)
			return status_of(head);
		if (is_first ? !read_request_line(head, line) : !read_field(head, &line))
			return 400;
	}
	return 0;
}

int http_parse(const char *data, size_t len, struct http_request *ret_request)
{
	struct head head = {0};
	unsigned status = read_head(&head, data, len < HTTP_LONGEST ? len : HTTP_LONGEST);

	if (status == 0 && len < HTTP_LONGEST)
		return HTTP_E_MORE;
	*ret_request = head.request;
	ret_request->status = status > 0 ? status : 431;
	return 0;
}

/* The part before the next separator, without the blanks around it; `rest` moves behind that. */
static struct http_span next_part(struct http_span *rest, char separator)
{
	const char *end = memchr(rest->at, separator, rest->len);
	struct http_span part = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
	size_t used = part.len + (end ? 1 : 0);

	rest->at += used;
	rest->len -= used;
	for (; part.len > 0 && part.at[0] == ' '; part.len--)
		part.at++;
	while (part.len > 0 && part.at[part.len - 1] == ' ')
		part.len--;
	return part;
}

/* "0.75" is 750; anything else than a number up to 1 is 0. */
static unsigned read_quality(struct http_span text)
{
	unsigned value = 0, scale = 1000;

	for (size_t i = 0; i < text.len && i < 5; i++) {
		if (text.at[i] == '.' && i == 1)
			continue;
		if (text.at[i] < '0' || text.at[i] > '9')
			return 0;
		value += (unsigned)(text.at[i] - '0') * scale;
		scale /= 10;
	}
	return value <= 1000 ? value : 0;
}

/* The more exactly a range names the type, the more it counts: 3, 2, 1, or 0 for another type. */
static unsigned range_matches(struct http_span range, const char *type)
{
	size_t family = (size_t)(strchr(type, '/') - type) + 1;

	if (range.len == strlen(type) && strncasecmp(range.at, type, range.len) == 0)
		return 3;
	if (range.len == family + 1 && strncasecmp(range.at, type, family) == 0 &&
		range.at[family] == '*')
		return 2;
	return http_span_is(range, "*/*");
}

static bool parameter_is(struct http_span *parameter, const char *name)
{
	size_t len = strlen(name);

	if (parameter->len < len || strncasecmp(parameter->at, name, len) != 0)
		return false;
	parameter->at += len;
	parameter->len -= len;
	return true;
}

unsigned http_quality(struct http_span accept, const char *type, const char *version)
{
	unsigned best = 0, quality = 0;

	while (accept.len > 0) {
		struct http_span parameters = next_part(&accept, ',');
		unsigned matches = range_matches(next_part(&parameters, ';'), type), q = 1000;

		while (parameters.len > 0) {
			struct http_span parameter = next_part(&parameters, ';');

			if (parameter_is(&parameter, "q="))
				q = read_quality(parameter);
			else if (version && parameter_is(&parameter, "version=") &&
				!http_span_is(parameter, version))
				matches = 0;
		}
		if (matches > best || (matches > 0 && matches == best && q > quality))
			quality = q;
		best = matches > best ? matches : best;
	}
	return quality;
}

struct http_span http_host_name(struct http_span host)
{
	const char *end = host.len > 0 && host.at[0] == '[' ? memchr(host.at, ']', host.len) : NULL;
	const char *colon = end || host.len == 0 ? NULL : memchr(host.at, ':', host.len);

	if (end)
		host.len = (size_t)(end - host.at) + 1;
	else if (colon)
		host.len = (size_t)(colon - host.at);
	return host;
}

/* No name of the domain name system is made of numbers alone. */
static bool is_numeric(struct http_span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] != '.' && (name.at[i] < '0' || name.at[i] > '9'))
			return false;
	return true;
}

bool http_host_is_local(struct http_span host)
{
	static const char below[] = ".localhost";
	struct http_span name = host.at ? http_host_name(host) : host;
	size_t len = strlen(below);

	if (name.len == 0 || name.at[0] == '[' || !memchr(name.at, '.', name.len))
		return true;
	if (is_numeric(name))
		return true;
	return name.len > len && strncasecmp(name.at + name.len - len, below, len) == 0;
}

bool http_origin_is_same(const struct http_request *request)
{
	const struct http_span origin = request->origin, host = request->host;
	size_t scheme = strlen("http://");

	if (!origin.at)
		return true;
	if (origin.len > scheme && strncasecmp(origin.at, "https://", scheme + 1) == 0)
		scheme++;
	else if (origin.len < scheme || strncasecmp(origin.at, "http://", scheme) != 0)
		return false;
	return host.at && origin.len == scheme + host.len &&
		strncasecmp(origin.at + scheme, host.at, host.len) == 0;
}
