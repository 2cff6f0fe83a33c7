/* SPDX-License-Identifier: Apache-2.0 */

/* A build claims sockets, and commits or is rolled back: what serves does not notice before. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sockets/listen.h"
#include "sockets/sockets.h"

static struct sockets sockets;
static char folder[] = "/tmp/test-sockets.XXXXXX";

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return rmdir(folder);
}

static int set_up(void **state)
{
	sockets_init(&sockets);
	return 0;
}

static int tear_down(void **state)
{
	sockets_done(&sockets);
	return 0;
}

/* A port that was free a moment ago, for both kinds. */
static uint16_t free_port(void)
{
	_cleanup_close_ int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct addr addr;
	socklen_t len;

	assert_int_equal(addr_parse("0.0.0.0", 0, &addr), 0);
	assert_int_equal(bind(stream, &addr.sa, addr.len), 0);
	len = sizeof(addr.in);
	assert_int_equal(getsockname(stream, &addr.sa, &len), 0);
	assert_int_equal(bind(datagram, &addr.sa, addr.len), 0);
	return addr_port(&addr);
}

static struct conf_listener listener(
	enum conf_transport transport, const char *address, uint16_t port)
{
	static char name[] = "a";
	struct conf_listener l = {
		.name = name, .transport = transport, .port = port, .backlog = 16};

	assert_int_equal(addr_parse(address, port, &l.address), 0);
	return l;
}

/* With nothing but this listener. */
static struct conf conf_of(struct conf_listener *l)
{
	return (struct conf){.listeners = l, .n_listeners = 1};
}

static int claim(struct conf_listener *l, unsigned n, struct socket_group **ret_group)
{
	const struct conf conf = conf_of(l);

	return sockets_claim(
		&sockets, &(struct socket_want){.conf = &conf, .listener = l, .n = n}, ret_group);
}

static struct socket_group *serve(struct conf_listener *l, unsigned n)
{
	const struct conf conf = conf_of(l);
	struct socket_group *group;

	assert_int_equal(claim(l, n, &group), 0);
	assert_int_equal(socket_group_bind(group), 0);
	socket_group_commit(group);
	sockets_prune(&sockets, &conf);
	return group;
}

static uint16_t port_of(int fd)
{
	struct addr addr = {.len = sizeof(addr.in6)};

	assert_int_equal(getsockname(fd, &addr.sa, &addr.len), 0);
	return addr_port(&addr);
}

static bool listens(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len), 0);
	return value;
}

static bool is_taken(uint16_t port)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct addr addr;

	assert_int_equal(addr_parse("127.0.0.1", port, &addr), 0);
	return bind(fd, &addr.sa, addr.len) < 0;
}

static void test_new_address_is_bound_at_once(void **state)
{
	struct conf_listener l = listener(CONF_UDP, "127.0.0.1", free_port());
	struct socket_group *group;

	assert_int_equal(claim(&l, 3, &group), 0);
	assert_int_equal(socket_group_count(group, false), 0);
	assert_int_equal(socket_group_count(group, true), 3);
	assert_true(is_taken(l.port));
	sockets_rollback(&sockets);
	assert_false(is_taken(l.port));
	assert_null(sockets_find(&sockets, &l));
}

static void test_more_sockets_wait_for_the_build(void **state)
{
	static const enum conf_transport transports[] = {CONF_UDP, CONF_TCP};

	for (size_t i = 0; i < 2; i++) {
		struct conf_listener l = listener(transports[i], "127.0.0.1", free_port());
		struct socket_group *group = serve(&l, 1), *again;

		l.backlog = 99;
		assert_int_equal(claim(&l, 4, &again), 0);
		assert_ptr_equal(again, group);
		assert_int_equal(socket_group_count(group, false), 1);
		assert_int_equal(socket_group_count(group, true), 4);
		assert_int_equal(socket_group_fd(group, true, 0), socket_group_fd(group, false, 0));
		for (unsigned n = 1; n < 4; n++)
			assert_int_equal(port_of(socket_group_fd(group, true, n)), 0);

		sockets_rollback(&sockets);
		assert_int_equal(socket_group_count(group, true), 1);

		assert_int_equal(claim(&l, 4, &again), 0);
		assert_int_equal(socket_group_bind(group), 0);
		assert_int_equal(socket_group_count(group, false), 1);
		assert_false(socket_group_commit(group));
		assert_int_equal(socket_group_count(group, false), 4);
		for (unsigned n = 0; n < 4; n++) {
			int fd = socket_group_fd(group, false, n);

			assert_int_equal(port_of(fd), l.port);
			assert_int_equal(listens(fd), transports[i] == CONF_TCP);
		}
	}
}

static void test_a_group_never_shrinks(void **state)
{
	struct conf_listener l = listener(CONF_TCP, "127.0.0.1", free_port());
	struct socket_group *group = serve(&l, 3);

	assert_ptr_equal(serve(&l, 1), group);
	assert_int_equal(socket_group_count(group, false), 3);
}

/* A socket that overlaps with an address about to go is bound with the commit. */
static void test_another_address_on_the_same_port(void **state)
{
	static const char *const pairs[][2] = {{"127.0.0.1", "0.0.0.0"}, {"0.0.0.0", "127.0.0.1"},
		{"127.0.0.1", "::"}, {"::", "0.0.0.0"}};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct conf_listener before = listener(CONF_UDP, pairs[i][0], free_port());
		struct conf_listener after = listener(CONF_UDP, pairs[i][1], before.port);
		const struct conf conf = conf_of(&after);
		struct socket_group *group;

		serve(&before, 2);
		assert_int_equal(claim(&after, 2, &group), 0);
		assert_int_equal(port_of(socket_group_fd(group, true, 1)), 0);
		sockets_rollback(&sockets);
		assert_null(sockets_find(&sockets, &after));
		assert_non_null(sockets_find(&sockets, &before));

		assert_int_equal(claim(&after, 2, &group), 0);
		assert_int_equal(socket_group_bind(group), 0);
		assert_true(socket_group_commit(group));
		sockets_prune(&sockets, &conf);
		assert_null(sockets_find(&sockets, &before));
		assert_int_equal(port_of(socket_group_fd(group, false, 1)), after.port);
	}
}

static void test_an_address_that_stays_gives_no_way(void **state)
{
	struct conf_listener list[2] = {listener(CONF_TCP, "127.0.0.1", free_port())};
	const struct conf conf = {.listeners = list, .n_listeners = 2};
	struct socket_group *group;

	list[1] = listener(CONF_TCP, "0.0.0.0", list[0].port);
	serve(&list[0], 1);
	assert_int_equal(
		sockets_claim(&sockets,
			&(struct socket_want){.conf = &conf, .listener = &list[1], .n = 1}, &group),
		-EADDRINUSE);
}

static void test_a_program_that_shares_the_port_is_noticed(void **state)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct conf_listener l = listener(CONF_UDP, "127.0.0.1", free_port());
	struct socket_group *group;
	int on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, &l.address.sa, l.address.len), 0);
	assert_int_equal(claim(&l, 1, &group), -EADDRINUSE);
}

static void test_a_group_that_is_held_stays(void **state)
{
	struct conf_listener l = listener(CONF_DTLS, "127.0.0.1", free_port());
	struct conf_listener other = listener(CONF_DTLS, "127.0.0.1", free_port());
	struct socket_group *group = serve(&l, 1);
	const struct conf conf = conf_of(&other);

	sockets_hold(&sockets, group);
	serve(&other, 1);
	assert_ptr_equal(sockets_find(&sockets, &l), group);
	sockets_hold(&sockets, NULL);
	sockets_prune(&sockets, &conf);
	assert_null(sockets_find(&sockets, &l));
}

/* Unless new clients would go on meeting it. */
static void test_a_group_that_is_held_gives_way(void **state)
{
	struct conf_listener narrow = listener(CONF_DTLS, "127.0.0.1", free_port());
	struct conf_listener wide = listener(CONF_DTLS, "0.0.0.0", narrow.port);

	sockets_hold(&sockets, serve(&narrow, 1));
	serve(&wide, 1);
	assert_null(sockets_find(&sockets, &narrow));
}

/* Another process serves with them. */
static void test_a_trial_changes_nothing(void **state)
{
	struct conf_listener l = listener(CONF_TCP, "127.0.0.1", free_port());
	struct socket_group *group = serve(&l, 1), *again;

	sockets.is_trial = true;
	assert_int_equal(claim(&l, 4, &again), 0);
	assert_int_equal(socket_group_count(group, true), 1);
	sockets.is_trial = false;
}

static struct conf_listener listener_at(char path[static 108], const char *name)
{
	static char listener_name[] = "a";

	snprintf(path, 108, "%.60s/%s", folder, name);
	return (struct conf_listener){.name = listener_name,
		.transport = CONF_TCP,
		.path = path,
		.mode = 0640,
		.backlog = 16};
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? 0 : st.st_mode;
}

static void test_file_that_was_removed_is_made_by_the_commit(void **state)
{
	char path[108];
	struct conf_listener l = listener_at(path, "socket");
	struct socket_group *group = serve(&l, 1), *again;
	int old = socket_group_fd(group, false, 0);

	assert_int_equal(mode_of(path), S_IFSOCK | 0640);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(claim(&l, 1, &again), 0);
	assert_int_not_equal(socket_group_fd(group, true, 0), old);
	assert_int_equal(mode_of(path), 0);
	sockets_rollback(&sockets);
	assert_int_equal(socket_group_fd(group, true, 0), old);

	assert_int_equal(claim(&l, 1, &again), 0);
	assert_int_equal(socket_group_bind(group), 0);
	assert_int_equal(mode_of(path), S_IFSOCK | 0640);
	sockets_rollback(&sockets);
	assert_int_equal(mode_of(path), 0);

	serve(&l, 1);
	assert_int_equal(mode_of(path), S_IFSOCK | 0640);
	sockets_prune(&sockets, NULL);
	assert_int_equal(mode_of(path), 0);
}

static void test_another_file_at_the_path_is_left_alone(void **state)
{
	char path[108], target[108];
	struct conf_listener l = listener_at(path, "socket"), t = listener_at(target, "target");
	_cleanup_close_ int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	serve(&l, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(target, path), 0);
	serve(&l, 1);
	assert_int_equal(mode_of(target), S_IFREG | 0600);
	sockets_prune(&sockets, NULL);
	assert_int_equal(mode_of(path) & S_IFMT, S_IFLNK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(t.path), 0);
}

static void test_an_attached_socket_is_kept_or_given_up(void **state)
{
	struct conf_listener l = listener(CONF_TCP, "127.0.0.1", free_port());
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), copy;
	struct socket_group *group;

	assert_int_equal(bind(fd, &l.address.sa, l.address.len), 0);
	assert_int_equal(sockets_attach(&sockets, l.name, &fd), -EINVAL); /* it does not listen */
	assert_int_equal(listen(fd, 1), 0);
	copy = dup(fd);
	assert_int_equal(sockets_attach(&sockets, l.name, &fd), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(sockets_attach(&sockets, l.name, &copy), SOCKETS_E_THERE);
	sockets_rollback(&sockets);
	assert_null(sockets_find(&sockets, &l));

	assert_int_equal(sockets_attach(&sockets, l.name, &copy), 0);
	group = serve(&l, 4);
	sockets_rollback(&sockets);
	assert_ptr_equal(sockets_find(&sockets, &l), group);
	assert_int_equal(socket_group_count(group, false), 1);
}

static void test_overlaps(void **state)
{
	static const struct {
		const char *a, *b;
		bool v6only, overlaps;
	} rows[] = {{"127.0.0.1", "127.0.0.1", false, true},
		{"127.0.0.1", "127.0.0.2", false, false}, {"0.0.0.0", "127.0.0.1", false, true},
		{"::", "127.0.0.1", false, true}, {"::", "127.0.0.1", true, false},
		{"::", "::1", true, true}, {"::", "0.0.0.0", false, true},
		{"::", "0.0.0.0", true, false}, {"::1", "127.0.0.1", false, false},
		{"0.0.0.0", "::1", false, false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct listen_spec a = {.type = SOCK_DGRAM, .v6only = rows[i].v6only}, b = a;

		assert_int_equal(addr_parse(rows[i].a, 1, &a.address), 0);
		assert_int_equal(addr_parse(rows[i].b, 1, &b.address), 0);
		assert_int_equal(listen_overlaps(&a, &b), rows[i].overlaps);
		assert_int_equal(listen_overlaps(&b, &a), rows[i].overlaps);
		b.type = SOCK_STREAM;
		assert_false(listen_overlaps(&a, &b));
		b.type = SOCK_DGRAM;
		a.interface = "lo";
		assert_int_equal(listen_overlaps(&a, &b), rows[i].overlaps);
		b.interface = "eth0";
		assert_false(listen_overlaps(&a, &b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
		TEST(new_address_is_bound_at_once),
		TEST(more_sockets_wait_for_the_build),
		TEST(a_group_never_shrinks),
		TEST(another_address_on_the_same_port),
		TEST(an_address_that_stays_gives_no_way),
		TEST(a_program_that_shares_the_port_is_noticed),
		TEST(a_group_that_is_held_stays),
		TEST(a_group_that_is_held_gives_way),
		TEST(a_trial_changes_nothing),
		TEST(file_that_was_removed_is_made_by_the_commit),
		TEST(another_file_at_the_path_is_left_alone),
		TEST(an_attached_socket_is_kept_or_given_up),
		cmocka_unit_test(test_overlaps),
	};

	return cmocka_run_group_tests_name("sockets", tests, make_folder, remove_folder);
}
