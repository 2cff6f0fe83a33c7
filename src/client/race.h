/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Happy Eyeballs (RFC 8305): the addresses of a server are tried side by side, each a little after
 * the one before, and the first to connect wins. */

#include "client/transport.h"

/* Fills `fd` and `at`; CLIENT_E_UNREACHABLE or CLIENT_E_LOST when no address connects. */
int race_connect(struct link *link, struct why *why);
