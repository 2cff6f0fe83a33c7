/* SPDX-License-Identifier: Apache-2.0 */

/* A bare stream server to compare with: epoll with edges, read, convert, write, and nothing else. No
 * unfinished characters, no deadlines, no limits; a peer that does not take its answer holds up all for
 * a moment, and is left.
 *
 *     reference-epoll PORT BUFFER
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <upper/upper.h>

#define PATIENCE_MS 200

static uint8_t *in, *out;
static size_t size;

static size_t upper(size_t len)
{
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	struct upper_in i = {in, in + len};
	struct upper_out o = {out, out + UPPER_EXPANSION * size};

	upper_convert(&rule, true, &i, &o);
	return (size_t)(o.at - out);
}

static bool write_all(int fd, size_t len)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};

	for (size_t done = 0; done < len;) {
		ssize_t n = send(fd, out + done, len - done, MSG_NOSIGNAL);

		if (n < 0 && (errno != EAGAIN || poll(&ready, 1, PATIENCE_MS) <= 0))
			return false;
		if (n > 0)
			done += (size_t)n;
	}
	return true;
}

static void serve(int fd)
{
	ssize_t n;

	do {
		n = recv(fd, in, size, 0);
		if (n > 0 && !write_all(fd, upper((size_t)n)))
			n = 0;
	} while (n == (ssize_t)size);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		close(fd);
}

static void welcome(int epoll_fd, int door)
{
	int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};

	if (fd >= 0)
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_door(uint16_t port)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(fd, 4096) < 0) {
		perror("bind");
		exit(EXIT_FAILURE);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	int epoll_fd = epoll_create1(0), door, n;

	if (argc != 3)
		return EXIT_FAILURE;
	door = open_door((uint16_t)strtoul(argv[1], NULL, 10));
	size = strtoul(argv[2], NULL, 10);
	in = malloc(size);
	out = malloc(UPPER_EXPANSION * size);
	events[0] = (struct epoll_event){.events = EPOLLIN, .data.fd = door};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, door, &events[0]);
	while ((n = epoll_wait(epoll_fd, events, 256, -1)) >= 0 || errno == EINTR)
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == door)
				welcome(epoll_fd, door);
			else
				serve(events[i].data.fd);
		}
	return EXIT_FAILURE;
}
