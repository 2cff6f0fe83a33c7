/* SPDX-License-Identifier: Apache-2.0 */

/* Connections with TLS 1.3, X25519 and AES-128-GCM: each sends `depth` messages in one piece and waits
 * for all answers (tls), one sends without end and takes what comes (tls-bulk), one after the other
 * shakes hands and ends, with a full handshake or with the session of the first (tls-full,
 * tls-resumed), or all are only there (tls-idle). What is at the other end is not verified: that is the
 * client's cost. */

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

/* Of bulk: what is written at a time, which is what a record holds. */
#define PIECE 16384

struct talkers {
	SSL_CTX *ctx;
	SSL_SESSION *session; /* of the first connection, to resume */
	bool resumes;
	int epoll_fd;
	unsigned opened;
	uint64_t sent, got; /* of bulk */
	uint8_t room[1 << 18];
	struct talker {
		SSL *ssl;
		size_t got;
	} each[];
};

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct talkers *all = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (all->session)
		return 0;
	all->session = session;
	return 1;
}

static SSL_CTX *make_ctx(struct talkers *all)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	must(ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
			SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1 &&
			SSL_CTX_set1_groups_list(ctx, (void *)(uintptr_t) "X25519") == 1,
		"the rules of TLS");
	SSL_CTX_set_mode(ctx,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(
		ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	SSL_CTX_set_app_data(ctx, all);
	return ctx;
}

static SSL *shake_hands(struct talkers *all, const struct order *order, SSL_SESSION *session)
{
	SSL *ssl = SSL_new(all->ctx);

	must(ssl && SSL_set_fd(ssl, open_connection(order, all->opened++)) == 1, "SSL");
	if (session)
		SSL_set_session(ssl, session);
	if (SSL_connect(ssl) != 1) {
		ERR_print_errors_fp(stderr);
		must(false, "handshake");
	}
	return ssl;
}

/* Ends what has been opened for good: also takes what the server still had to say. */
static void say_end(struct talkers *all, SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_shutdown(ssl);
	while (SSL_read(ssl, all->room, sizeof(all->room)) > 0)
		;
	ERR_clear_error();
	SSL_free(ssl);
	close(fd);
}

static struct talkers *talkers_new(const struct order *order, unsigned flows)
{
	struct talkers *all = calloc(1, sizeof(*all) + flows * sizeof(struct talker));

	if (!all)
		abort();
	signal(SIGPIPE, SIG_IGN);
	all->ctx = make_ctx(all);
	all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < flows; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all->each[i]};
		SSL *ssl = shake_hands(all, order, NULL);

		all->each[i].ssl = ssl;
		fcntl(SSL_get_fd(ssl), F_SETFL, O_NONBLOCK);
		epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, SSL_get_fd(ssl), &event);
	}
	return all;
}

static void *tls_idle_begin(const struct order *order)
{
	return talkers_new(order, order->flows);
}

static void ask(SSL *ssl, const struct order *order)
{
	struct pollfd room = {.fd = SSL_get_fd(ssl), .events = POLLOUT};
	int size = (int)(order->depth * order->size), done = 0;

	while (done < size) {
		int n = SSL_write(ssl, asked(0) + done, size - done);

		must(n > 0 || SSL_get_error(ssl, n) == SSL_ERROR_WANT_WRITE, "SSL_write");
		if (n > 0)
			done += n;
		else
			poll(&room, 1, -1);
	}
}

static void *tls_begin(const struct order *order)
{
	struct talkers *all = talkers_new(order, order->flows);

	for (unsigned i = 0; i < order->flows; i++)
		ask(all->each[i].ssl, order);
	return all;
}

/* Up to what comes next: the whole answer, or nothing more for now. */
static void tls_collect(
	struct talkers *all, struct talker *one, const struct order *order, struct tally *tally)
{
	size_t due = order->depth * order->size;
	int n = 1;

	while (one->got < due && n > 0) {
		n = SSL_read(one->ssl, all->room, sizeof(all->room));
		if (n <= 0) {
			must(SSL_get_error(one->ssl, n) == SSL_ERROR_WANT_READ, "SSL_read");
			return;
		}
		tally->wrong += !is_right(all->room, (size_t)n, one->got);
		one->got += (size_t)n;
	}
	tally->messages += order->depth;
	tally->bytes += one->got;
	one->got = 0;
	ask(one->ssl, order);
}

static void tls_round(void *state, const struct order *order, struct tally *tally)
{
	struct talkers *all = state;
	struct epoll_event events[256];
	int n = epoll_wait(all->epoll_fd, events, 256, 1000);

	if (n == 0)
		tally->lost++;
	for (int i = 0; i < n; i++)
		tls_collect(all, events[i].data.ptr, order, tally);
}

static void bulk_receive(struct talkers *all, SSL *ssl, struct tally *tally)
{
	int n;

	while ((n = SSL_read(ssl, all->room, sizeof(all->room))) > 0) {
		tally->wrong += !is_right(all->room, (size_t)n, all->got);
		tally->bytes += (uint64_t)n;
		tally->messages = tally->bytes / 4096;
		all->got += (uint64_t)n;
	}
	must(SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ, "SSL_read");
}

static void tls_bulk_round(void *state, const struct order *order, struct tally *tally)
{
	struct talkers *all = state;
	SSL *ssl = all->each[0].ssl;
	struct pollfd ready = {.fd = SSL_get_fd(ssl), .events = POLLIN | POLLOUT};

	if (poll(&ready, 1, 1000) == 0)
		tally->lost++;
	if (ready.revents & POLLIN)
		bulk_receive(all, ssl, tally);
	for (int n = 1; ready.revents & POLLOUT && n > 0; all->sent += n > 0 ? (uint64_t)n : 0) {
		n = SSL_write(ssl, asked(all->sent), PIECE);
		must(n > 0 || SSL_get_error(ssl, n) == SSL_ERROR_WANT_WRITE, "SSL_write");
	}
}

static void *tls_bulk_begin(const struct order *order)
{
	return talkers_new(order, 1);
}

static void *tls_full_begin(const struct order *order)
{
	return talkers_new(order, 0);
}

static void *tls_resumed_begin(const struct order *order)
{
	struct talkers *all = talkers_new(order, 0);

	say_end(all, shake_hands(all, order, NULL));
	must(all->session != NULL, "the server gave no session to resume");
	/* Or the library would forget it after the first time. */
	SSL_CTX_set_session_cache_mode(all->ctx, SSL_SESS_CACHE_OFF);
	all->resumes = true;
	return all;
}

/* That the handshake was of the kind that is wanted is the answer that is looked at. */
static void tls_shake_round(void *state, const struct order *order, struct tally *tally)
{
	struct talkers *all = state;
	SSL *ssl = shake_hands(all, order, all->resumes ? all->session : NULL);

	if (SSL_session_reused(ssl) == all->resumes)
		tally->messages++;
	else
		tally->wrong++;
	say_end(all, ssl);
}

static void tls_idle_round(void *state, const struct order *order, struct tally *tally)
{
	usleep(10000);
}

static void tls_end(void *state, const struct order *order)
{
	struct talkers *all = state;

	SSL_SESSION_free(all->session);
	SSL_CTX_free(all->ctx);
	close(all->epoll_fd);
	free(all);
}

const struct way way_tls = {"tls", tls_begin, tls_round, tls_end};
const struct way way_tls_bulk = {"tls-bulk", tls_bulk_begin, tls_bulk_round, tls_end};
const struct way way_tls_full = {"tls-full", tls_full_begin, tls_shake_round, tls_end};
const struct way way_tls_resumed = {"tls-resumed", tls_resumed_begin, tls_shake_round, tls_end};
const struct way way_tls_idle = {"tls-idle", tls_idle_begin, tls_idle_round, tls_end};
