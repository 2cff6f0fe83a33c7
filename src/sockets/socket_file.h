/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The file of a unix socket that listens. The folder may belong to another user, who can put anything at
 * the path at any time: nothing is done to a file that is not the one that bind() made. */

#include <stdbool.h>
#include <sys/types.h>

struct listen_spec;

/* The file as bind() made it. All zero: the socket has none. */
struct socket_file {
	dev_t device;
	ino_t inode;
};

#define SOCKET_FILE_NONE ((struct socket_file){0})

/* At the path there is something else; it is left as it is. */
enum { SOCKET_FILE_E_OTHER = 1 };

/* Binds `fd`, and gives its file the mode, owner and group. -EADDRINUSE: a socket at the path answers, or
 * something at it is no socket. */
int socket_file_bind(const struct listen_spec *spec, int fd, struct socket_file *ret_file);
/* The mode, owner and group once more. */
int socket_file_adjust(const struct listen_spec *spec, const struct socket_file *file);
/* There is nothing at the path any more. */
bool socket_file_is_gone(const struct listen_spec *spec);
int socket_file_remove(const struct listen_spec *spec, const struct socket_file *file);
