/* SPDX-License-Identifier: Apache-2.0 */

/* Tables that belong together, so that a row which is forgotten in one of them shows: messages and their handlers,
 * roles and their policies, verbs and their manual. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "child/runtime.h"
#include "generation/child.h"
#include "priv/policy.h"
#include "process/ctl.h"

static char *manual; /* of upperctl */

static const struct {
	const char *name;
	enum message_from from;
	unsigned roles;
} messages[] = {
#define MESSAGE(name, from, roles, ...) {#name, FROM_##from, roles},
	MESSAGES(MESSAGE)
#undef MESSAGE
};

/* The self-test has no loop, and receives one message. */
static const struct runtime_handler *const handlers[N_ROLES] = {
	[ROLE_WORKER] = worker_handlers,
	[ROLE_KEEPER] = keeper_handlers,
	[ROLE_EXPORTER] = exporter_handlers,
};

static void test_a_role_handles_what_it_may_be_sent_and_nothing_else(void **state)
{
	for (enum role role = 0; role < N_ROLES; role++) {
		if (role == ROLE_SELFTEST)
			continue;
		assert_non_null(handlers[role]);
		for (int i = 0; i < N_MESSAGES; i++) {
			bool may_come = messages[i].from == FROM_SUPERVISOR &&
				messages[i].roles & 1u << role;

			if (may_come != (handlers[role][i].handle != NULL))
				fail_msg("MSG_%s and the handlers of a %s do not fit",
					messages[i].name, role_word(role));
		}
	}
}

static void test_the_supervisor_handles_what_a_child_may_send(void **state)
{
	for (int i = 0; i < N_MESSAGES; i++)
		if ((messages[i].from == FROM_CHILD) != (child_handlers[i] != NULL))
			fail_msg("MSG_%s and child_handlers do not fit", messages[i].name);
}

/* The self-test stays outside: only the processes that it starts enter. */
static void test_a_role_has_a_policy(void **state)
{
	for (enum role role = 0; role < N_ROLES; role++) {
		bool has_one = false;

		for (size_t i = 0; i < n_policies; i++)
			has_one = has_one || strcmp(policies[i].role, role_word(role)) == 0;
		if (has_one == (role == ROLE_SELFTEST))
			fail_msg("the policies and the role %s do not fit", role_word(role));
	}
}

static void test_a_verb_is_in_the_manual(void **state)
{
	static const char *const names[] = {
#define VERB(name, changes) "\n.It Cm " #name,
		CONTROL_VERBS(VERB)
#undef VERB
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strstr(manual, names[i]))
			fail_msg("upperctl(8) has no \"%s\"", names[i] + 1);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_role_handles_what_it_may_be_sent_and_nothing_else),
		cmocka_unit_test(test_the_supervisor_handles_what_a_child_may_send),
		cmocka_unit_test(test_a_role_has_a_policy),
		cmocka_unit_test(test_a_verb_is_in_the_manual),
	};
	static char text[1 << 16];
	FILE *file = argc > 1 ? fopen(argv[1], "re") : NULL;

	if (!file || fread(text, 1, sizeof(text) - 1, file) == 0)
		return 1;
	fclose(file);
	manual = text;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
