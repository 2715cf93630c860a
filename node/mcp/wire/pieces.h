/* pieces.h: a text in pieces, for what is large and mostly somebody else's: long spans of one
 * buffer are referred to, everything else is written out. Without such a buffer it is a plain
 * writer. */
#ifndef MCP_PIECES_H
#define MCP_PIECES_H

#include "proto/base/buf.h"

/* Zero-initialised is empty and ready. */
struct pieces {
    struct mn_buf *source;         /* borrowed; NULL: everything is written out */
    bool is_line;                  /* what is written out gets no CR and LF: it is JSON */
    struct pieces_change *changes; /* borrowed, in the order of the text */
    uint32_t changes_count;
    struct mn_writer writer; /* what follows the pieces */
    struct mn_buf **done;
    uint32_t done_count, done_capacity, taken_count;
    size_t done_size;
};

/* What is said instead of a part of a text. Spans that are added have all of it or nothing of it;
 * it is used up then. */
struct pieces_change {
    const uint8_t *begin, *end; /* NULL: it is used up */
    struct pieces pieces;
};

void pieces_add(struct pieces *pieces, struct mn_span bytes);
void pieces_str(struct pieces *pieces, const char *text);
size_t pieces_size(const struct pieces *pieces);

/* All that [from] has follows what [to] has, none of it copied but what is short; [from] is empty
 * then. */
void pieces_move(struct pieces *to, struct pieces *from);

/* The next piece, whose ref is the caller's; NULL: there are no more. Nothing can be added to what
 * is being taken. */
struct mn_buf *pieces_take(struct pieces *pieces);

/* Copies about [size_max] bytes of it to [to], from [*at] on, which becomes the next place; as one
 * line of JSON, if it [is_line]. True: that was all. */
bool pieces_copy(const struct pieces *pieces, size_t *at, size_t size_max, bool is_line,
                 struct mn_writer *to);

void pieces_drop(struct pieces *pieces);

#endif
