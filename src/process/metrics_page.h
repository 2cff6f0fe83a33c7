/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The page that the supervisor writes once a second and the exporter serves: texts, rendered and ready
 * to be sent. The exporter parses none of them and can write none of them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum page_text { PAGE_OPENMETRICS, PAGE_TEXT, PAGE_PROTOBUF, PAGE_STATUS, N_PAGE_TEXTS };

struct page_layout;

/* The supervisor's side. */
struct metrics_page {
	struct page_layout *layout; /* NULL: there is none */
	int fd;                     /* owned; for exporters */
};

#define METRICS_PAGE_EMPTY ((struct metrics_page){.fd = -1})

/* Memory that is never written to is never taken: the page is as large as its texts. */
int metrics_page_make(struct metrics_page *ret_page);
void metrics_page_done(struct metrics_page *page);

/* A new edition: begin, one call for each text, then show it to the readers. A text that does not fit
 * is left out. */
void metrics_page_begin(struct metrics_page *page);
void metrics_page_put(
	struct metrics_page *page, enum page_text which, const char *text, size_t len);
void metrics_page_show(struct metrics_page *page, bool is_ready);

/* The exporter's side: maps it; -EINVAL when it is not of the right size. */
int metrics_page_attach(int fd, const struct page_layout **ret_layout);
/* Whether the daemon serves, as of the last edition, and how old that is. */
bool metrics_page_is_ready(const struct page_layout *layout, uint64_t *ret_age_ms);
/* A copy of a text, which the caller frees; -EAGAIN when there is none. */
int metrics_page_read(
	const struct page_layout *layout, enum page_text which, char **ret_text, size_t *ret_len);
