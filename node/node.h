/* node.h: one node, whole: core (links, members, catalog, calls), gateway (MCP) and admin joined
 * into the one machine that both drivers step, node/io with the real world and sim/ with a virtual
 * one. Pure: no clock, socket, disk, thread or global.
 *
 * Life: node_new; one RECOVER input per stored pair, in key order, and RECOVERED (HTTP exchanges
 * may come before that: `/mcp` is served from the first step on); then whatever happens outside;
 * STOP ends in STOPPED. After STOPPED or FATAL it does nothing more. */
#ifndef NODE_H
#define NODE_H

#include "node/admin/admin.h"
#include "node/core/core.h"
#include "node/edge.h"
#include "node/mcp/mcp.h"
#include "node/state/state.h"

/* A text of MCP servers (`mcpServers` or `servers` JSON) and where it comes from, for messages. */
struct node_servers_text {
    struct mn_span origin, text;
};

/* Borrowed for node_new(), but for [trace]. Defaults first: node_config_default(). */
struct node_config {
    struct core_config core;   /* its writes_count and trace are the node's own: ignored */
    struct mcp_config mcp;     /* its self and trace likewise */
    struct admin_config admin; /* its core likewise; hosts and bearer are the gateway's */
    mn_time election_timeout;  /* of the metadata group; 0: 300 ms */
    const struct node_servers_text *servers;
    uint32_t servers_count;
    const struct mn_span *server_options; /* 'NAME=COMMAND ARGS' or 'NAME=URL' */
    uint32_t server_options_count;
    const struct mn_span *replicas; /* servers of these names are marked as replicas */
    uint32_t replicas_count;
    bool mesh_writes; /* MCP clients may use those of the mesh's own tools that change things */
    bool is_proxied;  /* HTTP comes through a proxy, which says from where */
    struct mn_trace *trace; /* events for the driver; may be NULL */
};

struct node;

void node_config_default(struct node_config *config);

/* On MN_CONFIG, [why] (in [arena]) names the text, the server and the key, and what to do. */
MN_MUST_USE mn_status node_new(const struct node_config *config, struct mn_arena *arena,
                               struct node **ret, struct mn_span *why);
void node_free(struct node *node);

/* Advances to [now] and handles [input]. Appends to [outbox]; never fails. */
void node_step(struct node *node, struct mn_now now, const struct edge_input *input,
               struct edge_outbox *outbox);
mn_time node_deadline(const struct node *node);

/* Every invariant of every core; the simulator calls it after each step. */
void node_check(const struct node *node);

/* Replaces the servers that the configuration names by those of [config], of which only what is
 * about servers is read: equal ones are left alone. On MN_CONFIG nothing changed, and [why], in the
 * outbox's arena, says what is wrong. For a reload; a step must follow. */
MN_MUST_USE mn_status node_reload_servers(struct node *node, struct mn_now now,
                                          const struct node_config *config,
                                          struct edge_outbox *outbox, struct mn_span *why);

/* For tests, checks of the simulator and the driver's banner. */
const struct core *node_core(const struct node *node);
const struct mcp *node_mcp(const struct node *node);
const struct state *node_state(const struct node *node);

#endif
