/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON as it is written: the writer sets commas, brackets and quotes, and escapes all text, so that no
 * caller can forget one. The result is well-formed, for any bytes that it is given.
 *
 *	struct json json = JSON_TO(stdout);
 *
 *	json_object(&json, NULL);
 *	json_string(&json, "name", name);
 *	json_list(&json, "ports");
 *	json_number(&json, NULL, 12000);
 *	json_end(&json);
 *	json_end(&json);	 ->  {"name":"web","ports":[12000]} and a newline
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH 8

struct json {
	FILE *to; /* NULL: `text` */
	char *text;
	size_t len, size; /* of the text; the writer's user makes it large enough */
	unsigned depth;
	char ends[JSON_DEPTH];
	bool has_one[JSON_DEPTH]; /* a comma comes first */
};

#define JSON_TO(file)        \
	{                    \
		.to = (file) \
	}
#define JSON_TEXT(buffer, capacity)                  \
	{                                            \
		.text = (buffer), .size = (capacity) \
	}

/* A key is for members of an object; NULL: an element of a list, or the whole. */
void json_object(struct json *json, const char *key);
void json_list(struct json *json, const char *key);
/* Ends the innermost of both. The outermost ends with a newline. */
void json_end(struct json *json);

/* NULL: nothing is written. */
void json_string(struct json *json, const char *key, const char *value);
/* A byte that is not UTF-8 becomes the four characters \xNN; `max` bounds the length as escaped. */
void json_bytes(struct json *json, const char *key, const void *data, size_t len, size_t max);
void json_number(struct json *json, const char *key, uint64_t value);
/* With this many digits behind the point; null when the value is no number. */
void json_decimal(struct json *json, const char *key, double value, int digits);
void json_bool(struct json *json, const char *key, bool value);
