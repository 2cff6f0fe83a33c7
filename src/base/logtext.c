/* SPDX-License-Identifier: Apache-2.0 */

/* All forms are fields around a sentence. Every field has a bound of its own, and all bounds together fit
 * into a line: so nothing here asks whether there is room. */

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
#define SENTENCE_MAX 1300
#define VALUE_MAX    192 /* listener, peer, role, error, reason */
#define FACT_MAX     320 /* of the two that a peer may make this long */
#define WORD_MAX     64  /* of the other facts */

/* Numbers, keys and the marks around all fields. */
#define REST_MAX 460

/* "2026-05-04T03:02:01.000+02:00" */
#define TIME_MAX 40

/* Time, level and event. */
#define HEAD_MAX 90

static_assert(
	SENTENCE_MAX + 5 * VALUE_MAX + 2 * FACT_MAX + 6 * WORD_MAX + REST_MAX <= LOGTEXT_MESSAGE,
	"a message holds its fields");
static_assert(LOGTEXT_MESSAGE + HEAD_MAX <= LOGTEXT_LINE, "a line holds its message");

/* Text, or JSON, which has a writer of its own. */
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
	n = vsnprintf(line->text + line->len, LOGTEXT_MESSAGE - line->len, format, arguments);
	va_end(arguments);

	assert(n >= 0 && (size_t)n < LOGTEXT_MESSAGE - line->len);
	line->len += (size_t)n;
}

/* A value that could be taken for two is put into quotes. `max` bounds it as escaped. */
static void add_quoted(struct line *line, const char *value, size_t max)
{
	char escaped[FACT_MAX];

	assert(max <= sizeof(escaped));
	if (strpbrk(value, " \"=\\")) {
		text_escape_json(value, strlen(value), escaped, max - 2);
		add(line, "\"%s\"", escaped);
	} else {
		text_escape(value, strlen(value), escaped, max);
		add(line, "%s", escaped);
	}
}

static void add_string(struct line *line, const char *key, const char *value, size_t max)
{
	if (!value || *value == '\0')
		return;

	if (line->json) {
		json_bytes(line->json, key, value, strlen(value), max - 1);
		return;
	}
	add(line, " %s=", key);
	add_quoted(line, value, max);
}

static void add_number(struct line *line, const char *key, uint64_t value)
{
	if (line->json)
		json_number(line->json, key, value);
	else
		add(line, " %s=%" PRIu64, key, value);
}

static void add_fact(struct line *line, const struct log_facts *facts, enum log_fact fact)
{
	bool is_long = fact == FACT_sni || fact == FACT_client;
	struct log_fact_value value;

	if (!log_fact_get(facts, fact, &value))
		return;
	if (value.text)
		add_string(line, value.name, value.text, is_long ? FACT_MAX : WORD_MAX);
	else if (!value.is_flag)
		add_number(line, value.name, value.number);
	else if (line->json)
		json_bool(line->json, value.name, value.number != 0);
	else
		add_string(line, value.name, value.number != 0 ? "yes" : "no", WORD_MAX);
}

/* The fields behind the sentence. */
static void add_details(struct line *line, const struct log_record *record)
{
	const struct log_about *about = &record->about;
	char buffer[VALUE_MAX];

	if (about->error != 0)
		add_string(line, "error", strerror_r(abs(about->error), buffer, sizeof(buffer)),
			VALUE_MAX);
	add_string(line, "reason", about->reason, VALUE_MAX);
	for (int fact = 0; about->facts && fact < N_LOG_FACTS; fact++)
		add_fact(line, about->facts, (enum log_fact)fact);
	if (record->suppressed > 0)
		add_number(line, "suppressed", record->suppressed);
}

/* Its subject, before the sentence: always in the same order, so that a program finds the peer. */
static void add_subject(struct line *line, const struct log_record *record)
{
	const struct log_about *about = &record->about;
	const size_t start = line->len;
	char peer[ADDR_TEXT], role[VALUE_MAX];

	if (about->role) { /* our own word, such as worker 1: it needs no quotes */
		text_escape(about->role, strlen(about->role), role, sizeof(role));
		add(line, "%s", role);
	}
	if (about->role && about->pid > 0)
		add(line, "[%d]", about->pid);
	if (about->listener) {
		add(line, "%s", line->len > start ? " " : "");
		add_quoted(line, about->listener, VALUE_MAX);
	}
	if (about->peer) {
		add(line, "%s", line->len > start ? " " : "");
		add_quoted(line, addr_format(about->peer, peer), VALUE_MAX);
	}
	if (line->len > start)
		add(line, ": ");
}

size_t logtext_message(const struct log_record *record, char text[static LOGTEXT_MESSAGE])
{
	struct line line = {.text = text};
	char sentence[SENTENCE_MAX];

	text_escape(record->text, strlen(record->text), sentence, sizeof(sentence));
	add_subject(&line, record);
	add(&line, "%s", sentence);
	add_details(&line, record);
	return line.len;
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
	char time[TIME_MAX] = "";
	size_t len;

	if (when)
		format_time(when, time);
	len = (size_t)snprintf(line, HEAD_MAX, "%s%s%s %s: ", time, when ? " " : "",
		log_level_name(record->level), log_event_name(record->event));
	assert(len < HEAD_MAX);
	len += logtext_message(record, line + len);
	line[len++] = '\n';
	line[len] = '\0';

	return len;
}

/* The subject as fields; it stands before the sentence in text. */
static void json_subject(struct json *json, const struct log_about *about)
{
	struct line to = {.json = json};
	char peer[ADDR_TEXT];

	add_string(&to, "listener", about->listener, VALUE_MAX);
	add_string(&to, "peer", about->peer ? addr_format(about->peer, peer) : NULL, VALUE_MAX);
	add_string(&to, "role", about->role, VALUE_MAX);
	if (about->pid > 0)
		json_number(json, "pid", (uint64_t)about->pid);
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
	json_bytes(&json, "message", record->text, strlen(record->text), SENTENCE_MAX - 1);
	json_subject(&json, &record->about);
	add_details(&to, record);
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
