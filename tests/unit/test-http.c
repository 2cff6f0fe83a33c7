/* SPDX-License-Identifier: Apache-2.0 */

/* Requests as rows: the status of each, and that it is the same in whatever pieces the request comes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "child/http.h"
#include "guard.h"

#define HOST "Host: a\r\n"
#define END  "\r\n"

static struct guard guard;

static const struct row {
	const char *text;
	unsigned status; /* 0: the head has not ended */
	bool is_head;
	const char *path; /* with status 200; NULL: "/metrics" */
} rows[] = {
	{"GET /metrics HTTP/1.1\r\n" HOST END, 200},
	{"HEAD /metrics HTTP/1.1\r\n" HOST END, 200, true},
	{"GET /metrics HTTP/1.0\r\n\r\n", 200},
	{"GET /metrics HTTP/1.0\n\n", 200},
	{"GET /metrics?name[]=a HTTP/1.1\r\n" HOST END, 200},
	{"GET http://a:9/metrics HTTP/1.1\r\n" HOST END, 200},
	{"GET HTTP://a/metrics?b HTTP/1.1\r\n" HOST END, 200},
	{"GET /metrics HTTP/1.1\r\nhOST:\r\nAccept: */*\r\nX-\xe9: \r\n" END, 400},
	{"GET /metrics HTTP/1.1\r\nhOST:\r\nAccept: */*\r\nX: \xe9\t\r\n" END, 200},
	{"GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 0\r\n" END, 200},
	{"GET /metrics HTTP/1.1\r\n" HOST END "GET /metrics HTTP/1.1\r\n\x01", 200},

	{"GET / HTTP/1.1\r\n" HOST END, 200, false, "/"},
	{"GET /metricsx HTTP/1.1\r\n" HOST END, 200, false, "/metricsx"},
	{"GET /metrics/ HTTP/1.1\r\n" HOST END, 200, false, "/metrics/"},
	{"GET /Metrics HTTP/1.1\r\n" HOST END, 200, false, "/Metrics"},
	{"GET /metric HTTP/1.1\r\n" HOST END, 200, false, "/metric"},
	{"GET * HTTP/1.1\r\n" HOST END, 200, false, "*"},
	{"GET http://a HTTP/1.1\r\n" HOST END, 200, false, ""},
	{"GET https://a/metrics HTTP/1.1\r\n" HOST END, 200, false, "https://a/metrics"},
	{"HEAD /x HTTP/1.1\r\n" HOST END, 200, true, "/x"},
	{"POST /metrics HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" END "abc", 405},
	{"get /metrics HTTP/1.1\r\n" HOST END, 405},
	{"GETS /metrics HTTP/1.1\r\n" HOST END, 405},
	{"GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 10\r\n" END, 413},
	{"GET /metrics HTTP/1.1\r\n" HOST "transfer-encoding: chunked\r\n" END, 413},
	{"GET /metrics HTTP/2.0\r\n" HOST END, 505},
	{"GET /metrics HTTP/0.9\r\n\r\n", 505},

	{"\r\nGET /metrics HTTP/1.1\r\n" HOST END, 200},
	{"\nGET / HTTP/1.1\r\n" HOST END, 200, false, "/"},
	{"\r\n\r\n", 400},
	{"\n\n", 400},
	{"GET\r\n", 400},
	{"GET /metrics\r\n", 400},
	{"GET  /metrics HTTP/1.1\r\n", 400},
	{"GET /metrics  HTTP/1.1\r\n", 400},
	{" GET /metrics HTTP/1.1\r\n", 400},
	{"GET /metrics HTTP/1.1 \r\n", 400},
	{"GET /metrics HTTP/1.\r\n", 400},
	{"GET /metrics HTTP/11\r\n", 400},
	{"GET /metrics http/1.1\r\n", 400},
	{"G(T /metrics HTTP/1.1\r\n", 400},
	{"GET /metrics HTTP/1.1\r\r\n", 400},
	{"GET /met\trics HTTP/1.1\r\n" HOST END, 200, false, "/met	rics"},
	{"GET /metrics HTTP/1.1\r\n" END, 400},
	{"GET /metrics HTTP/1.1\r\n" HOST HOST END, 400},
	{"GET /metrics HTTP/1.0\r\n" HOST HOST END, 400},
	{"GET /metrics HTTP/1.1\r\n" HOST " folded\r\n", 400},
	{"GET /metrics HTTP/1.1\r\nHost : a\r\n", 400},
	{"GET /metrics HTTP/1.1\r\n: a\r\n", 400},
	{"GET /metrics HTTP/1.1\r\nHost\r\n", 400},
	{"GET /metrics HTTP/1.1\r\nHost: a\x01", 400},
	{"GET /metrics HTTP/1.1\r\nHost: a\x7f", 400},
	{"\x16\x03\x01", 400},

	{"", 0},
	{"\r\n", 0},
	{"\n", 0},
	{"GET /metrics HTTP/1.1", 0},
	{"GET /metrics HTTP/1.1\r", 0},
	{"GET /metrics HTTP/1.1\r\n" HOST, 0},
	{"GET /metrics HTTP/1.1\r\n" HOST "\r", 0},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* The first of its beginnings for which there is a request. */
static int parse_growing(const char *text, size_t len, struct http_request *ret_request)
{
	int r = HTTP_E_MORE;

	for (size_t n = 0; n <= len && r == HTTP_E_MORE; n++)
		r = http_parse((char *)guard_copy(guard, text, n), n, ret_request);
	return r;
}

static void test_rows(void **state)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		size_t len = strlen(rows[i].text);
		struct http_request request = {0};
		int r = http_parse((char *)guard_copy(guard, rows[i].text, len), len, &request);

		if (request.status != rows[i].status || request.is_head != rows[i].is_head ||
			r != (rows[i].status == 0 ? HTTP_E_MORE : 0))
			fail_msg("row %zu, %s: %u", i, rows[i].text, request.status);
		if (request.status == 200 &&
			!http_span_is(request.path, rows[i].path ? rows[i].path : "/metrics"))
			fail_msg("row %zu, %s: another path", i, rows[i].text);
	}
}

static void test_fields_are_spans(void **state)
{
	static const char text[] = "GET /a?b HTTP/1.1\r\nHOST: \t a:1 \t\r\nOrigin:\r\n"
				   "accept: x/y;q=1\r\n\r\n";
	struct http_request request;

	assert_int_equal(http_parse(text, strlen(text), &request), 0);
	assert_int_equal(request.status, 200);
	assert_true(http_span_is(request.path, "/a"));
	assert_true(http_span_is(request.host, "a:1"));
	assert_true(http_span_is(request.origin, "") && request.origin.at);
	assert_true(http_span_is(request.accept, "x/y;q=1"));
}

static const struct {
	const char *accept, *type;
	unsigned quality;
} qualities[] = {
	{"", "text/plain", 0},
	{"text/plain", "text/plain", 1000},
	{"TEXT/Plain ; VERSION=1.0", "text/plain", 1000},
	{"text/html", "text/plain", 0},
	{"*/*", "text/plain", 1000},
	{"*/*;q=0.1", "text/plain", 100},
	{"text/*;q=0.3,*/*;q=0.9", "text/plain", 300},
	{"*/*;q=0.9 , text/*;q=0.3", "text/plain", 300},
	{"text/plain;q=0.5,text/*;q=0.8", "text/plain", 500},
	{"text/plain;version=1.0;q=0.25,text/plain;version=1.0;q=0.75", "text/plain", 750},
	{"text/plain;version=1.0;q=0.25,text/plain;q=0.75;version=2", "text/plain", 250},
	{"text/plain;version=1.00", "text/plain", 0},
	{"text/plain;version=2,*/*;q=0.1", "text/plain", 100},
	{"text/plain;q=0", "text/plain", 0},
	{"text/plain;q=2", "text/plain", 0},
	{"text/plain;q=x", "text/plain", 0},
	{"text/plain;q=1.000", "text/plain", 1000},
	{",,;;,text/plain", "text/plain", 1000},
	{"text", "text/plain", 0},
	{"text/", "text/plain", 0},
	{"*", "text/plain", 0},
};

static void test_qualities(void **state)
{
	for (size_t i = 0; i < sizeof(qualities) / sizeof(qualities[0]); i++) {
		size_t len = strlen(qualities[i].accept);
		struct http_span accept = {
			(char *)guard_copy(guard, qualities[i].accept, len), len};

		if (http_quality(accept, qualities[i].type, "1.0") != qualities[i].quality)
			fail_msg("%s: %u", qualities[i].accept,
				http_quality(accept, qualities[i].type, "1.0"));
	}
}

static const struct {
	const char *host;
	bool is_local;
} hosts[] = {
	{"", true},
	{"localhost", true},
	{"localhost:9100", true},
	{"LOCALHOST", true},
	{"a.localhost:1", true},
	{"server1", true},
	{"127.0.0.1", true},
	{"192.0.2.1:9100", true},
	{"[::1]", true},
	{"[2001:db8::1]:9100", true},
	{"example.org", false},
	{"example.org:9100", false},
	{"localhost.example.org", false},
	{"127.0.0.1.example.org", false},
	{"xlocalhost.org", false},
	{"example.org.localhost.example", false},
	{"evil.org:80@localhost", false},
};

static void test_hosts(void **state)
{
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		size_t len = strlen(hosts[i].host);
		struct http_span host = {(char *)guard_copy(guard, hosts[i].host, len), len};

		if (http_host_is_local(host) != hosts[i].is_local)
			fail_msg("%s", hosts[i].host);
	}
	assert_true(http_host_is_local((struct http_span){NULL, 0}));
}

static const struct {
	const char *origin; /* NULL: there is none */
	const char *host;
	bool is_same;
} origins[] = {
	{NULL, "a", true},
	{"http://a", "a", true},
	{"https://a", "a", true},
	{"HTTP://A:1", "a:1", true},
	{"http://a:1", "a", false},
	{"http://a", "a:1", false},
	{"http://ab", "a", false},
	{"http://b", "a", false},
	{"null", "a", false},
	{"", "", false},
	{"http://", "", true},
	{"file://a", "a", false},
};

static void test_origins(void **state)
{
	for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		struct http_request request = {.host = {origins[i].host, strlen(origins[i].host)}};

		if (origins[i].origin)
			request.origin =
				(struct http_span){origins[i].origin, strlen(origins[i].origin)};
		if (http_origin_is_same(&request) != origins[i].is_same)
			fail_msg("%s of %s", origins[i].origin, origins[i].host);
	}
}

static void test_pieces_change_nothing(void **state)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		struct http_request request = {0};

		parse_growing(rows[i].text, strlen(rows[i].text), &request);
		if (request.status != rows[i].status)
			fail_msg("row %zu, %s: %u", i, rows[i].text, request.status);
	}
}

/* A NUL is a control character like any other. */
static void test_nul_is_refused(void **state)
{
	static const char text[] = "GET /metrics HTTP/1.1\r\nHost: a\0b\r\n\r\n";
	struct http_request request;

	assert_int_equal(http_parse(text, sizeof(text) - 1, &request), 0);
	assert_int_equal(request.status, 400);
}

static void test_head_has_a_longest(void **state)
{
	static const char end[] = {'\r', '\n', '\r', '\n'};
	static char text[HTTP_LONGEST + 1];
	struct http_request request;
	size_t first;

	memset(text, 'a', sizeof(text));
	first = strlen(strcpy(text, "GET /metrics HTTP/1.1\r\nHost: "));
	text[first] = 'a';
	assert_int_equal(http_parse(text, HTTP_LONGEST - 1, &request), HTTP_E_MORE);
	assert_int_equal(http_parse(text, HTTP_LONGEST, &request), 0);
	assert_int_equal(request.status, 431);

	memcpy(text + HTTP_LONGEST - sizeof(end), end, sizeof(end));
	assert_int_equal(http_parse(text, HTTP_LONGEST, &request), 0);
	assert_int_equal(request.status, 200);
	text[HTTP_LONGEST - sizeof(end)] = 'a';
	memcpy(text + HTTP_LONGEST + 1 - sizeof(end), end, sizeof(end));
	assert_int_equal(http_parse(text, HTTP_LONGEST + 1, &request), 0);
	assert_int_equal(request.status, 431);
}

static void test_every_status_has_a_phrase(void **state)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (rows[i].status > 0)
			assert_string_not_equal(http_phrase(rows[i].status), "Unknown");
	assert_string_equal(http_phrase(431), "Request Header Fields Too Large");
	assert_string_equal(http_phrase(1), "Unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_fields_are_spans),
		cmocka_unit_test(test_qualities),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_pieces_change_nothing),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_head_has_a_longest),
		cmocka_unit_test(test_every_status_has_a_phrase),
	};

	guard = guard_new();
	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
