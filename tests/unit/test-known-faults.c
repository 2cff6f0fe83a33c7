/* SPDX-License-Identifier: Apache-2.0 */

/* Which known faults of the library are told of, by its version. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tls/tls.h"

static const struct {
	const char *version;
	bool is_datagram;
	const char *faults; /* the last digits of each; ! where nothing stands in front */
} cases[] = {
	{"3.0.19", false, ""},
	{"3.0.19", true, "75806 54874 "},
	{"3.1.9", false, ""},
	{"3.2.0", false, "72897 "},
	{"3.5.0", true, "72897 75806 54874 84782!"},
	{"3.5.7", false, "72897 "},
	{"3.5.7", true, "72897 75806 54874 84782!"},
	{"3.5.8", true, "72897 75806 84782!"},
	{"3.5.8-dev", false, "72897 "},
	{"3.5.9", true, ""},
	{"3.6.0", true, ""},
	{"4.0.0", true, ""},
	{"nothing", true, ""},
	{NULL, true, ""},
};

static void test_faults_of_versions(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct tls_known_fault *fault;
		char found[256] = "";
		size_t at = 0;

		while ((fault = tls_known_fault(cases[i].version, cases[i].is_datagram, &at))) {
			strcat(found, strrchr(fault->name, '-') + 1);
			strcat(found, fault->shield ? " " : "!");
		}
		if (strcmp(found, cases[i].faults) != 0)
			fail_msg("%s: %s", cases[i].version, found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults_of_versions)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
