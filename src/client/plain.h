/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* UDP, TCP and unix sockets, as rows of the transport table. Contracts: struct transport. */

#include "client/transport.h"

int datagram_open(struct link *link, struct why *why);
int datagram_finish(struct link *link);

int stream_open(struct link *link, struct why *why);
int stream_finish(struct link *link);

int plain_read(struct link *link, void *data, size_t size, size_t *ret_len);
int plain_write(struct link *link, const void *data, size_t len, size_t *ret_len);
void plain_close(struct link *link);

/* What an errno of the link's socket means: LINK_E_*, or a negative errno. */
int plain_outcome(struct link *link, int error);
