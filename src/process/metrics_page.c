/* SPDX-License-Identifier: Apache-2.0 */

/* There are two copies. The writer fills the one that no reader is sent to, and then says that it is the
 * newer one: a reader always finds one that is whole, even when the writer is stopped half-way. A reader
 * that took so long that its copy may have been written over meanwhile begins again. */

#include "process/metrics_page.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define COPY_ROOM (16U << 20)

struct page_copy {
	uint32_t begins[N_PAGE_TEXTS], lengths[N_PAGE_TEXTS]; /* in `text` */
	uint32_t used;
	uint32_t is_ready;
	uint64_t written_ms; /* by CLOCK_MONOTONIC, which is the same in all processes */
	char text[COPY_ROOM];
};

struct page_layout {
	_Atomic(uint64_t) edition; /* 0: nothing was written yet; the copy is edition % 2 */
	struct page_copy copies[2];
};

int metrics_page_make(struct metrics_page *ret_page)
{
	struct metrics_page page = METRICS_PAGE_EMPTY;
	void *layout;
	int r;

	r = fd_published("upperd-metrics", sizeof(*page.layout), &page.fd, &layout);
	if (r < 0)
		return r;
	page.layout = layout;

	*ret_page = page;
	return 0;
}

void metrics_page_done(struct metrics_page *page)
{
	if (!page->layout)
		return;
	munmap(page->layout, sizeof(*page->layout));
	close(page->fd);
	*page = METRICS_PAGE_EMPTY;
}

static struct page_copy *next_copy(struct metrics_page *page)
{
	return &page->layout->copies[(atomic_load(&page->layout->edition) + 1) % 2];
}

void metrics_page_begin(struct metrics_page *page)
{
	struct page_copy *copy = next_copy(page);

	memset(copy, 0, offsetof(struct page_copy, text));
}

void metrics_page_put(struct metrics_page *page, enum page_text which, const char *text, size_t len)
{
	struct page_copy *copy = next_copy(page);

	if (len > COPY_ROOM - copy->used)
		return;
	memcpy(copy->text + copy->used, text, len);
	copy->begins[which] = copy->used;
	copy->lengths[which] = (uint32_t)len;
	copy->used += (uint32_t)len;
}

void metrics_page_show(struct metrics_page *page, bool is_ready)
{
	struct page_copy *copy = next_copy(page);

	copy->is_ready = is_ready;
	copy->written_ms = clock_ms();
	atomic_fetch_add(&page->layout->edition, 1);
}

int metrics_page_attach(int fd, const struct page_layout **ret_layout)
{
	struct stat st;
	void *memory;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size != sizeof(struct page_layout))
		return -EINVAL;
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;

	*ret_layout = memory;
	return 0;
}

bool metrics_page_is_ready(const struct page_layout *layout, uint64_t *ret_age_ms)
{
	uint64_t edition = atomic_load(&layout->edition);
	const struct page_copy *copy = &layout->copies[edition % 2];
	uint64_t now_ms = clock_ms();

	*ret_age_ms = edition > 0 && now_ms > copy->written_ms ? now_ms - copy->written_ms : 0;
	return edition > 0 && copy->is_ready;
}

int metrics_page_read(
	const struct page_layout *layout, enum page_text which, char **ret_text, size_t *ret_len)
{
	uint64_t edition = atomic_load(&layout->edition);

	while (edition > 0) {
		const struct page_copy *copy = &layout->copies[edition % 2];
		size_t begin = copy->begins[which], len = copy->lengths[which];
		uint64_t was = edition;
		char *text;

		if (begin > COPY_ROOM || len > COPY_ROOM - begin || len == 0)
			text = NULL;
		else if (!(text = malloc(len)))
			return -ENOMEM;
		else
			memcpy(text, copy->text + begin, len);
		atomic_thread_fence(memory_order_acquire);
		edition = atomic_load(&layout->edition);
		if (edition == was && text) {
			*ret_text = text;
			*ret_len = len;
			return 0;
		}
		free(text);
		if (edition == was)
			break;
	}
	return -EAGAIN;
}
