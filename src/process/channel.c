/* SPDX-License-Identifier: Apache-2.0 */

/* How packets are sent and received, and the one check of the table. More descriptors than a message may have
 * are closed by the kernel, and those of a packet that is refused are closed here. */

#include "process/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define SEND_BUFFER (256 * 1024)

static const struct message_row {
	enum message_from from;
	unsigned roles, states;
	enum message_times times;
	size_t fds, least, longest;
} rows[N_MESSAGES] = {
#define MESSAGE(name, from, roles, states, times, fds, ...) \
	[MSG_##name] = {FROM_##from, roles, states, times, fds, __VA_ARGS__},
	MESSAGES(MESSAGE)
#undef MESSAGE
};

static_assert(N_MESSAGES <= 32, "struct dialogue has a bit for each");

union control {
	struct cmsghdr header; /* aligns */
	char bytes[CMSG_SPACE(CHANNEL_FDS * sizeof(int))];
};

int channel_pair(int *ret_supervisor, int *ret_child)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int size = SEND_BUFFER, pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (fd_nonblock(ours) < 0)
		return -errno;

	*ret_supervisor = take_fd(&ours);
	*ret_child = take_fd(&theirs);
	return 0;
}

static int channel_outcome(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
		return CHANNEL_E_WAIT;
	case EPIPE:
	case ECONNRESET:
		return CHANNEL_E_CLOSED;
	default:
		return -error;
	}
}

/* Of a child, whose sandbox lets it send no descriptor. */
static ssize_t send_bare(int fd, enum message_type type, const void *data, size_t len, int flags)
{
	unsigned char packet[sizeof(uint32_t) + CHANNEL_PAYLOAD];
	const uint32_t head = type;

	assert(len <= CHANNEL_PAYLOAD);
	memcpy(packet, &head, sizeof(head));
	if (len > 0)
		memcpy(packet + sizeof(head), data, len);
	return send(fd, packet, sizeof(head) + len, flags | MSG_NOSIGNAL);
}

int channel_send(
	int fd, enum message_type type, const void *data, size_t len, const int *fds, int flags)
{
	uint32_t head = type;
	struct iovec parts[] = {{&head, sizeof(head)}, {(void *)(uintptr_t)data, len}};
	union control control = {0};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	const size_t bytes = rows[type].fds * sizeof(int);
	ssize_t n;

	if (bytes == 0) {
		n = send_bare(fd, type, data, len, flags);
		return n < 0 ? channel_outcome(errno) : 0;
	}
	if (!fds)
		return -EINVAL;
	message.msg_control = &control;
	message.msg_controllen = CMSG_SPACE(bytes);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(&control.header), fds, bytes);
	n = sendmsg(fd, &message, flags | MSG_NOSIGNAL);
	return n < 0 ? channel_outcome(errno) : 0;
}

/* Collects the descriptors that came along; more than fit are closed by the kernel. */
static size_t channel_take_fds(struct msghdr *message, int fds[static CHANNEL_FDS])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	size_t n;

	for (size_t i = 0; i < CHANNEL_FDS; i++)
		fds[i] = -1;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	assert(n <= CHANNEL_FDS);
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	return n;
}

/* The whole check of a packet from a process that may be hostile. Payloads are fixed structs,
 * so that after this a handler may look at all members. */
bool dialogue_permits(const struct dialogue *dialogue, uint32_t type, size_t len, size_t n_fds)
{
	const struct message_row *row;

	if (type >= N_MESSAGES)
		return false;
	row = &rows[type];
	return row->from == dialogue->from && row->roles & 1u << dialogue->role &&
		row->states & 1u << dialogue->state &&
		(row->times == ANY || !(dialogue->had & 1u << type)) && row->fds == n_fds &&
		len >= row->least && len <= row->longest;
}

int channel_receive(int fd, struct dialogue *dialogue, struct message *ret_message, int flags)
{
	uint32_t head = N_MESSAGES;
	struct iovec parts[] = {
		{&head, sizeof(head)}, {ret_message->data, sizeof(ret_message->data)}};
	union control control;
	struct msghdr message = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = &control,
		/* Without the padding, in which the kernel would find room for one more. */
		.msg_controllen = CMSG_LEN(CHANNEL_FDS * sizeof(int)),
	};
	ssize_t n;
	size_t n_fds;

	n = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
	/* A child that ends with messages unread resets the channel once, before its last messages can
	 * be read. */
	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return channel_outcome(errno);
	if (n == 0)
		return CHANNEL_E_CLOSED;

	n_fds = channel_take_fds(&message, ret_message->fds);
	if ((size_t)n < sizeof(head) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
		!dialogue_permits(dialogue, head, (size_t)n - sizeof(head), n_fds)) {
		message_done(ret_message);
		return CHANNEL_E_MALFORMED;
	}
	dialogue->had |= 1u << head;
	ret_message->type = head;
	ret_message->len = (size_t)n - sizeof(head);
	return 0;
}

void message_done(struct message *message)
{
	for (size_t i = 0; i < CHANNEL_FDS; i++) {
		if (message->fds[i] >= 0)
			close(message->fds[i]);
		message->fds[i] = -1;
	}
}

/* The kernel's own bound. */
#define ERRNO_MAX 4095

int channel_send_record(int fd, const struct log_record *record)
{
	const struct log_about *about = &record->about;
	struct msg_record m = {
		.suppressed = record->suppressed,
		.event = record->event,
		.error = about->error,
		.peer_len = about->peer ? about->peer->len : 0,
	};
	size_t len = strnlen(record->text, LOG_TEXT - 1) + 1;

	memcpy(&m.peer, about->peer ? &about->peer->un : &m.peer, m.peer_len);
	snprintf(m.listener, sizeof(m.listener), "%s", about->listener ? about->listener : "");
	snprintf(m.reason, sizeof(m.reason), "%s", about->reason ? about->reason : "");
	memcpy(m.text, record->text, len - 1);
	if (about->facts) {
		memcpy(m.text + len, about->facts, sizeof(*about->facts));
		len += sizeof(*about->facts);
	}
	return channel_send(
		fd, MSG_RECORD, &m, offsetof(struct msg_record, text) + len, NULL, MSG_DONTWAIT);
}

static bool is_whole(const struct addr *addr)
{
	switch (addr->sa.sa_family) {
	case AF_INET:
		return addr->len == sizeof(addr->in);
	case AF_INET6:
		return addr->len == sizeof(addr->in6);
	case AF_UNIX:
		return addr->len >= offsetof(struct sockaddr_un, sun_path) &&
			addr->len <= sizeof(addr->un);
	default:
		return false;
	}
}

static const char *word_of(const char *word)
{
	return *word ? word : NULL;
}

/* Nothing, or facts, behind the text. */
static bool read_facts(const char *at, size_t len, struct log_facts *ret_facts)
{
	*ret_facts = (struct log_facts){0};
	if (len == 0)
		return true;
	if (len != sizeof(*ret_facts))
		return false;
	memcpy(ret_facts, at, sizeof(*ret_facts));
	return log_facts_are_whole(ret_facts);
}

bool message_read_record(const struct message *message, struct log_record *ret_record,
	struct record_parts *ret_parts)
{
	const struct msg_record *m = (const void *)message->data;
	const size_t rest = message->len - offsetof(struct msg_record, text);
	const size_t len = strnlen(m->text, rest < LOG_TEXT ? rest : LOG_TEXT);
	struct record_parts *parts = ret_parts;

	parts->peer = (struct addr){.len = m->peer_len, .un = m->peer};
	if (m->event >= N_LOG_EVENTS || m->error < -ERRNO_MAX || m->error > ERRNO_MAX ||
		(m->peer_len > 0 && !is_whole(&parts->peer)) ||
		strnlen(m->listener, sizeof(m->listener)) == sizeof(m->listener) ||
		strnlen(m->reason, sizeof(m->reason)) == sizeof(m->reason) || len == LOG_TEXT ||
		len == rest || !read_facts(m->text + len + 1, rest - len - 1, &parts->facts))
		return false;

	*ret_record = (struct log_record){
		.event = (enum log_event)m->event,
		.level = log_event_level((enum log_event)m->event),
		.suppressed = m->suppressed,
		.about =
			{
				.listener = word_of(m->listener),
				.reason = word_of(m->reason),
				.error = m->error,
				.peer = m->peer_len > 0 ? &parts->peer : NULL,
				.facts = parts->facts.has ? &parts->facts : NULL,
			},
		.text = m->text,
	};
	return true;
}
