/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The counters of a child of the program before: a page that the child goes on writing, and a description of it
 * by names, since that program may have counted other things in other places. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf/conf.h"
#include "generation/sums.h"
#include "upgrade/handover.h"

struct counter_page {
	int fd;          /* owned */
	uint8_t *memory; /* mapped to be read */
	size_t size;
	uint64_t open_at; /* the place of the number of open connections */
	char *words;      /* of the parts that follow */
	char *text;       /* all lines but the first, for the next handover */
	struct page_part *parts;
	size_t n_parts;
};

#define COUNTER_PAGE_EMPTY ((struct counter_page){.fd = -1})

/* As lines: of a child of this program, and of a page that was taken over. */
void counter_page_describe_own(struct handover *handover, int fd, const struct conf *conf);
void counter_page_describe(struct handover *handover, const struct counter_page *page);
/* Takes up the rest of one of these lines. -EINVAL: it makes no sense. */
int counter_page_take(struct counter_page *page, char *line);
void counter_page_done(struct counter_page *page);

/* Adds all that is known by name. With `is_over`, no connection is open any more. */
void counter_page_add(const struct counter_page *page, bool is_over, struct sums *sums);
/* The connections that are open, `most` at most. */
uint64_t counter_page_open(const struct counter_page *page, uint64_t most);
