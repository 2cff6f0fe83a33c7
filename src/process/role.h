/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The roles a child process can have, with the word that names each and its main, which child/ has. */

/* ROLE(name, word, main) */
#define ROLES(ROLE)                               \
	ROLE(WORKER, "worker", worker_main)       \
	ROLE(KEEPER, "keeper", keeper_main)       \
	ROLE(EXPORTER, "exporter", exporter_main) \
	ROLE(SELFTEST, "selftest", selftest_main)

enum role {
#define ROLE(name, word, main) ROLE_##name,
	ROLES(ROLE)
#undef ROLE
		N_ROLES
};

const char *role_word(enum role role);
/* N_ROLES when there is none of that word. */
enum role role_find(const char *word);
