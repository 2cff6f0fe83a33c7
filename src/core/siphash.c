/* SPDX-License-Identifier: Apache-2.0 */

/* One round a word and three at the end: less than the cipher it comes from, and all that a table
 * needs, whose hashes no peer ever sees. */

#include "core/siphash.h"

#include <string.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static inline void mix(struct state *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 = rotate(s->v0, 32) + s->v3;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 = rotate(s->v2, 32);
}

static inline void siphash_take(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	mix(s);
	s->v0 ^= word;
}

/* Up to eight bytes in the order of this machine: a hash never leaves it. */
static inline uint64_t siphash_load(const uint8_t *at, size_t n)
{
	uint64_t word = 0;

	memcpy(&word, at, n);
	return word;
}

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len)
{
	const uint8_t *at = data;
	size_t left = len;
	struct state s = {
		.v0 = key->half[0] ^ 0x736f6d6570736575,
		.v1 = key->half[1] ^ 0x646f72616e646f6d,
		.v2 = key->half[0] ^ 0x6c7967656e657261,
		.v3 = key->half[1] ^ 0x7465646279746573,
	};

	for (; left >= 8; left -= 8, at += 8)
		siphash_take(&s, siphash_load(at, 8));
	siphash_take(&s, siphash_load(at, left) | (uint64_t)len << 56);

	s.v2 ^= 0xff;
	mix(&s);
	mix(&s);
	mix(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
