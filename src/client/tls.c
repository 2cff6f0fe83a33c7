/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over a TCP connection. The handshake is over before the first question is sent. */

#include "client/transport.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>

#include "base/clock.h"
#include "client/options.h"
#include "client/tls_session.h"

#define VERDICT_MS 2000 /* for the server to refuse a client certificate */

static int tls_attach(struct link *link, SSL *ssl)
{
	return SSL_set_fd(ssl, link->fd) == 1 ? 0 : -ENOMEM;
}

/* With TLS 1.3 the client's handshake is over before the server has verified the client certificate. So a
 * client that was asked for one waits for the first record, or alert, after the handshake. */
static int await_verdict(struct link *link, struct why *why)
{
	const struct tls_notes *notes = link->opening;
	SSL *ssl = link->session;
	char byte;
	int r;

	if (SSL_version(ssl) < TLS1_3_VERSION || !notes->is_asked)
		return 0;
	ERR_clear_error();
	r = SSL_peek(ssl, &byte, 1);
	if (r <= 0 && tls_wants(ssl, r) && clock_ms() < link->deadline_ms)
		return LINK_E_AGAIN;
	if (r > 0 || tls_wants(ssl, r) || SSL_get_error(ssl, r) == SSL_ERROR_ZERO_RETURN)
		return 0;
	return tls_explain(link, ssl, why);
}

static int tls_shake_hands(struct link *link, struct why *why)
{
	struct tls_notes *notes = link->opening;
	SSL *ssl = link->session;
	int r;

	if (!notes->is_shaken) {
		ERR_clear_error();
		r = SSL_connect(ssl);
		if (r != 1 && !tls_wants(ssl, r))
			return tls_explain(link, ssl, why);
		if (r != 1 && link->deadline_ms && clock_ms() >= link->deadline_ms)
			return why_set(why, CLIENT_E_LOST, "no answer to the TLS handshake");
		if (r != 1) {
			link->read_wants = tls_wants(ssl, r);
			return LINK_E_AGAIN;
		}
		notes->is_shaken = true;
		link->deadline_ms = clock_ms() + VERDICT_MS;
		link->read_wants = POLLIN;
	}
	return await_verdict(link, why);
}

int link_tls_open(struct link *link, struct why *why)
{
	static const struct tls_kind kind = {TLS_client_method, TLS1_2_VERSION, NULL, tls_attach};
	int r;

	if (link->stage != LINK_SHAKING) {
		r = link_stream_open(link, why);
		if (r)
			return r;
		r = tls_session_start(link, &kind, why);
		if (r) {
			link->stage = LINK_CLOSED;
			link_plain_close(link);
			return r;
		}
	}
	r = tls_shake_hands(link, why);
	link->due_ms = link->deadline_ms;
	if (r == LINK_E_AGAIN)
		return r;
	if (r)
		tls_close(link);
	else
		tls_session_settle(link);
	return r;
}

static int tls_outcome(SSL *ssl, int r, short *wants)
{
	short now = tls_wants(ssl, r);
	bool is_end = SSL_get_error(ssl, r) == SSL_ERROR_ZERO_RETURN;

	ERR_clear_error();
	if (now)
		*wants = now;
	return now ? LINK_E_AGAIN : is_end ? LINK_E_END : LINK_E_RESET;
}

/* poll() does not see bytes that the library has already read. There is nearly always room to write, so
 * polling for that too returns at once. */
int tls_read(struct link *link, void *data, size_t size, size_t *ret_len)
{
	SSL *ssl = link->session;
	int r;

	ERR_clear_error();
	r = SSL_read_ex(ssl, data, size, ret_len);
	if (r != 1)
		return tls_outcome(ssl, r, &link->read_wants);
	link->read_wants = SSL_has_pending(ssl) ? POLLIN | POLLOUT : POLLIN;
	return 0;
}

int tls_write(struct link *link, const void *data, size_t len, size_t *ret_len)
{
	SSL *ssl = link->session;
	int r;

	ERR_clear_error();
	r = SSL_write_ex(ssl, data, len, ret_len);
	if (r == 1) {
		link->write_wants = POLLOUT;
		return 0;
	}
	r = tls_outcome(ssl, r, &link->write_wants);
	return r == LINK_E_END ? LINK_E_RESET : r;
}

/* The next read reports a peer that is gone already. */
int tls_finish(struct link *link)
{
	SSL *ssl = link->session;
	short wants;
	int r;

	do {
		ERR_clear_error();
		r = SSL_shutdown(ssl);
		wants = r < 0 ? tls_wants(ssl, r) : 0;
	} while (wants == POLLOUT && link_wait(link, wants, 0) == 0);
	ERR_clear_error();
	return 0;
}

/* close_notify, if it goes without waiting. A session that ends without one is not resumed. */
void tls_close(struct link *link)
{
	ERR_clear_error();
	if (link->stage == LINK_OPEN)
		SSL_shutdown(link->session);
	ERR_clear_error();
	tls_session_close(link);
	link_plain_close(link);
}
