/* SPDX-License-Identifier: Apache-2.0 */

/* There are two copies. The writer fills the one that nobody is sent to, and then says that it is the
 * newer one, so that a reader always finds one that is whole, even if the writer is stopped in the
 * middle. A reader that is overtaken meanwhile begins again. */

#include "supervisor/board.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define BOARD_NAME 72

struct board_row {
	char name[BOARD_NAME];
	struct listener_counters counters;
};

struct board_copy {
	struct figures figures;
	uint64_t records_lost;
	uint64_t n;
};

struct board_page {
	_Atomic(uint64_t) edition; /* 0: nothing was written yet; the copy is edition % 2 */
	uint64_t room;             /* rows in each copy */
	struct board_copy copies[2];
	struct board_row rows[]; /* of the first copy, then of the second */
};

static size_t page_size(size_t room)
{
	return sizeof(struct board_page) + 2 * room * sizeof(struct board_row);
}

static size_t page_room(size_t size)
{
	return (size - page_size(0)) / (2 * sizeof(struct board_row));
}

int board_make(struct board *ret_board, size_t listeners)
{
	struct board board = {.size = page_size(listeners)};
	void *page;
	int r;

	r = fd_published("upperd-board", board.size, &board.fd, &page);
	if (r < 0)
		return r;
	board.page = page;
	board.page->room = listeners;

	*ret_board = board;
	return 0;
}

void board_done(struct board *board)
{
	if (!board->page)
		return;
	munmap(board->page, board->size);
	close(board->fd);
	*board = BOARD_EMPTY;
}

void board_write(struct board *board, const struct figures *figures, const struct totals *totals)
{
	struct board_page *page = board->page;
	struct board_copy *copy;
	struct board_row *rows;
	uint64_t edition;

	if (!page)
		return;
	edition = atomic_load(&page->edition) + 1;
	copy = &page->copies[edition % 2];
	rows = &page->rows[edition % 2 * page->room];
	copy->figures = *figures;
	copy->records_lost = totals->records_lost;
	copy->n = totals->n < page->room ? totals->n : page->room;
	for (size_t i = 0; i < copy->n; i++) {
		snprintf(rows[i].name, sizeof(rows[i].name), "%s", totals->list[i].name);
		rows[i].counters = totals->list[i].counters;
	}
	atomic_store(&page->edition, edition);
}

int board_attach(int fd, const struct board_page **ret_page)
{
	const struct board_page *page;
	struct stat st;
	void *memory;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size < sizeof(*page))
		return -EINVAL;
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	page = memory;
	if (page->room != page_room((size_t)st.st_size)) {
		munmap(memory, (size_t)st.st_size);
		return -EINVAL;
	}

	*ret_page = page;
	return 0;
}

static void read_copy(const struct board_page *page, uint64_t edition, struct figures *ret_figures,
	struct totals *totals)
{
	const struct board_copy *copy = &page->copies[edition % 2];
	const struct board_row *rows = &page->rows[edition % 2 * page->room];

	*ret_figures = copy->figures;
	totals->records_lost = copy->records_lost;
	for (size_t i = 0; i < copy->n && i < page->room; i++)
		totals_add(totals, rows[i].name, &rows[i].counters);
}

int board_read(const struct board_page *page, struct figures *ret_figures, struct totals *totals)
{
	uint64_t edition;

	do {
		totals_done(totals);
		edition = atomic_load(&page->edition);
		if (edition == 0)
			return -EAGAIN;
		read_copy(page, edition, ret_figures, totals);
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load(&page->edition) != edition);
	return 0;
}
