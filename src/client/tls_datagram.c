/* SPDX-License-Identifier: Apache-2.0 */
/* DTLS 1.2 over a connected socket. A timer here sends lost flights of a handshake again; a lost message is
 * the caller's to repeat, as it is with plain datagrams. One record is
 * one message, and a record is one datagram: reading never joins two, nor leaves a part of one. */

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/time.h>

#include "base/clock.h"
#include "client/options.h"
#include "client/tls_session.h"
#include "client/transport.h"

/* The first wait is RFC 6347's; once a round trip is known, RFC 9147's: half as much again. */
#define FIRST_WAIT_US   1000000
#define LEAST_WAIT_US   200000
#define LONGEST_WAIT_US 60000000

/* The most that encryption adds to a message. The library does not count it when it fills a datagram. */
#define SEAL 24

/* Forward secrecy and AEAD alone. A server that keeps no state of an unknown client takes a ClientHello in
 * one datagram only, and the other ciphers alone would fill a sixth of the smallest. */
#define DATAGRAM_CIPHERS "DEFAULT:!kRSA:!SHA1:!SHA256:!SHA384"

static unsigned int at_least(unsigned int least, uint64_t us)
{
	return us > least ? (unsigned int)us : least;
}

/* The library asks for a wait when it sends a flight, and for the next one when it sends it again. A flight
 * that was sent twice gives no round-trip time (Karn's rule). */
static unsigned int next_wait(SSL *ssl, unsigned int last_us)
{
	struct tls_notes *notes = SSL_get_app_data(ssl);
	uint64_t now = clock_us();

	if (last_us) {
		notes->tries++;
		notes->sent_us = 0;
		return last_us < LONGEST_WAIT_US / 2 ? 2 * last_us : LONGEST_WAIT_US;
	}
	if (notes->sent_us)
		notes->wait_us = at_least(LEAST_WAIT_US, (now - notes->sent_us) * 3 / 2);
	notes->sent_us = now;
	return notes->wait_us;
}

/* With little time there is less to wait: three tries are made in any case. */
static unsigned int first_wait(uint64_t timeout_ms)
{
	if (!timeout_ms || timeout_ms * 1000 / 7 > FIRST_WAIT_US)
		return FIRST_WAIT_US;
	return at_least(LEAST_WAIT_US / 2, timeout_ms * 1000 / 7);
}

/* Our hello must not be in pieces; from the server's on, there has to be room for the seal. */
static void leave_room(
	int is_ours, int version, int type, const void *data, size_t len, SSL *ssl, void *userdata)
{
	const struct options *options = userdata;

	if (!is_ours && type == SSL3_RT_HANDSHAKE && len > 0 &&
		*(const uint8_t *)data == SSL3_MT_SERVER_HELLO)
		SSL_set_mtu(ssl, (long)options->mtu - SEAL);
}

/* The path MTU of the kernel is not used: ICMP may be forged, and a handshake would hang where ICMP is
 * dropped. */
static int datagram_attach(struct link *link, SSL *ssl)
{
	const struct server *server = link->server;
	struct addr peer = server->addresses[link->at];
	BIO *bio = BIO_new_dgram(link->fd, BIO_NOCLOSE);

	if (!bio)
		return -ENOMEM;
	BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &peer.sa);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
	SSL_set_mtu(ssl, (long)server->options->mtu);
	SSL_set_msg_callback(ssl, leave_room);
	SSL_set_msg_callback_arg(ssl, (void *)(uintptr_t)server->options);
	DTLS_set_timer_cb(ssl, next_wait);
	return 0;
}

/* The events to poll for; 0: it has failed. The library reports an empty datagram as a failure without a
 * reason; it is ignored, since its source may be forged. */
static short wants_of(const SSL *ssl, int r, int error)
{
	return SSL_get_error(ssl, r) == SSL_ERROR_SYSCALL && !error ? POLLIN : tls_wants(ssl, r);
}

/* How long a handshake waits for the next flight, at most until the end of its time. */
static uint64_t next_step_ms(SSL *ssl, uint64_t until_ms)
{
	struct timeval left;
	uint64_t timer_ms;

	if (DTLSv1_get_timeout(ssl, &left) != 1)
		return until_ms;
	timer_ms = clock_ms() + (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1;
	return until_ms && until_ms < timer_ms ? until_ms : timer_ms;
}

static int explain_silence(const struct link *link, const SSL *ssl, struct why *why)
{
	const struct tls_notes *notes = SSL_get_app_data(ssl);
	const char *plural = notes->tries == 1 ? "try" : "tries";

	if (BIO_number_read(SSL_get_rbio(ssl)) == 0)
		return why_set(why, CLIENT_E_LOST,
			"no answer to %u %s of the handshake; is the server running, and is UDP "
			"let "
			"through?",
			notes->tries, plural);
	return why_set(why, CLIENT_E_LOST,
		"the handshake came to a halt after %u %s; is that a DTLS server, and are "
		"datagrams of %u bytes let through?",
		notes->tries, plural, (unsigned)link->server->options->mtu);
}

/* An error of the socket is in errno; the library's own list is empty then. */
static int explain_failure(struct link *link, SSL *ssl, int error, struct why *why)
{
	int r;

	if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_READ_TIMEOUT_EXPIRED)
		return explain_silence(link, ssl, why);
	if (ERR_peek_error() || !error)
		return tls_explain(link, ssl, why);
	r = link_plain_outcome(link, error);
	if (r == LINK_E_REFUSED)
		return CLIENT_E_UNREACHABLE;
	return r < 0 ? r : tls_explain(link, ssl, why);
}

static int datagram_shake_hands(struct link *link, struct why *why)
{
	SSL *ssl = link->session;
	short wants;
	int r;

	ERR_clear_error();
	errno = 0;
	r = DTLSv1_handle_timeout(ssl) < 0 ? -1 : SSL_connect(ssl);
	if (r == 1)
		return 0;
	wants = wants_of(ssl, r, errno);
	if (!wants)
		return explain_failure(link, ssl, errno, why);
	if (link->deadline_ms && clock_ms() >= link->deadline_ms)
		return explain_silence(link, ssl, why);
	link->read_wants = wants;
	link->due_ms = next_step_ms(ssl, link->deadline_ms);
	return LINK_E_AGAIN;
}

static int start(struct link *link, struct why *why)
{
	static const struct tls_kind kind = {
		DTLS_client_method, DTLS1_2_VERSION, DATAGRAM_CIPHERS, datagram_attach};
	int r;

	r = datagram_open(link, why);
	if (r)
		return r;
	r = tls_session_start(link, &kind, why);
	if (r)
		link_plain_close(link);
	else
		((struct tls_notes *)link->opening)->wait_us =
			first_wait(link->server->options->timeout_ms);
	return r;
}

/* An address that refuses is passed over, as it is with plain datagrams. Without a time-out the handshake
 * starts again when the library gives up, after some minutes. */
int link_dtls_open(struct link *link, struct why *why)
{
	int r;

	for (;;) {
		r = link->stage == LINK_SHAKING ? 0 : start(link, why);
		if (r)
			return r;
		r = datagram_shake_hands(link, why);
		if (r == LINK_E_AGAIN)
			return r;
		if (!r) {
			tls_session_settle(link);
			return 0;
		}
		tls_session_close(link);
		link_plain_close(link);
		link->stage = LINK_CLOSED;
		if (r == CLIENT_E_UNREACHABLE)
			link->at++;
		else if (r != CLIENT_E_LOST || link->server->options->timeout_ms)
			return r;
	}
}

static int datagram_outcome(struct link *link, int r, int error)
{
	bool is_well = wants_of(link->session, r, error);
	int kind = SSL_get_error(link->session, r);

	ERR_clear_error();
	if (is_well)
		return LINK_E_AGAIN;
	switch (kind) {
	case SSL_ERROR_ZERO_RETURN:
		return LINK_E_END;
	case SSL_ERROR_SYSCALL:
		return link_plain_outcome(link, error);
	default:
		return LINK_E_RESET;
	}
}

/* Reads a whole record whatever the caller's room is: the rest of a record is no second message. For the
 * events see tls_read(). */
int dtls_read(struct link *link, void *data, size_t size, size_t *ret_len)
{
	SSL *ssl = link->session;
	uint8_t record[DTLS_LONGEST];
	size_t len;
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_read_ex(ssl, record, sizeof(record), &len);
	link->read_wants = POLLIN;
	if (r != 1)
		return datagram_outcome(link, r, errno);
	link->read_wants = SSL_has_pending(ssl) ? POLLIN | POLLOUT : POLLIN;
	*ret_len = len < size ? len : size;
	memcpy(data, record, *ret_len);
	return 0;
}

int dtls_write(struct link *link, const void *data, size_t len, size_t *ret_len)
{
	int r;

	if (len > DTLS_LONGEST)
		return LINK_E_TOO_LONG;
	ERR_clear_error();
	errno = 0;
	r = SSL_write_ex(link->session, data, len, ret_len);
	return r == 1 ? 0 : datagram_outcome(link, r, errno);
}

/* close_notify is sent once, and may be lost. */
void dtls_close(struct link *link)
{
	ERR_clear_error();
	if (link->stage == LINK_OPEN)
		SSL_shutdown(link->session);
	ERR_clear_error();
	tls_session_close(link);
	link_plain_close(link);
}
