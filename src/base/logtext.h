/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A record as one line, for people or for machines. Any content makes one line: all that is not printable
 * is escaped, and a field that is too long is cut within its own bound. */

#include <stddef.h>
#include <time.h>

#include "base/log.h"

/* Room for any line with its newline and NUL, and as much as one write to a pipe keeps whole. */
#define LOGTEXT_LINE 4096

/* 2026-05-04T03:02:01.000+02:00 notice ready: serving listener=tls peer=[2001:db8::1]:4242
 * No time when `when` is NULL. Returns the length, the newline included. */
size_t logtext_line(const struct log_record *record, const struct timespec *when,
	char line[static LOGTEXT_LINE]);

/* The same as a JSON object: time, level, event, message, listener, peer, role, pid, error, reason
 * and suppressed, without those that are empty. */
size_t logtext_json(const struct log_record *record, const struct timespec *when,
	char line[static LOGTEXT_LINE]);

/* A sink: lines of text to stderr. A terminal that was stopped or a pipe that is full loses the line, and the
 * process never waits. */
void logtext_to_stderr(void *userdata, const struct log_record *record);
