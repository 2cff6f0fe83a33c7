/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Each role is given what it needs, and nothing else: keys go to the keeper, certificates and listening sockets to
 * workers, the page of metrics and its socket to the exporter. */

#include "generation/child.h"
#include "generation/plan.h"

/* Sends a child that has just been started all that it needs to get ready; with `keeper_fd` -1, it needs no
 * keeper. */
void supply(const struct plan *plan, struct child *child, int keeper_fd);
/* The worker of so many that reads the socket of a DTLS listener. */
unsigned supply_reader(size_t listener, unsigned workers);
