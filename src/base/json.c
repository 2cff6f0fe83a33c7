/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/text.h"

/* A byte is escaped as six at most: \u00NN, or \\xNN. */
#define LONGEST 6
#define PIECE   64

static void json_put(struct json *json, const char *data, size_t len)
{
	if (json->to) {
		fwrite(data, 1, len, json->to);
		return;
	}
	assert(len < json->size - json->len);
	memcpy(json->text + json->len, data, len);
	json->len += len;
	json->text[json->len] = '\0';
}

/* At least `wanted` bytes, and no character in halves. Continuation bytes that belong to none may be cut
 * anywhere. */
static size_t whole_characters(const char *text, size_t len, size_t wanted)
{
	size_t at = wanted;

	while (at < len && at < wanted + 3 && ((unsigned char)text[at] & 0xc0) == 0x80)
		at++;
	return at < len ? at : len;
}

/* In pieces that are sure to fit while there is room, and then character by character. */
static void json_put_escaped(struct json *json, const char *text, size_t len, size_t max)
{
	char piece[LONGEST * (PIECE + 3) + 1];

	while (len > 0) {
		bool fits = max >= sizeof(piece);
		size_t n = whole_characters(text, len, fits ? PIECE : 1);
		size_t made = text_escape_json(text, n, piece, fits ? sizeof(piece) : max + 1);

		if (made == 0)
			return;
		json_put(json, piece, made);
		max -= made;
		text += n;
		len -= n;
	}
}

static void json_put_quoted(struct json *json, const char *text, size_t len, size_t max)
{
	json_put(json, "\"", 1);
	json_put_escaped(json, text, len, max);
	json_put(json, "\"", 1);
}

/* All that goes before a value. */
static void json_begin(struct json *json, const char *key)
{
	bool *has_one = json->depth > 0 ? &json->has_one[json->depth - 1] : NULL;

	if (has_one && *has_one)
		json_put(json, ",", 1);
	if (has_one)
		*has_one = true;
	if (!key)
		return;
	json_put_quoted(json, key, strlen(key), SIZE_MAX);
	json_put(json, ":", 1);
}

static void json_open(struct json *json, const char *key, const char *pair)
{
	assert(json->depth < JSON_DEPTH);
	json_begin(json, key);
	json_put(json, pair, 1);
	json->ends[json->depth] = pair[1];
	json->has_one[json->depth++] = false;
}

void json_object(struct json *json, const char *key)
{
	json_open(json, key, "{}");
}

void json_list(struct json *json, const char *key)
{
	json_open(json, key, "[]");
}

void json_end(struct json *json)
{
	assert(json->depth > 0);
	json_put(json, &json->ends[--json->depth], 1);
	if (json->depth == 0)
		json_put(json, "\n", 1);
}

void json_bytes(struct json *json, const char *key, const void *data, size_t len, size_t max)
{
	json_begin(json, key);
	json_put_quoted(json, data, len, max);
}

void json_string(struct json *json, const char *key, const char *value)
{
	if (value)
		json_bytes(json, key, value, strlen(value), SIZE_MAX);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
	char text[32];

	json_begin(json, key);
	json_put(json, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, value));
}

void json_decimal(struct json *json, const char *key, double value, int digits)
{
	char text[400] = "null";
	size_t len = 4;

	if (isfinite(value))
		len = (size_t)snprintf(text, sizeof(text), "%.*f", digits, value);
	json_begin(json, key);
	json_put(json, text, len);
}

void json_bool(struct json *json, const char *key, bool value)
{
	json_begin(json, key);
	json_put(json, value ? "true" : "false", value ? 4 : 5);
}
