/* SPDX-License-Identifier: Apache-2.0 */

/* Entries are read strictly, so that one which could not match anything, or more than it seems to, is a fault
 * of the configuration. A certificate's names come as counted bytes, and nothing here ends at a zero: a name with
 * one inside is longer than any entry that it could be taken for. */

#include "core/client_name.h"

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"
#define SPIFFE  "spiffe://"

/* As the SPIFFE standard has them (SPIFFE-ID, 2); a DNS name is read without case. */
static const char of_domain[] = LETTERS DIGITS "-._";
static const char of_path[] = LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "-._";
static const char of_dns[] = LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "-_";

/* Not strchr(), which finds a zero in every string. */
static bool is_made_of(const char *text, size_t len, const char *letters)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\0' || !strchr(letters, text[i]))
			return false;
	return len > 0;
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static bool is_dns(const char *text, size_t len)
{
	const char *end = text + len, *dot;

	if (len > 253)
		return false;
	for (;; text = dot + 1) {
		dot = memchr(text, '.', (size_t)(end - text));
		if (!is_made_of(text, (size_t)((dot ? dot : end) - text), of_dns) ||
			(dot ? dot : end) - text > 63)
			return false;
		if (!dot)
			return true;
	}
}

static bool is_segment(const char *text, size_t len)
{
	bool is_dots = (len == 1 && text[0] == '.') || (len == 2 && memcmp(text, "..", 2) == 0);

	return is_made_of(text, len, of_path) && !is_dots;
}

/* A SPIFFE id in the one way in which it can be written: a domain and segments, all of them plain. */
static bool is_spiffe(const char *text, size_t len)
{
	const char *end = text + len, *slash;
	bool is_domain = true;

	if (len < strlen(SPIFFE) || memcmp(text, SPIFFE, strlen(SPIFFE)) != 0)
		return false;
	for (text += strlen(SPIFFE);; text = slash + 1, is_domain = false) {
		size_t n;

		slash = memchr(text, '/', (size_t)(end - text));
		n = (size_t)((slash ? slash : end) - text);
		if (is_domain ? !is_made_of(text, n, of_domain) : !is_segment(text, n))
			return false;
		if (!slash)
			return true;
	}
}

static const char *parse_dns(const char *text, struct client_name *name)
{
	if (strchr(text, '*'))
		return "a wildcard is taken at the end of a URI alone, as in "
		       "\"uri:spiffe://example.org/*\"; list each DNS name";
	if (!is_dns(text, strlen(text)))
		return "no DNS name behind \"dns:\"; one of letters, digits and hyphens will do, "
		       "as in "
		       "\"dns:client.example.org\", in its xn-- form where it has other letters";
	*name = (struct client_name){.kind = CLIENT_NAME_DNS, .text = text, .len = strlen(text)};
	return NULL;
}

static const char *parse_uri(const char *text, struct client_name *name)
{
	size_t len = strlen(text);
	bool is_prefix = len > 2 && strcmp(text + len - 2, "/*") == 0;

	if (strcspn(text, "*") < (is_prefix ? len - 1 : len))
		return "the wildcard is out of place; \"/*\" at the end will do, as in "
		       "\"uri:spiffe://example.org/*\"";
	if (!is_spiffe(text, is_prefix ? len - 2 : len))
		return "no SPIFFE id behind \"uri:\"; \"spiffe://\", a domain in lower case and "
		       "segments of "
		       "letters, digits, \"-\", \".\" and \"_\" will do, as in "
		       "\"uri:spiffe://example.org/client\"";
	*name = (struct client_name){.kind = CLIENT_NAME_URI,
		.is_prefix = is_prefix,
		.text = text,
		.len = is_prefix ? len - 1 : len};
	return NULL;
}

static int value_of_digit(char c)
{
	static const char digits[] = DIGITS "abcdef";
	const char *at = c ? strchr(digits, lower(c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool read_hex(const char *text, uint8_t ret_digest[static CLIENT_NAME_DIGEST])
{
	for (size_t i = 0; i < CLIENT_NAME_DIGEST; i++) {
		int high = value_of_digit(text[2 * i]), low = value_of_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret_digest[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* 32 bytes are 43 letters and one "="; the two bits that are left over have to be zero. */
static bool read_base64(const char *text, uint8_t ret_digest[static CLIENT_NAME_DIGEST])
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" LETTERS DIGITS "+/";
	uint32_t bits = 0;
	unsigned n_bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < 43; i++) {
		const char *at = strchr(letters, text[i]);

		if (!at)
			return false;
		bits = bits << 6 | (uint32_t)(at - letters);
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		ret_digest[n++] = (uint8_t)(bits >> n_bits);
		bits &= (1u << n_bits) - 1;
	}
	return text[43] == '=' && bits == 0;
}

static const char *parse_spki(const char *text, struct client_name *name)
{
	size_t len = strlen(text);

	*name = (struct client_name){.kind = CLIENT_NAME_SPKI};
	if (len == 64 && read_hex(text, name->digest))
		return NULL;
	if (len == 44 && read_base64(text, name->digest))
		return NULL;
	return "no SHA-256 behind \"spki:sha256:\"; its 64 hexadecimal digits or its 44 letters of "
	       "base64 "
	       "will do";
}

const char *client_name_parse(const char *entry, struct client_name *ret_name)
{
	static const struct {
		const char *prefix;
		const char *(*parse)(const char *text, struct client_name *name);
	} kinds[] = {
		{"dns:", parse_dns}, {"uri:", parse_uri}, {CLIENT_NAME_SPKI_PREFIX, parse_spki}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(entry, kinds[i].prefix, len) == 0)
			return kinds[i].parse(entry + len, ret_name);
	}
	return "a name of no known kind; \"dns:NAME\", \"uri:spiffe://DOMAIN/PATH\" and "
	       "\"spki:sha256:DIGEST\" will do";
}

static bool lists_dns(const struct client_name *name, const char *dns, size_t len)
{
	if (len != name->len || !is_dns(dns, len))
		return false;
	for (size_t i = 0; i < len; i++)
		if (lower(dns[i]) != lower(name->text[i]))
			return false;
	return true;
}

static bool lists_uri(const struct client_name *name, const char *uri, size_t len)
{
	if (name->is_prefix ? len <= name->len : len != name->len)
		return false;
	return memcmp(uri, name->text, name->len) == 0 && is_spiffe(uri, len);
}

bool client_name_lists(
	const struct client_name *name, enum client_name_kind kind, const void *data, size_t len)
{
	if (name->kind != kind)
		return false;
	switch (kind) {
	case CLIENT_NAME_DNS:
		return lists_dns(name, data, len);
	case CLIENT_NAME_URI:
		return lists_uri(name, data, len);
	case CLIENT_NAME_SPKI:
		return len == CLIENT_NAME_DIGEST && memcmp(data, name->digest, len) == 0;
	}
	return false;
}
