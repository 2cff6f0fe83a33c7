/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The counters. One page per worker, written by it alone with plain stores; the supervisor and the
 * exporter only read. The names are those of the metrics. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clients.h"
#include "core/loopguard.h"
#include "core/quota.h"
#include "core/siphash.h"
#include "core/timing.h"

/* Per listener: COUNTER(name, help). They only grow. */
#define COUNTERS(COUNTER)                                          \
	COUNTER(connections, "Connections accepted")               \
	COUNTER(closed, "Connections closed, for whatever reason") \
	COUNTER(messages, "Messages received")                     \
	COUNTER(replies, "Messages answered")                      \
	COUNTER(bytes_in, "Bytes received")                        \
	COUNTER(bytes_out, "Bytes sent")                           \
	COUNTER(cookies, "Clients of DTLS asked to show that they are where they seem to be")

/* Why a connection was ended by us or lost, or a datagram not answered: REASON(name, listeners, sentence),
 * with the listeners that can have it. Each is a counter, and the reason that records name. */
#define REASONS_UDP         1u /* 1 << the transport, in the order of the configuration */
#define REASONS_TCP         2u
#define REASONS_TLS         4u
#define REASONS_DTLS        8u
#define REASONS_STREAMS     (REASONS_TCP | REASONS_TLS)
#define REASONS_DATAGRAMS   (REASONS_UDP | REASONS_DTLS)
#define REASONS_RECORDS     (REASONS_TLS | REASONS_DTLS)
#define REASONS_CONNECTIONS (REASONS_STREAMS | REASONS_DTLS)
#define REASONS_ALL         (REASONS_STREAMS | REASONS_DATAGRAMS)
#define REASONS(REASON)                                                                          \
	REASON(done, CONNECTIONS, "the conversation was over")                                   \
	REASON(reset, CONNECTIONS, "the peer closed or reset the connection early")              \
	REASON(idle, CONNECTIONS, "no byte either way for the idle time-out")                    \
	REASON(displaced, CONNECTIONS,                                                           \
		"all connections were in use, and it had been idle longest")                     \
	REASON(write, STREAMS, "the peer took nothing for the write time-out")                   \
	REASON(handshake, CONNECTIONS, "the handshake took longer than its time-out")            \
	REASON(tls_crowded, RECORDS, "too many handshakes at once, and this was the oldest")     \
	REASON(tls_failed, RECORDS, "an invalid TLS handshake or record")                        \
	REASON(tls_garbage, RECORDS, "the data was not TLS")                                     \
	REASON(tls_oversize, RECORDS, "a TLS message or record longer than allowed")             \
	REASON(tls_version, RECORDS, "no version of TLS in common")                              \
	REASON(tls_nothing_shared, RECORDS, "no cipher suite, signature, or protocol in common") \
	REASON(tls_group, RECORDS, "no group for the key exchange in common")                    \
	REASON(tls_refused, RECORDS, "the peer ended TLS with an alert")                         \
	REASON(tls_no_certificate, RECORDS, "no client certificate where one is required")       \
	REASON(tls_untrusted, RECORDS, "a client certificate that is not trusted")               \
	REASON(tls_client_name, RECORDS,                                                         \
		"a client certificate that has no name of tls.client_names")                     \
	REASON(tls_keyupdates, RECORDS, "TLS key updates without data in between")               \
	REASON(tls_empty_records, RECORDS, "empty TLS records without data in between")          \
	REASON(tls_alerts, RECORDS, "TLS alerts without data in between")                        \
	REASON(tls_renegotiation, RECORDS, "attempts to renegotiate TLS")                        \
	REASON(tls_keeper, RECORDS, "the keeper of private keys did not sign")                   \
	REASON(dtls_cookie, DTLS, "a DTLS cookie that is not ours, or too old")                  \
	REASON(dtls_full, DTLS, "no room for another DTLS session; the client may try again")    \
	REASON(dtls_piece, DTLS, "a fragmented DTLS ClientHello")                                \
	REASON(dtls_forged, DTLS, "a DTLS record that no peer of its session can have sent")     \
	REASON(dtls_replaced, DTLS,                                                              \
		"the client started a new session from the same address and port")               \
	REASON(dtls_replayed, DTLS, "a DTLS ClientHello that was answered before")               \
	REASON(dtls_stray, DTLS, "a DTLS record without a session")                              \
	REASON(line, STREAMS, "a line was longer than max_line")                                 \
	REASON(invalid, ALL, "bytes that are not UTF-8, which the listener rejects")             \
	REASON(drain, CONNECTIONS, "the time to drain was over")                                 \
	REASON(memory, CONNECTIONS, "no memory for its buffers")                                 \
	REASON(queue, STREAMS, "no room among the connections that wait to be accepted")         \
	REASON(descriptors, STREAMS, "no descriptor left")                                       \
	REASON(empty, DATAGRAMS, "a datagram without bytes is never answered")                   \
	REASON(size, DATAGRAMS, "the reply would not fit into a datagram")                       \
	REASON(amplification, DATAGRAMS, "the reply would be longer than amplification allows")  \
	REASON(send, DATAGRAMS, "the system did not take the reply")                             \
	REASON(port, DATAGRAMS, "from a port below 1024, or one of our own")                     \
	REASON(multicast, DATAGRAMS, "from or to a multicast or broadcast address")              \
	REASON(loop, DATAGRAMS, "the same datagram came back again and again")                   \
	REASON(silenced, DATAGRAMS, "its sender was found in a loop in the last minute")         \
	REASON(rate, DATAGRAMS, "more datagrams than limits.datagrams allows")                   \
	REASON(unchanged, DATAGRAMS, "more unchanged replies than limits.unchanged allows")      \
	REASON(overflow, DATAGRAMS, "no room in the receive buffer of the socket")               \
	REASON(per_client, CONNECTIONS, "the client has limits.per_client connections open")     \
	REASON(penalty, CONNECTIONS, "the client has broken the rules too often")                \
	REASON(proxy, ALL, "a PROXY header that is wrong, missing, or not trusted")              \
	REASON(trickle, STREAMS, "a message came too slowly")

enum counter {
#define COUNTER(name, help) COUNT_##name,
	COUNTERS(COUNTER)
#undef COUNTER
		N_COUNTERS
};

enum reason {
#define REASON(name, listeners, sentence) REASON_##name,
	REASONS(REASON)
#undef REASON
		N_REASONS
};

/* The agreement of two peers in a handshake; the last word of each list stands for all others. */
// clang-format off
#define AGREED_VERSIONS(WORD) \
	WORD("TLSv1.2") \
	WORD("TLSv1.3") \
	WORD("DTLSv1.2") \
	WORD("other")
#define AGREED_GROUPS(WORD) \
	WORD("X25519MLKEM768") \
	WORD("x25519") \
	WORD("secp256r1") \
	WORD("secp384r1") \
	WORD("secp521r1") \
	WORD("x448") \
	WORD("other")
#define AGREED_CIPHERS(WORD) \
	WORD("TLS_AES_128_GCM_SHA256") \
	WORD("TLS_AES_256_GCM_SHA384") \
	WORD("TLS_CHACHA20_POLY1305_SHA256") \
	WORD("ECDHE-ECDSA-AES128-GCM-SHA256") \
	WORD("ECDHE-ECDSA-AES256-GCM-SHA384") \
	WORD("ECDHE-ECDSA-CHACHA20-POLY1305") \
	WORD("ECDHE-RSA-AES128-GCM-SHA256") \
	WORD("ECDHE-RSA-AES256-GCM-SHA384") \
	WORD("ECDHE-RSA-CHACHA20-POLY1305") \
	WORD("other")
// clang-format on

enum { AGREED_VERSION, AGREED_GROUP, AGREED_CIPHER, AGREED_LISTS };
#define N_VERSIONS 4
#define N_GROUPS   7
#define N_CIPHERS  10

struct agreement {
	uint8_t version, group, cipher; /* places in the lists */
	bool resumed;
};

/* Plain numbers and nothing else: sums of whole pages are made without knowing what they are. */
struct listener_counters {
	uint64_t counted[N_COUNTERS];
	uint64_t reasons[N_REASONS];
	uint64_t handshakes[N_VERSIONS][2]; /* full, and resumed */
	uint64_t groups[N_GROUPS], ciphers[N_CIPHERS];
	struct timing service;   /* from a message to its answer */
	struct timing agreement; /* of handshakes */
};

#define LISTENER_NUMBERS (sizeof(struct listener_counters) / sizeof(uint64_t))

/* Of a process as a whole; plain numbers as well. */
struct common_counters {
	struct timing keeper; /* from a question to its answer */
	uint64_t records_lost;
};

#define COMMON_NUMBERS (sizeof(struct common_counters) / sizeof(uint64_t))

/* A certificate that is in use, for status and metrics. */
struct certificate_entry {
	uint32_t listener;    /* its place in the configuration */
	char name[60];        /* its first name, or its file; a worker wrote it: escape it */
	int64_t begins, ends; /* of its validity, in seconds since 1970 */
};

#define CERTIFICATES_SHOWN 64

struct counters {
	uint64_t heartbeat; /* grows at least once a second while the loop turns */
	uint64_t cpu_us;    /* of processor time, as of the last heartbeat */
	uint32_t layers;    /* of the sandbox that it is in, as bits */
	uint32_t n_certificates;
	struct certificate_entry certificates[CERTIFICATES_SHOWN];
	struct common_counters common;
	uint64_t open;   /* connections open now */
	int64_t expires; /* when the first certificate does, in seconds since 1970; 0: none does */
	uint32_t clients[CLIENTS_SLOTS]; /* connections open now, by client */
	struct listener_counters listeners[];
};

/* The page that the workers of all generations share and may write: numbers, and no pointer or index. A
 * limit's count must be one for all, or a client that reaches every worker had as many times the limit;
 * a worker that was taken over can spoil the limits with it, and nothing else. The supervisor takes
 * back what a worker that died had added to `open` and to the clients, and once a second puts `open`
 * right by what each worker says of itself: what was written there by mistake or malice does not stay. */
struct shared {
	struct siphash_key key; /* random; written before any worker starts */
	uint8_t secret[32];     /* the same; of the cookies of DTLS */
	_Atomic(uint64_t) open;
	_Atomic(uint64_t) idle_since_ms,
		displace_ms;                     /* displace.c; 0: nothing is known, or asked */
	_Atomic(uint64_t) memory_short_until_ms; /* workers give back what they can, and wait */
	struct loopguard loopguard;
	struct quota quota;
	struct clients clients;
	struct penalties penalties;
};

static inline size_t counters_size(size_t n_listeners)
{
	return sizeof(struct counters) + n_listeners * sizeof(struct listener_counters);
}

/* Never below none, lest a number that is too low become the highest. */
void shared_lose(struct shared *shared, uint64_t n);
/* Corrects `open`, unless it changes at this moment. False: try again. */
bool shared_correct(struct shared *shared, uint64_t (*count)(void *userdata), void *userdata);

const char *counter_name(enum counter counter);
const char *reason_name(enum reason reason);
const char *reason_sentence(enum reason reason);
/* Whether a listener of that transport, of the configuration, can have it. */
bool reason_is_of(enum reason reason, unsigned transport);
/* A word of a list, such as "x25519"; NULL behind the last. */
const char *agreed_word(unsigned list, unsigned place);
/* Its place, that of the last word when there is none. */
unsigned agreed_find(unsigned list, const char *word);
void handshake_count(struct listener_counters *counters, const struct agreement *agreement);
/* One that limits.dry_run makes harmless. */
bool reason_is_limit(enum reason reason);
/* A client whose connections end for such a reason again and again is turned away. */
bool reason_is_offence(enum reason reason);
