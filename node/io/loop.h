/* loop.h: the driver of the real world. It owns the libuv loop and the two clocks, hands one
 * edge_input at a time to the machine, and has each of its outputs carried out before the next.
 *
 *   wrapper (net, http, fetch, child, store) --io_input()--> machine --outputs--> wrapper_do()
 *
 * A wrapper is made with the io it belongs to, registers its handles on io_uv() and reports by
 * io_input(). It may do so at any time on the loop thread, also from inside its own wrapper_do():
 * what is reported while a step or its outputs are under way is copied and handled right after,
 * in order, before the outermost io_input() returns. Nothing here is safe on another thread. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <uv.h>

#include "node/edge.h"

struct io;

/* Who is driven, and by what its outputs are carried out. */
struct io_config {
    void *owner; /* handed to each of these */
    void (*step)(void *owner, struct mn_now now, const struct edge_input *input,
                 struct edge_outbox *outbox);
    mn_time (*deadline)(void *owner); /* MN_TIME_NEVER: none */
    void (*carry_out)(void *owner, const struct edge_output *output);
    void (*stepped)(void *owner);  /* after each step, before its outputs; may be NULL */
    void (*turn_end)(void *owner); /* before the loop waits: flush what was gathered; may be NULL */
};

/* A new loop; never NULL. [config] is copied. */
struct io *io_new(const struct io_config *config);

/* Ends what is left of it. All handles of wrappers must be closed (uv_close called). */
void io_free(struct io *io);

uv_loop_t *io_uv(struct io *io);
struct mn_now io_now(const struct io *io);

/* Gives [input] to the machine and has the outputs carried out; borrowed for the call. */
void io_input(struct io *io, const struct edge_input *input);

/* For what is no input: lets [apply] step the machine itself, then has the outputs carried out. Not
 * from inside a step. */
void io_apply(struct io *io,
              void (*apply)(void *owner, struct mn_now now, struct edge_outbox *outbox,
                            void *argument),
              void *argument);

/* A turn of the loop is short only if nobody moves much in it: this many bytes should a wrapper
 * read or write at once, which gets fewer the more were moved in this turn, and never less than
 * IO_SHARE_MIN. Of writes four times as much: the kernel copies what is written, whereas what is
 * read is opened and parsed. What was moved is said to io_moved(). */
enum io_way { IO_READ = 0, IO_WRITE };
#define IO_SHARE_MAX ((size_t)64 << 10)
#define IO_SHARE_MIN ((size_t)16 << 10)
#define IO_SHARE_WRITES 4
size_t io_share(const struct io *io, enum io_way way);
void io_moved(struct io *io, enum io_way way, size_t bytes);

/* Cutting an answer that is there as a whole costs a third of it again, in copies and in turns: one
 * of at most IO_WHOLE_MAX bytes may go out in one write, as long as those of this turn are not more
 * than IO_WHOLES_MAX together, which the kernel copies in a fraction of a millisecond. True: it
 * may, and counts; it does not count as moved. */
#define IO_WHOLE_MAX ((size_t)256 << 10)
#define IO_WHOLES_MAX ((size_t)1 << 20)
bool io_takes_whole(struct io *io, size_t bytes);

/* Serves until io_stop(). Until the first call no tick is given: deadlines start to count here. */
void io_run(struct io *io);
void io_stop(struct io *io);

#endif
