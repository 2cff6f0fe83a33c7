/* SPDX-License-Identifier: Apache-2.0 */

/* What a peer sends beside its data, counted while it comes in: such messages cost us work and the peer next
 * to nothing. And what we call that which the library finds wrong. */

#include <openssl/err.h>

#include "tls/inside.h"

/* More than this without a byte of data in between, and it is over. */
#define KEY_UPDATES_MOST 16
#define HELLOS_MOST      2
#define ALERTS_MOST      4

/* What the library says, and what we call it; anything else is "tls_failed". */
static const struct {
	int error;
	enum reason reason;
} reasons[] = {
	{SSL_R_WRONG_VERSION_NUMBER, REASON_tls_garbage},
	{SSL_R_HTTP_REQUEST, REASON_tls_garbage},
	{SSL_R_HTTPS_PROXY_REQUEST, REASON_tls_garbage},
	{SSL_R_UNEXPECTED_MESSAGE, REASON_tls_garbage},
	{SSL_R_LENGTH_MISMATCH, REASON_tls_garbage},
	{SSL_R_LENGTH_TOO_SHORT, REASON_tls_garbage},
	{SSL_R_BAD_PACKET, REASON_tls_garbage},
	{SSL_R_BAD_RECORD_TYPE, REASON_tls_garbage},
	{SSL_R_RECORD_LENGTH_MISMATCH, REASON_tls_garbage},
	{SSL_R_UNSUPPORTED_SSL_VERSION, REASON_tls_garbage},
	{SSL_R_EXCESSIVE_MESSAGE_SIZE, REASON_tls_oversize},
	{SSL_R_PACKET_LENGTH_TOO_LONG, REASON_tls_oversize},
	{SSL_R_DATA_LENGTH_TOO_LONG, REASON_tls_oversize},
	{SSL_R_ENCRYPTED_LENGTH_TOO_LONG, REASON_tls_oversize},
	{SSL_R_UNSUPPORTED_PROTOCOL, REASON_tls_version},
	{SSL_R_VERSION_TOO_LOW, REASON_tls_version},
	{SSL_R_INAPPROPRIATE_FALLBACK, REASON_tls_version},
	{SSL_R_NO_SHARED_CIPHER, REASON_tls_nothing_shared},
	{SSL_R_NO_SUITABLE_KEY_SHARE, REASON_tls_nothing_shared},
	{SSL_R_NO_SHARED_GROUPS, REASON_tls_nothing_shared},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, REASON_tls_nothing_shared},
	{SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, REASON_tls_nothing_shared},
	{SSL_R_NO_APPLICATION_PROTOCOL, REASON_tls_nothing_shared},
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, REASON_tls_no_certificate},
	{SSL_R_CERTIFICATE_VERIFY_FAILED, REASON_tls_untrusted},
	{SSL_R_RECORD_TOO_SMALL, REASON_tls_empty_records},
	{SSL_R_TOO_MANY_WARN_ALERTS, REASON_tls_alerts},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING, REASON_reset},
	{SSL_R_READ_TIMEOUT_EXPIRED, REASON_handshake},
};

void tally_agreement(SSL *ssl, struct agreement *ret_agreement)
{
	const char *group = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));
	const char *cipher = SSL_get_cipher_name(ssl);

	*ret_agreement = (struct agreement){
		.version = (uint8_t)agreed_find(AGREED_VERSION, SSL_get_version(ssl)),
		.group = (uint8_t)agreed_find(AGREED_GROUP, group ? group : ""),
		.cipher = (uint8_t)agreed_find(AGREED_CIPHER, cipher),
		.resumed = SSL_session_reused(ssl),
	};
}

enum reason tally_reason(unsigned long error)
{
	int code = ERR_GET_REASON(error);

	if (error == 0 || ERR_SYSTEM_ERROR(error))
		return REASON_reset;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].error == code)
			return reasons[i].reason;
	/* The library numbers what the peer complains of from here on. */
	return code >= SSL_AD_REASON_OFFSET ? REASON_tls_refused : REASON_tls_failed;
}

/* Everything but data passes here, in the clear. */
static void on_message(
	int sent, int version, int kind, const void *data, size_t len, SSL *ssl, void *userdata)
{
	struct tally *tally = SSL_get_app_data(ssl);
	const unsigned char *bytes = data;
	bool is_hello = len > 0 && bytes[0] == SSL3_MT_CLIENT_HELLO;

	if (sent || !tally)
		return;
	if (kind == SSL3_RT_HEADER)
		tally->records++;
	if (!tally->established || len == 0)
		return;
	if (kind == SSL3_RT_HANDSHAKE && bytes[0] == SSL3_MT_KEY_UPDATE)
		tally->updates++;
	else if (kind == SSL3_RT_HANDSHAKE && (is_hello || version != DTLS1_2_VERSION))
		tally->hellos++; /* over datagrams, others may only have been lost on their way back */
	else if (kind == SSL3_RT_ALERT)
		tally->alerts++;
}

void tally_watch(SSL_CTX *ctx)
{
	SSL_CTX_set_msg_callback(ctx, on_message);
}

enum reason tally_excess(const struct tally *tally)
{
	if (tally->updates > KEY_UPDATES_MOST)
		return REASON_tls_keyupdates;
	if (tally->hellos > HELLOS_MOST)
		return REASON_tls_renegotiation;
	return tally->alerts > ALERTS_MOST ? REASON_tls_alerts : REASON_done;
}
