/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the supervisor puts up, once a second, all that it has counted, for the exporter to read. The
 * exporter is given no page that a worker writes, and none that it could write itself; and what it reads
 * goes on growing over reloads and crashes, of which it knows nothing. */

#include "supervisor/metrics.h"

struct board_page;

/* The supervisor's side. */
struct board {
	struct board_page *page; /* NULL: there is none */
	size_t size;
	int fd; /* owned; for the exporter */
};

#define BOARD_EMPTY ((struct board){.fd = -1})

/* With room for as many listeners. */
int board_make(struct board *ret_board, size_t listeners);
void board_done(struct board *board);
/* What there is no room for is left out. Does nothing without a page. */
void board_write(struct board *board, const struct figures *figures, const struct totals *totals);

/* The exporter's: maps it; -EINVAL when it is too small to be one. */
int board_attach(int fd, const struct board_page **ret_page);
/* Adds what stands there to empty totals; -EAGAIN when nothing was ever written. */
int board_read(const struct board_page *page, struct figures *ret_figures, struct totals *totals);
