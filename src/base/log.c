/* SPDX-License-Identifier: Apache-2.0 */

/* One log per process, which has one thread. A record that is below the level or above the rate of
 * its call site stops here; the others go to the sink, which is the only one to know where to.
 *
 * Logging must never wait and never fail: the sink drops a record that it cannot get rid of, and counts it. Nor
 * may it flood: each call site has a window with so many records, and the rest is counted. The number is
 * reported when the site writes again, or by log_flush() when it does not, so that the end of a flood is seen
 * too. log_each() has no limit: it is for records of what an operator does.
 *
 * Whatever came from a peer is kept as it is in a record, and is escaped where it is written. */

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

struct event {
	const char *name;
	enum log_level level;
	const char *id;
};

static const struct event events[N_LOG_EVENTS] = {
#define EVENT(name, text, level, id) [EVENT_##name] = {text, LOG_LEVEL_##level, id},
#include "base/events.h"
#undef EVENT
};

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static struct {
	log_sink_fn sink;
	void *userdata;
	enum log_level level;
	struct log_site *silenced;
} the_log = {.level = LOG_LEVEL_INFO};

void log_set_sink(log_sink_fn sink, void *userdata)
{
	the_log.sink = sink;
	the_log.userdata = userdata;
}

void log_set_level(enum log_level level)
{
	the_log.level = level;
}

bool log_wants(enum log_event event)
{
	return events[event].level <= the_log.level;
}

const char *log_event_name(enum log_event event)
{
	return events[event].name;
}

const char *log_event_id(enum log_event event)
{
	return events[event].id;
}

enum log_level log_event_level(enum log_event event)
{
	return events[event].level;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

static const struct {
	const char *name;
	size_t offset, room; /* of a text; else 0 */
	bool is_flag;
} facts_table[N_LOG_FACTS] = {
#define NUMBER(name)     {#name, offsetof(struct log_facts, name), 0, false},
#define FLAG(name)       {#name, offsetof(struct log_facts, name), 0, true},
#define TEXT(name, room) {#name, offsetof(struct log_facts, name), room, false},
	LOG_FACTS(NUMBER, FLAG, TEXT)
#undef NUMBER
#undef FLAG
#undef TEXT
};

static_assert(N_LOG_FACTS <= 32, "log_facts.has has a bit for each");

void log_fact_copy(
	struct log_facts *facts, enum log_fact fact, char *to, size_t size, const char *text)
{
	if (!text || *text == '\0')
		return;
	snprintf(to, size, "%s", text);
	facts->has |= 1u << fact;
}

bool log_fact_get(
	const struct log_facts *facts, enum log_fact fact, struct log_fact_value *ret_value)
{
	const char *at = (const char *)facts + facts_table[fact].offset;
	bool is_text = facts_table[fact].room > 0;

	if (!(facts->has & 1u << fact))
		return false;
	*ret_value = (struct log_fact_value){
		.name = facts_table[fact].name,
		.text = is_text ? at : NULL,
		.is_flag = facts_table[fact].is_flag,
	};
	if (!is_text)
		memcpy(&ret_value->number, at, sizeof(ret_value->number));
	return true;
}

bool log_facts_are_whole(const struct log_facts *facts)
{
	for (int i = 0; i < N_LOG_FACTS; i++) {
		const char *text = (const char *)facts + facts_table[i].offset;
		size_t room = facts_table[i].room;

		if (room > 0 && strnlen(text, room) == room)
			return false;
	}
	return true;
}

void log_pass(const struct log_record *record)
{
	/* A failure is often logged before its errno is returned. */
	int saved_errno = errno;

	if (the_log.sink && record->level <= the_log.level)
		the_log.sink(the_log.userdata, record);

	errno = saved_errno;
}

static void count_suppressed(struct log_site *site)
{
	site->suppressed++;
	if (site->listed)
		return;

	site->next = the_log.silenced;
	the_log.silenced = site;
	site->listed = true;
}

/* Whether one more may be written in this window, which is begun anew when it is over. */
static bool site_admits(struct log_site *site, enum log_event event, uint64_t now_ms)
{
	site->event = event;
	if (now_ms - site->window_ms >= LOG_WINDOW_MS) {
		site->window_ms = now_ms;
		site->written = 0;
	}
	if (site->written >= LOG_BURST)
		return false;

	site->written++;
	return true;
}

void log_write(struct log_site *site, enum log_event event, const struct log_about *about,
	const char *format, ...)
{
	int saved_errno = errno;
	char text[LOG_TEXT];
	struct log_record record = {.event = event, .level = events[event].level, .text = text};
	va_list arguments;

	if (!log_wants(event))
		return;

	if (site && !site_admits(site, event, clock_ms())) {
		count_suppressed(site);
		errno = saved_errno;
		return;
	}

	if (about)
		record.about = *about;
	if (site) {
		record.suppressed = site->suppressed;
		site->suppressed = 0;
	}

	errno = saved_errno;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);

	log_pass(&record);
}

static void report_suppressed(struct log_site *site)
{
	struct log_record record = {.event = site->event,
		.level = events[site->event].level,
		.suppressed = site->suppressed,
		.text = "similar records were suppressed"};

	site->suppressed = 0;
	log_pass(&record);
}

void log_flush(uint64_t now_ms)
{
	struct log_site **link = &the_log.silenced;

	while (*link) {
		struct log_site *site = *link;

		if (now_ms - site->window_ms < LOG_WINDOW_MS) {
			link = &site->next;
			continue;
		}
		*link = site->next;
		site->listed = false;
		if (site->suppressed > 0)
			report_suppressed(site);
	}
}
