/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The protocol of the control socket, which upperctl, the supervisor and the self-test share: one request
 * per connection, and one answer. A request is a packet with a verb and its argument; the answer is
 * packets of text, and a last one with the exit code. */

#include <stdbool.h>
#include <stddef.h>

/* All verbs, in the order of the help. Verbs that change something are for root and the daemon's own user; members of
 * a control group may ask for the others. VERB(name, changes) */
#define CONTROL_VERBS(VERB)  \
	VERB(status, false)  \
	VERB(reload, true)   \
	VERB(metrics, false) \
	VERB(clients, false) \
	VERB(drain, true)    \
	VERB(sandbox, true)  \
	VERB(upgrade, true)  \
	VERB(log, true)      \
	VERB(attach, true)

/* The first byte of each packet of an answer. */
#define CONTROL_TEXT 'T' /* the rest is text, for stdout */
#define CONTROL_END  'E' /* the rest is the exit code, in decimal */

#define CONTROL_PACKET   4096      /* bytes of a packet at most */
#define CONTROL_QUESTION 256       /* bytes of a request at most */
#define CONTROL_JSON     "--json " /* in front of the verb: answer as JSON */

/* Both never block; false when the client is gone or does not read. The text may have any length. */
bool control_send_text(int fd, const char *text, size_t len);
bool control_send_end(int fd, int exit_code);
