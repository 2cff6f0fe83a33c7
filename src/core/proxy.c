/* SPDX-License-Identifier: Apache-2.0 */

/* The header that HAProxy and others put before a connection, or into a datagram, to name the client. Version 2
 * is binary, and says at once how long it is; version 1 is a line.
 *
 * The parser is pure: it looks at bytes and says whether they are a header, no header, the beginning of one,
 * or a malformed one. Whether the sender may be believed is the caller's question, and must be asked: anyone can
 * write any address here. A header that is malformed is refused and never skipped, since the bytes
 * behind it would pass for the client's.
 *
 * Addresses of a kind that we do not serve, such as unix sockets, are what the protocol calls unknown: the
 * connection's own count. Extras behind the addresses must be well made, and add up if they have a checksum. */

#include "core/proxy.h"

#include <arpa/inet.h>
#include <string.h>

#define TEXT_LONGEST 107 /* "PROXY UNKNOWN", two addresses, two ports, CRLF */

#define HEAD_LENGTH 16
#define TLV_HEAD    3
#define TLV_CRC32C  3
#define CRC_LENGTH  4
#define CRC32C      0x82f63b78u

static const uint8_t signature[PROXY_SIGNATURE] = "\r\n\r\n\0\r\nQUIT\n";
static const uint8_t word[6] = {'P', 'R', 'O', 'X', 'Y', ' '};

static unsigned load16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static uint32_t load32(const uint8_t *at)
{
	return (uint32_t)load16(at) << 16 | load16(at + 2);
}

/* The checksum is over the whole header, with zeros in its own place. */
static uint32_t checksum(const uint8_t *data, size_t len, size_t own)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= i >= own && i < own + CRC_LENGTH ? 0 : data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CRC32C : 0);
	}
	return ~crc;
}

/* The rest behind the addresses must at least be well made, and add up. */
static bool are_extras_sound(const uint8_t *data, size_t at, size_t len)
{
	while (at < len) {
		size_t left = len - at, size;

		if (left < TLV_HEAD)
			return false;
		size = load16(data + at + 1);
		if (size > left - TLV_HEAD)
			return false;
		at += TLV_HEAD;
		if (data[at - TLV_HEAD] == TLV_CRC32C &&
			(size != CRC_LENGTH || load32(data + at) != checksum(data, len, at)))
			return false;
		at += size;
	}
	return true;
}

static void read_host(const uint8_t *from, size_t size, uint8_t to[16])
{
	memset(to, 0, 16);
	if (size == 4)
		to[10] = to[11] = 0xff;
	memcpy(to + 16 - size, from, size);
}

static void read_ends(const uint8_t *at, size_t size, struct proxy_header *header)
{
	read_host(at, size, header->ends.source);
	read_host(at + size, size, header->ends.destination);
	header->ends.source_port = (uint16_t)load16(at + 2 * size);
	header->ends.destination_port = (uint16_t)load16(at + 2 * size + 2);
	header->has_ends = true;
}

/* How much room the addresses of a family take; 0 for none that there is. */
static size_t addresses_length(unsigned family)
{
	static const size_t lengths[] = {0, 12, 36, 216};

	return family < sizeof(lengths) / sizeof(lengths[0]) ? lengths[family] : 0;
}

static bool parse_addresses(enum proxy_kind kind, const uint8_t *data, struct proxy_header *header)
{
	unsigned family = data[13] >> 4, transport = data[13] & 15;
	size_t room = addresses_length(family);

	if (data[13] == 0) /* it does not say */
		return true;
	if (room == 0 || header->length < HEAD_LENGTH + room)
		return false;
	if (transport != (kind == PROXY_STREAM ? 1 : 2))
		return false;
	if (family == 1)
		read_ends(data + HEAD_LENGTH, 4, header);
	else if (family == 2)
		read_ends(data + HEAD_LENGTH, 16, header);
	return are_extras_sound(data, HEAD_LENGTH + room, header->length);
}

static int parse_binary(
	enum proxy_kind kind, const uint8_t *data, size_t len, struct proxy_header *ret)
{
	struct proxy_header header = {0};
	bool local;

	if (len > 12 && data[12] != 0x20 && data[12] != 0x21)
		return PROXY_E_MALFORMED;
	if (len < HEAD_LENGTH)
		return PROXY_E_MORE;
	header.length = HEAD_LENGTH + load16(data + 14);
	if (header.length > PROXY_LONGEST)
		return PROXY_E_MALFORMED;
	if (len < header.length)
		return PROXY_E_MORE;

	local = data[12] == 0x20;
	if (!local && !parse_addresses(kind, data, &header))
		return PROXY_E_MALFORMED;
	*ret = header;
	return 0;
}

/* The line of version 1: words with one space between; addresses as inet_pton() knows them, numbers
 * without leading zeros or signs. */
struct proxy_words {
	const uint8_t *at, *end;
};

/* The next word as a string; the last one has no space behind it. False where it is too long for an address
 * or a port, empty, or holds a NUL, at which inet_pton() would stop. */
static bool next_word(struct proxy_words *words, bool is_last, char text[static INET6_ADDRSTRLEN])
{
	size_t left = (size_t)(words->end - words->at), len = left;
	const uint8_t *space = left > 0 ? memchr(words->at, ' ', left) : NULL;

	if (space)
		len = (size_t)(space - words->at);
	if (len == 0 || len >= INET6_ADDRSTRLEN || (space == NULL) != is_last ||
		memchr(words->at, '\0', len))
		return false;
	memcpy(text, words->at, len);
	text[len] = '\0';
	words->at += is_last ? len : len + 1;
	return true;
}

static bool parse_line_host(struct proxy_words *words, int family, uint8_t to[static 16])
{
	char text[INET6_ADDRSTRLEN];

	if (!next_word(words, false, text))
		return false;
	memset(to, 0, 16);
	if (family == AF_INET6)
		return inet_pton(AF_INET6, text, to) == 1;
	to[10] = to[11] = 0xff;
	return inet_pton(AF_INET, text, to + 12) == 1;
}

static bool parse_line_port(struct proxy_words *words, bool is_last, uint16_t *ret_port)
{
	char text[INET6_ADDRSTRLEN];
	unsigned number = 0;

	if (!next_word(words, is_last, text) || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9')
			return false;
		number = number * 10 + (unsigned)(*at - '0');
		if (number > UINT16_MAX)
			return false;
	}
	*ret_port = (uint16_t)number;
	return true;
}

/* From behind "PROXY " to CRLF. */
static bool parse_words(const uint8_t *at, const uint8_t *end, struct proxy_header *header)
{
	struct proxy_words words = {at, end};
	struct proxy_ends *ends = &header->ends;
	size_t len = (size_t)(end - at);
	int family;

	if (len >= 7 && memcmp(at, "UNKNOWN", 7) == 0)
		return len == 7 || at[7] == ' ';
	if (len < 5 || (memcmp(at, "TCP4 ", 5) != 0 && memcmp(at, "TCP6 ", 5) != 0))
		return false;
	family = at[3] == '4' ? AF_INET : AF_INET6;
	words.at += 5;
	header->has_ends = true;
	return parse_line_host(&words, family, ends->source) &&
		parse_line_host(&words, family, ends->destination) &&
		parse_line_port(&words, false, &ends->source_port) &&
		parse_line_port(&words, true, &ends->destination_port);
}

static int parse_line(const uint8_t *data, size_t len, struct proxy_header *ret)
{
	size_t most = len < TEXT_LONGEST ? len : TEXT_LONGEST;
	const uint8_t *end = memchr(data, '\n', most);
	struct proxy_header header = {0};

	if (!end)
		return most < TEXT_LONGEST ? PROXY_E_MORE : PROXY_E_MALFORMED;
	if (end[-1] != '\r' || !parse_words(data + sizeof(word), end - 1, &header))
		return PROXY_E_MALFORMED;
	header.length = (size_t)(end + 1 - data);
	*ret = header;
	return 0;
}

/* Whether the data begins like `text`, as far as there is any of either. */
static bool begins(const uint8_t *data, size_t len, const uint8_t *text, size_t text_len)
{
	return memcmp(data, text, len < text_len ? len : text_len) == 0;
}

int proxy_parse(enum proxy_kind kind, const uint8_t *data, size_t len, struct proxy_header *ret)
{
	if (len == 0)
		return PROXY_E_MORE;
	if (begins(data, len, signature, sizeof(signature)))
		return len < sizeof(signature) ? PROXY_E_MORE : parse_binary(kind, data, len, ret);
	if (kind == PROXY_STREAM && begins(data, len, word, sizeof(word)))
		return len < sizeof(word) ? PROXY_E_MORE : parse_line(data, len, ret);
	return PROXY_E_NONE;
}
