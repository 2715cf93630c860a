/* run_internal.h: what the files of `meshnode run` share: run.c (life), run_start.c (from options
 * to a node), run_signal.c (stop and reload), run_root.c (is a root key left here?). Nobody else
 * includes it. */
#ifndef IO_RUN_INTERNAL_H
#define IO_RUN_INTERNAL_H

#include "crypto/token.h"
#include "node/io/child.h"
#include "node/io/config.h"
#include "node/io/fetch.h"
#include "node/io/files.h"
#include "node/io/http.h"
#include "node/io/log.h"
#include "node/io/loop.h"
#include "node/io/net.h"
#include "node/io/run.h"
#include "node/io/seglog.h"
#include "node/io/servers.h"
#include "node/io/store.h"
#include "node/node.h"

#define RUN_TRACE_SIZE 2048u
#define RUN_BOUND_MAX 8u
#define RUN_ADDRESS_SIZE 64
#define RUN_ADVERTISED_SIZE 320 /* host name and port */

/* Everything that node_new() borrows. */
struct run_texts {
    struct mn_arena arena;
    struct servers servers;
    struct mn_span addresses[RUN_BOUND_MAX], *seeds;
    uint32_t seeds_count;
    struct mn_span token;
    char token_text[TOKEN_TEXT_SIZE]; /* of one that was read from a file */
    uint8_t mcp_seed[RNG_SEED_SIZE];
    uint8_t root[SIGN_SEED_SIZE]; /* wiped with the rest of it */
    bool has_root;
};

struct run {
    const struct options *options;
    const char *config_path;
    struct files *files;
    struct log *log;
    struct io *io;
    struct net *net;
    struct http *http;
    struct fetch *fetch;
    struct child *child;
    struct store *store;
    struct seglog *seglog;
    struct node *node;

    struct mn_trace trace;
    struct mn_trace_event ring[RUN_TRACE_SIZE];
    struct edge_outbox outbox;

    uv_signal_t signal_term, signal_int, signal_hup;
    uv_timer_t root_timer, memory_timer;
    uint64_t turns_count, turns_seen; /* of the loop; until the last look at memory */
    bool was_busy;
    bool had_root_key;               /* as the node was told last */
    bool is_store_read, is_log_read; /* RECOVERED is given when both are */
    bool is_stopping;                /* asked to */
    bool is_first;                   /* nothing is stored yet */
    bool is_identity_old;            /* the key was there before this start */
    int exit_code;

    char mesh_bound[RUN_BOUND_MAX][RUN_ADDRESS_SIZE], http_bound[RUN_BOUND_MAX][RUN_ADDRESS_SIZE];
    uint32_t mesh_bound_count, http_bound_count;
    char advertised[RUN_BOUND_MAX][RUN_ADVERTISED_SIZE];
    uint32_t advertised_count;
};

#define RUN_LOG(run, level, event, ...) \
    log_line((run)->log, io_now((run)->io), MN_LEVEL_##level, event, __VA_ARGS__)

/* run_start.c. Each returns an exit code, 0 to go on, and has logged what is wrong. */
int run_open_data(struct run *run);
int run_read_texts(struct run *run, struct run_texts *texts); /* may wait for a token file */
int run_make_node(struct run *run, struct run_texts *texts);
void run_texts_done(struct run_texts *texts);

/* run_listen.c, likewise. */
int run_listen(struct run *run);
int run_write_state(struct run *run); /* run.json */
/* run_signal.c */
void run_watch_signals(struct run *run);
void run_unwatch_signals(struct run *run);

/* run_settings.c: JSON array of {key, value, origin} in [arena], secrets left out. */
struct mn_span run_settings(const struct options *options, struct mn_arena *arena);

/* run_root.c: tells the node whether the mesh's root key lies in its data directory. */
void run_watch_root(struct run *run);
void run_unwatch_root(struct run *run);

/* run_memory.c: gives memory back to the system when a busy time is over. Looks every so often. */
#define RUN_MEMORY_LOOK_MS 5000
#define RUN_MEMORY_BUSY_TURNS 1000 /* of the loop, from one look to the next */
void run_watch_memory(struct run *run, uint64_t look_ms);
void run_unwatch_memory(struct run *run);

/* run.c: ends the loop with this code, once. */
void run_end(struct run *run, int exit_code);

#endif
