/* SPDX-License-Identifier: Apache-2.0 */

/* One question at a time. It is waited for, since the library that asks cannot be told to come back
 * later, and meanwhile the worker does nothing else. A keeper answers in a millisecond. One that does not
 * is waited for once, for the time-out that the socket has from whoever made it; until it says something,
 * further questions are given up at once, so that a handshake is all that it costs. */

#include "tls/signer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/stopwatch.h"

#define STALE_MOST 64 /* answers to questions that were given up */

void signer_done(struct signer *signer)
{
	if (signer->fd >= 0)
		close(take_fd(&signer->fd));
	signer->silent = false;
}

/* The sandbox of a worker has room for these two calls on a channel, and for no other: sendmsg() could
 * carry descriptors. */
static int signer_send(const struct signer *signer, struct question *question)
{
	const size_t len = sizeof(question->head) + question->head.len;

	if (send(signer->fd, question, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 0;
}

static int signer_receive(const struct signer *signer, struct answer *ret_answer, int flags)
{
	struct iovec part = {ret_answer, sizeof(*ret_answer)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	do
		n = recvmsg(signer->fd, &message, flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n == 0)
		return -EPIPE;
	if ((size_t)n < sizeof(ret_answer->head) ||
		(size_t)n - sizeof(ret_answer->head) != ret_answer->head.len)
		return -EBADMSG;
	return 0;
}

static int signer_hear(const struct signer *signer, struct answer *ret_answer)
{
	for (int i = 0; i < STALE_MOST; i++) {
		int r = signer_receive(signer, ret_answer, 0);

		if (r < 0)
			return r;
		if (ret_answer->head.number == signer->number)
			return ret_answer->head.len > 0 ? 0 : -EACCES;
	}
	return -EBADMSG;
}

/* What was not answered in time still is, once it goes on. */
static bool signer_is_silent(struct signer *signer, struct answer *scratch)
{
	if (signer->silent)
		signer->silent = signer_receive(signer, scratch, MSG_DONTWAIT) == -ETIMEDOUT;
	return signer->silent;
}

static int signer_try(struct signer *signer, struct question *question, struct answer *ret_answer)
{
	int r;

	if (signer->fd < 0)
		return -ENOTCONN;
	if (signer_is_silent(signer, ret_answer))
		return -ETIMEDOUT;
	question->head.number = ++signer->number;
	r = signer_send(signer, question);
	if (r < 0)
		return r;
	r = signer_hear(signer, ret_answer);
	signer->silent = r == -ETIMEDOUT;
	return r;
}

int signer_ask(struct signer *signer, struct question *question, struct answer *ret_answer)
{
	uint64_t start = stopwatch_start();
	int r = signer_try(signer, question, ret_answer);

	if (r < 0)
		signer->failed++;
	else if (signer->timing)
		stopwatch_stop(signer->timing, start, 1);
	return r;
}
