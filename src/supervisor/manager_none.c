/* SPDX-License-Identifier: Apache-2.0 */

/* Built without systemd: there is no service manager to notify. */

#include "supervisor/manager.h"

#include <errno.h>

void manager_notify(const char *format, ...)
{
}

void manager_feed_watchdog(void)
{
}

void manager_flush(void)
{
}

uint64_t manager_watchdog_ms(void)
{
	return 0;
}

bool manager_stderr_is_journal(void)
{
	return false;
}

bool manager_has_journal(void)
{
	return false;
}

int manager_journal(const struct log_record *record)
{
	return -EOPNOTSUPP;
}
