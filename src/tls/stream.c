/* SPDX-License-Identifier: Apache-2.0 */

/* TLS as a transport over a socket: the calls of net/transport.h, made of the steps of session.c.
 *
 * The library's own BIO for sockets is replaced, since it forgets what a call has found out: a socket that has
 * just said that it is empty is not asked again. `drained` is that knowledge. A read that returned less than
 * was asked for has emptied the socket, and an edge will tell of more; a message then costs one read and not
 * two. It may be believed only while the library holds nothing back itself (session_is_drained()), or a
 * record that it has already taken would wait for an event that never comes.
 *
 * Either direction may need the other: a handshake reads in order to write, and a KeyUpdate makes a read
 * write. note_wait() passes on which of the two the library waits for.
 *
 * Our end is said twice, with close_notify and with FIN, for peers that look for one of the two. The peer's end
 * is close_notify alone: a FIN without it may be an attacker's, who cuts a conversation short, and is a loss. */

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/inside.h"

static int socket_outcome(struct session *session, ssize_t n, BIO *bio, int retry)
{
	session->waits = n < 0 && (errno == EAGAIN || errno == EINTR);
	BIO_clear_retry_flags(bio);
	if (session->waits)
		BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
	return (int)n;
}

static int socket_read(BIO *bio, char *data, int size)
{
	struct session *session = BIO_get_data(bio);
	ssize_t n = recv(session->fd, data, (size_t)size, 0);

	session->drained = n < size;
	session->ended = n == 0;
	return socket_outcome(session, n, bio, BIO_FLAGS_READ);
}

static int socket_write(BIO *bio, const char *data, int size)
{
	struct session *session = BIO_get_data(bio);
	ssize_t n;

	if (session->mute)
		return size;
	n = send(session->fd, data, (size_t)size, MSG_NOSIGNAL);
	return socket_outcome(session, n, bio, BIO_FLAGS_WRITE);
}

/* All is sent at once; for every other command of the library the result is 0. */
static long socket_ctrl(BIO *bio, int command, long number, void *data)
{
	const struct session *session = BIO_get_data(bio);

	return command == BIO_CTRL_FLUSH || (command == BIO_CTRL_EOF && session->ended);
}

BIO_METHOD *stream_method_new(void)
{
	int kind = BIO_get_new_index();
	BIO_METHOD *method =
		kind < 0 ? NULL : BIO_meth_new(kind | BIO_TYPE_SOURCE_SINK, "upperd socket");

	if (!method)
		return NULL;
	BIO_meth_set_read(method, socket_read);
	BIO_meth_set_write(method, socket_write);
	BIO_meth_set_ctrl(method, socket_ctrl);
	return method;
}

/* The socket is empty, and so is the library: data that it has read and not given away yet would otherwise wait
 * for an event that does not come. */
static bool session_is_drained(const struct session *session)
{
	return session->drained && !SSL_has_pending(session->ssl);
}

/* The library waits for the socket to be readable or, less often, to have room. */
static int note_wait(struct transport *transport, int r)
{
	const struct session *session = transport->session;

	if (r == TRANSPORT_E_WAIT && SSL_want_write(session->ssl))
		transport->wants_room = true;
	return r;
}

static int tls_stream_handshake(struct transport *transport, struct task *resume)
{
	struct session *session = transport->session;
	int r;

	session->parking.parked.resume = resume;
	r = session_handshake(session, &transport->reason);

	if (r == 0) {
		session_agreement(session, &transport->agreement);
		transport->drained = session_is_drained(session);
	}
	return note_wait(transport, r);
}

static int tls_stream_read(struct transport *transport, void *data, size_t size, size_t *ret_n)
{
	struct session *session = transport->session;
	int r = session_read(session, &(struct iovec){data, size}, ret_n, &transport->reason);

	if (r == 0)
		transport->drained = session_is_drained(session);
	return note_wait(transport, r);
}

static int tls_stream_write(struct transport *transport, const void *data, size_t n, size_t *ret_n)
{
	const struct iovec from = {(void *)(uintptr_t)data, n};

	return note_wait(
		transport, session_write(transport->session, &from, ret_n, &transport->reason));
}

/* First with close_notify, then with FIN, for a peer that hears of FIN alone. */
static int tls_stream_finish(struct transport *transport)
{
	struct session *session = transport->session;
	int r;

	session_forget_errors();
	r = SSL_shutdown(session->ssl);
	if (r < 0) {
		r = session_outcome(session, r, &transport->reason);
		return r == TRANSPORT_E_END ? 0 : note_wait(transport, r);
	}
	return shutdown(transport->fd, SHUT_WR) < 0 ? TRANSPORT_E_GONE : 0;
}

static void tls_stream_close(struct transport *transport)
{
	struct session *session = transport->session;

	session_free(session);
	transport->session = NULL;
	if (transport->fd >= 0)
		close(transport->fd);
	transport->fd = -1;
}

static const char *tls_stream_describe(const struct transport *transport, struct log_facts *facts)
{
	return session_describe(transport->session, facts);
}

static const struct transport_ops transport_tls = {
	.handshake = tls_stream_handshake,
	.read = tls_stream_read,
	.write = tls_stream_write,
	.finish = tls_stream_finish,
	.describe = tls_stream_describe,
	.close = tls_stream_close,
};

int tls_open(void *context, int fd, struct transport *ret_transport)
{
	const struct tls_context *of = context;
	struct session *session = calloc(1, sizeof(*session));
	BIO *bio = BIO_new(of->tls->stream_method);

	if (!session || !bio || session_open(session, of) < 0) {
		free(session);
		BIO_free(bio);
		ERR_clear_error();
		close(fd);
		return -ENOMEM;
	}
	session->fd = fd;
	BIO_set_data(bio, session);
	BIO_set_init(bio, 1);
	SSL_set_bio(session->ssl, bio, bio);
	*ret_transport = (struct transport){.ops = &transport_tls, .session = session, .fd = fd};
	return 0;
}
