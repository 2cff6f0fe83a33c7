/* SPDX-License-Identifier: Apache-2.0 */

/* Files that are no text, too much of anything, and includes. */

#include <libconfig.h>

#include "conf-text.h"

static void assert_file_faults(const struct conf_file *files, const char *part)
{
	struct outcome outcome = load_files(files, NULL);

	assert_says(outcome.faults, part);
	outcome_done(&outcome);
}

static void test_what_is_no_text(void **state)
{
	static const struct {
		struct conf_file file;
		const char *part;
	} cases[] = {
		{{"a", "x = 1;\n\303\251 \0", 11}, "a:2:3: error: a NUL byte"},
		{{"a", "x = 1;\n\303\251 \377", 11}, "a:2:3: error: this is not UTF-8"},
		{{"a", "x = 1;\n\303\251 \377\0", 12}, "a:2:3: error: this is not UTF-8"},
		{{"a", NULL, 0, -ENOENT}, "a: error: cannot be read: No such file or directory"},
		{{"a", NULL, 0, -EISDIR}, "a: error: cannot be read: a folder, not a file"},
		{{"a", NULL, 0, -EFBIG}, "a: error: cannot be read: larger than 16 MiB"},
		{{"a", ""}, "a: error: listeners: missing; at least one is needed"},
		{{"a", "x = \"\n"}, "a:1:5: error: x: syntax error: this string is never closed"},
		{{"a", "/* \n"}, "a:1:1: error: syntax error: this comment is never closed"},
		{{"a", "x = (\n{"}, "a:2:1: error: x: syntax error: this '{' is never closed"},
		{{"a", "x = )"}, "a:1:5: error: x: a value is missing before this ')'"},
		{{"a", "x = 1; )"}, "a:1:8: error: syntax error: nothing is open"},
		{{"a", "x = (\n}"},
			"a:2:1: error: x: syntax error: this '}' cannot close the '(' of line 1"},
#if LIBCONFIG_VER_MAJOR == 1 && LIBCONFIG_VER_MINOR < 7 /* later ones take a comma at the end */
		{{"a", "x = ( 1, # one\n )"},
			"a:2:2: error: x: syntax error: a comma goes between"},
#endif
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const struct conf_file files[] = {cases[i].file, {NULL}};

		assert_file_faults(files, cases[i].part);
	}
}

static void test_mark_of_utf8_is_passed_over(void **state)
{
	conf_free(load_fine("\xef\xbb\xbf" UDP, NULL));
}

/* And with no newline behind it. */
static void test_last_line_is_a_comment(void **state)
{
	static const struct conf_file files[] = {
		{"a", "@include \"b\" # x\n" UDP "@include \"b\" // x"},
		{"b", "# c"},
		{NULL},
	};
	struct outcome outcome = load_files(files, NULL);

	assert_string_equal(outcome.faults, "");
	outcome_done(&outcome);
	conf_free(load_fine(UDP "# c", NULL));
	conf_free(load_fine(UDP "/* c */", NULL));
	conf_free(load_fine(UDP "//", NULL));
}

/* `n` times `piece` behind `before`. */
static char *repeat(const char *before, const char *piece, size_t n)
{
	size_t len = strlen(piece), head = strlen(before);
	char *text = malloc(head + n * len + 1);

	assert_non_null(text);
	memcpy(text, before, head);
	for (size_t i = 0; i < n; i++)
		memcpy(text + head + i * len, piece, len);
	text[head + n * len] = '\0';
	return text;
}

static void test_too_much(void **state)
{
	static const struct {
		const char *before, *piece;
		size_t n;
		const char *part;
	} cases[] = {
		{"x = ", "(", 10000000,
			"a.conf:1:37: error: x: brackets are nested deeper than 32"},
		{"x = ", "[", 33, "nested deeper"},
		{"user = \"", "x", 10000000,
			"a.conf:1:8: error: user: syntax error: this string is never closed"},
		{"", "x", 100000, "'=' is missing between \"xxx"},
		{"log = { level = [\"a\", \"", "x", 5000,
			"a.conf:1:23: error: log.level: syntax error: this string is never closed"},
		{"x = ", "1", 100000, "x: unknown key"},
		{"user = ", "\"y\" ", 5000, "user: a string of 5000 bytes is out of range"},
		{"#", "x", 16 << 20, "cannot be read: larger than 16 MiB"},
		{"", "\n", 100001, "more than 100000 lines"},
		{"x = [0", ",0", 100000, "more than 16384 settings"},
		{"x = 0;", "x = 0;", 10000, "x: set twice; a.conf:1 has it already"},
		{"listeners = ( {}", ", {}", 256, "257 of them are too many; at most 256"},
		{"listeners = ( {}", ", { transport = \"udp\"; port = 1; }", 100000,
			"more than 16384"},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char *text = repeat(cases[i].before, cases[i].piece, cases[i].n);
		char *whole = repeat(text, ");", strncmp(text, "listeners", 9) == 0);

		assert_faults(whole, cases[i].part);
		free(text);
		free(whole);
	}
}

/* A thousand faults are not a thousand lines, nor is any of them long. */
static void test_faults_are_bounded(void **state)
{
	char *text = calloc(16, 500), *many;
	struct outcome outcome;

	assert_non_null(text);
	for (int i = 0; i < 500; i++)
		sprintf(text + strlen(text), "k%d = 0; ", i);
	many = repeat(UDP, text, 1);
	outcome = load_text(many, NULL);
	assert_says(outcome.faults, "there are more faults than these");
	assert_true(strlen(outcome.faults) < 100 * 1000);
	outcome_done(&outcome);
	free(many);
	free(text);
}

static void test_includes(void **state)
{
	static const struct conf_file files[] = {
		{"etc/a", "workers = 1;\n  @include \"b\" # the rest\nwrkers = 2;"},
		{"etc/b", "@include \"d/c\"\n\nlisteners = ("},
		{"etc/d/c", "# nothing\n/* @include \"x\"\n@include \"x\" */ user = \"@include\";"},
		{NULL},
	};
	struct outcome outcome = load_files(files, NULL);

	assert_says(outcome.faults,
		"etc/b:3:13: error: listeners: syntax error: this '(' is never closed");
	outcome_done(&outcome);
}

static void test_faults_in_an_included_file(void **state)
{
	static const struct conf_file files[] = {
		{"etc/a", "workers = 1;\n@include \"/b\"\nwrkers = 2;\n@include \"c\"\n" UDP},
		{"/b", "\n drain = 1;"},
		{"etc/c", ""},
		{NULL},
	};
	struct outcome outcome = load_files(files, NULL);

	assert_string_equal(outcome.faults,
		"/b:2:2: error: drain: a string with a number and its unit, such as \"30s\", is "
		"needed, not the number 1\n"
		"    2 |  drain = 1;\n"
		"      |  ^~~~~\n"
		"etc/a:3:1: error: wrkers: unknown key; did you mean \"workers\"?\n"
		"    3 | wrkers = 2;\n"
		"      | ^~~~~~\n");
	outcome_done(&outcome);
}

static void test_includes_that_fail(void **state)
{
	static const struct {
		struct conf_file files[3];
		const char *part;
	} cases[] = {
		{{{"a", "\n @include \"b\""}}, "a:2:12: error: b cannot be read: No such file"},
		{{{"a", "@include \"b\""}, {"b", NULL, 0, -EISDIR}}, "b cannot be read: a folder"},
		{{{"a", "@include \"a\""}}, "a:1:11: error: a includes itself"},
		{{{"a", "@include \"b\""}, {"b", "@include \"a\""}},
			"b:1:11: error: a includes itself"},
		{{{"x/a", "@include \"./a\""}, {"x/./a", "@include \"../x/a\""}}, "cannot be read"},
		{{{"a", "x = @include \"b\""}}, "a:1:5: error: syntax error: '@' stands only"},
		{{{"a", "@include b"}}, "'@' stands only"},
		{{{"a", "@include \"b\" x"}}, "'@' stands only"},
		{{{"a", "@includes \"b\""}}, "'@' stands only"},
		{{{"a", "@"}}, "'@' stands only"},
		{{{"a", "@include \"b\""}, {"b", "\n\377"}}, "b:2:1: error: this is not UTF-8"},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		assert_file_faults(cases[i].files, cases[i].part);
}

static void test_includes_are_bounded(void **state)
{
	char *many, *long_line;

	many = repeat("", "@include \"b\"\n", 257);
	long_line = repeat("#", "x", 1 << 20);
	assert_file_faults((struct conf_file[]){{"a", many}, {"b", ""}, {NULL}},
		"a:257:11: error: more than 256 files");
	assert_file_faults((struct conf_file[]){{"a", many}, {"b", long_line}, {NULL}},
		"more than 16 MiB with what is included");
	free(many);
	free(long_line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_no_text),
		cmocka_unit_test(test_mark_of_utf8_is_passed_over),
		cmocka_unit_test(test_last_line_is_a_comment),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_faults_are_bounded),
		cmocka_unit_test(test_includes),
		cmocka_unit_test(test_faults_in_an_included_file),
		cmocka_unit_test(test_includes_that_fail),
		cmocka_unit_test(test_includes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
