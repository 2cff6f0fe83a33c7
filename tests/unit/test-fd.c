/* SPDX-License-Identifier: Apache-2.0 */

/* Memory that holds its promises, files read whole, and writes that never wait. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

/* Longer than any step by which a reader grows its buffer. */
static char big[100000];

static char folder[] = "/tmp/test-fd.XXXXXX";

static int make_folder(void **state)
{
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + i / 256);

	/* Nothing here may wait; what does is ended. */
	alarm(60);
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return rmdir(folder);
}

static void path_of(const char *name, char path[static PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", folder, name);
}

static bool closes_on_exec(int fd)
{
	return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static void open_pipe(int *ret_from, int *ret_to)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	*ret_from = ends[0];
	*ret_to = ends[1];
}

static void expect_all(int fd, const char *expected, size_t expected_len)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	assert_int_equal(fd_read_all(fd, sizeof(big), &text, &len), 0);
	assert_int_equal(len, expected_len);
	assert_memory_equal(text, expected, len);
	assert_int_equal(text[len], '\0');
}

static void test_sealed(void **state)
{
	_cleanup_close_ int fd = -1;

	assert_int_equal(fd_sealed("test", big, sizeof(big), &fd), 0);
	assert_true(closes_on_exec(fd));

	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(pwrite(fd, "x", 1, sizeof(big)), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_ptr_equal(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);

	/* Twice, since several children read the same one. */
	expect_all(fd, big, sizeof(big));
	expect_all(fd, big, sizeof(big));
}

static void test_sealed_empty(void **state)
{
	_cleanup_close_ int fd = -1;

	assert_int_equal(fd_sealed("test", "", 0, &fd), 0);
	expect_all(fd, "", 0);
}

/* Into a file of the folder, opened for reading. */
static int file_of(const char *data, size_t len)
{
	char path[PATH_MAX];
	int fd;

	path_of("file", path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void test_sealed_copy(void **state)
{
	static const size_t lens[] = {0, 1, 4096, sizeof(big)};

	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		_cleanup_close_ int from = file_of(big, lens[i]), fd = -1;

		assert_int_equal(fd_sealed_copy("test", from, sizeof(big), &fd), 0);
		assert_true(closes_on_exec(fd));
		assert_int_equal(pwrite(from, "changed", 7, 0), 7);
		expect_all(fd, big, lens[i]);
		assert_int_equal(pwrite(fd, "x", 1, 0), -1);
		assert_int_equal(ftruncate(fd, sizeof(big) + 1), -1);
	}
}

static void test_sealed_copy_has_a_limit(void **state)
{
	_cleanup_close_ int from = file_of(big, 100), fd = -1;

	assert_int_equal(fd_sealed_copy("test", from, 99, &fd), -EFBIG);
	assert_int_equal(fd, -1);
	assert_int_equal(lseek(from, 0, SEEK_SET), 0);
	assert_int_equal(fd_sealed_copy("test", from, 100, &fd), 0);
}

/* Of proc, which does not say how long its files are, and on many kernels cannot send them. */
static void test_sealed_copy_of_proc(void **state)
{
	_cleanup_close_ int from = open("/proc/self/status", O_RDONLY | O_CLOEXEC), fd = -1;
	char some[5] = "";

	assert_int_equal(fd_sealed_copy("test", from, sizeof(big), &fd), 0);
	assert_int_equal(pread(fd, some, 5, 0), 5);
	assert_memory_equal(some, "Name:", 5);
}

static void test_shared(void **state)
{
	_cleanup_close_ int fd = -1;
	char *one, *other;

	assert_int_equal(fd_shared("test", 4096, &fd), 0);
	assert_true(closes_on_exec(fd));
	assert_int_equal(ftruncate(fd, 8192), -1);
	assert_int_equal(ftruncate(fd, 0), -1);

	one = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	other = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(one, MAP_FAILED);
	assert_ptr_not_equal(other, MAP_FAILED);
	assert_int_equal(other[4095], 0);
	one[4095] = 'x';
	assert_int_equal(other[4095], 'x');

	munmap(one, 4096);
	munmap(other, 4096);
}

/* Only the first mapping writes, and whoever has the descriptor sees it. */
static void test_published(void **state)
{
	const int flags = PROT_READ | PROT_WRITE;
	_cleanup_close_ int fd = -1;
	const char *seen;
	void *page;

	assert_int_equal(fd_published("page", 4096, &fd, &page), 0);
	seen = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(seen, MAP_FAILED);
	strcpy(page, "news");
	assert_string_equal(seen, "news");

	assert_ptr_equal(mmap(NULL, 4096, flags, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(mprotect((void *)(uintptr_t)seen, 4096, flags), -1);
	assert_int_equal(pwrite(fd, "lies", 4, 0), -1);
	assert_int_equal(ftruncate(fd, 8192), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_string_equal(seen, "news");
	munmap((void *)(uintptr_t)seen, 4096);
	munmap(page, 4096);
}

static void test_read_bounds(void **state)
{
	static const size_t sizes[] = {1, 4095, 4096, 4097, sizeof(big) - 1};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		_cleanup_close_ int fd = -1;
		_cleanup_free_ char *text = NULL;
		char *untouched = big;
		size_t len = 4711;

		assert_int_equal(fd_sealed("test", big, sizes[i], &fd), 0);
		assert_int_equal(fd_read_all(fd, sizes[i] - 1, &untouched, &len), -EFBIG);
		assert_ptr_equal(untouched, big);
		assert_int_equal(len, 4711);

		assert_int_equal(fd_read_all(fd, sizes[i], &text, &len), 0);
		assert_int_equal(len, sizes[i]);
		assert_memory_equal(text, big, len);
	}
}

/* A pipe says no size and has no positions. */
static void test_read_pipe(void **state)
{
	_cleanup_close_ int from = -1, to = -1;

	open_pipe(&from, &to);
	assert_int_equal(write(to, big, 20000), 20000);
	close(take_fd(&to));

	expect_all(from, big, 20000);
}

/* /proc says 0 for a size, and holds more. */
static void test_read_unsized(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	assert_int_equal(fd_read_path("/proc/self/status", sizeof(big), &text, &len), 0);
	assert_memory_equal(text, "Name:", 5);
	assert_int_equal(strlen(text), len);
}

static void test_read_path(void **state)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t len = 0;

	path_of("file", path);
	assert_int_equal(fd_read_path(path, 10, &text, &len), -ENOENT);
	assert_int_equal(fd_read_path(folder, 10, &text, &len), -EISDIR);
	assert_int_equal(fd_read_path("/dev/zero", 10, &text, &len), -EFBIG);
	assert_null(text);

	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "hello", 5), 5);
	assert_int_equal(fd_read_path(path, 5, &text, &len), 0);
	assert_string_equal(text, "hello");

	unlink(path);
}

/* With a writer that says nothing, and without any. */
static void test_read_fifo(void **state)
{
	_cleanup_close_ int writer = -1;
	_cleanup_free_ char *text = NULL, *nothing = NULL;
	char path[PATH_MAX];
	size_t len = 4711;

	path_of("fifo", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(fd_read_path(path, 10, &text, &len), 0);
	assert_int_equal(len, 0);

	writer = open(path, O_RDWR | O_CLOEXEC);
	assert_true(writer >= 0);
	assert_int_equal(fd_read_path(path, 10, &nothing, &len), -EAGAIN);

	unlink(path);
}

static void test_write_ready(void **state)
{
	_cleanup_close_ int from = -1, to = -1;
	char text[FD_WRITE_READY_MAX];

	open_pipe(&from, &to);
	assert_int_equal(fcntl(to, F_SETPIPE_SZ, 4096), 4096);
	assert_int_equal(fd_write_ready(to, big, sizeof(text)), 0);

	assert_int_equal(fd_write_ready(to, big, 1), -EAGAIN);

	assert_int_equal(read(from, text, sizeof(text)), sizeof(text));
	assert_memory_equal(text, big, sizeof(text));

	/* SIGPIPE would end the test here. */
	close(take_fd(&from));
	assert_int_equal(fd_write_ready(to, big, 1), -EPIPE);
}

static void test_nonblock(void **state)
{
	_cleanup_close_ int from = -1, to = -1;
	char byte;

	open_pipe(&from, &to);
	assert_int_equal(fd_nonblock(from), 0);
	assert_int_equal(read(from, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fd_nonblock(-1), -EBADF);
}

/* In a process of its own, since the results of a test go to the same three. */
static void test_fill_standard(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		bool filled;

		close(STDIN_FILENO);
		close(STDERR_FILENO);
		filled = fd_fill_standard() == 0 && fcntl(STDIN_FILENO, F_GETFL) >= 0 &&
			fcntl(STDERR_FILENO, F_GETFL) >= 0;
		/* It is open, and of no use. */
		filled = filled && read(STDIN_FILENO, &filled, 1) < 0 && errno == EBADF &&
			write(STDERR_FILENO, "x", 1) < 0 && errno == EBADF;
		_exit(filled ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_sealed_empty),
		cmocka_unit_test(test_sealed_copy),
		cmocka_unit_test(test_sealed_copy_has_a_limit),
		cmocka_unit_test(test_sealed_copy_of_proc),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_read_bounds),
		cmocka_unit_test(test_read_pipe),
		cmocka_unit_test(test_read_unsized),
		cmocka_unit_test(test_read_path),
		cmocka_unit_test(test_read_fifo),
		cmocka_unit_test(test_write_ready),
		cmocka_unit_test(test_nonblock),
		cmocka_unit_test(test_fill_standard),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
