/* client.h: scripted HTTP clients and a scripted core around one front, in memory. Every response
 * is collected per exchange; what the front asks of the core is kept decoded. */
#ifndef TEST_CLIENT_H
#define TEST_CLIENT_H

#include <check.h>

#include "node/mcp/front/front.h"
#include "proto/gateway.pb-c.h"
#include "proto/record.pb-c.h"

#define CLIENT_RESPONSES_MAX 64
#define CLIENT_CALLS_MAX 128

struct client_response {
    uint64_t id;
    uint32_t code; /* 0: no head yet */
    bool is_stream, is_ended;
    char type[64], session[300], allow[64], authenticate[64], meshes[640];
    char *body; /* everything so far, with a NUL */
    size_t body_size, body_capacity;
};

struct client_call {
    uint64_t ticket;
    char service[160];
    bool is_idempotent, is_cancelled;
    char trace[64];
    mn_id node;
    const Meshnode__Gateway__Request *request;
    char *params;          /* with a NUL */
    uint32_t wishes_count; /* times that wishes were said into it */
};

/* The newest thing that was said into a call. */
extern struct client_input {
    uint64_t ticket; /* 0: nothing yet */
    const char *key, *result;
    int code;                  /* of an error */
    bool by_client;            /* it is the client's own */
    const char *wishes;        /* URIs and ids of tasks, each followed by a blank */
    const char *levels;        /* of sessions that hear, likewise */
    const char *own;           /* URIs of these, likewise */
    struct mn_span session;    /* of the last task, or session that hears */
    uint64_t moves, opened_ms; /* of that session's stream */
} client_input;

extern struct front *client_front;
extern struct mn_now client_now;
extern struct client_call client_calls[CLIENT_CALLS_MAX];
extern uint32_t client_calls_count;

/* A fixture; the config of the next client_setup() may be changed before it. */
extern struct mcp_config client_config;
void client_config_reset(void);
void client_setup(void);
void client_teardown(void);

/* [headers]: "name: value" lines, NULL-terminated; besides host, accept and content-type, which
 * stand for a well-behaved client unless a line sets them ("accept:" alone leaves it out). */
const struct client_response *client_send(const char *method, const char *target,
                                          const char *const *headers, const char *body);

/* The same in pieces. open returns the exchange's id. */
uint64_t client_open(const char *method, const char *target, const char *const *headers);
void client_body(uint64_t id, const char *bytes, size_t size, bool is_last);
void client_gone(uint64_t id);
void client_writable(uint64_t id); /* it has read what was given */
const struct client_response *client_response(uint64_t id);

/* POST to /mcp: of a session (legacy), or with the modern headers made from method and name. */
const struct client_response *client_legacy(const char *session, const char *body);

/* The stream of that session at /mcp, by GET. */
const struct client_response *client_stream(const char *session);
const struct client_response *client_modern(const char *method, const char *name,
                                            const char *params);

/* initialize at [target]; the id of the new session. */
const char *client_initialize(const char *target, const char *version);

/* Event ids are left out of what is collected, unless this is set. */
extern bool client_keeps_ids;

/* Drops what a response has collected, to see only what comes later; or all responses. */
void client_forget(uint64_t id);
void client_forget_all(void);

/* Other members, with these ids; what the front says to them is kept (its records' packets). */
#define CLIENT_CARRIES_MAX 64
extern struct client_carry {
    mn_id to;
    const Meshnode__Record__Packet *packet;
} client_carries[CLIENT_CARRIES_MAX];
extern uint32_t client_carries_count;
void client_nodes(uint32_t count); /* ids 01.., 02.. */
void client_carried(const mn_id *from, const Meshnode__Record__Packet *packet);

/* Confirms all that was put and is not confirmed yet; each by whom it was sent to. */
void client_confirm_puts(void);

/* Each step checks the invariants, which takes time when there are ten thousand sessions. */
extern bool client_is_unchecked;
void client_step(const struct mcp_input *input);
void client_at(mn_time mono); /* ticks at that time */

/* The core's side. Tools are JSON definitions, NULL-terminated. */
void client_service(const char *name, bool is_listed, const char *const *tools);

/* A server with more than tools: NULL-terminated JSON definitions of each kind (NULL: none). */
struct client_offer {
    const char *const *tools, *const *prompts, *const *resources, *const *templates;
    const char *capabilities;
    bool is_streaming;
    const uint64_t *audiences[4]; /* of each item of these lists; NULL: all are for everybody */
    void (*amend)(Meshnode__Gateway__Offer *offer); /* NULL: it is as it is */
};
void client_service_offer(const char *name, bool is_listed, const struct client_offer *offer);
void client_service_gone(const char *name, bool is_conflict);
void client_result(uint64_t ticket, const char *json);
void client_error(uint64_t ticket, int code, const char *message, const char *data);
void client_progress(uint64_t ticket, const char *json);
void client_log(uint64_t ticket, const char *json);
/* Whose events these are, from now on. */
extern mn_id client_server;
/* The server ended its stream in the middle of the call. */
void client_away(uint64_t ticket, uint32_t retry_ms);
void client_served(uint64_t ticket);
/* What a server tells of a task, in params, for the client of that session. */
void client_task(uint64_t ticket, const char *params, struct mn_span session);
void client_task_progress(uint64_t ticket, const char *id, const char *params,
                          struct mn_span session);
void client_aside(uint64_t ticket, struct mn_span session, const char *method, const char *params);
void client_aside_question(uint64_t ticket, struct mn_span session, const char *key,
                           const char *method, const char *params);
void client_aside_withdrawn(uint64_t ticket, struct mn_span session, const char *key);
void client_updated(uint64_t ticket, const char *uri);
/* The server tells of that from now on; or refuses. [data] NULL: none. */
void client_taken(uint64_t ticket, const char *uri);
void client_refused(uint64_t ticket, const char *uri, int code, const char *message,
                    const char *data);
void client_question(uint64_t ticket, const char *key, const char *method, const char *params);

void client_withdrawn(uint64_t ticket, const char *key);
void client_outlived(uint64_t ticket, const char *key, const char *as);
void client_elicited(uint64_t ticket, const char *json);

/* input_required of a legacy server's call, which is parked under [resume]. */
void client_parked(uint64_t ticket, const char *json, const char *resume);
void client_failed(uint64_t ticket, enum call_failure failure, const char *text);

#define client_assert_body(response, expected) ck_assert_str_eq((response)->body, expected)

/* The front begins anew, with the sessions that the one before kept in the node's store (with
 * client_config.writes_count). */
void client_restart(void);

/* What /mcp always has. */
#define CLIENT_CAPABILITIES                                                                  \
    "\"capabilities\":{\"tools\":{\"listChanged\":true},\"prompts\":{\"listChanged\":true}," \
    "\"resources\":{\"listChanged\":true,\"subscribe\":true},\"completions\":{},\"logging\":{}}"

#define MODERN_META(extra)                                                   \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{}" extra "}"

#endif
