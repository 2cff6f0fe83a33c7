/* SPDX-License-Identifier: Apache-2.0 */

/* The socket as the library sees it: like the library's own, but what a call has learnt is remembered,
 * so that nobody asks a socket again that has just said that it is empty. A message then costs one
 * read and not two. */

#include "tls/wire.h"

#include <errno.h>
#include <sys/socket.h>

/* What the library is told, and what we keep in mind. */
static int wire_outcome(struct wire *wire, ssize_t n, BIO *bio, int retry)
{
	wire->waits = n < 0 && (errno == EAGAIN || errno == EINTR);
	BIO_clear_retry_flags(bio);
	if (wire->waits)
		BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
	return (int)n;
}

static int on_read(BIO *bio, char *data, int size)
{
	struct wire *wire = BIO_get_data(bio);
	ssize_t n = recv(wire->fd, data, (size_t)size, 0);

	wire->drained = n < size;
	wire->ended = n == 0;
	return wire_outcome(wire, n, bio, BIO_FLAGS_READ);
}

static int on_write(BIO *bio, const char *data, int size)
{
	struct wire *wire = BIO_get_data(bio);
	ssize_t n = send(wire->fd, data, (size_t)size, MSG_NOSIGNAL);

	return wire_outcome(wire, n, bio, BIO_FLAGS_WRITE);
}

/* All is sent at once; the rest of what the library may ask is answered with no. */
static long on_ctrl(BIO *bio, int what, long number, void *data)
{
	const struct wire *wire = BIO_get_data(bio);

	return what == BIO_CTRL_FLUSH || (what == BIO_CTRL_EOF && wire->ended);
}

BIO_METHOD *wire_method_new(void)
{
	int kind = BIO_get_new_index();
	BIO_METHOD *method =
		kind < 0 ? NULL : BIO_meth_new(kind | BIO_TYPE_SOURCE_SINK, "upperd's socket");

	if (!method)
		return NULL;
	BIO_meth_set_read(method, on_read);
	BIO_meth_set_write(method, on_write);
	BIO_meth_set_ctrl(method, on_ctrl);
	return method;
}

int wire_attach(struct wire *wire, const BIO_METHOD *method, SSL *ssl, int fd)
{
	BIO *bio = BIO_new(method);

	if (!bio)
		return -ENOMEM;
	*wire = (struct wire){.fd = fd};
	BIO_set_data(bio, wire);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	return 0;
}
