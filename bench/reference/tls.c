/* SPDX-License-Identifier: Apache-2.0 */

/* A bare TLS server to compare with: epoll, OpenSSL as its manual has it, and nothing else. The key is
 * where the network is; no deadlines, no limits; a peer that does not take its answer holds up all.
 *
 *     reference-tls PORT BUFFER CERTIFICATE KEY
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <upper/upper.h>

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

static void write_all(SSL *ssl, size_t len)
{
	struct pollfd ready = {.fd = SSL_get_fd(ssl), .events = POLLOUT};

	for (size_t done = 0, n; done < len; done += n) {
		int r = SSL_write_ex(ssl, out + done, len - done, &n);

		if (r != 1)
			n = 0;
		if (r != 1 && SSL_get_error(ssl, r) != SSL_ERROR_WANT_WRITE)
			return;
		if (r != 1)
			poll(&ready, 1, -1);
	}
}

/* The first reads shake hands. What is left in the socket is told of again. */
static void serve(SSL *ssl)
{
	int n, fd = SSL_get_fd(ssl);

	do {
		n = SSL_read(ssl, in, (int)size);
		if (n > 0)
			write_all(ssl, upper((size_t)n));
	} while (n > 0 && SSL_has_pending(ssl));
	if (n > 0 || SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ)
		return;
	if (SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN)
		SSL_shutdown(ssl);
	ERR_clear_error();
	SSL_free(ssl);
	close(fd);
}

static void welcome(SSL_CTX *ctx, int epoll_fd, int door)
{
	int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
	SSL *ssl = fd >= 0 ? SSL_new(ctx) : NULL;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = ssl};

	if (!ssl)
		return;
	SSL_set_fd(ssl, fd);
	SSL_set_accept_state(ssl);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static SSL_CTX *make_ctx(const char *certificate, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		exit(EXIT_FAILURE);
	}
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
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
	SSL_CTX *ctx;

	if (argc != 5)
		return EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	door = open_door((uint16_t)strtoul(argv[1], NULL, 10));
	size = strtoul(argv[2], NULL, 10);
	in = malloc(size);
	out = malloc(UPPER_EXPANSION * size);
	ctx = make_ctx(argv[3], argv[4]);
	events[0] = (struct epoll_event){.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, door, &events[0]);
	while ((n = epoll_wait(epoll_fd, events, 256, -1)) >= 0 || errno == EINTR)
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve(events[i].data.ptr);
			else
				welcome(ctx, epoll_fd, door);
		}
	return EXIT_FAILURE;
}
