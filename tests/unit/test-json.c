/* SPDX-License-Identifier: Apache-2.0 */

/* The writer of JSON: structure, numbers and hostile bytes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static void test_structure(void **state)
{
	char text[256];
	struct json json = JSON_TEXT(text, sizeof(text));

	json_object(&json, NULL);
	json_string(&json, "name", "a\"b");
	json_string(&json, "none", NULL);
	json_list(&json, "list");
	json_end(&json);
	json_list(&json, "rows");
	json_object(&json, NULL);
	json_end(&json);
	json_object(&json, NULL);
	json_bool(&json, "yes", true);
	json_bool(&json, "no", false);
	json_end(&json);
	json_number(&json, NULL, UINT64_MAX);
	json_end(&json);
	json_decimal(&json, "ms", 1.23456, 3);
	json_decimal(&json, "nan", NAN, 3);
	json_end(&json);

	assert_string_equal(text,
		"{\"name\":\"a\\\"b\",\"list\":[],\"rows\":[{},{\"yes\":true,\"no\":false},"
		"18446744073709551615],\"ms\":1.235,\"nan\":null}\n");
	assert_int_equal(json.len, strlen(text));
}

/* A file gets the same as a buffer, for strings of any length, and no character is cut in halves. */
static void test_pieces(void **state)
{
	static const char unit[] = "\xc3\x9f\xf0\x9f\x98\x80x\xff\n\"";
	char from[1500] = "", large[16384], *text = NULL;
	struct json buffered = JSON_TEXT(large, sizeof(large));
	size_t size;
	FILE *to = open_memstream(&text, &size);
	struct json filed = JSON_TO(to);

	assert_non_null(to);
	for (size_t i = 0; i + sizeof(unit) < sizeof(from); i += sizeof(unit) - 1)
		memcpy(from + i, unit, sizeof(unit));
	json_string(&buffered, NULL, from);
	json_string(&filed, NULL, from);
	fclose(to);
	assert_string_equal(text, large);
	for (const char *at = large + 1; strlen(at) > 1; at += strlen("ß😀x\\\\xff\\n\\\""))
		assert_memory_equal(at, "ß😀x\\\\xff\\n\\\"", strlen("ß😀x\\\\xff\\n\\\""));
	free(text);
}

/* The bound holds for what is written, to the byte, and what is written is whole. */
static void test_bound(void **state)
{
	static const struct {
		const char *from;
		size_t max;
		const char *to;
	} cases[] = {
		{"abc", 2, "\"ab\""},
		{"abc", 0, "\"\""},
		{"a\xc3\x9f", 2, "\"a\""},
		{"a\xc3\x9f", 3, "\"aß\""},
		{"\x01\x01", 11, "\"\\u0001\""},
		{"\x80\x80\x80\x80\x80\x80", 11, "\"\\\\x80\\\\x80\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];
		struct json json = JSON_TEXT(text, sizeof(text));

		json_bytes(&json, NULL, cases[i].from, strlen(cases[i].from), cases[i].max);
		assert_string_equal(text, cases[i].to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
