/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SipHash-1-3: without its key, collisions cannot be aimed at. For tables that peers fill. */

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t half[2];
};

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len);
