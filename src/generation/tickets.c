/* SPDX-License-Identifier: Apache-2.0 */

/* Keys of session tickets, shared by all workers so that a session which one of them began is
 * resumed by any. No file has them: they are made here, live in memory that is left out of core
 * dumps, and are handed on at an upgrade.
 *
 * There is a ring of keys for each value of ticket_lifetime that a configuration names. A key
 * seals for one lifetime and opens for two more; then its place is the next to be written.
 * Workers only read: they see a new key when the number of the newest is advanced, which is
 * after the key has been written. Rings that neither the serving configuration nor the next one
 * wants are erased. */

#include "generation/tickets.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/secret.h"

int tickets_init(struct tickets *tickets)
{
	void *memory;
	int r;

	r = secret_share("upperd-tickets", sizeof(*tickets->page), &tickets->fd, &memory);
	if (r < 0)
		return r;
	tickets->page = memory;
	return 0;
}

int tickets_resume(struct tickets *tickets, int *fd)
{
	void *memory =
		mmap(NULL, sizeof(*tickets->page), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	tickets_done(tickets);
	tickets->page = memory;
	tickets->fd = take_fd(fd);
	return 0;
}

void tickets_done(struct tickets *tickets)
{
	secret_unmap(tickets->page, sizeof(*tickets->page));
	if (tickets->fd >= 0)
		close(tickets->fd);
	*tickets = TICKETS_EMPTY;
}

static int ring_rotate(struct ticket_ring *ring, uint64_t now_ms)
{
	uint32_t next = atomic_load(&ring->newest) + 1;
	struct ticket_key *key = &ring->keys[next % TICKET_PLACES];

	if (getrandom(key, sizeof(*key), 0) != sizeof(*key))
		return -EIO;
	ring->rotated_ms = now_ms;
	atomic_store(&ring->newest, next);
	return 0;
}

static bool wants(const struct conf_listener *l)
{
	return conf_has_tls(l) && l->tls.tickets && !l->tls.ticket_keys;
}

static bool conf_wants(const struct conf *conf, uint64_t lifetime_ms)
{
	for (size_t i = 0; conf && i < conf->n_listeners; i++)
		if (wants(&conf->listeners[i]) &&
			conf->listeners[i].tls.ticket_lifetime_ms == lifetime_ms)
			return true;
	return false;
}

static void forget_unwanted(
	struct ticket_page *page, const struct conf *conf, const struct conf *serving)
{
	for (size_t i = 0; i < TICKET_RINGS; i++) {
		uint64_t lifetime_ms = page->rings[i].lifetime_ms;

		if (lifetime_ms > 0 && !conf_wants(conf, lifetime_ms) &&
			!conf_wants(serving, lifetime_ms))
			explicit_bzero(&page->rings[i], sizeof(page->rings[i]));
	}
}

static int ring_claim(struct ticket_page *page, uint64_t lifetime_ms, uint64_t now_ms)
{
	if (ticket_page_find(page, lifetime_ms))
		return 0;
	for (size_t i = 0; i < TICKET_RINGS; i++) {
		struct ticket_ring *ring = &page->rings[i];
		int r;

		if (ring->lifetime_ms > 0)
			continue;
		r = ring_rotate(ring, now_ms);
		if (r < 0)
			return r;
		ring->lifetime_ms = lifetime_ms;
		return 0;
	}
	return TICKETS_E_FULL;
}

int tickets_claim(struct tickets *tickets, const struct conf *conf, const struct conf *serving,
	uint64_t now_ms)
{
	int r = 0;

	if (!tickets->page)
		return 0;
	forget_unwanted(tickets->page, conf, serving);
	for (size_t i = 0; i < conf->n_listeners && r == 0; i++)
		if (wants(&conf->listeners[i]))
			r = ring_claim(
				tickets->page, conf->listeners[i].tls.ticket_lifetime_ms, now_ms);
	return r;
}

int tickets_rotate(struct tickets *tickets, uint64_t now_ms)
{
	int r = 0;

	for (size_t i = 0; tickets->page && i < TICKET_RINGS && r == 0; i++) {
		struct ticket_ring *ring = &tickets->page->rings[i];

		if (ring->lifetime_ms > 0 && now_ms - ring->rotated_ms >= ring->lifetime_ms)
			r = ring_rotate(ring, now_ms);
	}
	return r;
}
