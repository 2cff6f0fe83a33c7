/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Waits for the files of a configuration to be replaced. */

#include "base/loop.h"
#include "process/files.h"

struct watch {
	struct loop *loop;
	int fd; /* owned; -1: nothing is watched */
	struct source source;
	struct timer settle; /* when to look */
	struct files files;
	uint64_t *fingerprints; /* of each file, as of when it was last looked at */
	bool moving;            /* one of them was found to have changed, and may not be the last */
	/* Some files are not what they were, and have been left alone for a moment since. */
	void (*on_change)(struct watch *watch);
};

#define WATCH_EMPTY ((struct watch){.fd = -1})

/* Watches the files of `conf`, which must outlive it, and nothing else any more. They are taken to be
 * what they were when the same were opened. */
int watch_start(struct watch *watch, const struct conf *conf, const struct files *open);
void watch_done(struct watch *watch);
