/* SPDX-License-Identifier: Apache-2.0 */

/* From the word on a child's command line to the main function of its role. */

#include "child/roles.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "process/channel.h"

static int (*const mains[N_ROLES])(void) = {
#define ROLE(name, word, main) [ROLE_##name] = main,
	ROLES(ROLE)
#undef ROLE
};

/* A person who types --role at a shell has no supervisor to talk to. */
static bool has_channel(void)
{
	struct stat st;

	return fstat(CHANNEL_FD, &st) == 0 && S_ISSOCK(st.st_mode);
}

int role_main(const char *word)
{
	enum role role = role_find(word);

	if (!has_channel()) {
		fprintf(stderr,
			"upperd: --role is for upperd itself, which starts its children "
			"with it\n");
		return EX_USAGE;
	}
	prctl(PR_SET_NAME, "upperd"); /* after the exec of a link, ps would show that link's name */
	if (role < N_ROLES)
		return mains[role]();
	fprintf(stderr, "upperd: there is no role \"%s\"\n", word);
	return EX_USAGE;
}
