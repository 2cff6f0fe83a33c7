/* SPDX-License-Identifier: Apache-2.0 */

/* The share of time that control groups leave, in processors: of the group itself and of those around it. */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cpus.h"

static char root[] = "/tmp/test-cpus-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_quota_in_processors(void **state)
{
	static const struct {
		const char *text;
		unsigned cpus;
	} rows[] = {
		{"max 100000\n", UINT_MAX},
		{"200000 100000\n", 2},
		{"150000 100000\n", 2}, /* what is begun is used */
		{"1000 100000\n", 1},   /* and one there is */
		{"50000 25000\n", 2},
		{"18446744073709551615 1\n", UINT_MAX},
		{"100000 0\n", UINT_MAX},
		{"100000\n", UINT_MAX},
		{"nonsense", UINT_MAX},
		{"", UINT_MAX},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put("slice/unit/cpu.max", rows[i].text);
		assert_int_equal(cpus_of_group(root, "/slice/unit"), rows[i].cpus);
	}
}

static void test_least_on_the_way_up_counts(void **state)
{
	put("slice/unit/cpu.max", "400000 100000\n");
	put("slice/cpu.max", "300000 100000\n");
	assert_int_equal(cpus_of_group(root, "/slice/unit"), 3);
	assert_int_equal(cpus_of_group(root, "/slice/unit/"), 3);
	put("slice/unit/cpu.max", "200000 100000\n");
	assert_int_equal(cpus_of_group(root, "/slice/unit"), 2);
	put("cpu.max", "100000 100000\n"); /* a container's own root has one */
	assert_int_equal(cpus_of_group(root, "/slice/unit"), 1);
	assert_int_equal(cpus_of_group(root, ""), 1);
	assert_int_equal(cpus_of_group(root, "/gone/unit"), 1);
}

static int make_tree(void **state)
{
	char path[256];

	if (!mkdtemp(root))
		return -1;
	snprintf(path, sizeof(path), "%s/slice", root);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/slice/unit", root);
	return mkdir(path, 0700);
}

static int remove_tree(void **state)
{
	static const char *const names[] = {
		"slice/unit/cpu.max", "slice/cpu.max", "cpu.max", "slice/unit", "slice", "."};
	char path[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, names[i]);
		remove(path);
	}
	return rmdir(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quota_in_processors),
		cmocka_unit_test(test_least_on_the_way_up_counts),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
