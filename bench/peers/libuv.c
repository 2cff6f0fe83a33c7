/* SPDX-License-Identifier: Apache-2.0 */

/* A stream server on libuv, as its guide would write one: peer-libuv PORT. */

#include <signal.h>
#include <stdlib.h>
#include <upper/upper.h>
#include <uv.h>

struct answer {
	uv_write_t request;
	uint8_t bytes[];
};

static void on_closed(uv_handle_t *peer)
{
	free(peer);
}

static void on_room(uv_handle_t *peer, size_t suggested, uv_buf_t *ret_room)
{
	static char room[65536];

	*ret_room = uv_buf_init(room, sizeof(room));
}

static void on_written(uv_write_t *request, int status)
{
	free(request);
}

static void on_read(uv_stream_t *peer, ssize_t n, const uv_buf_t *room)
{
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	struct answer *answer;

	if (n <= 0) {
		if (n < 0)
			uv_close((uv_handle_t *)peer, on_closed);
		return;
	}

	answer = malloc(sizeof(*answer) + UPPER_EXPANSION * (size_t)n);
	struct upper_in in = {(uint8_t *)room->base, (uint8_t *)room->base + n};
	struct upper_out out = {answer->bytes, answer->bytes + UPPER_EXPANSION * (size_t)n};
	upper_convert(&rule, true, &in, &out);

	uv_buf_t span = uv_buf_init((char *)answer->bytes, (unsigned)(out.at - answer->bytes));
	uv_write(&answer->request, peer, &span, 1, on_written);
}

static void on_connection(uv_stream_t *door, int status)
{
	uv_tcp_t *peer = malloc(sizeof(*peer));

	uv_tcp_init(door->loop, peer);
	if (uv_accept(door, (uv_stream_t *)peer) == 0) {
		uv_tcp_nodelay(peer, 1);
		uv_read_start((uv_stream_t *)peer, on_room, on_read);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in here;
	uv_tcp_t door;

	if (argc != 2)
		return EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	uv_tcp_init(uv_default_loop(), &door);
	uv_ip4_addr("127.0.0.1", atoi(argv[1]), &here);
	uv_tcp_bind(&door, (struct sockaddr *)&here, 0);
	if (uv_listen((uv_stream_t *)&door, 4096, on_connection) < 0)
		return EXIT_FAILURE;
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
