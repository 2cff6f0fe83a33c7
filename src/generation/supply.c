/* SPDX-License-Identifier: Apache-2.0 */

/* The messages that set a child up, in their order: SETUP first, since all that follows is about the configuration
 * that comes with it, and PREPARE last. A replacement gets what the first child of its place got, from the same
 * plan: the same sockets, and files as they were when the plan was made, whatever is at their paths by now. */

#include "generation/supply.h"

#include "process/channel.h"

/* Listeners whose socket one worker reads are dealt out round-robin. */
unsigned supply_reader(size_t listener, unsigned workers)
{
	return (unsigned)(listener % workers);
}

/* Before it serves, the sockets that the build has claimed; afterwards, for a replacement,
 * those that serve. */
static void supply_socket(
	const struct plan *plan, struct child *child, size_t listener, unsigned number)
{
	const struct msg_listener message = {(uint32_t)listener};
	int fd = socket_group_fd(plan->groups[listener], plan->is_claim, number);

	child_send(child, MSG_LISTENER, &message, sizeof(message), &fd);
}

/* With fewer sockets than workers, several workers read the same; with more, a worker reads several. */
static void supply_listener(const struct plan *plan, struct child *child, size_t listener)
{
	unsigned n = socket_group_count(plan->groups[listener], plan->is_claim);

	if (plan->conf->listeners[listener].transport == CONF_DTLS) {
		for (unsigned i = 0;
			i < n && supply_reader(listener, plan->workers) == child->index; i++)
			supply_socket(plan, child, listener, i);
	} else if (n < plan->workers) {
		supply_socket(plan, child, listener, child->index % n);
	} else {
		for (unsigned i = child->index; i < n; i += plan->workers)
			supply_socket(plan, child, listener, i);
	}
}

static void supply_listeners(const struct plan *plan, struct child *child)
{
	for (size_t i = 0; i < plan->conf->n_listeners; i++)
		supply_listener(plan, child, i);
}

/* Keys for the keeper alone, and all else for workers alone. */
static void supply_files(const struct plan *plan, struct child *child)
{
	for (size_t i = 0; i < plan->files.n; i++) {
		const struct file *file = &plan->files.list[i];

		if (child->role == (file->place.kind == FILE_KEY ? ROLE_KEEPER : ROLE_WORKER))
			child_send(child, MSG_FILE, &file->place, sizeof(file->place), &file->fd);
	}
}

static void supply_worker(const struct plan *plan, struct child *child, int keeper_fd)
{
	child_send(child, MSG_SHARED, NULL, 0, &plan->parts->resources->shared_fd);
	supply_listeners(plan, child);
	if (plan_has_keys(plan) && plan->parts->resources->tickets.fd >= 0)
		child_send(child, MSG_TICKETS, NULL, 0, &plan->parts->resources->tickets.fd);
	if (keeper_fd >= 0)
		child_send(child, MSG_KEEPER, NULL, 0, &keeper_fd);
}

static void supply_exporter(const struct plan *plan, struct child *child)
{
	const int fds[CHANNEL_FDS] = {
		socket_group_fd(plan->metrics, plan->is_claim, 0), plan->parts->resources->page_fd};

	child_send(child, MSG_METRICS, NULL, 0, fds);
}

void supply(const struct plan *plan, struct child *child, int keeper_fd)
{
	const struct msg_setup setup = {
		.index = child->index,
		.refuse_expired = plan->parts->refuse_expired,
		.connections = plan->connections,
	};
	const int fds[CHANNEL_FDS] = {plan->conf_fd, child->counters_fd};

	child_send(child, MSG_SETUP, &setup, sizeof(setup), fds);
	supply_files(plan, child);
	if (child->role == ROLE_WORKER)
		supply_worker(plan, child, keeper_fd);
	if (child->role == ROLE_EXPORTER)
		supply_exporter(plan, child);
	child_send(child, MSG_PREPARE, NULL, 0, NULL);
}
