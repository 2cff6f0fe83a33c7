/* SPDX-License-Identifier: Apache-2.0 */

/* PROXY headers as rows: what is read of each, and how each corner of the protocol is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "core/proxy.h"
#include "guard.h"

#define STREAM PROXY_STREAM
#define DGRAM  PROXY_DATAGRAM
#define SIG    "\r\n\r\n\0\r\nQUIT\n"
#define FOUR   "\300\0\2\1\300\0\2\2\x13\x88\x2e\xe0"
#define SIX                                                                                \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2" \
	"\x13\x88\x2e\xe0"

static struct guard guard;

struct row {
	const char *name;
	enum proxy_kind kind;
	const char *data;
	size_t size; /* with the NUL of the literal */
	int outcome;
	const char *source; /* NULL: none */
	size_t length;      /* 0: all of it */
};
#define BYTES(text) text, sizeof(text)

/* clang-format off */
static const struct row rows[] = {
	{"text, four", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5000 12000\r\n"), 0, "::ffff:192.0.2.1", 0},
	{"text, and what follows", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5000 12000\r\nhello"), 0, "::ffff:192.0.2.1", 43},
	{"text, largest numbers", STREAM, BYTES("PROXY TCP4 255.255.255.255 0.0.0.0 5000 65535\r\n"), 0, "::ffff:255.255.255.255", 0},
	{"text, six", STREAM, BYTES("PROXY TCP6 2001:db8::1 ::1 5000 12000\r\n"), 0, "2001:db8::1", 0},
	{"text, six in full", STREAM, BYTES("PROXY TCP6 2001:0DB8:0:0:0:0:0:1 ::1 5000 12000\r\n"), 0, "2001:db8::1", 0},
	{"text, nobody", STREAM, BYTES("PROXY TCP6 :: :: 5000 12000\r\n"), 0, "::", 0},
	{"text, gap at the end", STREAM, BYTES("PROXY TCP6 2001:db8:: ::1 5000 12000\r\n"), 0, "2001:db8::", 0},
	{"text, gap of one", STREAM, BYTES("PROXY TCP6 1:2:3::5:6:7:8 ::1 5000 12000\r\n"), 0, "1:2:3:0:5:6:7:8", 0},
	{"text, four in six", STREAM, BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 5000 12000\r\n"), 0, "::ffff:192.0.2.1", 0},
	{"text, four in a full six", STREAM, BYTES("PROXY TCP6 1:2:3:4:5:6:1.2.3.4 ::1 5000 12000\r\n"), 0, "1:2:3:4:5:6:1.2.3.4", 0},
	{"text, unknown", STREAM, BYTES("PROXY UNKNOWN\r\n"), 0, NULL, 0},
	{"text, unknown with words", STREAM, BYTES("PROXY UNKNOWN ffff::1 what ever\r\n"), 0, NULL, 0},
	{"text, longest", STREAM, BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), 0, NULL, 0},
	{"text, one longer", STREAM, BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 655350\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, no end in sight", STREAM, BYTES("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), PROXY_E_MALFORMED, NULL, 0},
	{"text, no CR", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5000 12000\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, CR within", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5000 12000\r\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, small letters", STREAM, BYTES("proxy TCP4 192.0.2.1 192.0.2.2 5000 12000\r\n"), PROXY_E_NONE, NULL, 0},
	{"text, other protocol", STREAM, BYTES("PROXY UDP4 192.0.2.1 192.0.2.2 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, no protocol", STREAM, BYTES("PROXY \r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, unknowns", STREAM, BYTES("PROXY UNKNOWNS\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, two spaces", STREAM, BYTES("PROXY TCP4 192.0.2.1  192.0.2.2 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, tab", STREAM, BYTES("PROXY TCP4 192.0.2.1\t192.0.2.2 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, space at the end", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5000 12000 \r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, port missing", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, port too large", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 65536 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, port wraps", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 4294967297 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, leading zero", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 05000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, negative", STREAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 -1 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, 256", STREAM, BYTES("PROXY TCP4 192.0.2.256 192.0.2.2 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, three numbers", STREAM, BYTES("PROXY TCP4 192.0.2 192.0.2.2 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, octal", STREAM, BYTES("PROXY TCP4 192.0.02.1 192.0.2.2 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, six as four", STREAM, BYTES("PROXY TCP4 ::1 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, four as six", STREAM, BYTES("PROXY TCP6 192.0.2.1 192.0.2.2 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, two gaps", STREAM, BYTES("PROXY TCP6 1::2::3 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, three colons", STREAM, BYTES("PROXY TCP6 1:::3 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, nine groups", STREAM, BYTES("PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, eight and a gap", STREAM, BYTES("PROXY TCP6 1:2:3:4:5:6:7::8 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, seven groups", STREAM, BYTES("PROXY TCP6 1:2:3:4:5:6:7 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, five digits", STREAM, BYTES("PROXY TCP6 12345::1 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, colon at the end", STREAM, BYTES("PROXY TCP6 1:2:3:4:5:6:7: ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, colon in front", STREAM, BYTES("PROXY TCP6 :1:2:3:4:5:6:7 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, scope", STREAM, BYTES("PROXY TCP6 fe80::1%1 ::1 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, NUL", STREAM, BYTES("PROXY TCP4 192.0.2.1\0 192.0.2.2 5000 12000\r\n"), PROXY_E_MALFORMED, NULL, 0},
	{"text, in a datagram", DGRAM, BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5000 12000\r\n"), PROXY_E_NONE, NULL, 0},

	{"binary, four", STREAM, BYTES(SIG "\x21\x11\0\x0c" FOUR), 0, "::ffff:192.0.2.1", 0},
	{"binary, six", STREAM, BYTES(SIG "\x21\x21\0\x24" SIX), 0, "2001:db8::1", 0},
	{"binary, four in a datagram", DGRAM, BYTES(SIG "\x21\x12\0\x0c" FOUR), 0, "::ffff:192.0.2.1", 0},
	{"binary, six in a datagram", DGRAM, BYTES(SIG "\x21\x22\0\x24" SIX), 0, "2001:db8::1", 0},
	{"binary, and what follows", STREAM, BYTES(SIG "\x21\x11\0\x0c" FOUR "hello"), 0, "::ffff:192.0.2.1", 28},
	{"binary, local", STREAM, BYTES(SIG "\x20\x00\0\0"), 0, NULL, 0},
	{"binary, local with an address", STREAM, BYTES(SIG "\x20\x11\0\x0c" FOUR), 0, NULL, 0},
	{"binary, local with anything", STREAM, BYTES(SIG "\x20\xff\0\3abc"), 0, NULL, 0},
	{"binary, unspecified", STREAM, BYTES(SIG "\x21\x00\0\5abcde"), 0, NULL, 0},
	{"binary, extras", STREAM, BYTES(SIG "\x21\x11\0\x17" FOUR "\4\0\0\1\0\5hello"), 0, "::ffff:192.0.2.1", 0},
	{"binary, checksum", STREAM, BYTES(SIG "\x21\x11\0\x13" FOUR "\3\0\4\x89\xc1\xd4\x93"), 0, "::ffff:192.0.2.1", 0},
	{"binary, wrong checksum", STREAM, BYTES(SIG "\x21\x11\0\x13" FOUR "\3\0\4\x89\xc1\xd4\x92"), PROXY_E_MALFORMED, NULL, 0},
	{"binary, short checksum", STREAM, BYTES(SIG "\x21\x11\0\x12" FOUR "\3\0\3\x89\xc1\xd4"), PROXY_E_MALFORMED, NULL, 0},
	{"binary, extras too long", STREAM, BYTES(SIG "\x21\x11\0\x11" FOUR "\4\0\3ab"), PROXY_E_MALFORMED, NULL, 0},
	{"binary, extras cut", STREAM, BYTES(SIG "\x21\x11\0\x0e" FOUR "\4\0"), PROXY_E_MALFORMED, NULL, 0},
	{"binary, no room for four", STREAM, BYTES(SIG "\x21\x11\0\x0b\1\2\3\4\5\6\7\10\1\2\3"), PROXY_E_MALFORMED, NULL, 0},
	{"binary, no room for six", STREAM, BYTES(SIG "\x21\x21\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, version 1", STREAM, BYTES(SIG "\x11\x11\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, version 3", STREAM, BYTES(SIG "\x31\x11\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, other command", STREAM, BYTES(SIG "\x22\x11\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, other family", STREAM, BYTES(SIG "\x21\x41\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, other transport", STREAM, BYTES(SIG "\x21\x13\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, family without a transport", STREAM, BYTES(SIG "\x21\x10\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, transport without a family", STREAM, BYTES(SIG "\x21\x01\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, datagram on a stream", STREAM, BYTES(SIG "\x21\x12\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, stream in a datagram", DGRAM, BYTES(SIG "\x21\x11\0\x0c" FOUR), PROXY_E_MALFORMED, NULL, 0},
	{"binary, too long", STREAM, BYTES(SIG "\x20\x00\x0f\xf1"), PROXY_E_MALFORMED, NULL, 0},
	{"binary, wrong signature", STREAM, BYTES("\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c" FOUR), PROXY_E_NONE, NULL, 0},

	{"nothing", STREAM, BYTES(""), PROXY_E_MORE, NULL, 0},
	{"beginning of either", STREAM, BYTES("PROX"), PROXY_E_MORE, NULL, 0},
	{"beginning of binary", STREAM, BYTES("\r\n\r"), PROXY_E_MORE, NULL, 0},
	{"empty lines", STREAM, BYTES("\r\n\r\nhello"), PROXY_E_NONE, NULL, 0},
	{"none", STREAM, BYTES("hello"), PROXY_E_NONE, NULL, 0},
	{"nearly", STREAM, BYTES("PROXIES"), PROXY_E_NONE, NULL, 0},
};
/* clang-format on */

static void check_row(const struct row *row)
{
	const uint8_t *data = guard_copy(guard, row->data, row->size - 1);
	struct proxy_header header = {0};
	uint8_t source[16];
	int r = proxy_parse(row->kind, data, row->size - 1, &header);

	if (r != row->outcome)
		fail_msg("%s: outcome %d", row->name, r);
	if (r != 0)
		return;
	assert_int_equal(header.length, row->length ? row->length : row->size - 1);
	assert_int_equal(header.has_ends, row->source != NULL);
	if (!row->source)
		return;
	assert_int_equal(inet_pton(AF_INET6, row->source, source), 1);
	assert_memory_equal(header.ends.source, source, sizeof(source));
	assert_int_equal(header.ends.source_port, 5000);
}

static void test_rows(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

/* A header that is good as a whole asks for more until it is there, and not a byte longer. */
static void test_every_beginning_asks_for_more(void **state)
{
	struct proxy_header header;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		size_t length = row->length ? row->length : row->size - 1;

		for (size_t n = 0; row->outcome == 0 && n < length; n++) {
			const uint8_t *data = guard_copy(guard, row->data, n);

			assert_int_equal(proxy_parse(row->kind, data, n, &header), PROXY_E_MORE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_beginning_asks_for_more),
	};

	guard = guard_new();
	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
