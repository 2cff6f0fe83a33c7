/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keys of session tickets, as they lie in memory that several processes share: written by the
 * supervisor alone, read by workers. A key is written to the place after the newest, which is
 * not in use yet, before `newest` moves there; so a key is never read half written. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TICKET_HONOURED 3
#define TICKET_PLACES   (TICKET_HONOURED + 1)
#define TICKET_KEY      80 /* bytes of a key in a file */

/* As in a file, byte for byte. */
struct ticket_key {
	uint8_t name[16], authenticate[32], encrypt[32];
};

struct ticket_ring {
	uint64_t lifetime_ms; /* 0: not in use */
	uint64_t rotated_ms;
	_Atomic(uint32_t) newest; /* counts on; its place is this modulo TICKET_PLACES */
	struct ticket_key keys[TICKET_PLACES];
};

/* So many different `ticket_lifetime` there can be; listeners with the same one share their keys. */
#define TICKET_RINGS 16

struct ticket_page {
	struct ticket_ring rings[TICKET_RINGS];
};

/* NULL when there is none of this lifetime. */
static inline const struct ticket_ring *ticket_page_find(
	const struct ticket_page *page, uint64_t lifetime_ms)
{
	for (size_t i = 0; i < TICKET_RINGS; i++)
		if (page->rings[i].lifetime_ms == lifetime_ms)
			return &page->rings[i];
	return NULL;
}

_Static_assert(sizeof(struct ticket_key) == TICKET_KEY, "a key is as long as in a file");
