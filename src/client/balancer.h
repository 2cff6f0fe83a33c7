/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The servers behind one address, told apart by their keys, and whether they resume each other's sessions. */

#include <stdbool.h>
#include <stddef.h>

#include "client/server.h"

struct member {
	char key[65]; /* SHA-256 of the public key */
	size_t n;     /* connections that it had */
};

struct balancer {
	struct member *members;
	size_t n_members, n_asked;
	size_t n_tickets, n_resumed; /* connections with a ticket, and those that were resumed */
};

/* Makes `n` connections without a ticket, and as many with the last one. */
int balancer_find(
	struct balancer *balancer, const struct server *server, size_t n, struct why *why);
void balancer_done(struct balancer *balancer);
