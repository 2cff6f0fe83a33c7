/* SPDX-License-Identifier: Apache-2.0 */

/* Two protocols of systemd, both of them datagrams to a unix socket: assignments to NOTIFY_SOCKET, and
 * records as lists of fields to the journal. They are spoken here, and not by libsystemd, since its calls
 * wait for a socket that is full, and all of the daemon with them.
 *
 * A record that finds no room is lost, and the log counts it. A state, such as READY=1, must not be:
 * states that found no room wait here, in their order, and manager_flush() sends them later. */

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logtext.h"
#include "base/pid.h"
#include "base/text.h"
#include "base/unixgram.h"
#include "supervisor/manager.h"

#define JOURNAL     "/run/systemd/journal/socket"
#define JOURNAL_MAX 8192
#define NOTIFY_MAX  1024
#define WAITING_MAX 8

static const char ping[] = "WATCHDOG=1";

static struct unixgram to_manager = UNIXGRAM_EMPTY, to_journal = UNIXGRAM_EMPTY;

static struct {
	char list[WAITING_MAX][NOTIFY_MAX];
	unsigned n;
	uint64_t lost;
} waiting;

static int notify(const char *text)
{
	const char *socket = getenv("NOTIFY_SOCKET");

	return socket ? unixgram_send(&to_manager, socket, text, strlen(text)) : 0;
}

static bool is_status(const char *text)
{
	return strncmp(text, "STATUS=", 7) == 0 && !strchr(text, '\n');
}

static void drop_first(void)
{
	memmove(waiting.list[0], waiting.list[1], --waiting.n * sizeof(waiting.list[0]));
}

/* A line of status replaces one that waits; a ping would come too late to mean anything; and of too many
 * states, the last ones count. */
static void keep(const char *text)
{
	if (strcmp(text, ping) == 0) {
		waiting.lost++;
		return;
	}
	if (waiting.n > 0 && is_status(text) && is_status(waiting.list[waiting.n - 1])) {
		waiting.n--;
	} else if (waiting.n == WAITING_MAX) {
		drop_first();
		waiting.lost++;
	}
	snprintf(waiting.list[waiting.n++], NOTIFY_MAX, "%s", text);
}

void manager_flush(void)
{
	while (waiting.n > 0 && notify(waiting.list[0]) != -EAGAIN)
		drop_first();
	if (waiting.n > 0 || waiting.lost == 0)
		return;
	log_event(EVENT_NOTIFICATIONS_LOST, ABOUT_NOTHING,
		"the service manager did not read its socket; %llu notifications were dropped",
		(unsigned long long)waiting.lost);
	waiting.lost = 0;
}

void manager_notify(const char *format, ...)
{
	char text[NOTIFY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	manager_flush();
	if (waiting.n > 0 || notify(text) == -EAGAIN)
		keep(text);
}

void manager_feed_watchdog(void)
{
	manager_notify(ping);
}

static uint64_t variable_number(const char *variable)
{
	const char *text = getenv(variable);
	unsigned long long number;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' ? number : 0;
}

uint64_t manager_watchdog_ms(void)
{
	bool is_ours = !getenv("WATCHDOG_PID") || pid_is_ours(variable_number("WATCHDOG_PID"));

	return is_ours ? variable_number("WATCHDOG_USEC") / 1000 : 0;
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

bool manager_has_journal(void)
{
	return access(JOURNAL, F_OK) == 0;
}

struct fields {
	size_t len;
	char data[JOURNAL_MAX];
};

static void fields_append(struct fields *fields, const void *data, size_t len)
{
	memcpy(fields->data + fields->len, data, len);
	fields->len += len;
}

/* The form with a length holds any value, also one with newlines; a field without room is left out. */
static void fields_add(struct fields *fields, const char *name, const char *value)
{
	size_t len = value ? strlen(value) : 0;
	uint64_t size = htole64(len);

	if (!value || fields->len + strlen(name) + len + sizeof(size) + 2 > sizeof(fields->data))
		return;
	fields_append(fields, name, strlen(name));
	fields_append(fields, "\n", 1);
	fields_append(fields, &size, sizeof(size));
	fields_append(fields, value, len);
	fields_append(fields, "\n", 1);
}

/* Of a peer, perhaps: the journal holds any byte, but what shows it may not. */
static void fields_add_escaped(struct fields *fields, const char *name, const char *value)
{
	char escaped[4 * 256];

	if (!value)
		return;
	text_escape(value, strlen(value), escaped, sizeof(escaped));
	fields_add(fields, name, escaped);
}

static void fields_add_number(struct fields *fields, const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	fields_add(fields, name, text);
}

/* As UPPERD_BYTES_IN and the like. */
static void fields_add_facts(struct fields *fields, const struct log_facts *facts)
{
	for (int fact = 0; fact < N_LOG_FACTS; fact++) {
		struct log_fact_value value;
		char name[64];
		int n;

		if (!log_fact_get(facts, (enum log_fact)fact, &value))
			continue;
		n = snprintf(name, sizeof(name), "UPPERD_%s", value.name);
		for (int i = 0; i < n; i++)
			name[i] = (char)toupper((unsigned char)name[i]);
		if (value.text)
			fields_add_escaped(fields, name, value.text);
		else
			fields_add_number(fields, name, value.number);
	}
}

static unsigned priority_of(enum log_level level)
{
	static const unsigned priorities[] = {
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
	const struct log_about *about = &record->about;
	struct fields fields = {.len = 0};
	char peer[ADDR_TEXT], message[LOGTEXT_MESSAGE];

	logtext_message(record, message);
	fields_add(&fields, "MESSAGE", message);
	fields_add_number(&fields, "PRIORITY", priority_of(record->level));
	fields_add(&fields, "MESSAGE_ID", log_event_id(record->event));
	fields_add(&fields, "SYSLOG_IDENTIFIER", "upperd");
	fields_add(&fields, "UPPERD_EVENT", log_event_name(record->event));
	fields_add_escaped(&fields, "UPPERD_LISTENER", about->listener);
	fields_add_escaped(
		&fields, "UPPERD_PEER", about->peer ? addr_format(about->peer, peer) : NULL);
	fields_add_escaped(&fields, "UPPERD_ROLE", about->role);
	fields_add_escaped(&fields, "UPPERD_REASON", about->reason);
	if (about->pid > 0)
		fields_add_number(&fields, "UPPERD_PID", (uint64_t)about->pid);
	if (about->error != 0)
		fields_add_number(&fields, "ERRNO", (uint64_t)abs(about->error));
	if (record->suppressed > 0)
		fields_add_number(&fields, "UPPERD_SUPPRESSED", record->suppressed);
	if (about->facts)
		fields_add_facts(&fields, about->facts);
	return unixgram_send(&to_journal, JOURNAL, fields.data, fields.len);
}
