/* The MCP servers of this node: those its configuration names, and those added at run time, which
 * the store keeps under "server/NAME" as the JSON they were given in. */
#include "node/mcp/upstream/serverfile.h"
#include "node/node_inside.h"
#include "proto/base/memory.h"

#define STORE_PREFIX "server/"

static struct node_server *server_new(const struct upstream_config *config, struct mn_span origin)
{
    struct node_server *server = mn_alloc(sizeof *server);

    server->config = upstream_config_copy(config);
    if (origin.data != NULL) {
        server->origin = mn_alloc(origin.size + 1);
        memcpy(server->origin, origin.data, origin.size);
    }
    return server;
}

static void server_free(struct node_server *server)
{
    mn_list_remove(&server->list);
    mn_free(server->config);
    mn_free(server->origin);
    mn_free(server);
}

static void servers_free(struct mn_list *servers)
{
    while (!mn_list_is_empty(servers))
        server_free(MN_CONTAINER(servers->next, struct node_server, list));
}

void node_servers_done(struct node *node)
{
    servers_free(&node->servers);
}

static struct node_server *servers_find(struct mn_list *servers, struct mn_span name)
{
    MN_LIST_FOR_EACH (entry, servers) {
        struct node_server *server = MN_CONTAINER(entry, struct node_server, list);
        if (mn_span_equal(server->config->name, name)) return server;
    }
    return NULL;
}

/* ---- reading the configuration ---- */

static bool is_replica(const struct node_config *config, struct mn_span name)
{
    for (uint32_t i = 0; i < config->replicas_count; i++)
        if (mn_span_equal(config->replicas[i], name)) return true;
    return false;
}

static mn_status servers_plan_one(struct mn_list *servers, const struct node_config *config,
                                  const struct upstream_config *one, struct mn_span origin,
                                  struct mn_arena *arena, struct mn_span *why)
{
    const struct node_server *other = servers_find(servers, one->name);
    struct upstream_config marked = *one;
    struct node_server *server;

    if (other != NULL) {
        *why = mn_span_str(
            mn_arena_format(arena, "%.*s: server \"%.*s\" is named in %s too; rename one of them",
                            (int)origin.size, (const char *)origin.data, (int)one->name.size,
                            (const char *)one->name.data, other->origin));
        return MN_CONFIG;
    }
    marked.is_replica = marked.is_replica || is_replica(config, one->name);
    server = server_new(&marked, origin);
    mn_list_push_back(servers, &server->list);
    return MN_OK;
}

static mn_status servers_plan_text(struct mn_list *servers, const struct node_config *config,
                                   const struct node_servers_text *text, struct mn_arena *arena,
                                   struct mn_span *why)
{
    struct serverfile file;
    mn_status status = serverfile_read(text->origin, text->text, arena, &file, why);

    for (uint32_t i = 0; status == MN_OK && i < file.servers_count; i++)
        status = servers_plan_one(servers, config, &file.servers[i], text->origin, arena, why);
    return status;
}

static mn_status servers_plan(struct mn_list *servers, const struct node_config *config,
                              struct mn_arena *arena, struct mn_span *why)
{
    mn_status status = MN_OK;

    for (uint32_t i = 0; status == MN_OK && i < config->servers_count; i++)
        status = servers_plan_text(servers, config, &config->servers[i], arena, why);
    for (uint32_t i = 0; status == MN_OK && i < config->server_options_count; i++) {
        struct upstream_config one;
        status = serverfile_read_option(config->server_options[i], arena, &one, why);
        if (status == MN_OK)
            status = servers_plan_one(servers, config, &one, mn_span_str("--server"), arena, why);
    }
    return status;
}

mn_status node_servers_plan(struct node *node, const struct node_config *config,
                            struct mn_arena *arena, struct mn_span *why)
{
    return servers_plan(&node->servers, config, arena, why);
}

/* ---- giving them to the gateway ---- */

/* What the configuration says was checked before, so a refusal here is a limit; it is reported. */
static void server_start(struct node *node, struct mn_now now, const struct node_server *server,
                         struct edge_outbox *outbox)
{
    struct mcp_outbox mcp_outbox = node_mcp_outbox(node, outbox);
    struct mn_span why = mn_span(NULL, 0);

    if (mcp_server_add(node->mcp, now, server->config, &mcp_outbox, &why) != MN_OK)
        mn_trace_span(&node->inner, now.mono, MN_EV_SERVER_FAILED, NULL, 0, 0, why);
}

void node_servers_start(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    node->is_started = true;
    MN_LIST_FOR_EACH (entry, &node->servers) {
        server_start(node, now, MN_CONTAINER(entry, struct node_server, list), outbox);
    }
}

static void server_stop(struct node *node, struct mn_now now, struct node_server *server,
                        struct edge_outbox *outbox)
{
    struct mcp_outbox mcp_outbox = node_mcp_outbox(node, outbox);
    struct mn_span why;

    if (mcp_server_remove(node->mcp, now, server->config->name, &mcp_outbox, &why) != MN_OK)
        mn_trace_span(&node->inner, now.mono, MN_EV_SERVER_FAILED, NULL, 0, 0, why);
    server_free(server);
}

mn_status node_reload_servers(struct node *node, struct mn_now now,
                              const struct node_config *config, struct edge_outbox *outbox,
                              struct mn_span *why)
{
    struct mn_list wanted;
    mn_status status;

    mn_list_init(&wanted);
    status = servers_plan(&wanted, config, outbox->arena, why);
    if (status != MN_OK) {
        servers_free(&wanted);
        return status;
    }
    MN_LIST_FOR_EACH_SAFE (entry, &node->servers) {
        struct node_server *server = MN_CONTAINER(entry, struct node_server, list);
        struct node_server *same = servers_find(&wanted, server->config->name);
        if (server->origin == NULL) continue; /* the configuration has no say in it */
        if (same != NULL && upstream_config_equal(same->config, server->config))
            server_free(same);
        else
            server_stop(node, now, server, outbox);
    }
    while (!mn_list_is_empty(&wanted)) {
        struct node_server *server = MN_CONTAINER(mn_list_take(&wanted), struct node_server, list);
        if (servers_find(&node->servers, server->config->name) != NULL) {
            server_free(server); /* one added at run time keeps its name */
            continue;
        }
        mn_list_push_back(&node->servers, &server->list);
        server_start(node, now, server, outbox);
    }
    return MN_OK;
}

/* ---- servers added at run time ---- */

static mn_status servers_read_one(struct mn_span text, struct mn_arena *arena,
                                  const struct upstream_config **ret, struct mn_span *why)
{
    struct mn_writer writer = {0};
    struct mn_buf *whole;
    struct serverfile file;
    mn_status status;

    mn_writer_str(&writer, "{\"mcpServers\":");
    mn_writer_add(&writer, text);
    mn_writer_str(&writer, "}");
    whole = mn_writer_done(&writer);
    status = serverfile_read(mn_span(NULL, 0), mn_buf_span(whole), arena, &file, why);
    if (status == MN_OK && file.servers_count != 1) {
        *why = mn_span_str("name exactly one server: {\"NAME\": {\"command\": ...}}");
        status = MN_CONFIG;
    }
    if (status == MN_OK) *ret = upstream_config_copy(&file.servers[0]);
    mn_buf_unref(whole);
    return status;
}

static void servers_write(struct node *node, struct mn_span name, struct mn_span text,
                          struct edge_outbox *outbox)
{
    struct edge_output *write = edge_emit(outbox, EDGE_OUT_WRITE, ++node->writes_count);

    write->key = mn_span_str(mn_arena_format(outbox->arena, STORE_PREFIX "%.*s", (int)name.size,
                                             (const char *)name.data));
    if (text.data != NULL) write->bytes = mn_arena_copy(outbox->arena, text);
}

/* Starts the server of [text]; true: it is one of ours now. */
static mn_status servers_adopt(struct node *node, struct mn_now now, struct mn_span text,
                               struct edge_outbox *outbox, struct mn_span *name,
                               struct mn_span *why)
{
    struct mcp_outbox mcp_outbox = node_mcp_outbox(node, outbox);
    const struct upstream_config *config = NULL;
    struct node_server *server;
    mn_status status = servers_read_one(text, outbox->arena, &config, why);

    if (status != MN_OK) return status;
    if (servers_find(&node->servers, config->name) != NULL) {
        *why = mn_span_str("a server of that name is attached already; remove it first");
        status = MN_EXISTS;
    } else {
        status = mcp_server_add(node->mcp, now, config, &mcp_outbox, why);
    }
    if (status == MN_OK) {
        server = server_new(config, mn_span(NULL, 0));
        mn_list_push_back(&node->servers, &server->list);
        *name = server->config->name;
    }
    mn_free((void *)(uintptr_t)config);
    return status;
}

bool node_servers_recover(struct node *node, struct mn_now now, struct mn_span key,
                          struct mn_span value, struct edge_outbox *outbox)
{
    size_t prefix = strlen(STORE_PREFIX);
    struct mn_span name, why = mn_span(NULL, 0);

    if (key.size < prefix || memcmp(key.data, STORE_PREFIX, prefix) != 0) return false;
    if (servers_adopt(node, now, value, outbox, &name, &why) != MN_OK)
        mn_trace_span(&node->inner, now.mono, MN_EV_SERVER_FAILED, NULL, 0, 0, why);
    return true;
}

mn_status node_servers_add(struct node *node, struct mn_now now, struct mn_span text,
                           struct edge_outbox *outbox, struct mn_span *why)
{
    struct mn_span name;
    mn_status status = servers_adopt(node, now, text, outbox, &name, why);

    if (status == MN_OK) servers_write(node, name, text, outbox);
    return status;
}

mn_status node_servers_remove(struct node *node, struct mn_now now, struct mn_span name,
                              struct edge_outbox *outbox, struct mn_span *why)
{
    struct node_server *server = servers_find(&node->servers, name);

    if (server == NULL) {
        *why = mn_span_str("no server of that name is attached here");
        return MN_NOT_FOUND;
    }
    if (server->origin != NULL) {
        *why = mn_span_str(mn_arena_format(
            outbox->arena, "it is named in %s: take it out there and reload", server->origin));
        return MN_STATE;
    }
    servers_write(node, name, mn_span(NULL, 0), outbox);
    server_stop(node, now, server, outbox);
    return MN_OK;
}
