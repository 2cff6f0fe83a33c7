/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Descriptors: sealed memory, shared pages, whole files. All are close-on-exec. */

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* the program ignores SIGPIPE */
#endif

/* A memory file that holds `data` and can never change. */
int fd_sealed(const char *name, const void *data, size_t len, int *ret_fd);
/* A memory file with what `from` holds from its offset on, copied by the kernel, which can never change;
 * -EFBIG above `max`. */
int fd_sealed_copy(const char *name, int from, size_t max, int *ret_fd);
/* A memory file of `size` zero bytes that cannot grow or shrink. */
int fd_shared(const char *name, size_t size, int *ret_fd);
/* The same, mapped at `ret_page`, by which alone it can be written: who maps the descriptor can read. */
int fd_published(const char *name, size_t size, int *ret_fd, void **ret_page);

/* All of what a descriptor holds, from its start, with a NUL after it; -EFBIG above `max`. */
int fd_read_all(int fd, size_t max, char **ret_text, size_t *ret_len);
/* The same for a path: -EISDIR for a folder, and never waits for a fifo or a device. */
int fd_read_path(const char *path, size_t max, char **ret_text, size_t *ret_len);

/* The most that one write that never waits can carry; a pipe takes this much whole or not at all. */
#define FD_WRITE_READY_MAX 4096

/* Writes at most FD_WRITE_READY_MAX bytes if the descriptor has room now, even if it is a blocking
 * one that others share; -EAGAIN when it has none. */
int fd_write_ready(int fd, const void *data, size_t len);

int fd_nonblock(int fd);

/* The drops of the system at a socket since that was made: datagrams without room in the receive buffer,
 * attempts to connect without room in the queue of a listening one. */
uint32_t fd_drops(int fd);

/* A socket that does not block, or -1 and errno. */
int fd_socket(int family, int type);

/* Descriptors 0 to 2 that the caller has closed are opened on /dev/null, the wrong way round, so that
 * using one still fails. The first call in main(): otherwise the next socket or memory file takes the
 * number, and gets every line that is meant for the terminal. */
int fd_fill_standard(void);
