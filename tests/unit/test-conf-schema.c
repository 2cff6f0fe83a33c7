/* SPDX-License-Identifier: Apache-2.0 */

/* The table of keys against the manual: each key is there with its default, its meaning and its
 * words, and nothing else is. Called with the path of upperd.conf(5). */

#include "conf-text.h"

#include "conf/load.h"
#include "conf/schema.h"

static char *page;

static int read_page(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t size = 0;
	bool is_read = file && getdelim(&page, &size, '\0', file) > 0;

	if (file)
		fclose(file);
	return is_read ? 0 : -1;
}

/* The line that begins the paragraph of a key. */
static void item_of(const struct conf_row *row, char *to, size_t size)
{
	size_t len = (size_t)snprintf(to, size, ".It Ic %s", row->key);

	if (row->preset)
		len += (size_t)snprintf(to + len, size - len, " = ");
	for (const char *at = row->preset; at && *at; at++)
		len += (size_t)snprintf(to + len, size - len, *at == '"' ? "\\(dq" : "%c", *at);
	snprintf(to + len, size - len, "\n");
}

/* The paragraph of `row` in the section of its scope. */
static const char *paragraph_of(enum conf_scope scope, const struct conf_row *row)
{
	static const char *const sections[N_SCOPES] = {
		[SCOPE_TOP] = ".Sh GLOBAL KEYS\n",
		[SCOPE_LISTENER] = ".Sh LISTENER KEYS\n",
		[SCOPE_TLS] = ".Sh TLS KEYS\n",
		[SCOPE_CERTIFICATE] = ".Ss Certificates\n",
	};
	const char *section = strstr(page, sections[scope]), *end, *found;
	char item[256];

	assert_non_null(section);
	end = strstr(section + 1, "\n.Sh ");
	item_of(row, item, sizeof(item));
	found = strstr(section, item);
	if (!found || (end && found > end))
		fail_msg("the manual has no line %s", item);
	return found + strlen(item);
}

static void check_row(enum conf_scope scope, const struct conf_row *row)
{
	const char *text = paragraph_of(scope, row), *end = strstr(text, "\n.It Ic ");

	if (strncmp(text, row->meaning, strlen(row->meaning)) != 0)
		fail_msg("%s: the manual does not begin with: %s", row->key, row->meaning);
	for (const struct conf_word *word = row->words; word && word->word; word++) {
		const char *found;
		char line[64];

		snprintf(line, sizeof(line), "\n.It Cm %s\n", word->word);
		found = strstr(text, line);
		if (!found || (end && found > end))
			fail_msg("%s: the manual does not explain %s", row->key, word->word);
	}
}

static void test_every_key_is_in_the_manual(void **state)
{
	/* The page has the defaults of a build that was not told otherwise. */
	if (strcmp(UPPERD_RUNDIR, "/run") != 0 || strcmp(UPPERD_USER, "upperd") != 0)
		skip();
	for (enum conf_scope scope = 0; scope < N_SCOPES; scope++)
		for (size_t i = 0; i < conf_schemas[scope].n; i++)
			check_row(scope, &conf_schemas[scope].rows[i]);
}

/* Items of keys, as opposed to those of words. */
static void test_manual_has_no_other_key(void **state)
{
	size_t items = 0, rows = 0;

	for (const char *at = page; (at = strstr(at, "\n.It Ic ")); at++)
		items++;
	for (enum conf_scope scope = 0; scope < N_SCOPES; scope++)
		rows += conf_schemas[scope].n;
	assert_int_equal(items, rows);
}

static void test_tables_fit_where_they_are_used(void **state)
{
	for (enum conf_scope scope = 0; scope < N_SCOPES; scope++) {
		const struct conf_schema *schema = &conf_schemas[scope];

		assert_in_range(schema->n, 1, LOAD_MAX_ROWS);
		for (size_t i = 0; i < schema->n; i++) {
			const char *last = strrchr(schema->rows[i].key, '.');

			assert_in_range(
				strlen(last ? last : schema->rows[i].key), 1, CONF_NAME - 1);
			assert_ptr_equal(
				conf_schema_find(scope, schema->rows[i].key), &schema->rows[i]);
			assert_int_equal(
				schema->rows[i].type == TYPE_WORD, schema->rows[i].words != NULL);
		}
	}
}

static const struct {
	size_t size;
	/* Fields that no row sets. */
	struct {
		size_t offset, size;
	} others[4];
} structs[N_SCOPES] = {
	[SCOPE_TOP] = {sizeof(struct conf), {{offsetof(struct conf, origins), 8}}},
	[SCOPE_LISTENER] = {sizeof(struct conf_listener),
		{{offsetof(struct conf_listener, origins), 8}}},
	[SCOPE_TLS] = {sizeof(struct conf_tls), {{offsetof(struct conf_tls, origins), 8}}},
	[SCOPE_CERTIFICATE] = {sizeof(struct conf_certificate),
		{{offsetof(struct conf_certificate, origins), 8}}},
};

/* Those of lists with the length behind them. */
static const size_t sizes[] = {
	[TYPE_BOOL] = sizeof(bool),
	[TYPE_NUMBER] = sizeof(unsigned),
	[TYPE_PORT] = sizeof(uint16_t),
	[TYPE_COUNT] = sizeof(uint64_t),
	[TYPE_SIZE] = sizeof(size_t),
	[TYPE_TIME] = sizeof(uint64_t),
	[TYPE_RATIO] = sizeof(double),
	[TYPE_SAMPLE] = sizeof(unsigned),
	[TYPE_MODE] = sizeof(mode_t),
	[TYPE_WORD] = sizeof(unsigned),
	[TYPE_STRING] = sizeof(char *),
	[TYPE_STRINGS] = sizeof(char **) + sizeof(size_t),
	[TYPE_CLIENT_NAMES] = sizeof(char **) + sizeof(size_t),
	[TYPE_ADDRESS] = sizeof(struct addr),
	[TYPE_PREFIXES] = sizeof(struct conf_prefixes),
	[TYPE_CERTIFICATES] = sizeof(struct conf_certificate *) + sizeof(size_t),
	[TYPE_TLS] = sizeof(struct conf_tls),
	[TYPE_LISTENERS] = sizeof(struct conf_listener *) + sizeof(size_t),
};

/* A field without a row would be zero for ever. Gaps of less than a word are what alignment leaves. */
static void test_every_field_has_a_row(void **state)
{
	for (enum conf_scope scope = 0; scope < N_SCOPES; scope++) {
		bool is_set[4096] = {false};
		size_t gap = 0;

		assert_in_range(structs[scope].size, 1, sizeof(is_set));
		for (size_t i = 0; i < conf_schemas[scope].n; i++) {
			const struct conf_row *row = &conf_schemas[scope].rows[i];

			memset(is_set + row->offset, true, sizes[row->type]);
		}
		for (size_t i = 0; i < N_ELEMENTS(structs[scope].others); i++)
			memset(is_set + structs[scope].others[i].offset, true,
				structs[scope].others[i].size);
		for (size_t i = 0; i < structs[scope].size; i++) {
			gap = is_set[i] ? 0 : gap + 1;
			if (gap == sizeof(uint64_t))
				fail_msg("no row of scope %u sets the field at byte %zu", scope,
					i + 1 - gap);
		}
	}
}

static void test_suggestions(void **state)
{
	char name[CONF_NAME];

	assert_true(conf_schema_suggest(SCOPE_TOP, "", "limts", name));
	assert_string_equal(name, "limits");
	assert_true(conf_schema_suggest(SCOPE_TOP, "limits.", "conections", name));
	assert_string_equal(name, "connections");
	assert_false(conf_schema_suggest(SCOPE_TOP, "limits.", "drain", name));
	assert_true(conf_schema_suggest(SCOPE_LISTENER, "", "prot", name));
	assert_string_equal(name, "port");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key_is_in_the_manual),
		cmocka_unit_test(test_manual_has_no_other_key),
		cmocka_unit_test(test_tables_fit_where_they_are_used),
		cmocka_unit_test(test_every_field_has_a_row),
		cmocka_unit_test(test_suggestions),
	};

	if (argc != 2 || read_page(argv[1]) < 0)
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
