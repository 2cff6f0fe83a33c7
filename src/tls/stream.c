/* SPDX-License-Identifier: Apache-2.0 */

/* TLS as a transport. The library is told to come back after every record, so that what a peer sends
 * beside its data can be counted: such messages cost us work and the peer next to nothing. */

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/inside.h"
#include "tls/wire.h"

/* More than this without a byte of data in between, and it is over. */
#define KEY_UPDATES_MOST 16
#define HELLOS_MOST      2
#define ALERTS_MOST      4

struct session {
	SSL *ssl;
	struct wire wire;
	uint32_t records; /* that came in, of whatever kind */
	uint8_t updates, hellos, alerts;
	bool established;
};

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
};

static enum reason reason_of(unsigned long error)
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
	struct session *session = SSL_get_app_data(ssl);
	const unsigned char *bytes = data;

	if (sent || !session)
		return;
	if (kind == SSL3_RT_HEADER)
		session->records++;
	if (!session->established || len == 0)
		return;
	if (kind == SSL3_RT_HANDSHAKE && bytes[0] == SSL3_MT_KEY_UPDATE)
		session->updates++;
	else if (kind == SSL3_RT_HANDSHAKE)
		session->hellos++;
	else if (kind == SSL3_RT_ALERT)
		session->alerts++;
}

void session_watch(SSL_CTX *ctx)
{
	SSL_CTX_set_msg_callback(ctx, on_message);
}

static enum reason session_excess(const struct session *session)
{
	if (session->updates > KEY_UPDATES_MOST)
		return REASON_tls_keyupdates;
	if (session->hellos > HELLOS_MOST)
		return REASON_tls_renegotiation;
	return session->alerts > ALERTS_MOST ? REASON_tls_alerts : REASON_done;
}

static int session_outcome(struct transport *transport, int r)
{
	struct session *session = transport->session;
	unsigned long error;

	switch (SSL_get_error(session->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return TRANSPORT_E_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return TRANSPORT_E_END;
	default:
		error = ERR_peek_error();
		transport->reason = (uint8_t)reason_of(error);
		ERR_clear_error();
		return TRANSPORT_E_GONE;
	}
}

/* The library tells a failure by what is in its queue of errors, which is nearly always empty before a
 * call; to look is ten times cheaper than to clear it. */
static void forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* Whether it is worth while to ask again at once: what came was no data, or no whole message, and the
 * socket has not yet said that there is no more. */
static bool session_goes_on(const struct session *session, uint32_t records)
{
	return session->records != records && !session->wire.waits;
}

/* The library may hold more than it has given away; and what it gave may be of an earlier read, since
 * which an event has told of more. */
static bool session_is_drained(const struct session *session)
{
	return session->wire.drained && !SSL_has_pending(session->ssl);
}

static int session_handshake(struct transport *transport)
{
	struct session *session = transport->session;
	const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(session->ssl));
	uint64_t failed = context->tls->signer.failed;
	uint32_t records;
	int r;

	do {
		records = session->records;
		wire_forget(&session->wire);
		forget_errors();
		r = SSL_accept(session->ssl);
		if (r == 1) {
			session->established = true;
			transport->drained = session_is_drained(session);
			return 0;
		}
		r = session_outcome(transport, r);
	} while (r == TRANSPORT_E_WAIT && session_goes_on(session, records));

	if (context->tls->signer.failed != failed)
		transport->reason = REASON_tls_keeper;
	return r == TRANSPORT_E_END ? TRANSPORT_E_GONE : r;
}

static int session_read(struct transport *transport, void *data, size_t size, size_t *ret_n)
{
	struct session *session = transport->session;
	uint32_t records;
	int r;

	do {
		records = session->records;
		wire_forget(&session->wire);
		forget_errors();
		r = SSL_read_ex(session->ssl, data, size, ret_n);
		if (r == 1) {
			session->updates = session->hellos = session->alerts = 0;
			transport->drained = session_is_drained(session);
			return 0;
		}
		r = session_outcome(transport, r);
		transport->reason = session_excess(session) != REASON_done
			? (uint8_t)session_excess(session)
			: transport->reason;
		if (session_excess(session) != REASON_done)
			return TRANSPORT_E_GONE;
	} while (r == TRANSPORT_E_WAIT && session_goes_on(session, records));
	return r;
}

static int session_write(struct transport *transport, const void *data, size_t n, size_t *ret_n)
{
	struct session *session = transport->session;
	int r;

	forget_errors();
	r = SSL_write_ex(session->ssl, data, n, ret_n);
	if (r == 1)
		return 0;
	r = session_outcome(transport, r);
	return r == TRANSPORT_E_END ? TRANSPORT_E_GONE : r;
}

/* First in the words of TLS, then in those of TCP, for those who only hear these. */
static int session_finish(struct transport *transport)
{
	struct session *session = transport->session;
	int r;

	forget_errors();
	r = SSL_shutdown(session->ssl);
	if (r < 0) {
		r = session_outcome(transport, r);
		return r == TRANSPORT_E_END ? 0 : r;
	}
	return shutdown(transport->fd, SHUT_WR) < 0 ? TRANSPORT_E_GONE : 0;
}

static void session_close(struct transport *transport)
{
	struct session *session = transport->session;

	SSL_free(session->ssl);
	free(session);
	transport->session = NULL;
	if (transport->fd >= 0)
		close(transport->fd);
	transport->fd = -1;
}

static const struct transport_ops transport_tls = {
	.handshake = session_handshake,
	.read = session_read,
	.write = session_write,
	.finish = session_finish,
	.close = session_close,
};

int tls_open(void *context, int fd, struct transport *ret_transport)
{
	const struct tls_context *of = context;
	struct session *session = calloc(1, sizeof(*session));

	if (session)
		session->ssl = SSL_new(of->certificates[0].ctx);
	if (!session || !session->ssl ||
		wire_attach(&session->wire, of->tls->wire, session->ssl, fd) < 0) {
		if (session)
			SSL_free(session->ssl);
		free(session);
		close(fd);
		return -ENOMEM;
	}
	SSL_set_accept_state(session->ssl);
	SSL_set_app_data(session->ssl, session);
	*ret_transport = (struct transport){.ops = &transport_tls, .session = session, .fd = fd};
	return 0;
}
