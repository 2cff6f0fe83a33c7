/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The protocol of the control socket, which upperctl, the supervisor and the self-test share: one request
 * per connection, and one answer. A request is a packet with a verb and its argument; the answer is
 * packets of text, and a last one with the exit code. */

#include <stdbool.h>
#include <stddef.h>

/* The first byte of each packet of an answer. */
#define CONTROL_TEXT 'T' /* the rest is text, for stdout */
#define CONTROL_END  'E' /* the rest is the exit code, in decimal */

#define CONTROL_PACKET   4096      /* bytes of a packet at most */
#define CONTROL_QUESTION 256       /* bytes of a request at most */
#define CONTROL_JSON     "--json " /* in front of the verb: answer as JSON */

/* Both never block; false when the client is gone or does not read. The text may have any length. */
bool control_send_text(int fd, const char *text, size_t len);
bool control_send_end(int fd, int exit_code);
