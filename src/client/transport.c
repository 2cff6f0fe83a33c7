/* SPDX-License-Identifier: Apache-2.0 */
/* The table of transports. How bytes move is the business of the functions in a row. */

#include "client/transport.h"

#include <strings.h>

#include "config.h"

static const struct transport transports[] = {
	// clang-format off
	{"udp", 12000, .is_datagram = true, .longest = DATAGRAM_LONGEST,
		.open = datagram_open, .read = link_plain_read, .write = link_plain_write,
		.finish = datagram_finish, .close = link_plain_close},
	{"tcp", 12000,
		.open = link_stream_open, .read = link_plain_read, .write = link_plain_write,
		.finish = link_stream_finish, .close = link_plain_close},
	{"unix", .is_local = true,
		.open = link_stream_open, .read = link_plain_read, .write = link_plain_write,
		.finish = link_stream_finish, .close = link_plain_close},
#if HAVE_TLS
	{"tls", 12443,
		.open = link_tls_open, .read = tls_read, .write = tls_write,
		.finish = tls_finish, .close = tls_close,
		.describe = tls_describe, .forget = tls_forget},
	{"dtls", 12443, .is_datagram = true, .has_session = true, .longest = DTLS_LONGEST,
		.open = link_dtls_open, .read = dtls_read, .write = dtls_write,
		.finish = datagram_finish, .close = dtls_close,
		.describe = tls_describe, .forget = tls_forget},
#else
	{"tls", 12443, .open = NULL},
	{"dtls", 12443, .open = NULL},
#endif
	// clang-format on
};

const struct transport *transport_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(transports) / sizeof(*transports); i++)
		if (strncasecmp(transports[i].name, name, len) == 0 && !transports[i].name[len])
			return &transports[i];
	return NULL;
}
