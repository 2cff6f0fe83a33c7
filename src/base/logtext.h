/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A record as one line, for people or for machines. Whatever it holds, it is one line: all that is
 * not printable is escaped. What is too long for a line is cut within its own field. */

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
