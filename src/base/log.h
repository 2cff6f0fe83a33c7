/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Records of what happened. A record is an event of the table in base/events.h, a sentence, and
 * what it is about. Where it goes is up to the process: see log_set_sink(). Never blocks. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

enum log_event {
#define EVENT(name, text, level, id) EVENT_##name,
#include "base/events.h"
#undef EVENT
	N_LOG_EVENTS
};

/* The longest sentence; what is beyond it is cut. */
#define LOG_TEXT 1024

/* Typed details of a record: NUMBER(name), FLAG(name), and TEXT(name, room), which may come from a peer. */
#define LOG_FACTS(NUMBER, FLAG, TEXT)                                                \
	NUMBER(bytes_in)                                                             \
	NUMBER(bytes_out)                                                            \
	NUMBER(messages)                                                             \
	NUMBER(replies)                                                              \
	NUMBER(duration_ms)                                                          \
	NUMBER(one_of) /* the record stands for so many, since log.access samples */ \
	TEXT(tls_version, 16)                                                        \
	TEXT(cipher, 48)                                                             \
	TEXT(group, 24)                                                              \
	FLAG(resumed)                                                                \
	TEXT(alert_sent, 40)                                                         \
	TEXT(alert_received, 40)                                                     \
	TEXT(sni, 256)                                                               \
	TEXT(client, 256) /* the subject of its certificate */                       \
	NUMBER(expires)   /* of a certificate, in seconds since 1970 */              \
	NUMBER(limit)                                                                \
	TEXT(prefix, 56) /* the network that the limit counts as one */

enum log_fact {
#define NUMBER(name)     FACT_##name,
#define TEXT(name, room) FACT_##name,
	LOG_FACTS(NUMBER, NUMBER, TEXT)
#undef NUMBER
#undef TEXT
		N_LOG_FACTS
};

struct log_facts {
	uint32_t has; /* a bit for each */
#define NUMBER(name)     uint64_t name;
#define TEXT(name, room) char name[room];
	LOG_FACTS(NUMBER, NUMBER, TEXT)
#undef NUMBER
#undef TEXT
};

/* A number is there once it is set, a text when it is not empty. */
#define log_fact_set(facts, name, value) \
	((facts)->has |= 1u << FACT_##name, (facts)->name = (value))
/* Cut to the room that there is. NULL: none. */
#define log_fact_text(facts, name, text) \
	log_fact_copy(facts, FACT_##name, (facts)->name, sizeof((facts)->name), text)
void log_fact_copy(
	struct log_facts *facts, enum log_fact fact, char *to, size_t size, const char *text);

/* One of them, whatever its kind. */
struct log_fact_value {
	const char *name;
	const char *text; /* NULL: it is a number */
	uint64_t number;
	bool is_flag;
};

/* False: the record does not have it. */
bool log_fact_get(
	const struct log_facts *facts, enum log_fact fact, struct log_fact_value *ret_value);
/* Whether all texts end within their room: for facts that another process has made. */
bool log_facts_are_whole(const struct log_facts *facts);

/* The subject of a record; empty fields are left out. */
struct log_about {
	const char *listener;
	const struct addr *peer;
	const char *role; /* of the child it is about, such as "worker 1" */
	int pid;
	int error;                     /* an errno, positive or negative */
	const char *reason;            /* one word, the same as in the counters */
	const struct log_facts *facts; /* NULL: none */
};

struct log_record {
	enum log_event event;
	enum log_level level;
	struct log_about about;
	uint64_t suppressed; /* as many before it were not written */
	const char *text;
};

/* Takes each record that passes level and rate; must not block and must not log. */
typedef void (*log_sink_fn)(void *userdata, const struct log_record *record);

/* NULL, as at the start: records are dropped. */
void log_set_sink(log_sink_fn sink, void *userdata);
void log_set_level(enum log_level level);
bool log_wants(enum log_event event);

const char *log_event_name(enum log_event event); /* "worker-ready" */
const char *log_event_id(enum log_event event);   /* 32 hexadecimal digits */
enum log_level log_event_level(enum log_event event);
const char *log_level_name(enum log_level level);

/* A call site writes at most LOG_BURST records in LOG_WINDOW_MS; the rest are counted. */
#define LOG_BURST     10
#define LOG_WINDOW_MS 5000

/* The memory of a call site. Static, since log_flush() comes back to it. */
struct log_site {
	uint64_t window_ms; /* when the window began */
	uint32_t written, suppressed;
	enum log_event event;
	struct log_site *next; /* of those with suppressed records */
	bool listed;
};

__attribute__((format(printf, 4, 5))) void log_write(struct log_site *site, enum log_event event,
	const struct log_about *about, const char *format, ...);
void log_pass(const struct log_record *record); /* a record made elsewhere, without a rate */

/* Writes a record for each site that suppressed some and has been silent since, so that the end of a flood
 * is counted too. To be called every few seconds with clock_ms(). */
void log_flush(uint64_t now_ms);

/* Without a rate: for what an operator does, or has asked to be told one by one. */
#define log_each(event, about, ...) log_write(NULL, event, about, __VA_ARGS__)

/* log_event(EVENT_ACCEPT_PAUSED, ABOUT(.listener = l->name), "out of %s", "descriptors"); */
#define log_event(event, about, ...)                          \
	do {                                                  \
		static struct log_site _site;                 \
		log_write(&_site, event, about, __VA_ARGS__); \
	} while (false)
#define ABOUT(...)    (&(struct log_about){__VA_ARGS__})
#define ABOUT_NOTHING ((const struct log_about *)NULL)
