/* link_side.h: one end of a sealed link between two processes, over the sockets and the loop of a
 * node. What is sent and what is made of what comes is its owner's, who embeds it. */
#ifndef TESTS_IO_LINK_SIDE_H
#define TESTS_IO_LINK_SIDE_H

#include "mesh/link.h"
#include "node/io/loop.h"
#include "node/io/net.h"

struct link_side {
    /* Set by the owner, the rest being zero, before link_side_start(). */
    bool is_dialer;
    void (*on_envelope)(struct link_side *side, const struct envelope *envelope);
    void (*fill)(struct link_side *side, struct mn_now now); /* open: queue what there is to send */
    bool (*is_over)(struct link_side *side); /* all is with the kernel: close? NULL: never */

    /* The owner may look at these, and change the limits before it listens or dials. */
    bool is_open;
    struct link_limits limits;
    struct io *io;
    struct link *link; /* NULL: not connected yet */

    struct identity identity;
    struct link_timing timing;
    struct net *net;
    uint64_t conn;
    struct mn_arena arena;
};

void link_side_start(struct link_side *side);

/* The address it listens at is written to [fd], NET_ADDRESS_SIZE bytes. */
void link_side_listen(struct link_side *side, int fd);
void link_side_dial(struct link_side *side, const char *address);

/* Adds a message to the link's queue; [payload] is borrowed until the link is done with it. */
void link_side_put(struct link_side *side, struct mn_now now, struct mn_buf *payload,
                   uint64_t sequence);

/* Until io_stop() or the other side closes. */
void link_side_run(struct link_side *side);

/* After it has run, and the owner's own handles of the loop are closed. */
void link_side_free(struct link_side *side);

#endif
