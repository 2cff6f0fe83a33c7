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
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/channel.h"

static int supervisor = -1, child = -1;

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
	struct message message;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(
		channel_send(supervisor, MSG_LISTENER, &listener, sizeof(listener), &null, 0), 0);
	assert_int_equal(channel_receive(child, FROM_SUPERVISOR, &message, MSG_DONTWAIT), 0);
	assert_int_equal(message.type, MSG_LISTENER);
	assert_memory_equal(message.data, &listener, sizeof(listener));
	assert_true(message.fds[0] >= 0);
	assert_true(fcntl(message.fds[0], F_GETFD) & FD_CLOEXEC);
	message_done(&message);
	close(null);
}

static void test_nothing_there(void **state)
{
	struct message message;

	assert_int_equal(
		channel_receive(child, FROM_SUPERVISOR, &message, MSG_DONTWAIT), CHANNEL_E_WAIT);
}

static void test_a_child_cannot_speak_as_the_supervisor(void **state)
{
	struct message message;

	assert_int_equal(channel_send(child, MSG_SERVE, NULL, 0, NULL, 0), 0);
	assert_int_equal(channel_receive(supervisor, FROM_CHILD, &message, 0), CHANNEL_E_MALFORMED);
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
	struct message message;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(send(child, rows[i].head, rows[i].len, 0), rows[i].len);
		assert_int_equal(
			channel_receive(supervisor, FROM_CHILD, &message, 0), CHANNEL_E_MALFORMED);
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
	struct message message;

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
		assert_int_equal(
			channel_receive(supervisor, FROM_CHILD, &message, 0), CHANNEL_E_MALFORMED);
		assert_int_equal(open_descriptors(), before);
	}
}

static void test_the_other_end_is_gone(void **state)
{
	struct message message;

	close(child);
	child = -1;
	assert_int_equal(channel_receive(supervisor, FROM_CHILD, &message, 0), CHANNEL_E_CLOSED);
	assert_int_equal(channel_send(supervisor, MSG_SERVE, NULL, 0, NULL, 0), CHANNEL_E_CLOSED);
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
