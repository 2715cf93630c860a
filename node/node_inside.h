/* node_inside.h: what the files of the composed node share; nobody else includes it. */
#ifndef NODE_INSIDE_H
#define NODE_INSIDE_H

#include "node/node.h"
#include "node/node_mesh.h"
#include "proto/base/list.h"

#define NODE_TRACE_SIZE 1024 /* events between two drains: one step's worth, and more */

/* A local MCP server and where it was named. */
struct node_server {
    struct mn_list list; /* in node->servers, in order of naming */
    struct upstream_config *config;
    char *origin; /* of its text; NULL: added at run time and kept in the store */
};

struct node {
    struct core *core;
    struct mcp *mcp;
    struct admin *admin;
    struct guard *guard; /* of both */
    struct node_mesh *mesh;
    struct state *state;
    bool is_state_old, is_state_started;
    struct node_curation *curation;
    struct node_owners *owners;
    struct node_gather *gather;
    struct node_feeds *feeds;
    uint64_t log_writes_count; /* number of the newest write to the log */

    struct mn_arena arena; /* of a turn: inner outputs, and what they point to */
    struct core_outbox core_outbox;
    struct admin_outbox admin_outbox;
    struct call_outbox to_core, to_mcp; /* handled in order, from [..._done] on */
    uint32_t to_core_done, to_mcp_done;
    struct mcp_carries carries; /* of the gateway, to others; sent from [carries_done] on */
    uint32_t carries_done;
    mn_time nodes_told_at; /* when the gateway was told who can be reached; 0: it must be now */
    uint32_t nodes_told_count, nodes_told_items; /* links then; nodes that were told */

    uint64_t writes_count; /* number of the newest write */
    struct mn_list servers;
    bool is_started;         /* the first step gave them to the gateway */
    bool is_gathering;       /* since it started it has not heard yet which servers the mesh has; */
    mn_time gathering_until; /* then it takes what it knows for all there is */

    struct mn_trace inner;  /* the cores report here; drained after each step */
    struct mn_trace *trace; /* the driver's */
    struct mn_trace_event ring[NODE_TRACE_SIZE];

    bool has_more;    /* inner work is left: step again at once */
    bool is_stopping; /* STOP came: running calls may finish until [leave_at] */
    bool is_leaving;  /* the core says goodbye */
    bool is_stopped;  /* nothing is done any more */
    mn_time leave_at;
};

/* The gateway's outputs go to the edge of this step and to the core's queue. */
struct mcp_outbox node_mcp_outbox(struct node *node, struct edge_outbox *edge);

/* node_servers.c: plan reads and checks what the configuration names, start gives it to the
 * gateway. recover: false when [key] is not a server's. */
MN_MUST_USE mn_status node_servers_plan(struct node *node, const struct node_config *config,
                                        struct mn_arena *arena, struct mn_span *why);
void node_servers_start(struct node *node, struct mn_now now, struct edge_outbox *outbox);
void node_servers_done(struct node *node);
bool node_servers_recover(struct node *node, struct mn_now now, struct mn_span key,
                          struct mn_span value, struct edge_outbox *outbox);

/* node_gateway.c: what the operator's side asks of the gateway. */
mn_status node_servers_add(struct node *node, struct mn_now now, struct mn_span text,
                           struct edge_outbox *outbox, struct mn_span *why);
mn_status node_servers_remove(struct node *node, struct mn_now now, struct mn_span name,
                              struct edge_outbox *outbox, struct mn_span *why);
void node_gateway_do(struct node *node, struct mn_now now,
                     const struct admin_gateway_request *request, struct edge_outbox *outbox);

void node_step_mcp(struct node *node, struct mn_now now, const struct mcp_input *input,
                   struct edge_outbox *outbox);

/* node_curation.c: views, pins and quarantine. recover: false when [key] is not of it; on_answer:
 * false when it is not for it. */
struct node_curation *node_curation_new(void);
void node_curation_free(struct node_curation *curation);
bool node_curation_recover(struct node *node, struct mn_span key, struct mn_span value);
bool node_curation_on_answer(struct node *node, struct mn_now now,
                             const struct state_answer *answer, struct edge_outbox *outbox);
void node_curation_tick(struct node *node, struct mn_now now, struct edge_outbox *outbox);
mn_time node_curation_deadline(const struct node *node);
void node_curation_touch(struct node *node); /* something has changed: it is read at once */

/* node_owners.c: whose each name is. load: all records there are; [is_read]: as the mesh has them
 * in this run, not as the store kept them. on_answer: false when it is not for it. */
struct node_owners_pair {
    struct mn_span key, value;
    uint64_t rev;
};
struct node_owners *node_owners_new(void);

/* One record, in [arena]; its name points into the pair. False: it says nothing usable. */
bool node_owners_read(struct json_parser *parser, struct mn_arena *arena,
                      const struct node_owners_pair *pair, struct services_owner *ret);
struct mn_span node_owners_write(struct mn_arena *arena, struct mn_now now,
                                 const struct services_owner *owner);
void node_owners_free(struct node_owners *owners);
bool node_owners_is_key(struct mn_span key);
void node_owners_load(struct node *node, struct mn_now now, const struct node_owners_pair *pairs,
                      uint32_t count, bool is_read, struct edge_outbox *outbox);
bool node_owners_on_answer(struct node *node, struct mn_now now, const struct state_answer *answer);
void node_owners_tick(struct node *node, struct mn_now now, struct edge_outbox *outbox);
mn_time node_owners_deadline(const struct node *node);

/* node_feeds.c: listeners of mesh:// resources. takes: the message was for one of them; touch: such
 * things have changed (enum node_mesh_topic). */
struct node_feeds *node_feeds_new(void);
void node_feeds_free(struct node_feeds *feeds);
bool node_feeds_open(struct node *node, uint64_t ticket);
bool node_feeds_takes(struct node *node, const struct call_message *message);
void node_feeds_touch(struct node *node, struct mn_now now, unsigned about);
void node_feeds_on_event(struct node *node, struct mn_now now, enum mn_event event);
void node_feeds_tick(struct node *node, struct mn_now now);
mn_time node_feeds_deadline(const struct node *node);

/* node_gather.c: what all members find. start: of an ADMIN_GATEWAY_GATHER; on_own: our own
 * findings, for whoever asked. */
struct node_gather *node_gather_new(void);
void node_gather_free(struct node_gather *gather);
void node_gather_start(struct node *node, struct mn_now now, uint64_t ticket, mn_time timeout,
                       struct edge_outbox *outbox);
void node_gather_on_carried(struct node *node, struct mn_now now, const mn_id *from,
                            struct mn_span bytes, struct edge_outbox *outbox);
void node_gather_on_own(struct node *node, const mn_id *to, uint64_t number, struct mn_span json);
void node_gather_on_down(struct node *node, const mn_id *other);
void node_gather_tick(struct node *node, struct mn_now now, struct edge_outbox *outbox);
mn_time node_gather_deadline(const struct node *node);
void node_gather_check(const struct node *node);

void node_step_core(struct node *node, struct mn_now now, const struct core_input *input,
                    struct edge_outbox *outbox);

/* Ends the process with that code; [text] says why. */
void node_fatal(struct node *node, uint32_t code, struct mn_span text, struct edge_outbox *outbox);

/* node_state.c: what the mesh agrees on. recover: false when [key] is not of it. */
struct state *node_make_state(struct node *node, const struct node_config *config);
bool node_state_recover(struct node *node, struct mn_span key);
void node_step_state(struct node *node, struct mn_now now, const struct state_input *input,
                     struct edge_outbox *outbox);
void node_tick_state(struct node *node, struct mn_now now, bool is_turn_end,
                     struct edge_outbox *outbox);
void node_state_on_carried(struct node *node, struct mn_now now, const struct core_output *output,
                           struct edge_outbox *outbox);
void node_state_stop(struct node *node, struct mn_now now, struct edge_outbox *outbox);

/* Steps the admin core and carries its outputs on. */
void node_step_admin(struct node *node, struct mn_now now, const struct admin_input *input,
                     struct edge_outbox *outbox);

#endif
