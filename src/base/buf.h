/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes that have to wait: what was kept, from the front of which some is taken. Empty owns nothing. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct buf {
	uint8_t *data;
	uint32_t at, end;
};

#define BUF_EMPTY ((struct buf){0})
#define BUF_MAX   UINT32_MAX

static inline size_t buf_len(const struct buf *buf)
{
	return buf->end - buf->at;
}

static inline void buf_done(struct buf *buf)
{
	free(buf->data);
	*buf = BUF_EMPTY;
}

/* Fills an empty one with a copy. */
static inline int buf_keep(struct buf *buf, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	if (len > BUF_MAX)
		return -EOVERFLOW;
	buf->data = malloc(len);
	if (!buf->data)
		return -ENOMEM;
	memcpy(buf->data, data, len);
	buf->at = 0;
	buf->end = (uint32_t)len;
	return 0;
}

/* Takes `n` from the front, and gives the memory back with the last byte. */
static inline void buf_take(struct buf *buf, size_t n)
{
	buf->at += (uint32_t)n;
	if (buf->at == buf->end)
		buf_done(buf);
}
