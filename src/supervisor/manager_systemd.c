/* SPDX-License-Identifier: Apache-2.0 */

/* systemd is told how we are, and its journal takes our records field by field. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include "supervisor/manager.h"

#define FIELDS     12
#define FIELD_TEXT (LOG_TEXT + 64)

void manager_notify(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sd_notify(0, text);
}

uint64_t manager_watchdog_ms(void)
{
	uint64_t us;

	return sd_watchdog_enabled(0, &us) > 0 ? us / 1000 : 0;
}

/* JOURNAL_STREAM has the device and inode of the stream that the manager connected. */
bool manager_stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	return strcmp(stream, ours) == 0;
}

struct fields {
	struct iovec list[FIELDS];
	char text[FIELDS][FIELD_TEXT];
	int n;
};

__attribute__((format(printf, 2, 3))) static void fields_add(
	struct fields *fields, const char *format, ...)
{
	char *text = fields->text[fields->n];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, FIELD_TEXT, format, args);
	va_end(args);
	if (len < 0)
		return;
	fields->list[fields->n++] =
		(struct iovec){text, len < FIELD_TEXT ? (size_t)len : FIELD_TEXT - 1};
}

static int priority_of(enum log_level level)
{
	static const int priorities[] = {
		[LOG_LEVEL_ERROR] = 3,
		[LOG_LEVEL_WARNING] = 4,
		[LOG_LEVEL_NOTICE] = 5,
		[LOG_LEVEL_INFO] = 6,
		[LOG_LEVEL_DEBUG] = 7,
	};
	return priorities[level];
}

int manager_journal(const struct log_record *record)
{
	static struct fields fields; /* large, and the supervisor is one thread */
	const struct log_about *about = &record->about;
	char peer[ADDR_TEXT];

	fields.n = 0;
	fields_add(&fields, "MESSAGE=%s", record->text);
	fields_add(&fields, "PRIORITY=%d", priority_of(record->level));
	fields_add(&fields, "MESSAGE_ID=%s", log_event_id(record->event));
	fields_add(&fields, "SYSLOG_IDENTIFIER=upperd");
	fields_add(&fields, "UPPERD_EVENT=%s", log_event_name(record->event));
	if (about->listener)
		fields_add(&fields, "UPPERD_LISTENER=%s", about->listener);
	if (about->peer)
		fields_add(&fields, "UPPERD_PEER=%s", addr_format(about->peer, peer));
	if (about->role)
		fields_add(&fields, "UPPERD_ROLE=%s", about->role);
	if (about->pid > 0)
		fields_add(&fields, "UPPERD_PID=%d", about->pid);
	if (about->reason)
		fields_add(&fields, "UPPERD_REASON=%s", about->reason);
	if (about->error != 0)
		fields_add(&fields, "ERRNO=%d", abs(about->error));
	if (record->suppressed > 0)
		fields_add(
			&fields, "UPPERD_SUPPRESSED=%llu", (unsigned long long)record->suppressed);
	return sd_journal_sendv(fields.list, fields.n);
}
