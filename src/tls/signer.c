/* SPDX-License-Identifier: Apache-2.0 */

/* One request at a time. The worker blocks until the reply comes, since the library cannot be told to come
 * back later. A keeper replies within a millisecond. One that does not is waited for once, for the time-out
 * that the supervisor has set on the socket; until it sends something, further requests fail at once, so
 * that a keeper which hangs costs handshakes, and holds up nothing else. */

#include "tls/signer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/stopwatch.h"

#define STALE_MOST 64 /* replies to requests that were given up */

void signer_done(struct signer *signer)
{
	if (signer->fd >= 0)
		close(take_fd(&signer->fd));
	signer->silent = false;
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

static int signer_await(const struct signer *signer, struct key_reply *ret_reply)
{
	for (int i = 0; i < STALE_MOST; i++) {
		int r = signer_receive(signer, ret_reply, 0);

		if (r < 0)
			return r;
		if (ret_reply->head.number == signer->number)
			return ret_reply->head.len > 0 ? 0 : -EACCES;
	}
	return -EBADMSG;
}

/* A late reply shows that the keeper goes on. */
static bool signer_is_silent(struct signer *signer, struct key_reply *scratch)
{
	if (signer->silent)
		signer->silent = signer_receive(signer, scratch, MSG_DONTWAIT) == -ETIMEDOUT;
	return signer->silent;
}

static int signer_try(
	struct signer *signer, struct key_request *request, struct key_reply *ret_reply)
{
	int r;

	if (signer->fd < 0)
		return -ENOTCONN;
	if (signer_is_silent(signer, ret_reply))
		return -ETIMEDOUT;
	request->head.number = ++signer->number;
	r = signer_send(signer, request);
	if (r < 0)
		return r;
	r = signer_await(signer, ret_reply);
	signer->silent = r == -ETIMEDOUT;
	return r;
}

int signer_request(struct signer *signer, struct key_request *request, struct key_reply *ret_reply)
{
	uint64_t start = stopwatch_start();
	int r = signer_try(signer, request, ret_reply);

	if (r < 0)
		signer->failed++;
	else if (signer->timing)
		stopwatch_stop(signer->timing, start, 1);
	return r;
}
