/* SPDX-License-Identifier: Apache-2.0 */

/* The log's last stop: journal, syslog or stderr, as the configuration says or as the start
 * suggests.
 *
 * A log that is not read must not stop the supervisor, and with it every reload and respawn: a
 * record is written only when there is room for it at once, and records that find none are
 * counted. The count is the first thing that is written when there is room again, and it is a
 * metric.
 *
 * Until the daemon serves, errors go to stderr as well, wherever the log is: the person who
 * starts it looks there. The last few errors are kept in memory, for status and for the status
 * page.
 *
 * Records of children come over their channels and pass through here with the name and the
 * number of the process that sent them, which the supervisor knows and need not be told. */

#include "supervisor/records.h"

#include <errno.h>
#include <inttypes.h>
#include <paths.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/logtext.h"
#include "base/text.h"
#include "base/unixgram.h"
#include "supervisor/manager.h"
#include "upgrade/handover.h"

static struct {
	enum conf_log_target target;
	enum conf_log_format format;
	bool left_stderr;
	uint64_t lost;
} log_to;

static bool write_stderr(const struct log_record *record)
{
	char line[LOGTEXT_LINE];
	struct timespec now;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	len = log_to.format == CONF_LOG_JSON ? logtext_json(record, &now, line)
					     : logtext_line(record, &now, line);
	return fd_write_ready(STDERR_FILENO, line, len) >= 0;
}

/* As syslog(3) writes it, in local time: daemons parse this old form alone. */
static int write_syslog(const struct log_record *record)
{
	static struct unixgram to_syslog = UNIXGRAM_EMPTY;
	static const int priorities[] = {
		[LOG_LEVEL_ERROR] = LOG_ERR,
		[LOG_LEVEL_WARNING] = LOG_WARNING,
		[LOG_LEVEL_NOTICE] = LOG_NOTICE,
		[LOG_LEVEL_INFO] = LOG_INFO,
		[LOG_LEVEL_DEBUG] = LOG_DEBUG,
	};
	char line[LOGTEXT_LINE], text[LOGTEXT_LINE + 64], when[32] = "-";
	time_t now = time(NULL);
	struct tm local;
	size_t len = logtext_line(record, NULL, line);
	int n;

	if (localtime_r(&now, &local))
		strftime(when, sizeof(when), "%h %e %T", &local);
	n = snprintf(text, sizeof(text), "<%d>%s upperd[%d]: %.*s",
		LOG_DAEMON | priorities[record->level], when, (int)getpid(), (int)len - 1, line);
	return unixgram_send(&to_syslog, _PATH_LOG, text, (size_t)n);
}

/* A log that has gone leaves its records to stderr; one that is full loses them, and they are counted. */
static bool write_socket(
	const struct log_record *record, int (*write_to)(const struct log_record *record))
{
	int r = write_to(record);

	return r == 0 || (r != -EAGAIN && write_stderr(record));
}

static bool write_target(const struct log_record *record)
{
	switch (log_to.target) {
	case CONF_LOG_JOURNAL:
		return write_socket(record, manager_journal);
	case CONF_LOG_SYSLOG:
		return write_socket(record, write_syslog);
	case CONF_LOG_AUTO:
	case CONF_LOG_STDERR:
		break;
	}
	return write_stderr(record);
}

/* The person who starts the daemon looks at stderr, wherever the log is. */
static bool is_for_starter(const struct log_record *record)
{
	return !log_to.left_stderr && record->level == LOG_LEVEL_ERROR &&
		log_to.target != CONF_LOG_STDERR &&
		!(log_to.target == CONF_LOG_JOURNAL && manager_stderr_is_journal());
}

static bool write_record(const struct log_record *record)
{
	if (is_for_starter(record))
		write_stderr(record);
	return write_target(record);
}

static struct log_memory memory;

/* The place of one more, the newest. */
static char *add_error(int64_t at)
{
	memmove(&memory.errors[1], &memory.errors[0], (ERRORS_KEPT - 1) * sizeof(memory.errors[0]));
	memory.errors[0].at = at;
	memory.n_errors += memory.n_errors < ERRORS_KEPT;
	return memory.errors[0].text;
}

static void remember_error(const struct log_record *record)
{
	const struct log_about *about = &record->about;

	snprintf(add_error(time(NULL)), ERROR_TEXT, "%s: %s%s%s%s%s", log_event_name(record->event),
		about->role ? about->role : "", about->role ? ": " : "",
		about->listener ? about->listener : "", about->listener ? ": " : "", record->text);
}

void records_describe(FILE *out)
{
	char safe[2 * ERROR_TEXT];

	for (unsigned i = memory.n_errors; i-- > 0;) {
		text_escape(
			memory.errors[i].text, strlen(memory.errors[i].text), safe, sizeof(safe));
		fprintf(out, "error %" PRId64 " %s\n", memory.errors[i].at, safe);
	}
}

void records_take(char *line)
{
	int64_t at = handover_number(&line);

	if (at > 0 && line)
		snprintf(add_error(at), ERROR_TEXT, "%s", line);
}

void records_recall(struct log_memory *ret_memory)
{
	*ret_memory = memory;
}

#define TOLD_MAX    128
#define TOLD_DAY_MS (24ull * 3600 * 1000)

/* Every worker, and each one that a reload or a respawn makes, finds that a certificate nears its end: once a
 * day is enough. Another certificate of the same name ends at another time, and is another. */
static bool is_told_today(const struct log_record *record)
{
	static struct {
		char what[256];
		uint64_t at_ms;
	} told[TOLD_MAX];
	const struct log_facts *facts = record->about.facts;
	uint64_t now_ms = clock_ms();
	char what[sizeof(told[0].what)];
	unsigned oldest = 0;

	snprintf(what, sizeof(what), "%llu %.*s", (unsigned long long)(facts ? facts->expires : 0),
		(int)strcspn(record->text, ":"), record->text);
	for (unsigned i = 0; i < TOLD_MAX; i++) {
		if (told[i].at_ms > 0 && now_ms - told[i].at_ms < TOLD_DAY_MS &&
			strcmp(told[i].what, what) == 0)
			return true;
		if (told[i].at_ms < told[oldest].at_ms)
			oldest = i;
	}
	memcpy(told[oldest].what, what, sizeof(what));
	told[oldest].at_ms = now_ms;
	return false;
}

/* The count of what was lost comes first, as soon as anything can be written again. */
static void record_in_log(void *userdata, const struct log_record *record)
{
	struct log_record gap = {
		.event = EVENT_RECORDS_LOST,
		.level = LOG_LEVEL_WARNING,
		.suppressed = log_to.lost,
		.text = "records could not be written: the log is not read",
	};

	if (record->event == EVENT_CERTIFICATE_EXPIRES && is_told_today(record))
		return;
	if (record->level == LOG_LEVEL_ERROR)
		remember_error(record);
	if (log_to.lost > 0 && write_record(&gap))
		log_to.lost = 0;
	if (log_to.lost > 0 || !write_record(record)) {
		log_to.lost++;
		memory.lost++;
	}
}

static bool is_listened_to(enum conf_log_target target)
{
	switch (target) {
	case CONF_LOG_JOURNAL:
		return manager_has_journal();
	case CONF_LOG_SYSLOG:
		return access(_PATH_LOG, F_OK) == 0;
	case CONF_LOG_AUTO:
	case CONF_LOG_STDERR:
		break;
	}
	return true;
}

void records_leave_stderr(void)
{
	log_to.left_stderr = true;
}

void records_to_log(const struct conf *conf)
{
	bool falls_back;

	log_to.target = conf->log.target;
	log_to.format = conf->log.format;
	if (log_to.target == CONF_LOG_AUTO)
		log_to.target = manager_stderr_is_journal() ? CONF_LOG_JOURNAL : CONF_LOG_STDERR;
	falls_back = !is_listened_to(log_to.target);
	if (falls_back)
		log_to.target = CONF_LOG_STDERR;
	log_set_level(conf->log.level);
	log_set_sink(record_in_log, NULL);
	if (falls_back)
		log_each(EVENT_NOTICE, ABOUT_NOTHING,
			"there is no %s here, so the log goes to stderr",
			conf->log.target == CONF_LOG_SYSLOG ? "system log" : "journal");
}
