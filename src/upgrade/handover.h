/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From one supervisor to the next, across an exec: sockets in the LISTEN_FDS protocol, and everything else
 * as lines of text in sealed memory, with the numbers of the descriptors that come along. A line is a
 * word and what belongs to it; words that are not known are passed over. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sockets/inherit.h"
#include "sockets/sockets.h"

/* Being written. */
struct handover {
	FILE *state; /* for lines; closed by handover_exec() */
	char *text;
	size_t len;
	int above; /* duplicates have higher numbers than what the protocol fixes */
	int *fds;  /* duplicates, owned */
	size_t n_fds;
	struct inheritance sockets; /* duplicates, owned */
	bool trial;                 /* what cannot be executed is not replaced */
	int error;                  /* the first; handover_exec() returns it */
};

#define HANDOVER_EMPTY ((struct handover){0})

int handover_begin(struct handover *handover, size_t n_sockets);
/* The number that the descriptor will have; it stays the caller's. */
int handover_fd(struct handover *handover, int fd);
/* A listening socket. */
void handover_socket(struct handover *handover, const struct socket_entry *entry);
/* Becomes `path`. Returns only what went wrong before anything was changed; after that, a program that
 * cannot be executed is replaced by the present one. */
int handover_exec(struct handover *handover, const char *path, char *const argv[]);
void handover_done(struct handover *handover);
#define _cleanup_handover_ __attribute__((cleanup(handover_done)))

/* The handover to this process: its text, or NULL. Once only. */
int handover_take(char **ret_text);
/* Calls for each line; stops at the first that does not return 0, and returns that. */
int handover_each(const char *text, int (*on_line)(void *userdata, const char *word, char *rest),
	void *userdata);
/* The next word or number of a line, which moves behind it; an empty word, or -1, when there is none. */
const char *handover_word(char **line);
int64_t handover_number(char **line);
/* The next number as a descriptor that came along, from now on closed on exec; -1 when there is none. */
int handover_own(char **line);
