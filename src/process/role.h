/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The roles a process can have. A new one is a row here and a file. */

/* ROLE(name, word, main) */
#define ROLES(ROLE)                               \
	ROLE(WORKER, "worker", worker_main)       \
	ROLE(KEEPER, "keeper", keeper_main)       \
	ROLE(EXPORTER, "exporter", exporter_main) \
	ROLE(PROBE, "probe", probe_main)

enum role {
#define ROLE(name, word, main) ROLE_##name,
	ROLES(ROLE)
#undef ROLE
		N_ROLES
};

const char *role_word(enum role role);
/* N_ROLES when there is none of that word. */
enum role role_find(const char *word);

/* Becomes a child of that role, with its channel on descriptor 3; returns the exit code. */
int role_main(const char *word);

#define ROLE(name, word, main) int main(void);
ROLES(ROLE)
#undef ROLE
