/* SPDX-License-Identifier: Apache-2.0 */

/* From the word on a child's command line to its main. */

#include "role/role.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const struct {
	const char *word;
	int (*main)(void);
} roles[N_ROLES] = {
#define ROLE(name, word, main) [ROLE_##name] = {word, main},
	ROLES(ROLE)
#undef ROLE
};

const char *role_word(enum role role)
{
	return roles[role].word;
}

int role_main(const char *word)
{
	for (int i = 0; i < N_ROLES; i++)
		if (strcmp(roles[i].word, word) == 0)
			return roles[i].main();
	fprintf(stderr, "upperd: there is no role \"%s\"\n", word);
	return EX_USAGE;
}
