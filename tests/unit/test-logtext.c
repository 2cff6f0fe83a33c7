/* SPDX-License-Identifier: Apache-2.0 */

/* Records as lines: every field, and that no byte from outside makes a second line. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/logtext.h"

/* 2026-05-04 01:02:01.987 UTC */
static const struct timespec when = {.tv_sec = 1777856521, .tv_nsec = 987999999};

static int set_zone(void **state)
{
	setenv("TZ", "CEST-2", 1);
	tzset();
	return 0;
}

static struct log_record full_record(void)
{
	static struct addr peer;

	assert_int_equal(addr_parse("2001:db8::1", 4242, &peer), 0);
	return (struct log_record){.event = EVENT_CHILD_DIED,
		.level = LOG_LEVEL_ERROR,
		.about = {.listener = "my tls",
			.peer = &peer,
			.role = "worker 1",
			.pid = 77,
			.error = -ECONNRESET,
			.reason = "reset"},
		.suppressed = 12,
		.text = "it \"died\""};
}

static void test_line(void **state)
{
	const struct log_record record = full_record();
	const char *expected = "2026-05-04T03:02:01.987+02:00 error child-died: "
			       "worker 1[77] \"my tls\" [2001:db8::1]:4242: it \"died\" "
			       "error=\"Connection reset by peer\" reason=reset suppressed=12\n";
	char line[LOGTEXT_LINE];

	assert_int_equal(logtext_line(&record, &when, line), strlen(expected));
	assert_string_equal(line, expected);
}

static void test_json(void **state)
{
	const struct log_record record = full_record();
	const char *expected = "{\"time\":\"2026-05-04T03:02:01.987+02:00\",\"level\":\"error\","
			       "\"event\":\"child-died\",\"message\":\"it \\\"died\\\"\","
			       "\"listener\":\"my tls\",\"peer\":\"[2001:db8::1]:4242\","
			       "\"role\":\"worker 1\",\"pid\":77,"
			       "\"error\":\"Connection reset by peer\",\"reason\":\"reset\","
			       "\"suppressed\":12}\n";
	char line[LOGTEXT_LINE];

	assert_int_equal(logtext_json(&record, &when, line), strlen(expected));
	assert_string_equal(line, expected);
}

/* As much of the subject as is known, always in the same order. */
static void test_subject(void **state)
{
	static struct addr peer;
	static const struct {
		struct log_about about;
		const char *written;
	} cases[] = {
		{{.role = NULL}, "text"},
		{{.role = "worker 1"}, "worker 1: text"},
		{{.role = "worker 1", .pid = 77}, "worker 1[77]: text"},
		{{.listener = "tls"}, "tls: text"},
		{{.listener = "tls", .peer = &peer}, "tls 192.0.2.1:5000: text"},
		{{.peer = &peer}, "192.0.2.1:5000: text"},
		{{.role = "worker 1", .pid = 77, .peer = &peer},
			"worker 1[77] 192.0.2.1:5000: text"},
		{{.listener = "a b", .reason = "idle"}, "\"a b\": text reason=idle"},
	};

	assert_int_equal(addr_parse("192.0.2.1", 5000, &peer), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct log_record record = {
			.event = EVENT_NOTICE, .about = cases[i].about, .text = "text"};
		char message[LOGTEXT_MESSAGE];

		assert_int_equal(logtext_message(&record, message), strlen(cases[i].written));
		assert_string_equal(message, cases[i].written);
	}
}

/* Numbers as numbers, and text of a peer neither leaves its quotes nor its line. */
static void test_facts(void **state)
{
	struct log_facts facts = {0};
	const struct log_record record = {.event = EVENT_ACCESS,
		.level = LOG_LEVEL_INFO,
		.about = {.reason = "done", .facts = &facts},
		.text = "over"};
	char line[LOGTEXT_LINE];

	log_fact_set(&facts, bytes_in, 0);
	log_fact_set(&facts, duration_ms, UINT64_MAX);
	log_fact_set(&facts, resumed, 0);
	log_fact_text(&facts, sni, "a\n\" reason=\x1b[2J\xff\x7f\xc2\x9b\xe2\x80\xae");
	log_fact_text(&facts, client, "CN=x\ny");
	logtext_line(&record, NULL, line);
	assert_string_equal(line,
		"info access: over reason=done bytes_in=0 duration_ms=18446744073709551615 "
		"resumed=no sni=\"a\\n\\\" reason=\\u001b[2J\\\\xff\\u007f\\u009b\\u202e\" "
		"client=\"CN=x\\ny\"\n");
	logtext_json(&record, NULL, line);
	assert_string_equal(line,
		"{\"level\":\"info\",\"event\":\"access\",\"message\":\"over\",\"reason\":\"done\","
		"\"bytes_in\":0,\"duration_ms\":18446744073709551615,\"resumed\":false,"
		"\"sni\":\"a\\n\\\" reason=\\u001b[2J\\\\xff\\u007f\\u009b\\u202e\","
		"\"client\":\"CN=x\\ny\"}\n");
}

static void test_least(void **state)
{
	const struct log_record record = {
		.event = EVENT_READY, .level = LOG_LEVEL_NOTICE, .text = ""};
	char line[LOGTEXT_LINE];

	logtext_line(&record, NULL, line);
	assert_string_equal(line, "notice ready: \n");
	logtext_json(&record, NULL, line);
	assert_string_equal(line, "{\"level\":\"notice\",\"event\":\"ready\",\"message\":\"\"}\n");
}

/* Every string that a peer may have had a hand in, trying to begin a line or leave its quotes. */
static void test_no_forgery(void **state)
{
	const struct log_record record = {.event = EVENT_MESSAGE,
		.level = LOG_LEVEL_INFO,
		.about = {.listener = "a\nb",
			.role = "c\" reason=x\r",
			.reason = "d\xc2\x85 e=\xff"},
		.text = "f\n\xe2\x80"};
	char line[LOGTEXT_LINE];

	logtext_line(&record, NULL, line);
	assert_string_equal(line,
		"info message: c\" reason=x\\x0d a\\x0ab: f\\x0a\\xe2\\x80 "
		"reason=\"d\\u0085 e=\\\\xff\"\n");
	logtext_json(&record, NULL, line);
	assert_string_equal(line,
		"{\"level\":\"info\",\"event\":\"message\","
		"\"message\":\"f\\n\\\\xe2\\\\x80\",\"listener\":\"a\\nb\","
		"\"role\":\"c\\\" reason=x\\u000d\","
		"\"reason\":\"d\\u0085 e=\\\\xff\"}\n");
}

static void test_quotes(void **state)
{
	static const struct {
		const char *reason, *written;
	} cases[] = {
		{"plain", "plain"},
		{"a b", "\"a b\""},
		{"a=b", "\"a=b\""},
		{"a\"b", "\"a\\\"b\""},
		{"a\\b", "\"a\\\\b\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct log_record record = {
			.event = EVENT_NOTICE, .about = {.reason = cases[i].reason}, .text = ""};
		char line[LOGTEXT_LINE];
		size_t len = logtext_line(&record, NULL, line);

		line[len - 1] = '\0';
		assert_string_equal(strchr(line, '=') + 1, cases[i].written);
	}
}

/* The largest of everything still is one whole line. */
static void test_largest(void **state)
{
	struct log_record record = full_record();
	char line[LOGTEXT_LINE], text[LOG_TEXT], word[2000];
	struct log_facts facts;
	size_t len;

	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memset(word, '"', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	record.text = text;
	record.about.listener = record.about.role = record.about.reason = word;
	memset(&facts, 0xff, sizeof(facts));
	facts.has = (1u << N_LOG_FACTS) - 1;
#define TERMINATE(fact, room) facts.fact[room - 1] = '\0';
#define PASS(fact)
	LOG_FACTS(PASS, PASS, TERMINATE)
	record.about.facts = &facts;
	record.about.pid = INT_MAX;
	record.about.error = INT_MAX;
	record.suppressed = UINT64_MAX;

	len = logtext_line(&record, &when, line);
	assert_int_equal(len, strlen(line));
	assert_ptr_equal(strchr(line, '\n'), line + len - 1);
	len = logtext_json(&record, &when, line);
	assert_int_equal(len, strlen(line));
	assert_string_equal(line + len - strlen("551615}\n"), "551615}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_subject),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_no_forgery),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, set_zone, NULL);
}
