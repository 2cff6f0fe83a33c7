/* SPDX-License-Identifier: Apache-2.0 */

/* Many clients of DTLS at once in one process, each with a session and a text of its own:
 *
 *     dtls-clients ADDRESS PORT CLIENTS SIZE...
 *
 * When all have agreed with the server, each sends a message of each size, one after the other, and compares
 * the answer with what it must be. What was lost is sent again. Says how many agreed and how many messages
 * were answered right; fails unless that is all. */

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LONGEST    16384
#define AGAIN_MS   1000
#define LOOK_MS    100 /* at all, and not only at whom something has come for */
#define PATIENCE_S 60

struct client {
	SSL *ssl;
	unsigned number;
	int fd;
	bool agreed;
	int size; /* which one it is at */
	long sent_ms;
};

static int n_sizes;
static size_t sizes[64];
static unsigned agreed, right;

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((noreturn)) static void die(const struct client *c, const char *what)
{
	fprintf(stderr, "client %u: %s: %s\n", c->number, what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(EXIT_FAILURE);
}

/* Its own text, small or in upper case, over and over. */
static size_t text_of(const struct client *c, bool upper, char text[LONGEST])
{
	char piece[64];
	int len = snprintf(
		piece, sizeof(piece), upper ? "CLIENT %u ASKS. " : "client %u asks. ", c->number);

	for (size_t i = 0; i < sizes[c->size]; i++)
		text[i] = piece[i % (size_t)len];
	return sizes[c->size];
}

static void client_open(struct client *c, SSL_CTX *ctx, const struct sockaddr_in *to)
{
	BIO_ADDR *peer = BIO_ADDR_new();
	BIO *bio;

	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		die(c, "connect");
	BIO_ADDR_rawmake(peer, AF_INET, &to->sin_addr, sizeof(to->sin_addr), to->sin_port);
	bio = BIO_new_dgram(c->fd, BIO_NOCLOSE);
	BIO_ctrl_set_connected(bio, peer);
	BIO_ADDR_free(peer);
	c->ssl = SSL_new(ctx);
	SSL_set_bio(c->ssl, bio, bio);
	SSL_set_options(c->ssl, SSL_OP_NO_QUERY_MTU);
	SSL_set_mtu(c->ssl, 1232);
	SSL_set_connect_state(c->ssl);
}

static bool is_wait(struct client *c, int r, const char *what)
{
	int error = SSL_get_error(c->ssl, r);

	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		die(c, what);
	return true;
}

static void client_agree(struct client *c)
{
	int r;

	ERR_clear_error();
	if (DTLSv1_handle_timeout(c->ssl) < 0)
		die(c, "time-out");
	r = SSL_do_handshake(c->ssl);
	if (r != 1) {
		is_wait(c, r, "handshake");
		return;
	}
	c->agreed = true;
	agreed++;
}

static void client_ask(struct client *c)
{
	char text[LONGEST];

	if (SSL_write(c->ssl, text, (int)text_of(c, false, text)) <= 0)
		die(c, "write");
	c->sent_ms = now_ms();
}

/* What comes late is an answer to what was sent twice. */
static void client_hear(struct client *c)
{
	char wanted[LONGEST], text[LONGEST];
	size_t len = text_of(c, true, wanted);
	int n = SSL_read(c->ssl, text, sizeof(text));

	if (n <= 0) {
		is_wait(c, n, "read");
	} else if ((size_t)n == len) {
		if (memcmp(text, wanted, len) != 0)
			die(c, "the answer is not its own");
		right++;
		c->size++;
		c->sent_ms = 0;
	}
}

static void client_turn(struct client *c)
{
	if (!c->agreed) {
		client_agree(c);
		return;
	}
	if (c->size == n_sizes)
		return;
	if (c->sent_ms > 0)
		client_hear(c);
	if (c->size < n_sizes && now_ms() - c->sent_ms > AGAIN_MS)
		client_ask(c);
}

/* Gives each a turn from time to time, until the count is full or patience is over. */
static void turn_all(struct client *all, unsigned n, const unsigned *count, unsigned full)
{
	struct pollfd *fds = calloc(n, sizeof(*fds));
	long begin = now_ms(), looked = 0;

	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = all[i].fd, .events = POLLIN};
	while (*count < full && now_ms() - begin < PATIENCE_S * 1000) {
		bool late = now_ms() - looked > LOOK_MS;

		for (unsigned i = 0; i < n; i++)
			if (late || fds[i].revents)
				client_turn(&all[i]);
		looked = late ? now_ms() : looked;
		poll(fds, n, LOOK_MS);
	}
	free(fds);
}

int main(int argc, char *argv[])
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	SSL_CTX *ctx = SSL_CTX_new(DTLS_client_method());
	struct client *all;
	unsigned n;
	int last;

	if (argc < 5 || argc - 4 > 64 || inet_aton(argv[1], &to.sin_addr) == 0)
		return EXIT_FAILURE;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	n = (unsigned)atoi(argv[3]);
	last = argc - 4;
	for (int i = 0; i < last; i++)
		sizes[i] = (size_t)atoi(argv[4 + i]);
	all = calloc(n, sizeof(*all));
	for (unsigned i = 0; i < n; i++) {
		all[i].number = i;
		client_open(&all[i], ctx, &to);
	}
	turn_all(all, n, &agreed, n);
	n_sizes = last;
	turn_all(all, n, &right, n * (unsigned)last);
	printf("%u agreed, %u right\n", agreed, right);
	for (unsigned i = 0; i < n; i++) {
		SSL_shutdown(all[i].ssl);
		SSL_free(all[i].ssl);
		close(all[i].fd);
	}
	free(all);
	SSL_CTX_free(ctx);
	return agreed == n && right == n * (unsigned)last ? EXIT_SUCCESS : EXIT_FAILURE;
}
