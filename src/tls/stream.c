/* SPDX-License-Identifier: Apache-2.0 */

/* TLS as a transport. The library is told to come back after every record, so that what a peer sends
 * beside its data can be counted: see tally.c. */

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/inside.h"
#include "tls/wire.h"

struct session {
	SSL *ssl;
	struct wire wire;
	struct tally tally;
};

static int session_outcome(struct transport *transport, int r)
{
	struct session *session = transport->session;
	unsigned long error;

	switch (SSL_get_error(session->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return TRANSPORT_E_WAIT;
	case SSL_ERROR_WANT_WRITE:
		transport->wants_room = true;
		return TRANSPORT_E_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return TRANSPORT_E_END;
	default:
		error = ERR_peek_error();
		transport->reason = (uint8_t)tally_reason(error);
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
	return session->tally.records != records && !session->wire.waits;
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
		records = session->tally.records;
		wire_forget(&session->wire);
		forget_errors();
		r = SSL_accept(session->ssl);
		if (r == 1) {
			session->tally.established = true;
			tally_agreement(session->ssl, &transport->agreement);
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
		records = session->tally.records;
		wire_forget(&session->wire);
		forget_errors();
		r = SSL_read_ex(session->ssl, data, size, ret_n);
		if (r == 1) {
			tally_forget(&session->tally);
			transport->drained = session_is_drained(session);
			return 0;
		}
		r = session_outcome(transport, r);
		transport->reason = tally_excess(&session->tally) != REASON_done
			? (uint8_t)tally_excess(&session->tally)
			: transport->reason;
		if (tally_excess(&session->tally) != REASON_done)
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
	SSL_set_app_data(session->ssl, &session->tally);
	*ret_transport = (struct transport){.ops = &transport_tls, .session = session, .fd = fd};
	return 0;
}
