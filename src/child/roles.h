/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Becoming a child. A new role is a row in process/role.h, a file with its main, and a policy in priv/. */

#include "process/role.h"

/* Runs as a child of the role called `word`, with its channel on descriptor 3; returns the exit code. */
int role_main(const char *word);

#define ROLE(name, word, main) int main(void);
ROLES(ROLE)
#undef ROLE
