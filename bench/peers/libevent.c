/* SPDX-License-Identifier: Apache-2.0 */

/* A stream server on libevent, as its manual would write one: peer-libevent PORT. */

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdlib.h>
#include <upper/upper.h>

static void on_read(struct bufferevent *peer, void *data)
{
	static uint8_t in[65536], out[UPPER_EXPANSION * sizeof(in)];
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	size_t n;

	while ((n = bufferevent_read(peer, in, sizeof(in))) > 0) {
		struct upper_in i = {in, in + n};
		struct upper_out o = {out, out + sizeof(out)};

		upper_convert(&rule, true, &i, &o);
		bufferevent_write(peer, out, (size_t)(o.at - out));
	}
}

static void on_event(struct bufferevent *peer, short events, void *data)
{
	if (events & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		bufferevent_free(peer);
}

static void on_accept(struct evconnlistener *door, evutil_socket_t fd, struct sockaddr *from,
	int from_len, void *data)
{
	struct bufferevent *peer =
		bufferevent_socket_new(evconnlistener_get_base(door), fd, BEV_OPT_CLOSE_ON_FREE);

	bufferevent_setcb(peer, on_read, NULL, on_event, NULL);
	bufferevent_enable(peer, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	struct event_base *base = event_base_new();

	if (argc != 2)
		return EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	here.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	if (!evconnlistener_new_bind(base, on_accept, NULL,
		    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096, (struct sockaddr *)&here,
		    sizeof(here)))
		return EXIT_FAILURE;
	return event_base_dispatch(base);
}
