/* SPDX-License-Identifier: Apache-2.0 */

/* A page comes over an upgrade as these lines, behind that of its child:
 *
 *     page fd FD OPEN                   with the place of the number of open connections
 *     page words W1 W2 ...              the names of the numbers of the parts that follow, in their order
 *     page part OFFSET TRANSPORT NAME   the numbers of a listener; those of the process have no name
 *
 * Numbers whose names this program knows are added up under these names; all others are passed over. The lines are
 * kept, so that a program after this one can read what this one does not know.
 *
 * The description is of our own predecessor, and is checked here once: each part is within the page, and the page
 * cannot shrink. The numbers are written by a child that may have been taken over: they are read, added with
 * saturation, and never used as a place or a length. */

#include "upgrade/counter_page.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/counters.h"

#define UNKNOWN UINT16_MAX

struct page_part {
	char *name; /* empty: of the process */
	unsigned transport;
	size_t offset, n;
	uint16_t *places; /* of each number, among those of this program */
};

/* Describing */

static void describe_words(FILE *out, counter_words *words)
{
	char word[COUNTER_WORD];

	fprintf(out, "page words");
	for (size_t i = 0; words(i, word); i++)
		fprintf(out, " %s", word);
	fprintf(out, "\n");
}

void counter_page_describe_own(struct handover *h, int fd, const struct conf *conf)
{
	fprintf(h->state, "page fd %d %zu\n", handover_fd(h, fd), offsetof(struct counters, open));
	describe_words(h->state, common_word);
	fprintf(h->state, "page part %zu 0 \n", offsetof(struct counters, common));
	describe_words(h->state, listener_word);
	for (size_t i = 0; i < conf->n_listeners; i++)
		fprintf(h->state, "page part %zu %u %s\n", counters_size(i),
			(unsigned)conf->listeners[i].transport, conf->listeners[i].name);
}

void counter_page_describe(struct handover *h, const struct counter_page *page)
{
	if (page->fd < 0)
		return;
	fprintf(h->state, "page fd %d %" PRIu64 "\n%s", handover_fd(h, page->fd), page->open_at,
		page->text ? page->text : "");
}

/* Taking over */

/* A page that could shrink would end the reader. */
static int map_page(struct counter_page *page, char *rest)
{
	int64_t open_at;
	struct stat stat;
	void *memory;

	if (page->fd >= 0)
		return -EINVAL;
	page->fd = handover_own(&rest);
	open_at = handover_number(&rest);
	if (page->fd < 0 || fstat(page->fd, &stat) < 0)
		return -EINVAL;
	if (!(fcntl(page->fd, F_GET_SEALS) & F_SEAL_SHRINK) || open_at < 0 || open_at % 8 != 0 ||
		open_at > stat.st_size - 8)
		return -EINVAL;
	memory = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, page->fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	page->memory = memory;
	page->size = (size_t)stat.st_size;
	page->open_at = (uint64_t)open_at;
	return 0;
}

/* The places of all words, in their order. */
static int find_places(const char *text, counter_words *known, struct page_part *part)
{
	_cleanup_free_ char *words = strdup(text);
	char *rest = words;
	size_t place = SIZE_MAX, n = 1;

	for (const char *blank = text; (blank = strchr(blank, ' ')); blank++)
		n++;
	part->places = calloc(n, sizeof(*part->places));
	if (!words || !part->places)
		return -ENOMEM;
	while (rest) {
		place = counter_place(known, handover_word(&rest), place + 1);
		part->places[part->n++] = place < UNKNOWN ? (uint16_t)place : UNKNOWN;
	}
	return 0;
}

static int read_part(struct counter_page *page, char *rest, struct page_part *part)
{
	int64_t offset = handover_number(&rest), transport = handover_number(&rest);
	int r;

	part->name = strdup(rest ? rest : "");
	if (!part->name)
		return -ENOMEM;
	r = find_places(page->words, *part->name ? listener_word : common_word, part);
	if (r < 0)
		return r;
	if (offset < 0 || offset % 8 != 0 || (uint64_t)offset > page->size ||
		part->n > (page->size - (size_t)offset) / 8 || transport < 0 || transport > 31)
		return -EINVAL;
	part->offset = (size_t)offset;
	part->transport = (unsigned)transport;
	return 0;
}

static void part_done(struct page_part *part)
{
	free(part->name);
	free(part->places);
}

static int add_part(struct counter_page *page, char *rest)
{
	struct page_part part = {0}, *parts;
	int r;

	if (!page->words)
		return -EINVAL;
	r = read_part(page, rest, &part);
	parts = r < 0 ? NULL : reallocarray(page->parts, page->n_parts + 1, sizeof(*parts));
	if (!parts) {
		part_done(&part);
		return r < 0 ? r : -ENOMEM;
	}
	page->parts = parts;
	parts[page->n_parts++] = part;
	return 0;
}

static int keep_line(struct counter_page *page, const char *word, const char *rest)
{
	_cleanup_free_ char *before = take_ptr(&page->text);

	if (asprintf(&page->text, "%spage %s %s\n", before ? before : "", word, rest) >= 0)
		return 0;
	page->text = NULL;
	return -ENOMEM;
}

int counter_page_take(struct counter_page *page, char *line)
{
	const char *word = handover_word(&line);
	int r;

	if (!line)
		return -EINVAL;
	if (strcmp(word, "fd") == 0)
		return map_page(page, line);
	if (!page->memory)
		return -EINVAL;
	r = keep_line(page, word, line);
	if (r < 0)
		return r;
	if (strcmp(word, "part") == 0)
		return add_part(page, line);
	free(page->words);
	page->words = strdup(line);
	return page->words ? 0 : -ENOMEM;
}

void counter_page_done(struct counter_page *page)
{
	for (size_t i = 0; i < page->n_parts; i++)
		part_done(&page->parts[i]);
	free(page->parts);
	free(page->words);
	free(page->text);
	if (page->memory)
		munmap(page->memory, page->size);
	if (page->fd >= 0)
		close(page->fd);
	*page = COUNTER_PAGE_EMPTY;
}

/* Reading */

static uint64_t page_number(const struct counter_page *page, size_t offset)
{
	return __atomic_load_n((const uint64_t *)(void *)(page->memory + offset), __ATOMIC_RELAXED);
}

static void read_numbers(
	const struct counter_page *page, const struct page_part *part, uint64_t *ret_numbers)
{
	for (size_t i = 0; i < part->n; i++)
		if (part->places[i] != UNKNOWN)
			ret_numbers[part->places[i]] = page_number(page, part->offset + 8 * i);
}

void counter_page_add(const struct counter_page *page, bool is_over, struct sums *sums)
{
	for (size_t i = 0; i < page->n_parts; i++) {
		const struct page_part *part = &page->parts[i];
		struct common_counters common = {0};
		struct listener_counters one = {0};

		read_numbers(page, part, *part->name ? (uint64_t *)&one : (uint64_t *)&common);
		if (*part->name == '\0') {
			sums_add_common(sums, &common);
			continue;
		}
		if (is_over)
			one.counted[COUNT_closed] = one.counted[COUNT_connections];
		sums_add(sums, part->name, &one);
		sums_set_transport(sums, part->name, part->transport);
	}
}

uint64_t counter_page_open(const struct counter_page *page, uint64_t most)
{
	uint64_t open = page->memory ? page_number(page, page->open_at) : 0;

	return open < most ? open : most;
}
