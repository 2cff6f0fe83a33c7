/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A record as one line, for people or for machines. Any content makes one line: all that is not printable
 * is escaped, and a field that is too long is cut within its own bound. */

#include <stddef.h>
#include <time.h>

#include "base/log.h"

/* Room for any line with its newline and NUL, and as much as one write to a pipe keeps whole. */
#define LOGTEXT_LINE 4096

/* Room for any message with its NUL. */
#define LOGTEXT_MESSAGE 3800

/* worker 1[77] tls [2001:db8::1]:4242: refused: a message came too slowly reason=trickle
 * The subject comes first, the process, the listener and the peer, as far as they are known; then the sentence,
 * and the facts. Text from a peer is escaped, and quoted where it could be taken for two, so that a program may
 * rely on the place of each. This is the MESSAGE of the journal. Returns the length. */
size_t logtext_message(const struct log_record *record, char text[static LOGTEXT_MESSAGE]);

/* 2026-05-04T03:02:01.000+02:00 notice ready: and the message.
 * No time when `when` is NULL. Returns the length, the newline included. */
size_t logtext_line(const struct log_record *record, const struct timespec *when,
	char line[static LOGTEXT_LINE]);

/* The same as a JSON object: time, level, event, message, listener, peer, role, pid, error, reason,
 * facts and suppressed, without those that are empty. Its message is the sentence alone. */
size_t logtext_json(const struct log_record *record, const struct timespec *when,
	char line[static LOGTEXT_LINE]);

/* A sink: lines of text to stderr. A terminal that was stopped or a pipe that is full loses the line, and the
 * process never waits. */
void logtext_to_stderr(void *userdata, const struct log_record *record);
