/* SPDX-License-Identifier: Apache-2.0 */

/* The first datagram of a DTLS client, read before anything is kept for it. Whatever comes from an address that
 * may be forged passes here, so this must cost little, allocate nothing, and never read past the end.
 *
 * Strict, since a refusal here costs nothing: a ClientHello is one record in one datagram, whole,
 * with every length in it right. It is read by one cursor that never passes the end; once it has failed, all
 * further reads are empty, so that a caller asks once, at the end.
 *
 * The answer is a HelloVerifyRequest with a cookie. It is never longer than the hello, so that it is of no use to
 * multiply traffic with. Which parts of the hello a cookie covers is RFC 6347, 4.2.1. */

#include "core/hello.h"

#include <string.h>

#define RECORD_HEADER  13
#define MESSAGE_HEADER 12
#define LONGEST_RECORD ((1 << 14) + 2048)

#define TYPE_FIRST     20 /* change_cipher_spec, alert, handshake, application_data */
#define TYPE_HANDSHAKE 22
#define TYPE_LAST      23

#define CLIENT_HELLO         1
#define HELLO_VERIFY_REQUEST 3

#define VERSION_MAJOR 0xfe
#define VERSION_1_0   0xff
#define VERSION_1_2   0xfd

_Static_assert(
	HELLO_VERIFY == RECORD_HEADER + MESSAGE_HEADER + 3 + HELLO_COOKIE, "as it is written");
_Static_assert(HELLO_VERIFY <= HELLO_LEAST, "no answer is longer than its question");

struct cursor {
	const uint8_t *at, *end;
	bool failed;
};

static const uint8_t *hello_take(struct cursor *c, size_t n)
{
	const uint8_t *taken = c->at;

	if (c->failed || (size_t)(c->end - c->at) < n) {
		c->failed = true;
		return NULL;
	}
	c->at += n;
	return taken;
}

/* A number of so many bytes; 0 when there are fewer. */
static uint32_t take_number(struct cursor *c, size_t bytes)
{
	const uint8_t *from = hello_take(c, bytes);
	uint32_t number = 0;

	for (size_t i = 0; from && i < bytes; i++)
		number = number << 8 | from[i];
	return number;
}

/* A part with its length in front of it, in so many bytes. */
static struct hello_span take_span(struct cursor *c, size_t bytes)
{
	size_t len = take_number(c, bytes);

	return (struct hello_span){hello_take(c, len), len};
}

/* The versions that a first record may name; the true one is agreed on later. */
static bool is_version(const uint8_t *version)
{
	return version[0] == VERSION_MAJOR &&
		(version[1] == VERSION_1_0 || version[1] == VERSION_1_2);
}

static int parse_body(struct cursor *c, struct hello *hello)
{
	const uint8_t *begin = c->at, *version = hello_take(c, 2);
	struct hello_span id, ciphers, compressions;

	hello->random = hello_take(c, HELLO_RANDOM);
	id = take_span(c, 1);
	hello->before = (struct hello_span){begin, (size_t)(c->at - begin)};
	hello->cookie = take_span(c, 1);
	begin = c->at;
	ciphers = take_span(c, 2);
	compressions = take_span(c, 1);
	hello->after = (struct hello_span){begin, (size_t)(c->at - begin)};
	if (c->at < c->end)
		take_span(c, 2); /* extensions */

	if (c->failed || c->at != c->end || version[0] != VERSION_MAJOR || id.len > 32 ||
		ciphers.len < 2 || ciphers.len % 2 != 0 || compressions.len < 1)
		return HELLO_E_MALFORMED;
	return 0;
}

static int parse_message(struct cursor *c, struct hello *hello)
{
	uint32_t type = take_number(c, 1), length = take_number(c, 3), offset, piece;

	hello->message_seq = (uint16_t)take_number(c, 2);
	offset = take_number(c, 3);
	piece = take_number(c, 3);
	if (c->failed || type != CLIENT_HELLO)
		return HELLO_E_OTHER;
	if (offset != 0 || piece != length)
		return HELLO_E_PIECE;
	return (size_t)(c->end - c->at) == length ? parse_body(c, hello) : HELLO_E_MALFORMED;
}

int hello_parse(const uint8_t *data, size_t len, struct hello *ret_hello)
{
	struct cursor c = {data, data + len, false};
	struct hello hello = {0};
	const uint8_t *type = hello_take(&c, 1), *version = hello_take(&c, 2);
	struct hello_span record;
	int r;

	hello.sequence = hello_take(&c, 8);
	record = take_span(&c, 2);
	if (c.failed || type[0] < TYPE_FIRST || type[0] > TYPE_LAST || !is_version(version) ||
		record.len == 0 || record.len > LONGEST_RECORD)
		return HELLO_E_NO_RECORD;
	if (type[0] != TYPE_HANDSHAKE || hello.sequence[0] != 0 || hello.sequence[1] != 0)
		return HELLO_E_OTHER;

	r = parse_message(&(struct cursor){record.data, record.data + record.len, false}, &hello);
	if (r == 0 && c.at != c.end)
		r = HELLO_E_MALFORMED;
	if (r == 0)
		*ret_hello = hello;
	return r;
}

static uint8_t *put_number(uint8_t *to, uint32_t number, size_t bytes)
{
	for (size_t i = bytes; i-- > 0; number >>= 8)
		to[i] = (uint8_t)number;
	return to + bytes;
}

/* The version is 1.0 throughout, whatever will be agreed on, and the record has the number of the one that
 * it answers, since the server keeps no state. */
size_t hello_verify(const struct hello *hello, const uint8_t cookie[static HELLO_COOKIE],
	uint8_t out[static HELLO_VERIFY])
{
	const uint32_t body = 3 + HELLO_COOKIE, version = VERSION_MAJOR << 8 | VERSION_1_0;
	uint8_t *to = out;

	to = put_number(to, TYPE_HANDSHAKE, 1);
	to = put_number(to, version, 2);
	memcpy(to, hello->sequence, 8);
	to = put_number(to + 8, MESSAGE_HEADER + body, 2);

	to = put_number(to, HELLO_VERIFY_REQUEST, 1);
	to = put_number(to, body, 3);
	to = put_number(to, 0, 2); /* the first message that we send */
	to = put_number(to, 0, 3);
	to = put_number(to, body, 3);

	to = put_number(to, version, 2);
	to = put_number(to, HELLO_COOKIE, 1);
	memcpy(to, cookie, HELLO_COOKIE);
	return HELLO_VERIFY;
}

/* It is the second message of its client, whatever else it is. */
bool hello_answers(const struct hello *hello)
{
	return hello->message_seq == 1 && hello->cookie.len == HELLO_COOKIE;
}

bool hello_has_cookie(const struct hello *hello, const uint8_t cookie[static HELLO_COOKIE])
{
	uint8_t differs = 0;

	if (hello->cookie.len != HELLO_COOKIE)
		return false;
	for (size_t i = 0; i < HELLO_COOKIE; i++)
		differs |= (uint8_t)(hello->cookie.data[i] ^ cookie[i]);
	return differs == 0;
}
