/* upstream_shown.h: which items a server shows to which clients. What its lists have for different
 * sets of capabilities (audience.h) is gathered, and what depends on them becomes part of the
 * offer, at the place where the server lists it. */
#ifndef UPSTREAM_SHOWN_H
#define UPSTREAM_SHOWN_H

#include "node/mcp/upstream/upstream_list.h"

struct upstream_shown_item;

/* Zero-initialised is nothing. */
struct upstream_shown {
    struct mn_arena arena;
    struct mn_map keys[UPSTREAM_LISTS];
    struct upstream_shown_item **items[UPSTREAM_LISTS];
    uint32_t counts[UPSTREAM_LISTS], capacities[UPSTREAM_LISTS];
    uint64_t asked; /* bit i: lists for the set i are in */
};

void upstream_shown_done(struct upstream_shown *shown);

/* Begins with what everybody sees: a packed offer of ours. */
void upstream_shown_begin(struct upstream_shown *shown, struct mn_buf *plain, uint64_t seed);

/* What clients with that set see. The first is that of all capabilities, and what it does not have
 * is not looked for in others. */
void upstream_shown_note(struct upstream_shown *shown, uint32_t set,
                         const struct upstream_list *list);

/* Whether what was noted last is what everybody sees. */
bool upstream_shown_is_plain(const struct upstream_shown *shown);

/* Whether something is shown to those with that set, and to no other that was asked for. */
bool upstream_shown_is_only(const struct upstream_shown *shown, uint32_t set);

/* Keeps what is not for everybody, and nothing else. */
void upstream_shown_conclude(const struct upstream_shown *shown, struct upstream_shown *ret,
                             uint64_t seed);
bool upstream_shown_is_empty(const struct upstream_shown *shown);

/* Its tools that are not for everybody but for some. */
uint32_t upstream_shown_tools(const struct upstream_shown *shown);

/* The offer with what was concluded: [plain] (a new ref) where that is nothing. NULL: it would be
 * larger than offers may be. */
struct mn_buf *upstream_shown_merge(const struct upstream_shown *shown, struct mn_buf *plain,
                                    uint64_t seed);

#endif
