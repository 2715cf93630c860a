/* upstream_stdio.h: carries messages to and from a child process: one JSON text per line. */
#ifndef UPSTREAM_STDIO_H
#define UPSTREAM_STDIO_H

#include "node/edge.h"
#include "node/mcp/wire/line.h"
#include "proto/base/map.h"

struct upstream;

struct upstream_stdio {
    struct mn_map_entry by_id;
    uint64_t child;  /* 0: none runs */
    bool is_stopped; /* told to exit; what it still says is not listened to */
    struct line out;
    struct json_feed *feed; /* of a large line that is not whole yet; else NULL */
    uint64_t written;       /* bytes given to the child so far */
    uint64_t consumed;      /* of these it has certainly read so many */
};

void upstream_stdio_start(struct upstream *server);
void upstream_stdio_stop(struct upstream *server);
void upstream_stdio_done(struct upstream *server);

/* Queues a text for its stdin and lets go of the ref. */
void upstream_stdio_write(struct upstream *server, struct mn_buf *text);

/* Whether more waits for it than may, what is still being checked or copied for it included; or
 * that much was written, and it does not read. */
bool upstream_stdio_is_full(const struct upstream *server);
bool upstream_stdio_is_unread(const struct upstream *server);

/* It answered something that ended at [written_end]: it has read everything before. */
void upstream_stdio_on_consumed(struct upstream *server, uint64_t written_end);
void upstream_stdio_on_edge(struct upstream *server, const struct edge_input *input);

#endif
