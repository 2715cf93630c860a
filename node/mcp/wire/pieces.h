/* pieces.h: a text in pieces, for what is large and mostly somebody else's: long spans of one
 * buffer are referred to, everything else is written out. Without such a buffer it is a plain
 * writer. */
#ifndef MCP_PIECES_H
#define MCP_PIECES_H

#include "proto/base/buf.h"

#define PIECES_MAX 16

struct pieces {
    struct mn_buf *source;   /* borrowed; NULL: everything is written out */
    struct mn_writer writer; /* what follows the pieces */
    struct mn_buf *done[PIECES_MAX];
    uint32_t done_count;
    size_t done_size;
};

void pieces_add(struct pieces *pieces, struct mn_span bytes);
void pieces_str(struct pieces *pieces, const char *text);
size_t pieces_size(const struct pieces *pieces);

/* The next piece, whose ref is the caller's; NULL: there are no more. Nothing can be added to what
 * is being taken. */
struct mn_buf *pieces_take(struct pieces *pieces);
void pieces_drop(struct pieces *pieces);

#endif
