/* list.h: intrusive doubly linked list. The head is a node of its own; an entry that is in no list
 * is linked to itself, so removing it twice is harmless. */
#ifndef MN_LIST_H
#define MN_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct mn_list {
    struct mn_list *next, *prev;
};

#define MN_CONTAINER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define MN_LIST_FOR_EACH(entry, head) \
    for (struct mn_list *entry = (head)->next; entry != (head); entry = entry->next)

/* The current entry may be removed and freed; no other one. */
#define MN_LIST_FOR_EACH_SAFE(entry, head)                                                   \
    for (struct mn_list *entry = (head)->next, *entry##_next = entry->next; entry != (head); \
         entry = entry##_next, entry##_next = entry->next)

static inline void mn_list_init(struct mn_list *list)
{
    list->next = list->prev = list;
}

static inline bool mn_list_is_empty(const struct mn_list *head)
{
    return head->next == head;
}

static inline void mn_list_insert_before(struct mn_list *position, struct mn_list *entry)
{
    entry->next = position;
    entry->prev = position->prev;
    position->prev->next = entry;
    position->prev = entry;
}

static inline void mn_list_push_back(struct mn_list *head, struct mn_list *entry)
{
    mn_list_insert_before(head, entry);
}

static inline void mn_list_push_front(struct mn_list *head, struct mn_list *entry)
{
    mn_list_insert_before(head->next, entry);
}

static inline void mn_list_remove(struct mn_list *entry)
{
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    mn_list_init(entry);
}

/* The first entry, removed; NULL when empty. */
static inline struct mn_list *mn_list_take(struct mn_list *head)
{
    struct mn_list *first = head->next;
    if (first == head) return NULL;
    mn_list_remove(first);
    return first;
}

/* All entries of [from], which is empty then, behind those of [to]. */
static inline void mn_list_append(struct mn_list *to, struct mn_list *from)
{
    if (mn_list_is_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    mn_list_init(from);
}

#endif
