/* SPDX-License-Identifier: Apache-2.0 */

/* Datagrams of many clients at one socket: what leads to a session, and what begins one. Each has a head of
 * four bytes: whose it is, whether a right cookie is put in where one of ours would be, and its length. No
 * hello without a good cookie opens a session, no answer is longer than its question, and at the end
 * nothing is left of anybody. */

#include <string.h>

#include "dtls-world.h"
#include "fuzz.h"

enum { HEAD = 4, WITH_COOKIE = 1 };

/* What a good cookie is, and the answer to a hello without one. */
static void look(struct world *world, uint8_t client, uint8_t *data, size_t len, bool with_cookie)
{
	uint8_t cookie[HELLO_COOKIE], answer[HELLO_VERIFY];
	struct hello hello;

	world->may_open = false;
	if (hello_parse(data, len, &hello) != 0)
		return;
	require(hello.after.data + hello.after.len <= data + len && hello.before.data > data);
	world_cookie(world, client, &hello, cookie);
	require(len >= HELLO_LEAST && hello_verify(&hello, cookie, answer) <= len);
	if (with_cookie && hello.cookie.len == HELLO_COOKIE)
		memcpy((uint8_t *)(uintptr_t)hello.cookie.data, cookie, HELLO_COOKIE);
	world->may_open = hello_has_cookie(&hello, cookie) && hello.message_seq == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	size_t at = 0;

	world_init(&world);
	while (size - at > HEAD) {
		const uint8_t *head = data + at;
		size_t len = (size_t)(head[2] << 8 | head[3]), left = size - at - HEAD;
		uint8_t *copy;

		len = len < left ? len : left;
		len = len > 0 ? len : 1;
		copy = malloc(len); /* of exactly its size */
		require(copy);
		memcpy(copy, head + HEAD, len);
		look(&world, head[0], copy, len, head[1] & WITH_COOKIE);
		world_take(&world, head[0], copy, len);
		require(world.opened == world.counters->open && world.opened <= 32);
		free(copy);
		at += HEAD + len;
	}
	world_done(&world);
	return 0;
}
