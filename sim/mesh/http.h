/* http.h: HTTP requests of the world's MCP clients to a node, and what comes back: one JSON-RPC
 * message, or an event stream of them. Whoever asks says how long it waits at most; a living node
 * that has not answered by then has lost a request, and the run fails. */
#ifndef SIM_HTTP_H
#define SIM_HTTP_H

#include "sim/mesh/sim.h"

#define SIM_SESSION_SIZE 260
#define SIM_EVENT_SIZE 160 /* of an event's id */

struct sim_response {
    bool is_lost;           /* the node died, or the client gave up: nothing is known */
    uint32_t code;          /* HTTP status; 0: none came */
    struct mn_span message; /* the last JSON-RPC message; borrowed for the call */
    const char *session;    /* Mcp-Session-Id; empty: none was given */
    const char *event;      /* id of the last event; empty: none had one */
};

typedef void sim_http_message(struct sim *sim, void *context, struct mn_span message);
typedef void sim_http_end(struct sim *sim, void *context, const struct sim_response *response);

struct sim_request {
    const char *verb;    /* "GET", "DELETE"; NULL: POST with [body] */
    const char *path;    /* NULL: "/mcp" */
    bool is_admin;       /* over the admin socket */
    const char *host;    /* as the client calls the node; NULL: as it should */
    const char *method;  /* modern: JSON-RPC method of [body]; NULL: legacy */
    const char *name;    /* modern: of the tool, or NULL */
    const char *session; /* legacy, or NULL */
    const char *event;   /* the last one seen of a stream that is taken up again, or NULL */
    struct mn_span body; /* borrowed for the call */
    mn_time patience;    /* MN_TIME_NEVER: a stream that lasts */
    bool is_steadfast;   /* sim_http_give_up() does not touch it */
    sim_http_message *on_message; /* each message as it comes; may be NULL */
    sim_http_end *on_end;         /* once, also when the node dies */
    void *context;
};

/* May have ended when this returns. What it returns is for sim_http_drop(). */
uint64_t sim_http_ask(struct sim_host *host, const struct sim_request *request);

/* The client goes away in the middle of it, as far as it is not over. */
void sim_http_drop(struct sim_host *host, uint64_t exchange);

/* The same without a word to the node, for which its connection stays open. */
void sim_http_forget(struct sim_host *host, uint64_t exchange);

/* ---- operator.c ---- */

struct sim_answer {
    uint32_t code; /* HTTP status; 0: the node does not run, or died */
    char text[16384];
};

/* Asks over the admin socket, and lets the world go on until the answer is there. */
void sim_operator_ask(struct sim_host *host, const char *verb, const char *path, const char *body,
                      struct sim_answer *ret);

/* Has the group that agrees lost its quorum for good? Then an operator at [host], an issuer, begins
 * it anew, which must work. False: there was no need. */
bool sim_group_recover(struct sim *sim, struct sim_host *host);

/* The node id that follows from its key, whether it runs or not. */
const char *sim_host_node_id(const struct sim_host *host, char text[MN_ID_TEXT_SIZE]);

/* A client goes away in the middle of its request; which one is drawn. */
void sim_http_give_up(struct sim_host *host);

/* The node is gone: all its clients see their connections cut. */
void sim_http_host_down(struct sim_host *host);

void sim_http_do(struct sim_host *host, const struct edge_output *output);

/* What each modern request carries in its params. */
#define SIM_MODERN_META_OF(capabilities)                                     \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":" capabilities "}"
#define SIM_MODERN_META SIM_MODERN_META_OF("{}")

#define SIM_LIST_MODERN_OF(capabilities)                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" SIM_MODERN_META_OF( \
        capabilities) "}}"
#define SIM_LIST_MODERN SIM_LIST_MODERN_OF("{}")
#define SIM_LIST_LEGACY "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"

#define SIM_INITIALIZE_OF(capabilities)                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{" \
    "\"protocolVersion\":\"2025-11-25\",\"capabilities\":" capabilities    \
    ",\"clientInfo\":{\"name\":\"sim\",\"version\":\"1\"}}}"
#define SIM_INITIALIZE SIM_INITIALIZE_OF("{}")
#define SIM_CAN_SHOW                                                         \
    "\"extensions\":{\"io.modelcontextprotocol/ui\":{\"mimeTypes\":[\"text/" \
    "html;profile=mcp-app\"]}}"
#define SIM_CAN_ALL "{\"elicitation\":{},\"sampling\":{},\"roots\":{}," SIM_CAN_SHOW "}"

#endif
