/* SPDX-License-Identifier: Apache-2.0 */

/* Both forms are a list of fields after a head. Every field has a bound of its own, and all bounds
 * together fit into a line: so nothing here asks whether there is room. */

#include "base/logtext.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"

/* As escaped, with the NUL. */
#define MESSAGE_MAX 2048
#define VALUE_MAX   256

/* "2026-05-04T03:02:01.000+02:00" */
#define TIME_MAX 40

/* Time, level, event, pid and suppressed, with the keys and the marks around all fields. */
#define REST_MAX 512

/* listener, peer, role, error, reason */
static_assert(MESSAGE_MAX + 5 * VALUE_MAX + REST_MAX <= LOGTEXT_LINE, "a line holds its fields");

/* One of both forms; JSON has a writer of its own. */
struct line {
	char *text;
	size_t len;
	struct json *json; /* NULL: text */
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(line->text + line->len, LOGTEXT_LINE - line->len, format, arguments);
	va_end(arguments);

	assert(n >= 0 && (size_t)n < LOGTEXT_LINE - line->len);
	line->len += (size_t)n;
}

/* In text, a value that could be taken for two is put into quotes. */
static void add_string(struct line *line, const char *key, const char *value)
{
	char escaped[VALUE_MAX];

	if (!value || *value == '\0')
		return;

	if (line->json) {
		json_bytes(line->json, key, value, strlen(value), VALUE_MAX - 1);
	} else if (strpbrk(value, " \"=\\")) {
		text_escape_json(value, strlen(value), escaped, sizeof(escaped));
		add(line, " %s=\"%s\"", key, escaped);
	} else {
		text_escape(value, strlen(value), escaped, sizeof(escaped));
		add(line, " %s=%s", key, escaped);
	}
}

static void add_number(struct line *line, const char *key, uint64_t value)
{
	if (value == 0)
		return;

	if (line->json)
		json_number(line->json, key, value);
	else
		add(line, " %s=%" PRIu64, key, value);
}

static void add_about(struct line *line, const struct log_record *record)
{
	const struct log_about *about = &record->about;
	char peer[ADDR_TEXT] = "", buffer[VALUE_MAX];
	const char *error = NULL;

	if (about->peer)
		addr_format(about->peer, peer);
	if (about->error != 0)
		error = strerror_r(abs(about->error), buffer, sizeof(buffer));

	add_string(line, "listener", about->listener);
	add_string(line, "peer", peer);
	add_string(line, "role", about->role);
	add_number(line, "pid", about->pid > 0 ? (uint64_t)about->pid : 0);
	add_string(line, "error", error);
	add_string(line, "reason", about->reason);
	add_number(line, "suppressed", record->suppressed);
}

/* Local time with its offset, so that both the reader and a program know when. */
static void format_time(const struct timespec *when, char text[static TIME_MAX])
{
	char seconds[TIME_MAX / 2], zone[8];
	struct tm local;

	if (!localtime_r(&when->tv_sec, &local)) {
		memcpy(text, "-", 2);
		return;
	}

	strftime(seconds, sizeof(seconds), "%FT%T", &local);
	strftime(zone, sizeof(zone), "%z", &local);
	snprintf(text, TIME_MAX, "%s.%03u%.3s:%s", seconds,
		(unsigned)(when->tv_nsec / 1000000 % 1000), zone, zone + 3);
}

size_t logtext_line(const struct log_record *record, const struct timespec *when,
	char line[static LOGTEXT_LINE])
{
	struct line to = {.text = line};
	char time[TIME_MAX], message[MESSAGE_MAX];

	if (when) {
		format_time(when, time);
		add(&to, "%s ", time);
	}

	text_escape(record->text, strlen(record->text), message, sizeof(message));
	add(&to, "%s %s: %s", log_level_name(record->level), log_event_name(record->event),
		message);
	add_about(&to, record);
	add(&to, "\n");

	return to.len;
}

size_t logtext_json(const struct log_record *record, const struct timespec *when,
	char line[static LOGTEXT_LINE])
{
	struct json json = JSON_TEXT(line, LOGTEXT_LINE);
	struct line to = {.json = &json};
	char time[TIME_MAX];

	json_object(&json, NULL);
	if (when) {
		format_time(when, time);
		json_string(&json, "time", time);
	}
	json_string(&json, "level", log_level_name(record->level));
	json_string(&json, "event", log_event_name(record->event));
	json_bytes(&json, "message", record->text, strlen(record->text), MESSAGE_MAX - 1);
	add_about(&to, record);
	json_end(&json);

	return json.len;
}

void logtext_to_stderr(void *userdata, const struct log_record *record)
{
	char line[LOGTEXT_LINE];
	struct timespec when;

	if (clock_gettime(CLOCK_REALTIME, &when) < 0)
		return;
	(void)fd_write_ready(STDERR_FILENO, line, logtext_line(record, &when, line));
}
