/* SPDX-License-Identifier: Apache-2.0 */

/* TLS 1.3 signs a text that begins with 64 spaces and a sentence, so that it cannot be mistaken for
 * anything else (RFC 8446, 4.4.3). TLS 1.2 signs two randoms and a key share (RFC 8422, 5.4), with no
 * such sentence, and a captured worker chooses nearly all of these bytes: with a serial number that
 * covers the fixed ones, a certificate had passed for a key share.
 *
 * So a text of TLS 1.2 has to be right in every byte that is known:
 *
 *   0..31    random of the client
 *   32..63   random of the server; where 1.3 could have been spoken, it ends with a mark (RFC 8446, 4.1.3)
 *   64..67   a named curve, one of three, and the length of a point on it
 *   68..     the point, which ends the text, and which is on the curve
 *
 * Enough freedom is left for a short document in ASN.1, with an opaque field over the known bytes. A text
 * that can be read as one is refused, although it may be a handshake. Of honest ones that is less than one
 * in ten million, whose clients come back; the worker that asked is not to blame for it. */

#include "tls/handshake_text.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <string.h>

#include "base/cleanup.h"

#define AT_MARK     56
#define AT_CURVE    64
#define AT_POINT    68
#define NAMED_CURVE 3 /* RFC 8422, 5.4 */
#define BER_NUMBER  0x1f

static const char mark[8] = {'D', 'O', 'W', 'N', 'G', 'R', 'D', 1};

static const struct {
	unsigned id;
	size_t len;
	int nid; /* 0: every string of this length is a point */
} named_curves[TEXT_CURVES] = {
	{0x001d, 32, 0},
	{0x0017, 65, NID_X9_62_prime256v1},
	{0x0018, 97, NID_secp384r1},
};

void text_curves_done(struct text_curves *curves)
{
	for (size_t i = 0; i < TEXT_CURVES; i++)
		EC_GROUP_free(curves->groups[i]);
	*curves = (struct text_curves){0};
}

/* 64 spaces, the sentence, a zero, and the digest of the handshake so far. */
static bool is_handshake_1_3(const struct text *text)
{
	static const char words[] = "TLS 1.3, server CertificateVerify";
	const size_t head = 64 + sizeof(words);

	if (text->len != head + 32 && text->len != head + 48)
		return false;
	for (size_t i = 0; i < 64; i++)
		if (text->data[i] != ' ')
			return false;
	return memcmp(text->data + 64, words, sizeof(words)) == 0;
}

static bool is_point(const struct text *text, size_t curve, struct text_curves *curves)
{
	EC_GROUP **group = &curves->groups[curve];
	EC_POINT *point;
	bool ok;

	if (!named_curves[curve].nid)
		return true;
	if (text->data[AT_POINT] != POINT_CONVERSION_UNCOMPRESSED)
		return false;
	if (!*group)
		*group = EC_GROUP_new_by_curve_name(named_curves[curve].nid);
	point = *group ? EC_POINT_new(*group) : NULL;
	ok = point &&
		EC_POINT_oct2point(
			*group, point, text->data + AT_POINT, text->len - AT_POINT, NULL) == 1;
	EC_POINT_free(point);
	ERR_clear_error();
	return ok;
}

static bool is_handshake_1_2(
	const struct text *text, bool is_downgraded, struct text_curves *curves)
{
	const unsigned char *data = text->data;

	if (text->len <= AT_POINT || data[AT_CURVE] != NAMED_CURVE)
		return false;
	if (is_downgraded && memcmp(data + AT_MARK, mark, sizeof(mark)) != 0)
		return false;
	for (size_t i = 0; i < TEXT_CURVES; i++)
		if ((unsigned)(data[AT_CURVE + 1] << 8 | data[AT_CURVE + 2]) ==
				named_curves[i].id &&
			data[AT_CURVE + 3] == named_curves[i].len &&
			text->len == AT_POINT + named_curves[i].len)
			return is_point(text, i, curves);
	return false;
}

/* Steps over the tag and the length of one element in BER. `ret_len` is the rest of the text where the
 * length is indefinite. */
static bool ber_step(const struct text *text, size_t *at, size_t *ret_len)
{
	size_t i = *at, len = 0;
	unsigned n;

	if (i >= text->len)
		return false;
	if ((text->data[i++] & BER_NUMBER) == BER_NUMBER)
		while (i < text->len && text->data[i++] & 0x80)
			;
	if (i >= text->len)
		return false;
	n = text->data[i++];
	*at = i;
	*ret_len = n == 0x80 ? text->len - i : n;
	if (n <= 0x80)
		return *ret_len <= text->len - i;
	for (n &= 0x7f; n > 0 && i < text->len && len <= text->len; n--)
		len = len << 8 | text->data[i++];
	*at = i;
	*ret_len = len;
	return n == 0 && len <= text->len - i;
}

/* Tags that the fields of signed documents have: those of every type, and a few of their own. */
static bool is_tag_of_field(unsigned char tag)
{
	return tag < 0x40 ? (tag & BER_NUMBER) < BER_NUMBER
			  : tag >= 0x80 && tag < 0xc0 && (tag & BER_NUMBER) <= 3;
}

/* A SEQUENCE or SET over the whole text, whose elements fill it: certificates, requests, revocation
 * lists, OCSP responses, signed attributes. */
static bool is_asn1(const struct text *text)
{
	size_t at = 0, len;

	if (text->len == 0 || (text->data[0] != 0x30 && text->data[0] != 0x31) ||
		!ber_step(text, &at, &len) || at + len != text->len)
		return false;
	while (at < text->len) {
		if (!is_tag_of_field(text->data[at]) || !ber_step(text, &at, &len))
			return false;
		at += len;
	}
	return true;
}

static bool is_other_document(const struct text *text)
{
	static const char ssh[] = "SSHSIG";

	return is_asn1(text) || memcmp(text->data, ssh, strlen(ssh)) == 0;
}

enum text_kind text_kind(const struct text *text, enum key_use use, struct text_curves *curves)
{
	if (use != KEY_USE_DTLS && is_handshake_1_3(text))
		return TEXT_HANDSHAKE;
	if (use == KEY_USE_TLS_1_3 || !is_handshake_1_2(text, use == KEY_USE_TLS, curves))
		return TEXT_FOREIGN;
	return is_other_document(text) ? TEXT_AMBIGUOUS : TEXT_HANDSHAKE;
}
