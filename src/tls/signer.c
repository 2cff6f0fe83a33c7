/* SPDX-License-Identifier: Apache-2.0 */

/* One question at a time. It is waited for, since the library that asks cannot be told to come back
 * later; a keeper answers in a millisecond, and one that does not costs a handshake and no more. */

#include "tls/signer.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define PATIENCE_MS 1000

void signer_done(struct signer *signer)
{
	if (signer->fd >= 0)
		close(take_fd(&signer->fd));
}

static int signer_send(const struct signer *signer, const struct question *question)
{
	size_t len = sizeof(question->head) + question->head.len;

	if (send(signer->fd, question, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 0;
}

static int signer_wait(const struct signer *signer, uint64_t until_ms)
{
	struct pollfd wait = {.fd = signer->fd, .events = POLLIN};
	uint64_t now_ms = clock_ms();
	int r;

	r = poll(&wait, 1, now_ms < until_ms ? (int)(until_ms - now_ms) : 0);
	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

/* Answers to questions that were given up are passed over. */
static int signer_hear(const struct signer *signer, struct answer *ret_answer)
{
	uint64_t until_ms = clock_ms() + PATIENCE_MS;
	ssize_t n;
	int r;

	do {
		r = signer_wait(signer, until_ms);
		if (r < 0)
			return r;
		n = recv(signer->fd, ret_answer, sizeof(*ret_answer), MSG_DONTWAIT);
		if (n == 0)
			return -EPIPE;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
	} while (n < 0 || ret_answer->head.number != signer->number);

	if ((size_t)n < sizeof(ret_answer->head) ||
		(size_t)n - sizeof(ret_answer->head) != ret_answer->head.len)
		return -EBADMSG;
	return ret_answer->head.len > 0 ? 0 : -EACCES;
}

int signer_ask(struct signer *signer, struct question *question, struct answer *ret_answer)
{
	int r;

	question->head.number = ++signer->number;
	r = signer->fd < 0 ? -ENOTCONN : signer_send(signer, question);
	if (r == 0)
		r = signer_hear(signer, ret_answer);
	if (r < 0)
		signer->failed++;
	return r;
}
