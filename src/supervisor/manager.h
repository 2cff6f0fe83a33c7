/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The service manager, when there is one: it is told how we are, and its journal takes our records.
 * Built without systemd, another file keeps the same promises by doing nothing. */

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

/* A line such as "READY=1", or several; does nothing without a service manager. Never waits: what
 * finds no room now is sent later, by the next call or by manager_flush(). */
__attribute__((format(printf, 1, 2))) void manager_notify(const char *format, ...);
void manager_feed_watchdog(void);
/* To be called every second. */
void manager_flush(void);
/* How often the watchdog wants to hear from us; 0: there is none. */
uint64_t manager_watchdog_ms(void);

/* Stderr is a stream of the journal, so that records had better go there with their fields. */
bool manager_stderr_is_journal(void);
bool manager_has_journal(void);
/* -EAGAIN when the journal has no room, and another negative errno when there is none. */
int manager_journal(const struct log_record *record);
