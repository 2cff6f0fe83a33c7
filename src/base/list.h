/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Doubly linked lists whose nodes live in their elements. A node not in a list points to itself. */

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name) ((struct list){&(name), &(name)})

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* The element may be removed inside the loop. */
#define list_foreach(node, all)                                                   \
	for (struct list *node = (all)->next, *_next = node->next; node != (all); \
		node = _next, _next = node->next)

static inline void list_init(struct list *list)
{
	list->next = list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
}

static inline void list_append(struct list *list, struct list *node)
{
	list_insert_before(list, node);
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Moves all elements to the end of another list. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}
