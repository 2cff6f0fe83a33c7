/* SPDX-License-Identifier: Apache-2.0 */
/* Each connection asks a question: only after that has the ticket of TLS 1.3 come. */

#include "client/balancer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ask.h"
#include "client/link.h"

static int count_member(struct balancer *balancer, const char *key)
{
	struct member *members;

	for (size_t i = 0; i < balancer->n_members; i++) {
		if (strcmp(balancer->members[i].key, key) == 0) {
			balancer->members[i].n++;
			return 0;
		}
	}
	members = realloc(balancer->members, (balancer->n_members + 1) * sizeof(*members));
	if (!members)
		return -ENOMEM;
	balancer->members = members;
	members[balancer->n_members] = (struct member){.n = 1};
	snprintf(members[balancer->n_members++].key, sizeof(members->key), "%s", key);
	return 0;
}

static int visit(struct balancer *balancer, struct server *server, struct why *why)
{
	_cleanup_asker_ struct asker asker;
	struct session_facts facts;
	int r;

	asker_init(&asker, server);
	r = ask(&asker, "ticket\n", 7, why);
	if (r || !link_describe(&asker.link, &facts))
		return r;
	balancer->n_asked++;
	if (server->resumes) {
		balancer->n_resumed += facts.is_resumed;
		return 0;
	}
	return count_member(balancer, facts.fingerprint);
}

int balancer_find(struct balancer *balancer, const struct server *server, size_t n, struct why *why)
{
	_cleanup_server_ struct server fresh = *server;
	_cleanup_server_ struct server resuming = *server;
	int r = 0;

	fresh.tls = resuming.tls = NULL;
	resuming.resumes = true;
	for (size_t i = 0; !r && i < n; i++)
		r = visit(balancer, &fresh, why);
	for (size_t i = 0; !r && i <= n; i++)
		r = visit(balancer, &resuming, why);
	balancer->n_tickets = r ? 0 : n;
	return r;
}

void balancer_done(struct balancer *balancer)
{
	free(balancer->members);
	*balancer = (struct balancer){0};
}
