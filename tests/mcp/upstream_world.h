/* upstream_world.h: a world for the upstream-facing half in virtual time. It records what comes
 * out, and tests play the child, the HTTP endpoint and the core by hand. Texts that are returned
 * live until world_done(). */
#ifndef UPSTREAM_WORLD_H
#define UPSTREAM_WORLD_H

#include "node/mcp/upstream/upstreams.h"

#define WORLD_MAX 8192

struct world_child {
    uint64_t id;
    bool is_stopped, is_gone;
    char command[64];
    struct mn_writer in;
    size_t read; /* bytes of [in] taken by world_line() */
};

struct world_fetch {
    uint64_t id;
    bool is_cancelled, is_done;
    const char *method, *url, *headers, *body; /* headers: "name: value\n" each; body "" if none */
};

struct world_event {
    uint64_t ticket;
    enum call_event_kind kind;
    enum call_failure failure;
    const char *text; /* of a failure */
    const char *what; /* "progress", "log", "result", "error", "question", "task", "away",
                         "outlived", "aside", "aside question", "aside withdrawn", "" */
    const char *key; /* of a question, aside; [message] is its method, or, outlived, the key that it
                        has now; or whose it is */
    struct mn_span resume;
    const char *json; /* of these; of an error its data */
    int32_t code;
    const char *message;
};

struct world_offer {
    const char *name;
    struct mn_buf *body; /* NULL: withdrawn */
    uint32_t tools_count;
    const char *tools; /* their names, each followed by a blank; behind one that not all see
                          stands "(NEEDS)" */
    const char *items; /* alike, of prompts, resources and templates */
    const char *instructions, *server_info;
    bool is_streaming;
    uint8_t replica_key[CALL_KEY_SIZE];
};

struct world {
    struct upstreams *upstreams;
    struct mn_now now;
    struct mn_arena edge_arena, calls_arena, kept;
    struct edge_outbox edge;
    struct call_outbox calls;
    struct upstreams_outbox outbox;
    struct mn_trace trace;
    struct mn_trace_event ring[256];
    mn_id self;

    bool is_surveyed;      /* servers are asked for what only some clients see */
    bool is_old_node;      /* who wishes does not know of what is taken */
    uint32_t child_chosen; /* of the children, from 1: the one that tests play; 0: the newest */
    struct world_child children[256];
    struct world_fetch fetches[WORLD_MAX];
    struct world_event events[WORLD_MAX];
    struct world_offer offers[256];
    uint32_t children_count, fetches_count, events_count, offers_count;
    uint32_t fetch_next, event_next; /* taken by world_fetch(), world_event() */
    struct mn_span why;              /* of the last command */
};

void world_init(struct world *w);
void world_done(struct world *w);

void world_step(struct world *w, const struct upstreams_input *input);
void world_edge(struct world *w, const struct edge_input *input);
void world_pass(struct world *w, mn_time time); /* ticks whenever a deadline is due */
void world_stop(struct world *w);

mn_status world_add(struct world *w, const struct upstream_config *config);
mn_status world_add_child(struct world *w, const char *name, enum upstream_era era);
mn_status world_add_url(struct world *w, const char *name, const char *url, enum upstream_era era);
struct upstream_info world_info(struct world *w, const char *name);
const char *world_log(struct world *w, const char *name); /* all kept lines */

/* The child's side. */
struct world_child *world_child(struct world *w); /* the chosen one */
const char *world_line(struct world *w);          /* the next line written to it; NULL: none */
void world_say(struct world *w, const char *text);
void world_say_bytes(struct world *w, uint32_t stream, struct mn_span bytes);
void world_exit(struct world *w, uint32_t code);
void world_answer(struct world *w, const char *line, const char *result);
void world_error(struct world *w, const char *line, int code, const char *data);

/* The endpoint's side. */
struct world_fetch *world_fetch(struct world *w); /* the next one started; NULL: none */
void world_head(struct world *w, struct world_fetch *fetch, uint32_t code, const char *type,
                const char *session);
void world_body(struct world *w, struct world_fetch *fetch, const char *text);
void world_end(struct world *w, struct world_fetch *fetch, mn_status status, const char *text);
void world_reply(struct world *w, struct world_fetch *fetch, uint32_t code, const char *type,
                 const char *text);
void world_reply_result(struct world *w, struct world_fetch *fetch, const char *result);
const char *world_header(struct world *w, const struct world_fetch *fetch, const char *name);

/* The core's side. */
struct world_call {
    uint64_t ticket;
    const char *service, *params, *method, *log_level, *client_info, *capabilities, *session,
        *version, *uri; /* uri: a resource that its session is subscribed to */
    struct mn_span resume, orphan;
    bool wants_progress, is_live, wants_logs;
    const mn_id *trail;
    uint32_t trail_count;
};
void world_call(struct world *w, const struct world_call *call);
void world_call_echo(struct world *w, uint64_t ticket, const char *service);
void world_wish(struct world *w, uint64_t ticket, const char *const *uris); /* NULL-terminated */
/* The only task that it wants to hear of; [id] NULL: none. */
void world_wish_task(struct world *w, uint64_t ticket, const char *id, const char *session);
/* The only session whose client hears what is said outside of calls; NULL: none. */
void world_wish_session(struct world *w, uint64_t ticket, const char *session, const char *level);
/* The same, by its stream of that number: with resources that it is subscribed to, NULL-terminated.
 */
void world_wish_own(struct world *w, uint64_t ticket, const char *session, const char *const *uris);
/* The same, where the session went after so many others. */
void world_wish_moved(struct world *w, uint64_t ticket, const char *session, uint64_t moves,
                      uint64_t opened_ms);
/* The client of a session answers what it was asked outside of calls; [code] 0: with [result];
 * -32603: its node does. */
void world_answer_aside(struct world *w, const struct world_call *as, const char *key,
                        const char *result, int code);
/* Its node says that it should be asked that again. */
void world_ask_again(struct world *w, const struct world_call *as, const char *key);
/* The client of a call answers that, with [result], or NULL: with that error; -32603: its node
 * does.
 */
void world_input(struct world *w, uint64_t ticket, const char *key, const char *result, int code);
void world_cancel(struct world *w, uint64_t ticket);
void world_lose(struct world *w, uint64_t ticket); /* its caller's node */
struct world_event *world_event(struct world *w);  /* the next one; NULL: none */
struct world_offer *world_offer(struct world *w);  /* the newest one; NULL: none yet */

/* The "id" in a message. */
uint64_t world_id(const char *message);
const char *world_format(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Up to READY, with [tools] (JSON array). */
#define WORLD_TOOLS                                                              \
    "[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"},\"annotations\":" \
    "{\"readOnlyHint\":true}},{\"name\":\"add\",\"inputSchema\":{\"type\":\"object\"}}]"
#define WORLD_LEGACY_LOGS                                                                 \
    "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{},\"logging\":{}}," \
    "\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}"
#define WORLD_LEGACY                                                                           \
    "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{\"listChanged\":true}}," \
    "\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"},\"instructions\":\"be nice\"}"
#define WORLD_MODERN                                                                        \
    "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":" \
    "{\"tools\":{}},\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"m\","     \
    "\"version\":\"2\"}},\"ttlMs\":0,\"cacheScope\":\"private\"}"
const char *world_tools_result(struct world *w, const char *tools);
void world_up_legacy(struct world *w, const char *name);      /* a child, era legacy */
void world_up_modern(struct world *w, const char *name);      /* a child, era modern */
void world_up_http(struct world *w, const char *name);        /* legacy, session "sess-1" */
void world_up_http_modern(struct world *w, const char *name); /* without listen */

/* Ticks until nothing is left that is handled in slices. */
void world_work_off(struct world *w);

#endif
