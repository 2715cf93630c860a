/* upstream_shown.h: which items a server shows to which clients, and how it defines them for these.
 * What its lists have for clients that declare one thing or another (audience.h) is gathered, and
 * what depends on it becomes part of the offer, at the place where the server lists it. */
#ifndef UPSTREAM_SHOWN_H
#define UPSTREAM_SHOWN_H

#include "node/mcp/upstream/upstream_list.h"
#include "node/mcp/wire/audience.h"

#define UPSTREAM_EXTENSIONS_MAX 8 /* that one server is asked about */
#define UPSTREAM_ASKS_MAX 64

struct upstream_shown_item;

/* A client that declares that set and these extensions. */
struct upstream_ask {
    uint32_t set;
    uint32_t extensions; /* bit i: of upstream_shown.extensions[i] */
};

/* Zero-initialised is nothing. */
struct upstream_shown {
    struct mn_arena arena;
    struct mn_map keys[UPSTREAM_LISTS];
    struct upstream_shown_item **items[UPSTREAM_LISTS];
    uint32_t counts[UPSTREAM_LISTS], capacities[UPSTREAM_LISTS];
    struct audience_extension extensions[UPSTREAM_EXTENSIONS_MAX];
    uint32_t extensions_count;
    struct upstream_ask asks[UPSTREAM_ASKS_MAX]; /* first what everybody sees, then everything */
    uint32_t asks_count;
    size_t size; /* bytes of what is not in everybody's lists; at most UPSTREAM_OFFER_MAX */
};

void upstream_shown_done(struct upstream_shown *shown);

/* Begins with what everybody sees: a packed offer of ours. */
void upstream_shown_begin(struct upstream_shown *shown, struct mn_buf *plain, uint64_t seed);

/* An extension that clients may declare; more than there is room for, and second ones, are not. */
void upstream_shown_know(struct upstream_shown *shown, struct mn_span name,
                         struct mn_span settings);

/* What clients that declare that see. Who is asked once more as the first time, and defines
 * something otherwise, has no definitions that depend on who asks. */
void upstream_shown_note(struct upstream_shown *shown, struct upstream_ask ask,
                         const struct upstream_list *list);

/* How often it was noted. */
uint32_t upstream_shown_times(const struct upstream_shown *shown, struct upstream_ask ask);

/* Whether the newest answer to it is not what everybody sees. */
bool upstream_shown_differs(const struct upstream_shown *shown, struct upstream_ask ask);

/* Whether something is so for that client, and for no other asked with the same extensions. */
bool upstream_shown_is_only(const struct upstream_shown *shown, struct upstream_ask ask);

/* Whether something was defined in two ways. */
bool upstream_shown_has_variants(const struct upstream_shown *shown);

/* Whether the answer to the second ask, that of everything, is what the others let expect. */
bool upstream_shown_is_explained(const struct upstream_shown *shown);

/* Keeps what is not for everybody, and nothing else. */
void upstream_shown_conclude(const struct upstream_shown *shown, struct upstream_shown *ret,
                             uint64_t seed);
bool upstream_shown_is_empty(const struct upstream_shown *shown);

/* Adds what makes a difference to something that was concluded. */
void upstream_shown_add_relevant(const struct upstream_shown *shown,
                                 struct audience_relevant *relevant);

/* Its tools that are not for everybody but for some. */
uint32_t upstream_shown_tools(const struct upstream_shown *shown);

/* The offer with what was concluded: [plain] (a new ref) where that is nothing. NULL: it would be
 * larger than offers may be. */
struct mn_buf *upstream_shown_merge(const struct upstream_shown *shown, struct mn_buf *plain,
                                    uint64_t seed);

#endif
