/* SPDX-License-Identifier: Apache-2.0 */

/* Requests go out in the order of the handshakes, each with a number, and several are on their way at once.
 * There are two ways to wait for a reply. A handshake over a stream is parked, as parking.c does it: the worker
 * goes on with its other connections, and the loop reports the reply. A request blocks where that cannot be: over
 * datagrams, before the worker serves, and with PARKED_MOST of them parked. It takes the replies to the others
 * meanwhile, which come before its own.
 *
 * A keeper replies within a millisecond. One that does not is waited for once, for a second; what is parked
 * fails then, and until the keeper sends something, further requests fail at once, so that a keeper which
 * hangs costs handshakes, and holds up nothing else. */

#include "tls/signer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/stopwatch.h"

#define STALE_MOST  4096 /* replies to others, more than fit into a channel */
#define TAKEN_MOST  64   /* replies in a round of the loop */
#define PATIENCE_MS 1000

static void parked_end(struct parked *parked, int outcome)
{
	parked->waits = false;
	parked->outcome = outcome;
	list_remove(&parked->node);
}

/* Replies come in the order of the requests. */
static bool signer_awaits(const struct signer *signer)
{
	return signer->replied != signer->number;
}

static void signer_fail_all(struct signer *signer, int error)
{
	list_foreach (node, &signer->parked) {
		struct parked *parked = container_of(node, struct parked, node);

		parked_end(parked, error);
		loop_defer(signer->loop, parked->resume);
	}
}

static void signer_on_patience(struct timer *timer, uint64_t now_ms)
{
	struct signer *signer = container_of(timer, struct signer, patience);

	signer->silent = true;
	signer_fail_all(signer, -ETIMEDOUT);
}

/* It runs while a reply is owed, also when its handshake has ended: so a keeper that hangs is known for it. */
static void signer_set_patience(struct signer *signer)
{
	if (signer->loop && signer_awaits(signer))
		loop_set_timer(signer->loop, &signer->patience, signer->loop->now_ms + PATIENCE_MS);
	else
		loop_clear_timer(&signer->patience);
}

void signer_done(struct signer *signer)
{
	signer_fail_all(signer, -EPIPE);
	if (signer->fd >= 0 && signer->loop)
		loop_unwatch(signer->loop, &signer->source);
	if (signer->fd >= 0)
		close(take_fd(&signer->fd));
	signer->silent = false;
	signer->replied = signer->number;
	signer_set_patience(signer);
}

/* The sandbox of a worker has room for these two calls on a channel, and for no other: sendmsg() could
 * carry descriptors. */
static int signer_send(const struct signer *signer, struct key_request *request)
{
	const size_t len = sizeof(request->head) + request->head.len;

	if (send(signer->fd, request, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 0;
}

static int signer_receive(const struct signer *signer, struct key_reply *ret_reply, int flags)
{
	struct iovec part = {ret_reply, sizeof(*ret_reply)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	do
		n = recvmsg(signer->fd, &message, flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n == 0)
		return -EPIPE;
	if ((size_t)n < sizeof(ret_reply->head) ||
		(size_t)n - sizeof(ret_reply->head) != ret_reply->head.len)
		return -EBADMSG;
	return 0;
}

static int reply_outcome(const struct key_reply *reply)
{
	return reply->head.len > 0 ? 0 : -EACCES;
}

/* Gives a reply to the handshake that is parked for it; there may be none any more. */
static void signer_deliver(struct signer *signer, const struct key_reply *reply)
{
	signer->silent = false;
	signer->replied = reply->head.number;
	signer_set_patience(signer);
	list_foreach (node, &signer->parked) {
		struct parked *parked = container_of(node, struct parked, node);

		if (parked->number != reply->head.number)
			continue;
		memcpy(parked->reply, reply, sizeof(reply->head) + reply->head.len);
		if (signer->timing && reply->head.len > 0)
			stopwatch_stop(signer->timing, parked->start, 1);
		parked_end(parked, reply_outcome(reply));
		loop_defer(signer->loop, parked->resume);
		return;
	}
}

static void signer_on_event(struct source *source, uint32_t events)
{
	struct signer *signer = container_of(source, struct signer, source);
	struct key_reply reply;
	int taken = 0, r;

	do {
		r = signer_receive(signer, &reply, MSG_DONTWAIT);
		if (r == -ETIMEDOUT)
			return;
		if (r < 0) { /* another channel will be sent */
			signer_done(signer);
			return;
		}
		signer_deliver(signer, &reply);
	} while (++taken < TAKEN_MOST && signer_awaits(signer));
}

void signer_init(struct signer *signer)
{
	*signer = (struct signer){
		.fd = -1,
		.source.on_event = signer_on_event,
		.patience = {.on_time = signer_on_patience, .is_patience = true},
	};
	list_init(&signer->parked);
}

int signer_serve(struct signer *signer, struct loop *loop)
{
	signer->loop = loop;
	return signer->fd < 0 ? 0 : loop_watch(loop, &signer->source, signer->fd, EPOLLIN);
}

int signer_set_channel(struct signer *signer, int *fd)
{
	signer_done(signer);
	signer->fd = take_fd(fd);
	return signer->loop ? signer_serve(signer, signer->loop) : 0;
}

static int signer_await(struct signer *signer, struct key_reply *ret_reply)
{
	for (int i = 0; i < STALE_MOST; i++) {
		int r = signer_receive(signer, ret_reply, 0);

		if (r < 0)
			return r;
		signer_deliver(signer, ret_reply);
		if (!signer_awaits(signer))
			return reply_outcome(ret_reply);
	}
	return -EBADMSG;
}

/* A late reply shows that the keeper goes on. */
static bool signer_is_silent(struct signer *signer, struct key_reply *scratch)
{
	if (signer->silent && signer_receive(signer, scratch, MSG_DONTWAIT) == 0)
		signer_deliver(signer, scratch);
	return signer->silent;
}

/* Returns when the reply is there, or will never be: the handshake has then been resumed. */
static int signer_park(struct signer *signer, uint64_t start, struct key_reply *ret_reply)
{
	struct parked *parked = signer->current;

	parked->number = signer->number;
	parked->reply = ret_reply;
	parked->waits = true;
	parked->start = start;
	list_append(&signer->parked, &parked->node);
	parked->leave(parked);
	signer_forget(parked); /* only where it could not be left */
	return parked->outcome;
}

static int signer_try(
	struct signer *signer, struct key_request *request, struct key_reply *ret_reply)
{
	bool is_first = !signer_awaits(signer);
	uint64_t start;
	int r;

	if (signer->fd < 0)
		return -ENOTCONN;
	if (signer_is_silent(signer, ret_reply))
		return -ETIMEDOUT;
	request->head.number = signer->number + 1;
	start = stopwatch_start();
	r = signer_send(signer, request);
	if (r < 0)
		return r;
	signer->number++;
	if (is_first)
		signer_set_patience(signer);
	if (signer->current)
		return signer_park(signer, start, ret_reply);
	r = signer_await(signer, ret_reply);
	signer->silent = r == -ETIMEDOUT;
	if (r == 0 && signer->timing)
		stopwatch_stop(signer->timing, start, 1);
	return r;
}

int signer_request(struct signer *signer, struct key_request *request, struct key_reply *ret_reply)
{
	int r = signer_try(signer, request, ret_reply);

	if (r < 0)
		signer->failed++;
	return r;
}

void signer_forget(struct parked *parked)
{
	if (parked->waits)
		parked_end(parked, -ECANCELED);
}
