/* SPDX-License-Identifier: Apache-2.0 */

/* The channel between supervisor and child: what the table allows passes, all else is malformed, and no
 * descriptor that came along with it is left open. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/channel.h"

static int supervisor = -1, child = -1;

static int receive(int fd, enum message_from from, enum role role, enum child_state state)
{
	struct dialogue dialogue = {from, role, state, 0};
	struct message message;
	int r = channel_receive(fd, &dialogue, &message, MSG_DONTWAIT);

	if (r == 0)
		message_done(&message);
	return r;
}

/* From a worker that gets ready. */
static int hear_child(void)
{
	return receive(supervisor, FROM_CHILD, ROLE_WORKER, CHILD_STARTING);
}

static unsigned open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static void test_a_message_arrives_with_its_descriptors(void **state)
{
	const struct msg_listener listener = {7};
	struct dialogue dialogue = {FROM_SUPERVISOR, ROLE_WORKER, CHILD_STARTING, 0};
	struct message message;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(
		channel_send(supervisor, MSG_LISTENER, &listener, sizeof(listener), &null, 0), 0);
	assert_int_equal(channel_receive(child, &dialogue, &message, MSG_DONTWAIT), 0);
	assert_int_equal(message.type, MSG_LISTENER);
	assert_memory_equal(message.data, &listener, sizeof(listener));
	assert_true(message.fds[0] >= 0);
	assert_true(fcntl(message.fds[0], F_GETFD) & FD_CLOEXEC);
	message_done(&message);
	close(null);
}

static void test_nothing_there(void **state)
{
	assert_int_equal(
		receive(child, FROM_SUPERVISOR, ROLE_WORKER, CHILD_STARTING), CHANNEL_E_WAIT);
}

static void test_a_child_cannot_speak_as_the_supervisor(void **state)
{
	assert_int_equal(channel_send(child, MSG_SERVE, NULL, 0, NULL, 0), 0);
	assert_int_equal(hear_child(), CHANNEL_E_MALFORMED);
}

static void test_raw_garbage_is_malformed(void **state)
{
	static const struct {
		uint32_t head[2];
		size_t len;
	} rows[] = {
		{{MSG_READY}, 1},
		{{MSG_READY}, 3},
		{{N_MESSAGES}, 4},
		{{UINT32_MAX}, 4},
		{{MSG_RECORD}, 4},   /* without a byte in it */
		{{MSG_READY, 0}, 8}, /* with more than the table has */
		{{MSG_FAILED, 0}, 8},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(send(child, rows[i].head, rows[i].len, 0), rows[i].len);
		assert_int_equal(hear_child(), CHANNEL_E_MALFORMED);
	}
}

/* READY with descriptors that nobody asked for. */
static void test_stowaways_are_closed(void **state)
{
	uint32_t head = MSG_READY;
	struct iovec part = {&head, sizeof(head)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(20 * sizeof(int))];
	} control = {0};
	struct msghdr raw = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
	unsigned before = open_descriptors();

	/* qemu closes none of those that it had no room for; here they are the kernel's. */
	if (getenv("MESON_EXE_WRAPPER"))
		return;

	for (size_t n = 1; n <= 20; n++) {
		int fds[20];

		for (size_t i = 0; i < n; i++)
			fds[i] = child;
		raw.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
		assert_true(sendmsg(child, &raw, 0) > 0);
		assert_int_equal(hear_child(), CHANNEL_E_MALFORMED);
		assert_int_equal(open_descriptors(), before);
	}
}

static void test_the_other_end_is_gone(void **state)
{
	close(child);
	child = -1;
	assert_int_equal(hear_child(), CHANNEL_E_CLOSED);
	assert_int_equal(channel_send(supervisor, MSG_SERVE, NULL, 0, NULL, 0), CHANNEL_E_CLOSED);
}

/* Each row is a message and the only states in which a child of that role may send or get it. */
static void test_every_message_has_its_roles_and_states(void **state)
{
	static const struct {
		enum message_type type;
		enum message_from from;
		enum role role;
		unsigned states;
	} rows[] = {
		{MSG_READY, FROM_CHILD, ROLE_KEEPER, 1u << CHILD_STARTING | 1u << CHILD_DRAINING},
		{MSG_SERVING, FROM_CHILD, ROLE_WORKER, 1u << CHILD_OPENING | 1u << CHILD_DRAINING},
		{MSG_RELEASED, FROM_CHILD, ROLE_EXPORTER, 1u << CHILD_DRAINING},
		{MSG_RELEASED, FROM_CHILD, ROLE_KEEPER, 0},
		{MSG_READY, FROM_CHILD, ROLE_SELFTEST, 0},
		{MSG_READY, FROM_SUPERVISOR, ROLE_WORKER, 0},
		{MSG_PREPARE, FROM_SUPERVISOR, ROLE_WORKER, 1u << CHILD_STARTING},
		{MSG_SERVE, FROM_SUPERVISOR, ROLE_WORKER, 1u << CHILD_READY},
		{MSG_SERVE, FROM_SUPERVISOR, ROLE_SELFTEST, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (enum child_state s = CHILD_STARTING; s <= CHILD_ENDED; s++) {
			const struct dialogue dialogue = {rows[i].from, rows[i].role, s, 0};

			assert_int_equal(dialogue_permits(&dialogue, rows[i].type, 0, 0),
				(rows[i].states >> s & 1) != 0);
		}
}

static void test_what_may_come_once_comes_once(void **state)
{
	struct dialogue dialogue = {FROM_CHILD, ROLE_WORKER, CHILD_STARTING, 0};
	const struct msg_failed failed = {.exit_code = 71};
	struct message message;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			channel_send(child, MSG_FAILED, &failed, sizeof(failed), NULL, 0), 0);
		assert_int_equal(channel_receive(supervisor, &dialogue, &message, 0),
			i == 0 ? 0 : CHANNEL_E_MALFORMED);
	}
}

/* Records */

static void receive_record(struct message *message)
{
	struct dialogue dialogue = {FROM_CHILD, ROLE_WORKER, CHILD_SERVING, 0};

	assert_int_equal(channel_receive(supervisor, &dialogue, message, MSG_DONTWAIT), 0);
}

static struct log_record record_about(const char *peer, struct addr *addr)
{
	struct log_record record = {
		.event = EVENT_PEER_REFUSED,
		.level = LOG_LEVEL_NOTICE,
		.about = {.listener = "tls", .error = -104},
		.suppressed = UINT64_C(1) << 40,
		.text = "too many connections at once",
	};

	if (peer && (*peer == '/' || *peer == '@'))
		assert_int_equal(addr_parse_unix(peer, addr), 0);
	else if (peer)
		assert_int_equal(addr_parse(peer, 4242, addr), 0);
	record.about.peer = peer ? addr : NULL;
	return record;
}

static void test_a_record_arrives_as_it_was(void **state)
{
	static const char *const peers[] = {NULL, "192.0.2.1", "2001:db8::1", "/run/x", "@x"};

	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		struct addr sent;
		struct record_parts got;
		struct log_record record = record_about(peers[i], &sent), back;
		struct message message;

		assert_int_equal(channel_send_record(child, &record), 0);
		receive_record(&message);
		assert_true(message_read_record(&message, &back, &got));
		assert_int_equal(back.event, record.event);
		assert_int_equal(back.level, record.level);
		assert_int_equal(back.suppressed, record.suppressed);
		assert_int_equal(back.about.error, record.about.error);
		assert_string_equal(back.about.listener, "tls");
		assert_null(back.about.reason);
		assert_null(back.about.facts);
		assert_string_equal(back.text, record.text);
		assert_int_equal(!back.about.peer, !peers[i]);
		if (peers[i])
			assert_true(addr_equal(back.about.peer, &sent));
	}
}

static void test_words_and_text_that_are_too_long_are_cut(void **state)
{
	struct addr addr;
	struct log_record record = record_about(NULL, &addr), back;
	char longest[2 * LOG_TEXT];
	struct record_parts parts;
	struct log_facts facts = {0};
	struct message message;

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	record.text = record.about.listener = record.about.reason = longest;
	log_fact_text(&facts, sni, longest);
	record.about.facts = &facts;
	assert_int_equal(channel_send_record(child, &record), 0);
	receive_record(&message);
	assert_true(message_read_record(&message, &back, &parts));
	assert_int_equal(strlen(back.about.listener), RECORD_WORD - 1);
	assert_int_equal(strlen(back.about.reason), RECORD_WORD - 1);
	assert_int_equal(strlen(back.text), LOG_TEXT - 1);
	assert_int_equal(strlen(back.about.facts->sni), sizeof(facts.sni) - 1);
}

static void test_facts_arrive_with_their_types(void **state)
{
	struct addr addr;
	struct log_record record = record_about("192.0.2.1", &addr), back;
	struct log_facts facts = {0};
	struct log_fact_value value;
	struct record_parts parts;
	struct message message;

	log_fact_set(&facts, bytes_in, 0);
	log_fact_set(&facts, resumed, 1);
	log_fact_text(&facts, sni, "a.example");
	log_fact_text(&facts, client, "");
	log_fact_text(&facts, cipher, NULL);
	record.about.facts = &facts;
	assert_int_equal(channel_send_record(child, &record), 0);
	receive_record(&message);
	assert_true(message_read_record(&message, &back, &parts));
	assert_non_null(back.about.facts);
	assert_true(log_fact_get(back.about.facts, FACT_bytes_in, &value));
	assert_string_equal(value.name, "bytes_in");
	assert_null(value.text);
	assert_int_equal(value.number, 0);
	assert_true(log_fact_get(back.about.facts, FACT_resumed, &value));
	assert_true(value.is_flag && value.number == 1);
	assert_true(log_fact_get(back.about.facts, FACT_sni, &value));
	assert_string_equal(value.text, "a.example");
	assert_false(log_fact_get(back.about.facts, FACT_client, &value));
	assert_false(log_fact_get(back.about.facts, FACT_cipher, &value));
	assert_false(log_fact_get(back.about.facts, FACT_bytes_out, &value));
}

static bool is_read_with(const struct msg_record *record, size_t text_len)
{
	struct message message = {
		.type = MSG_RECORD, .len = offsetof(struct msg_record, text) + text_len};
	struct log_record back;
	struct record_parts parts;

	memcpy(message.data, record, message.len);
	return message_read_record(&message, &back, &parts);
}

static void test_records_of_a_hostile_child_are_refused(void **state)
{
	const struct msg_record sound = {
		.peer_len = sizeof(struct sockaddr_in), .peer.sun_family = AF_INET, .text = "text"};
	struct msg_record record;

	assert_true(is_read_with(&sound, 5));
	assert_false(is_read_with(&sound, 4)); /* without the end of the text */
	assert_false(is_read_with(&sound, 6)); /* with more behind it */
	assert_false(is_read_with(&sound, 0));
	record = sound;
	record.event = N_LOG_EVENTS;
	assert_false(is_read_with(&record, 5));
	record = sound;
	record.error = INT32_MIN;
	assert_false(is_read_with(&record, 5));
	for (uint32_t len = 1; len < 2000; len++) {
		record = sound;
		record.peer_len = len;
		assert_int_equal(is_read_with(&record, 5), len == sizeof(struct sockaddr_in));
	}
	record = sound;
	record.peer.sun_family = AF_NETLINK;
	assert_false(is_read_with(&record, 5));
	record = sound;
	memset(record.listener, 'x', sizeof(record.listener));
	assert_false(is_read_with(&record, 5));
	record = sound;
	memset(record.reason, 'x', sizeof(record.reason));
	assert_false(is_read_with(&record, 5));

	/* Facts behind the text: all of them or none, and each with an end. */
	record = sound;
	assert_true(is_read_with(&record, 5 + sizeof(struct log_facts)));
	assert_false(is_read_with(&record, 5 + sizeof(struct log_facts) - 1));
	assert_false(is_read_with(&record, 5 + sizeof(struct log_facts) + 1));
	memset(record.text + 5 + offsetof(struct log_facts, sni), 'x',
		sizeof(((struct log_facts *)0)->sni));
	assert_false(is_read_with(&record, 5 + sizeof(struct log_facts)));
	memset(record.text, 'x', sizeof(record.text));
	assert_false(is_read_with(&record, sizeof(record.text)));
}

static int set_up(void **state)
{
	return channel_pair(&supervisor, &child);
}

static int tear_down(void **state)
{
	close(supervisor);
	if (child >= 0)
		close(child);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_message_arrives_with_its_descriptors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_a_child_cannot_speak_as_the_supervisor, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_raw_garbage_is_malformed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stowaways_are_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_other_end_is_gone, set_up, tear_down),
		cmocka_unit_test(test_every_message_has_its_roles_and_states),
		cmocka_unit_test_setup_teardown(
			test_what_may_come_once_comes_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_record_arrives_as_it_was, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_words_and_text_that_are_too_long_are_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_facts_arrive_with_their_types, set_up, tear_down),
		cmocka_unit_test(test_records_of_a_hostile_child_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
