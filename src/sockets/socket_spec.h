/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From a listener of the configuration to the socket that it wants. */

#include <stdbool.h>

#include "conf/conf.h"
#include "sockets/listen.h"

/* A negative errno, or IDENT_E_* for an owner or a group that does not exist. */
int socket_spec_of(const struct conf_listener *listener, struct listen_spec *ret_spec);
/* Whether a socket will do: one that is bound to less than the listener asks for does. */
bool socket_spec_allows(const struct listen_spec *wanted, const struct listen_spec *found);
/* The listeners, by number, and the metrics as the last of them; false when there are no more. */
bool socket_spec_listener(
	const struct conf *conf, size_t number, struct conf_listener *ret_listener);
/* The settings of the listener whose socket has this name; false when none is. `conf` may be NULL. */
bool socket_spec_find(const struct conf *conf, const char *key, struct listen_spec *ret_spec);
