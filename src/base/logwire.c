/* SPDX-License-Identifier: Apache-2.0 */

/* A fixed head, then the bytes of the peer's address, then four strings, each with its length and
 * its NUL. Both ends are one program on one machine, so numbers are as they are in memory. */

#include "base/logwire.h"

#include <assert.h>
#include <string.h>

struct head {
	uint64_t suppressed;
	uint32_t event;
	int32_t pid;
	int32_t error;
	uint32_t peer_len;
};

/* The kernel's own bound. */
#define ERRNO_MAX 4095

/* The length of a string that is not there; others count their NUL. */
#define ABSENT 0

#define WORD_FIELD (sizeof(uint16_t) + LOGWIRE_WORD + 1)
#define TEXT_FIELD (sizeof(uint16_t) + LOG_TEXT)

static_assert(
	sizeof(struct head) + sizeof(struct addr) + 3 * WORD_FIELD + TEXT_FIELD <= LOGWIRE_MAX,
	"the largest record fits");

struct reader {
	const char *at;
	size_t left;
};

static unsigned char *put(unsigned char *to, const void *data, size_t len)
{
	memcpy(to, data, len);
	return to + len;
}

static unsigned char *put_string(unsigned char *to, const char *text, size_t max)
{
	size_t len = text ? strnlen(text, max) : 0;
	uint16_t size = text ? (uint16_t)(len + 1) : ABSENT;

	to = put(to, &size, sizeof(size));
	if (!text)
		return to;

	to = put(to, text, len);
	*to = '\0';
	return to + 1;
}

size_t logwire_pack(const struct log_record *record, unsigned char to[static LOGWIRE_MAX])
{
	const struct log_about *about = &record->about;
	struct head head = {.suppressed = record->suppressed,
		.event = record->event,
		.pid = about->pid,
		.error = about->error,
		.peer_len = about->peer ? about->peer->len : 0};
	unsigned char *at = to;

	at = put(at, &head, sizeof(head));
	if (head.peer_len > 0)
		at = put(at, &about->peer->sa, head.peer_len);
	at = put_string(at, about->listener, LOGWIRE_WORD);
	at = put_string(at, about->role, LOGWIRE_WORD);
	at = put_string(at, about->reason, LOGWIRE_WORD);
	at = put_string(at, record->text, LOG_TEXT - 1);

	return (size_t)(at - to);
}

static int get(struct reader *from, void *ret_data, size_t len)
{
	if (len > from->left)
		return LOGWIRE_E_MALFORMED;

	memcpy(ret_data, from->at, len);
	from->at += len;
	from->left -= len;
	return 0;
}

/* The string must fill its length to the last byte, or there are two lengths to disagree about. */
static int get_string(struct reader *from, size_t max, const char **ret_text)
{
	uint16_t size;
	int r;

	r = get(from, &size, sizeof(size));
	if (r != 0)
		return r;

	if (size == ABSENT) {
		*ret_text = NULL;
		return 0;
	}
	if (size > from->left || size > max + 1 || strnlen(from->at, size) != size - 1U)
		return LOGWIRE_E_MALFORMED;

	*ret_text = from->at;
	from->at += size;
	from->left -= size;
	return 0;
}

static bool is_whole(const struct addr *addr)
{
	size_t head = offsetof(struct sockaddr_un, sun_path);

	switch (addr->sa.sa_family) {
	case AF_INET:
		return addr->len == sizeof(addr->in);
	case AF_INET6:
		return addr->len == sizeof(addr->in6);
	case AF_UNIX:
		return addr->len >= head && addr->len <= sizeof(addr->un);
	default:
		return false;
	}
}

static int get_peer(struct reader *from, size_t len, struct addr *ret_peer)
{
	struct addr peer = {.len = (socklen_t)len};
	int r;

	if (len > sizeof(peer.un))
		return LOGWIRE_E_MALFORMED;
	r = get(from, &peer.un, len);
	if (r != 0)
		return r;
	if (!is_whole(&peer))
		return LOGWIRE_E_MALFORMED;

	*ret_peer = peer;
	return 0;
}

static int get_strings(struct reader *from, struct log_record *record)
{
	struct {
		const char **text;
		size_t max;
	} fields[] = {
		{&record->about.listener, LOGWIRE_WORD},
		{&record->about.role, LOGWIRE_WORD},
		{&record->about.reason, LOGWIRE_WORD},
		{&record->text, LOG_TEXT - 1},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		int r = get_string(from, fields[i].max, fields[i].text);

		if (r != 0)
			return r;
	}

	return record->text && from->left == 0 ? 0 : LOGWIRE_E_MALFORMED;
}

int logwire_unpack(
	const void *data, size_t len, struct log_record *ret_record, struct addr *ret_peer)
{
	struct reader from = {.at = data, .left = len};
	struct log_record record = {0};
	struct addr peer = {0};
	struct head head;
	int r;

	r = get(&from, &head, sizeof(head));
	if (r != 0)
		return r;
	if (head.event >= N_LOG_EVENTS || head.error < -ERRNO_MAX || head.error > ERRNO_MAX)
		return LOGWIRE_E_MALFORMED;
	if (head.peer_len > 0) {
		r = get_peer(&from, head.peer_len, &peer);
		if (r != 0)
			return r;
	}
	r = get_strings(&from, &record);
	if (r != 0)
		return r;

	record.event = (enum log_event)head.event;
	record.level = log_event_level(record.event);
	record.suppressed = head.suppressed;
	record.about.pid = head.pid;
	record.about.error = head.error;
	record.about.peer = head.peer_len > 0 ? ret_peer : NULL;

	*ret_peer = peer;
	*ret_record = record;
	return 0;
}
