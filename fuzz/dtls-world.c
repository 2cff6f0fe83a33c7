/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions that are none agree with every datagram whose last byte is odd, take every other one for a
 * message, and end with one that ends in 0xfe. Datagrams come the way that those of other workers come,
 * since that needs no socket. */

#include "dtls-world.h"

#include <string.h>

#include "base/log.h"
#include "fuzz.h"

/* It is what flows.h says that a key is, and dtls.c how one is made of a datagram's ends. */
static struct flow_key key_of(uint8_t client)
{
	struct flow_key key = {.peer = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = client},
		.local = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = client},
		.port = (uint16_t)(5000 + client)};

	return key;
}

static int fake_mac(
	void *userdata, const struct iovec *pieces, size_t n, uint8_t ret_mac[static DATAGRAM_MAC])
{
	struct siphash_key key = {{1, 2}};

	for (size_t i = 0; i < n; i++)
		key.half[i % 2] ^= siphash(&key, pieces[i].iov_base, pieces[i].iov_len);
	for (size_t i = 0; i < DATAGRAM_MAC; i++)
		ret_mac[i] = (uint8_t)(key.half[i % 2] >> (i / 4));
	return 0;
}

static uint8_t fake_last(const struct datagram_transport *transport)
{
	return transport->in[transport->in_len - 1];
}

static int fake_handshake(struct datagram_transport *transport)
{
	bool agrees = fake_last(transport) % 2 == 1;

	transport->in = NULL;
	return agrees ? 0 : TRANSPORT_E_WAIT;
}

static int fake_read(struct datagram_transport *transport, void *data, size_t size, size_t *ret_n)
{
	if (!transport->in)
		return TRANSPORT_E_WAIT;
	if (fake_last(transport) == 0xfe)
		return TRANSPORT_E_END;
	*ret_n = transport->in_len < size ? transport->in_len : size;
	memcpy(data, transport->in, *ret_n);
	transport->in = NULL;
	return 0;
}

static int fake_write(struct datagram_transport *transport, const void *data, size_t n)
{
	require(n > 0 && n <= DATAGRAM_LONGEST);
	return 0;
}

static void fake_rest(struct datagram_transport *transport)
{
}

static void fake_close(struct datagram_transport *transport)
{
	struct world *world = transport->session;

	require(world->opened-- > 0);
}

static const struct datagram_transport_ops fake = {
	.handshake = fake_handshake,
	.read = fake_read,
	.write = fake_write,
	.rest = fake_rest,
	.finish = fake_rest,
	.close = fake_close,
};

static int fake_open(void *userdata, struct datagram_transport *transport)
{
	struct world *world = userdata;

	require(world->may_open);
	world->opened++;
	transport->ops = &fake;
	transport->session = world;
	return 0;
}

static void on_idle(struct acceptor *acceptor)
{
}

void world_init(struct world *world)
{
	const struct guard_limits limits = {.datagrams = 1000, .unchanged = 5, .per_client = 64};

	log_set_level(LOG_LEVEL_ERROR);
	*world = (struct world){.loop = LOOP_INIT(world->loop)};
	world->loop.now_ms = 1000000;
	world->counters = calloc(1, counters_size(1));
	world->shared = calloc(1, sizeof(*world->shared));
	require(world->counters && world->shared && scratch_init(&world->scratch, 0) == 0);
	handshakes_init(&world->handshakes, 16, &world->shared->memory_short_until_ms);
	guard_init(&world->guard, world->shared, &limits);
	world->acceptor = (struct acceptor){
		.loop = &world->loop,
		.counters = world->counters,
		.shared = world->shared,
		.guard = &world->guard,
		.limit = 32,
		.on_idle = on_idle,
		.reserve_fd = -1,
	};
	displacer_init(&world->acceptor.displacer, &world->loop);
	world->acceptor.displacer.shared = world->shared;
	world->dtls = (struct dtls){
		.socket = {.fd = -1, .name = "fuzz", .loop = &world->loop},
		.scratch = &world->scratch,
		.answerer = {.service = services[SERVICE_uppercase],
			.frame.framing = UPPER_DATAGRAM},
		.amplification = 3,
		.counters = &world->counters->listeners[0],
		.acceptor = &world->acceptor,
		.handshakes = &world->handshakes,
		.maker = {.open = fake_open, .mac = fake_mac, .userdata = world},
	};
	dtls_init(&world->dtls, 60000, 10000);
	dtls_serve(&world->dtls); /* there is no socket to be read */
}

void world_done(struct world *world)
{
	dtls_done(&world->dtls);
	require(world->opened == 0 && world->handshakes.n == 0 && world->counters->open == 0);
	scratch_done(&world->scratch);
	free(world->counters);
	free(world->shared);
}

void world_cookie(struct world *world, uint8_t client, const struct hello *hello,
	uint8_t cookie[static HELLO_COOKIE])
{
	uint64_t minute = world->loop.now_ms / 60000;
	struct flow_key key = key_of(client);
	const struct iovec pieces[] = {
		{&minute, sizeof(minute)},
		{&key, sizeof(key)},
		{(void *)(uintptr_t)hello->before.data, hello->before.len},
		{(void *)(uintptr_t)hello->after.data, hello->after.len},
	};

	fake_mac(NULL, pieces, 4, cookie);
	cookie[0] = (uint8_t)minute;
}

void world_take(struct world *world, uint8_t client, const uint8_t *data, size_t len)
{
	struct udp_arrival arrival = {
		.data = (uint8_t *)(uintptr_t)data,
		.len = len,
		.segment = len,
		.peer = {.len = sizeof(struct sockaddr_in),
			.in = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)(5000 + client)),
				.sin_addr.s_addr = htonl(0x7f000000u | client)}},
	};

	world->dtls.peers.on_return(&world->dtls.peers, DTLS_PEERS_MAX, &arrival);
}
