/* SPDX-License-Identifier: Apache-2.0 */

/* Journal, syslog or stderr. A stderr that nobody reads must not stop the supervisor: a line is written
 * only when it will be taken at once, and those that are not are counted. */

#include "supervisor/records.h"

#include <paths.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/logtext.h"
#include "supervisor/manager.h"

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

static bool write_syslog(const struct log_record *record)
{
	static const int priorities[] = {
		[LOG_LEVEL_ERROR] = LOG_ERR,
		[LOG_LEVEL_WARNING] = LOG_WARNING,
		[LOG_LEVEL_NOTICE] = LOG_NOTICE,
		[LOG_LEVEL_INFO] = LOG_INFO,
		[LOG_LEVEL_DEBUG] = LOG_DEBUG,
	};
	char line[LOGTEXT_LINE];

	logtext_line(record, NULL, line);
	syslog(priorities[record->level], "%s", line);
	return true;
}

static bool write_target(const struct log_record *record)
{
	switch (log_to.target) {
	case CONF_LOG_JOURNAL:
		return manager_journal(record) >= 0 || write_stderr(record);
	case CONF_LOG_SYSLOG:
		return write_syslog(record);
	case CONF_LOG_AUTO:
	case CONF_LOG_STDERR:
		break;
	}
	return write_stderr(record);
}

/* Whoever starts us looks at stderr, wherever the log is. */
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

/* The count of what was lost comes first, as soon as anything can be written again. */
static void record_in_log(void *userdata, const struct log_record *record)
{
	struct log_record gap = {
		.event = EVENT_RECORDS_LOST,
		.level = LOG_LEVEL_WARNING,
		.suppressed = log_to.lost,
		.text = "records could not be written, since nobody read them",
	};

	if (log_to.lost > 0 && write_record(&gap))
		log_to.lost = 0;
	if (log_to.lost > 0 || !write_record(record))
		log_to.lost++;
}

/* Libraries drop a record without a word when there is nobody to take it. */
static bool is_listened_to(enum conf_log_target target)
{
	switch (target) {
	case CONF_LOG_JOURNAL:
		return access("/run/systemd/journal/socket", F_OK) == 0;
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
	if (log_to.target == CONF_LOG_SYSLOG)
		openlog("upperd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	log_set_level(conf->log.level);
	log_set_sink(record_in_log, NULL);
	if (falls_back)
		log_each(EVENT_NOTICE, ABOUT_NOTHING,
			"there is no %s here, so the log goes to stderr",
			conf->log.target == CONF_LOG_SYSLOG ? "system log" : "journal");
}
