/* node_mesh.h: the mesh itself as an MCP server, named "mesh", on every node. Its tools and
 * resources ask the operator's side of this node (`/v1`, over exchanges that exist in here only),
 * so whatever an operator can see, an agent can be given by one row of the table in
 * node_mesh_tools.c.
 *
 * It is part of the glue: the gateway takes it for a service like any other, the core never hears
 * of it. Ids of its exchanges are even; those of drivers are odd. */
#ifndef NODE_MESH_H
#define NODE_MESH_H

#include "node/node.h"

#define NODE_MESH_CALLS_MAX 64 /* at once; more are told that the node is busy */

/* A tool, and the request that answers it. */
struct node_mesh_tool {
    const char *name, *title, *about;
    const char *schema; /* of its arguments, a JSON object */
    bool is_read_only;
    const char *method, *path; /* `{x}` in it becomes the argument x, percent-encoded; `{?x,y}` the
                                * query of those that are given. NULL: the gateway's front answers
                                * before it comes here */
};

/* What a resource tells of: whoever listens to it hears when such a thing happens. */
enum node_mesh_topic {
    NODE_MESH_NODES = 1,
    NODE_MESH_TOOLS = 2,
    NODE_MESH_DECISIONS = 4,
    NODE_MESH_CONSENSUS = 8,
    NODE_MESH_STATE = 16
};

/* A resource, and the path of the operator's side that has it. */
struct node_mesh_resource {
    const char *uri, *name, *text, *path;
    unsigned about; /* of enum node_mesh_topic */
};

/* Each ends with a zero. */
extern const struct node_mesh_tool node_mesh_tools[];
extern const struct node_mesh_resource node_mesh_resources[];

struct node_mesh;

/* [writes]: clients may also use the tools that change something. */
struct node_mesh *node_mesh_new(bool writes);
void node_mesh_free(struct node_mesh *mesh);

/* Tells the gateway of the server, once. */
void node_mesh_start(struct node *node);

/* True: the gateway's message was for this server. */
bool node_mesh_takes(struct node *node, struct mn_now now, const struct call_message *message,
                     struct edge_outbox *outbox);

/* Asks the operator's side of this node for a path, for a member (or ourselves): what comes goes to
 * node_gather_on_own(). False: too much is under way. */
bool node_mesh_ask_own(struct node *node, struct mn_now now, const mn_id *to, uint64_t number,
                       const char *path, struct edge_outbox *outbox);

/* True: the core speaks of a server of that name, as an older node may still have one. */
bool node_mesh_hides(const struct node *node, const struct call_message *message);

/* After a step of the operator's side: takes what answers our own exchanges out of [outbox], from
 * output [begin] on, and passes it to the gateway. */
void node_mesh_collect(struct node *node, struct edge_outbox *outbox, uint32_t begin);

#endif
