/* SPDX-License-Identifier: Apache-2.0 */

/* The names and sentences of the tables in counters.h, and the number that all workers write. */

#include "core/counters.h"

#include <assert.h>
#include <string.h>

struct words {
	const char *name, *sentence;
};

#define WORDS(name, sentence)                {#name, sentence},
#define WORDS_OF(name, listeners, sentence)  {#name, sentence},
#define LISTENERS(name, listeners, sentence) REASONS_##listeners,
#define WORD(word)                           word,

static const struct words counters[] = {COUNTERS(WORDS)};
static const struct words reasons[] = {REASONS(WORDS_OF)};
static const uint8_t listeners_of[] = {REASONS(LISTENERS)};

static const char *const versions[] = {AGREED_VERSIONS(WORD)};
static const char *const groups[] = {AGREED_GROUPS(WORD)};
static const char *const ciphers[] = {AGREED_CIPHERS(WORD)};

static const struct {
	const char *const *words;
	unsigned n;
} agreed[AGREED_LISTS] = {
	[AGREED_VERSION] = {versions, N_VERSIONS},
	[AGREED_GROUP] = {groups, N_GROUPS},
	[AGREED_CIPHER] = {ciphers, N_CIPHERS},
};

static_assert(sizeof(versions) / sizeof(*versions) == N_VERSIONS, "one number for each word");
static_assert(sizeof(groups) / sizeof(*groups) == N_GROUPS, "one number for each word");
static_assert(sizeof(ciphers) / sizeof(*ciphers) == N_CIPHERS, "one number for each word");

const char *agreed_word(unsigned list, unsigned place)
{
	return place < agreed[list].n ? agreed[list].words[place] : NULL;
}

unsigned agreed_find(unsigned list, const char *word)
{
	unsigned place = 0;

	while (place < agreed[list].n - 1 && strcmp(agreed[list].words[place], word) != 0)
		place++;
	return place;
}

void handshake_count(struct listener_counters *c, const struct agreement *agreement)
{
	c->handshakes[agreement->version][agreement->resumed]++;
	c->groups[agreement->group]++;
	c->ciphers[agreement->cipher]++;
}

bool reason_is_of(enum reason reason, unsigned transport)
{
	assert(reason < N_REASONS);
	return listeners_of[reason] & 1u << transport;
}

const char *counter_name(enum counter counter)
{
	assert(counter < N_COUNTERS);
	return counters[counter].name;
}

const char *reason_name(enum reason reason)
{
	assert(reason < N_REASONS);
	return reasons[reason].name;
}

const char *reason_sentence(enum reason reason)
{
	assert(reason < N_REASONS);
	return reasons[reason].sentence;
}

bool reason_is_limit(enum reason reason)
{
	return reason == REASON_rate || reason == REASON_unchanged || reason == REASON_per_client ||
		reason == REASON_penalty;
}

bool reason_is_offence(enum reason reason)
{
	return reason == REASON_handshake || reason == REASON_line || reason == REASON_invalid ||
		reason == REASON_proxy || reason == REASON_trickle || reason == REASON_tls_failed ||
		reason == REASON_tls_garbage || reason == REASON_tls_oversize ||
		reason == REASON_tls_crowded || reason == REASON_tls_no_certificate ||
		reason == REASON_tls_untrusted || reason == REASON_tls_client_name ||
		reason == REASON_tls_keyupdates || reason == REASON_tls_empty_records ||
		reason == REASON_tls_alerts || reason == REASON_tls_renegotiation;
}

void shared_lose(struct shared *shared, uint64_t n)
{
	uint64_t was = atomic_load(&shared->open);

	while (!atomic_compare_exchange_weak(&shared->open, &was, was - (was < n ? was : n)))
		;
}

bool shared_correct(struct shared *shared, uint64_t (*count)(void *userdata), void *userdata)
{
	uint64_t was = atomic_load(&shared->open);

	return atomic_compare_exchange_strong(&shared->open, &was, count(userdata));
}
