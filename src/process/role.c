/* SPDX-License-Identifier: Apache-2.0 */

#include "process/role.h"

#include <string.h>

static const char *const words[N_ROLES] = {
#define ROLE(name, word, main) [ROLE_##name] = word,
	ROLES(ROLE)
#undef ROLE
};

const char *role_word(enum role role)
{
	return words[role];
}

enum role role_find(const char *word)
{
	int i = 0;

	while (i < N_ROLES && strcmp(words[i], word) != 0)
		i++;
	return i;
}
