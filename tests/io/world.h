/* world.h: a loop with a recording machine on it, for tests of the wrappers. Every input is copied
 * and kept; a test may give a handler that looks at each one as it comes, and answers. */
#ifndef TESTS_IO_WORLD_H
#define TESTS_IO_WORLD_H

#include "node/io/loop.h"

/* An input with copies of all it points to. */
struct world_seen {
    struct edge_input input;
    struct edge_http_request http;
    struct mn_arena arena;
};

struct world {
    struct io *io;
    void (*handle)(struct world *world, const struct edge_input *input); /* may be NULL */
    void (*carry_out)(void *wrapper, const struct edge_output *output);
    void *wrapper;
    void *context; /* of the test */
    struct world_seen **seen;
    uint32_t seen_count;
    struct edge_outbox outbox; /* of world_do() */
    struct mn_arena arena;
};

void world_init(struct world *world);

/* Runs the loop until all handles are closed. */
void world_done(struct world *world);

/* Runs the loop until [is_done] says so; fails the test after 20 s. */
void world_run(struct world *world, bool (*is_done)(struct world *world, void *context),
               void *context);

/* Runs the loop for some milliseconds, to see that nothing more happens. */
void world_idle(struct world *world, uint64_t ms);

/* Runs until an input of [type] about [id] (0: any) came as number [nth] (from 1), and returns it.
 */
const struct edge_input *world_wait(struct world *world, enum edge_input_type type, uint64_t id,
                                    uint32_t nth);
const struct edge_input *world_find(struct world *world, enum edge_input_type type, uint64_t id,
                                    uint32_t nth);
uint32_t world_count(struct world *world, enum edge_input_type type, uint64_t id);

/* All bytes of inputs of [type], [id] and [code] so far, as one text (in the world's arena). */
const char *world_text(struct world *world, enum edge_input_type type, uint64_t id, uint32_t code);

/* Outputs: fill in what was begun, then world_do() carries it out. */
void world_do(struct world *world, const struct edge_output *output);
void world_do_buf(struct world *world, enum edge_output_type type, uint64_t id, const char *text,
                  bool flag);
void world_do_bytes(struct world *world, enum edge_output_type type, uint64_t id, size_t size,
                    bool flag);
void world_do_flag(struct world *world, enum edge_output_type type, uint64_t id, bool flag);

/* HTTP: a head with one header, and a whole response of one text. */
void world_http_head(struct world *world, uint64_t id, uint32_t code, const char *content_type,
                     bool is_stream);
void world_http_answer(struct world *world, uint64_t id, uint32_t code, const char *text);

/* A client of plain sockets. What it receives is kept as text. */
struct client {
    int fd;
    bool is_closed; /* by the other side */
    char *text;
    size_t size, limit; /* [limit]: read no more than that; SIZE_MAX at first */
};

void client_connect(struct client *client, const char *address);
void client_connect_unix(struct client *client, const char *path);
void client_send(struct world *world, struct client *client, const char *text);
void client_send_bytes(struct world *world, struct client *client, const void *bytes, size_t size);
void client_done(struct client *client);

/* Runs until the client has received [text] ([times] times), or the connection was closed. */
void client_expect(struct world *world, struct client *client, const char *text, uint32_t times);
void client_expect_closed(struct world *world, struct client *client);
uint32_t client_times(const struct client *client, const char *text);

/* Reads what is there, without waiting. */
void client_pull(struct client *client);

#endif
