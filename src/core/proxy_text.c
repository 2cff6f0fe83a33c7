/* SPDX-License-Identifier: Apache-2.0 */

/* The line of version 1: words with one space between, addresses and numbers in the one form that their
 * standards call canonical or at least correct; no leading zeros, no signs, no scopes. */

#include "core/proxy.h"

#include <string.h>

struct text {
	const uint8_t *at, *end;
};

static bool skip(struct text *text, const char *what)
{
	size_t len = strlen(what);

	if ((size_t)(text->end - text->at) < len || memcmp(text->at, what, len) != 0)
		return false;
	text->at += len;
	return true;
}

static bool read_number(struct text *text, unsigned max, unsigned *ret_number)
{
	const uint8_t *begin = text->at;
	unsigned number = 0;

	for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
		number = number * 10 + (*text->at - '0');
		if (number > max || (*begin == '0' && text->at > begin))
			return false;
	}
	*ret_number = number;
	return text->at > begin;
}

static bool read_four(struct text *text, uint8_t to[static 4])
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned number;

		if ((i > 0 && !skip(text, ".")) || !read_number(text, 255, &number))
			return false;
		to[i] = (uint8_t)number;
	}
	return true;
}

static bool read_host4(struct text *text, uint8_t to[16])
{
	memset(to, 0, 16);
	to[10] = to[11] = 0xff;
	return read_four(text, to + 12);
}

static int hex_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* Up to four digits. */
static bool read_group(struct text *text, uint8_t to[static 2])
{
	const uint8_t *begin = text->at;
	unsigned number = 0;

	while (text->at < text->end && text->at - begin < 4 && hex_of(*text->at) >= 0)
		number = number << 4 | (unsigned)hex_of(*text->at++);
	to[0] = (uint8_t)(number >> 8);
	to[1] = (uint8_t)number;
	return text->at > begin;
}

/* An IPv4 address in the last two groups. */
static bool read_tail4(struct text *text, uint8_t *to)
{
	struct text ahead = *text;

	if (!read_four(&ahead, to))
		return false;
	*text = ahead;
	return true;
}

/* Groups as far as they go; how many bytes they make, or 17 when they are wrong. */
static size_t read_groups(struct text *text, uint8_t to[static 16])
{
	size_t n = 0;

	while (n < 16) {
		if (n <= 12 && read_tail4(text, to + n))
			return n + 4;
		if (!read_group(text, to + n))
			return n == 0 ? 0 : 17;
		n += 2;
		if (text->at == text->end || *text->at != ':' ||
			(text->end - text->at > 1 && text->at[1] == ':'))
			break;
		if (n < 16)
			text->at++;
	}
	return n;
}

static bool read_host6(struct text *text, uint8_t to[16])
{
	uint8_t head[16] = {0}, tail[16] = {0};
	size_t n_head = read_groups(text, head), n_tail;

	memcpy(to, head, 16);
	if (n_head >= 16)
		return n_head == 16;
	if (!skip(text, "::"))
		return false;
	n_tail = read_groups(text, tail);
	if (n_head + n_tail > 14)
		return false;
	memset(to + n_head, 0, 16 - n_head);
	memcpy(to + 16 - n_tail, tail, n_tail);
	return true;
}

static bool read_port(struct text *text, uint16_t *ret_port)
{
	unsigned number;

	if (!skip(text, " ") || !read_number(text, 65535, &number))
		return false;
	*ret_port = (uint16_t)number;
	return true;
}

bool proxy_parse_text(const uint8_t *at, const uint8_t *end, struct proxy_header *header)
{
	struct text text = {at, end};
	bool (*read_host)(struct text *, uint8_t[16]);
	struct proxy_ends *ends = &header->ends;

	if (skip(&text, "UNKNOWN"))
		return text.at == end || *text.at == ' ';
	if (skip(&text, "TCP4 "))
		read_host = read_host4;
	else if (skip(&text, "TCP6 "))
		read_host = read_host6;
	else
		return false;

	header->has_ends = true;
	return read_host(&text, ends->source) && skip(&text, " ") &&
		read_host(&text, ends->destination) && read_port(&text, &ends->source_port) &&
		read_port(&text, &ends->destination_port) && text.at == end;
}
