/* SPDX-License-Identifier: Apache-2.0 */

/* A TLS or DTLS session as the library has it: the steps that streams and datagrams have in common. The
 * library returns after every record (SSL_MODE_AUTO_RETRY is off), so that messages which cost us work and
 * the peer next to nothing are counted as they come in: key updates, new hellos, alerts. A step goes on as
 * long as records come in that bring no data and the input is not empty.
 *
 * Errors of the library are mapped to our reasons here. Its queue of errors is nearly always empty before a
 * call, and has to be; to look is ten times cheaper than to clear it. */

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "tls/inside.h"

/* More than this without a byte of data in between ends the session. */
#define KEY_UPDATES_MOST 16
#define HELLOS_MOST      2
#define ALERTS_MOST      4

/* Any other error is "tls_failed". */
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
	{SSL_R_NO_SUITABLE_KEY_SHARE, REASON_tls_group},
	{SSL_R_NO_SHARED_GROUPS, REASON_tls_group},
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

static enum reason reason_of_error(unsigned long error)
{
	int code = ERR_GET_REASON(error);

	if (error == 0 || ERR_SYSTEM_ERROR(error))
		return REASON_reset;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].error == code)
			return reasons[i].reason;
	/* From here on are the numbers of alerts that the peer sent. */
	return code >= SSL_AD_REASON_OFFSET ? REASON_tls_refused : REASON_tls_failed;
}

/* Everything but data passes here, in the clear. */
static void on_message(
	int sent, int version, int kind, const void *data, size_t len, SSL *ssl, void *userdata)
{
	struct tally *tally = SSL_get_app_data(ssl);
	const unsigned char *bytes = data;
	bool is_hello = len > 0 && bytes[0] == SSL3_MT_CLIENT_HELLO;

	if (!tally)
		return;
	if (kind == SSL3_RT_ALERT && len == 2 && bytes[1] != SSL_AD_CLOSE_NOTIFY)
		*(sent ? &tally->alert_sent : &tally->alert_received) = bytes[1];
	if (sent)
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

void session_count_messages(SSL_CTX *ctx)
{
	SSL_CTX_set_msg_callback(ctx, on_message);
}

static enum reason excess_of(const struct tally *tally)
{
	if (tally->updates > KEY_UPDATES_MOST)
		return REASON_tls_keyupdates;
	if (tally->hellos > HELLOS_MOST)
		return REASON_tls_renegotiation;
	return tally->alerts > ALERTS_MOST ? REASON_tls_alerts : REASON_done;
}

int session_open(struct session *session, const struct tls_context *context)
{
	SSL *ssl = SSL_new(context->certificates[0].ctx);

	*session = (struct session){
		.context = context,
		.ssl = ssl,
		.parking = {.ssl = ssl,
			.signer = &context->tls->signer,
			.waits = context->tls->waits},
	};
	if (!session->ssl)
		return -ENOMEM;
	SSL_set_accept_state(session->ssl);
	SSL_set_app_data(session->ssl, &session->tally);
	return 0;
}

void session_free(struct session *session)
{
	session->mute = true;
	parking_end(&session->parking);
	session_forget_errors();
	SSL_free(session->ssl);
	free(session->detail);
	free(session);
}

void session_forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

int session_outcome(const struct session *session, int r, uint8_t *ret_reason)
{
	switch (SSL_get_error(session->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		session_forget_errors();
		return TRANSPORT_E_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return TRANSPORT_E_END;
	default:
		*ret_reason = (uint8_t)reason_of_error(ERR_peek_error());
		ERR_clear_error();
		return TRANSPORT_E_GONE;
	}
}

/* Begins a call of the library. */
static uint32_t begin_call(struct session *session)
{
	session->drained = session->waits = false;
	session_forget_errors();
	return session->tally.records;
}

/* Whether another call may bring more: a record came that was no data, or no whole message, and the input
 * has not yet said that there is no more. */
static bool session_goes_on(const struct session *session, int r, uint32_t records)
{
	return r == TRANSPORT_E_WAIT && session->tally.records != records && !session->waits;
}

/* With TLS 1.2, a cipher is shared only where a group is, and the library names the cipher. */
static bool lacks_group(SSL *ssl)
{
	return SSL_version(ssl) != TLS1_3_VERSION && SSL_get1_groups(ssl, NULL) > 0 &&
		SSL_get_shared_group(ssl, -1) == 0;
}

int session_handshake(struct session *session, uint8_t *ret_reason)
{
	const uint64_t failed = session->context->tls->signer.failed;
	uint32_t records;
	int r;

	do {
		records = begin_call(session);
		r = parking_accept(&session->parking);
		if (r == PARKING_E_WAIT)
			return TRANSPORT_E_WAIT;
		if (r == 1) {
			session->tally.established = true;
			return 0;
		}
		r = session_outcome(session, r, ret_reason);
	} while (session_goes_on(session, r, records));

	if (r == TRANSPORT_E_GONE && *ret_reason == REASON_tls_nothing_shared &&
		lacks_group(session->ssl))
		*ret_reason = REASON_tls_group;
	if (session->context->tls->signer.failed != failed)
		*ret_reason = REASON_tls_keeper;
	else if (r == TRANSPORT_E_GONE && session->refusal != REASON_done)
		*ret_reason = session->refusal;
	return r == TRANSPORT_E_END ? TRANSPORT_E_GONE : r;
}

void session_agreement(const struct session *session, struct agreement *ret_agreement)
{
	SSL *ssl = session->ssl;
	const char *group = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));
	const char *cipher = SSL_get_cipher_name(ssl);

	*ret_agreement = (struct agreement){
		.version = (uint8_t)agreed_find(AGREED_VERSION, SSL_get_version(ssl)),
		.group = (uint8_t)agreed_find(AGREED_GROUP, group ? group : ""),
		.cipher = (uint8_t)agreed_find(AGREED_CIPHER, cipher),
		.resumed = SSL_session_reused(ssl),
	};
}

/* As the RFCs write them; the library's words have spaces, and differ from version to version. */
static const char *alert_name(uint8_t alert)
{
	static const char *const names[UINT8_MAX + 1] = {
		[10] = "unexpected_message",
		[20] = "bad_record_mac",
		[22] = "record_overflow",
		[40] = "handshake_failure",
		[42] = "bad_certificate",
		[43] = "unsupported_certificate",
		[44] = "certificate_revoked",
		[45] = "certificate_expired",
		[46] = "certificate_unknown",
		[47] = "illegal_parameter",
		[48] = "unknown_ca",
		[49] = "access_denied",
		[50] = "decode_error",
		[51] = "decrypt_error",
		[70] = "protocol_version",
		[71] = "insufficient_security",
		[80] = "internal_error",
		[86] = "inappropriate_fallback",
		[90] = "user_canceled",
		[100] = "no_renegotiation",
		[109] = "missing_extension",
		[110] = "unsupported_extension",
		[112] = "unrecognized_name",
		[113] = "bad_certificate_status_response",
		[115] = "unknown_psk_identity",
		[116] = "certificate_required",
		[120] = "no_application_protocol",
	};

	if (alert == 0)
		return NULL;
	return names[alert] ? names[alert] : "other";
}

/* Controls are escaped by the library, a byte of zero among them; the rest is UTF-8. */
static void describe_client(const SSL *ssl, struct log_facts *facts)
{
	const X509 *leaf = SSL_get0_peer_certificate(ssl);
	BIO *bio = leaf ? BIO_new(BIO_s_mem()) : NULL;
	char subject[sizeof(facts->client)];
	int n;

	if (!bio)
		return;
	X509_NAME_print_ex(
		bio, X509_get_subject_name(leaf), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	n = BIO_read(bio, subject, sizeof(subject) - 1);
	BIO_free(bio);
	subject[n > 0 ? n : 0] = '\0';
	log_fact_text(facts, client, subject);
}

const char *session_describe(const struct session *session, struct log_facts *facts)
{
	const struct tally *tally = &session->tally;
	SSL *ssl = session->ssl;

	if (tally->established) {
		log_fact_text(facts, tls_version, SSL_get_version(ssl));
		log_fact_text(facts, cipher, SSL_get_cipher_name(ssl));
		log_fact_text(
			facts, group, SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl)));
		log_fact_set(facts, resumed, SSL_session_reused(ssl) != 0);
	}
	log_fact_text(facts, alert_sent, alert_name(tally->alert_sent));
	log_fact_text(facts, alert_received, alert_name(tally->alert_received));
	log_fact_text(facts, sni, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	describe_client(ssl, facts);
	session_forget_errors();
	return session->detail;
}

int session_read(
	struct session *session, const struct iovec *to, size_t *ret_n, uint8_t *ret_reason)
{
	enum reason excess;
	uint32_t records;
	int r;

	do {
		records = begin_call(session);
		r = SSL_read_ex(session->ssl, to->iov_base, to->iov_len, ret_n);
		if (r == 1) {
			session->tally.updates = session->tally.hellos = session->tally.alerts = 0;
			return 0;
		}
		r = session_outcome(session, r, ret_reason);
		excess = excess_of(&session->tally);
		if (excess != REASON_done) {
			*ret_reason = (uint8_t)excess;
			return TRANSPORT_E_GONE;
		}
	} while (session_goes_on(session, r, records));
	return r;
}

int session_write(
	struct session *session, const struct iovec *from, size_t *ret_n, uint8_t *ret_reason)
{
	int r;

	session_forget_errors();
	r = SSL_write_ex(session->ssl, from->iov_base, from->iov_len, ret_n);
	if (r == 1)
		return 0;
	r = session_outcome(session, r, ret_reason);
	return r == TRANSPORT_E_END ? TRANSPORT_E_GONE : r;
}
