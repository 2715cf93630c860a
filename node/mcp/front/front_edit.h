/* front_edit.h: what a client is told in other words than its server said it: links that lead to
 * their server, contents that its revision does not know, the URI or the task id that it knows. One
 * look through the text finds the places, slice by slice if it is a large one; all else stays as it
 * was. */
#ifndef FRONT_EDIT_H
#define FRONT_EDIT_H

#include "node/json/feed.h"
#include "node/mcp/front/front_state.h"
#include "node/mcp/wire/pieces.h"

/* The containers that matter are at most so deep, and what is in them once more. */
#define FRONT_EDIT_DEPTH 5

/* Members of a result in which something can change: each is a change of its own, for what goes out
 * may have others between them, or not all of them. */
#define FRONT_EDIT_CHANGES_MAX 6

/* What an open array or object is, or what a value is for. */
enum front_edit_role {
    FRONT_EDIT_NONE = 0,
    FRONT_EDIT_RESULT,
    FRONT_EDIT_BLOCKS, /* arrays: their elements are the next role */
    FRONT_EDIT_BLOCK,
    FRONT_EDIT_MESSAGES,
    FRONT_EDIT_MESSAGE,
    FRONT_EDIT_ITEMS,
    FRONT_EDIT_ITEM,
    FRONT_EDIT_RESOURCE,
    FRONT_EDIT_TASK,
    FRONT_EDIT_META,
    FRONT_EDIT_RELATED,
    FRONT_EDIT_NAMED, /* texts: replaced if they are [from]; the others are kept for their block */
    FRONT_EDIT_TYPE,
    FRONT_EDIT_URI,
    FRONT_EDIT_RESOURCE_URI,
    FRONT_EDIT_NAME,
    FRONT_EDIT_MIME,
    FRONT_EDIT_ROLES
};

struct front_edit_place {
    size_t begin, end; /* end 0: there is none */
    bool has_escapes;
};

struct front_edit {
    struct front *front;
    const struct front_call *call; /* whose result it is; NULL: it is none */
    uint32_t what;                 /* kinds of front_edit.c; 0: nothing can change */
    struct mn_span from, to;       /* what a text is called, and what instead */
    struct mn_span text;
    struct mn_buf *source;        /* borrowed; NULL: it is none */
    struct json_feed *feed;       /* borrowed: that looks at it */
    size_t effort;                /* left to find out where links lead */
    struct front_edit_place link; /* the newest one that was looked up: many are the same */
    bool is_leading;              /* it leads to its server as it is */
    struct {
        enum front_edit_role role;
        uint32_t seen; /* members that were there: the first of a name counts */
    } levels[FRONT_EDIT_DEPTH + 1];
    enum front_edit_role next; /* of the value whose key came last */
    size_t block;              /* where the open one begins */
    struct front_edit_place places[FRONT_EDIT_ROLES];
    struct pieces_change changes[FRONT_EDIT_CHANGES_MAX];
    uint32_t changes_count;
    bool is_changing; /* the newest one is of the member that is looked at */
};

/* For the result of a call; false: it goes on as it is, whatever is in it. */
bool front_edit_begin(struct front *front, const struct front_call *call, struct front_edit *ret);

/* [text] will be looked at by [feed], which is new. [source]: what it is part of, so that most of
 * it need not be copied; NULL: all that changes is. */
void front_edit_watch(struct front_edit *edit, struct json_feed *feed, struct mn_span text,
                      struct mn_buf *source);

/* There is no time to find out where links lead: from now on they get their long form. */
void front_edit_hurry(struct front_edit *edit);

/* Drops what was found: [edit]'s changes. */
void front_edit_done(struct front_edit *edit);

/* All of it at once: the same text when nothing changes, else a padded copy in the scratch. */
struct mn_span front_edit_result(struct front *front, const struct front_call *call,
                                 struct mn_span text);

/* The same for a text about tasks: [from] is called [to] there; unless [is_about], only where the
 * text is related to that task. */
struct mn_span front_edit_task(struct front *front, struct mn_span text, struct mn_span from,
                               struct mn_span to, bool is_about);

#endif
