/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What upperctl asks for with "sandbox": a child tries to break the sandbox of every role, and the
 * answer says what came of it. */

#include "conf/conf.h"
#include "generation/child.h"
#include "supervisor/control.h"

struct inspection {
	struct loop *loop;
	struct control *control;
	struct child child;
	struct timer limit;
	struct task report;
	struct msg_probed *found; /* owned */
	size_t n_found;
	enum conf_sandbox mode;
};

void inspection_init(struct inspection *inspection, struct loop *loop, struct control *control);
void inspection_done(struct inspection *inspection);
/* Ends one before its time, and tells those who wait for it `why`. */
void inspection_abandon(struct inspection *inspection, const char *why);

/* Begins one, unless one is on its way; then all who asked hear of that. Returns CONTROL_LATER, or the
 * exit code when it could not begin, with the reason in `out`. */
int inspection_begin(struct inspection *inspection, const struct conf *conf, FILE *out);
