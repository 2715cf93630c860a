/* Scripted MCP servers: what a small honest server of either era says. It counts each execution in
 * the world's ledger, where no crash can hide it. */
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/memory.h"
#include "sim/sim.h"

#define LIMITS ((struct json_limits){.depth_max = 64, .depth_kept = 8, .nodes_max = 4096})

void sim_server_init(struct sim_host *host)
{
    struct sim *sim = host->sim;
    struct sim_server *server;

    host->servers_count = 2;
    host->servers = mn_alloc(host->servers_count * sizeof *host->servers);
    for (uint32_t i = 0; i < host->servers_count; i++) {
        server = &host->servers[i];
        server->host = host;
        server->kind = i == 0 ? SIM_SERVER_CHILD : SIM_SERVER_HTTP;
        server->is_modern = rng_below(&sim->rng_work, 2) == 0;
        server->tools_count = 2;
        server->work = 1 * MN_MS + rng_below(&sim->rng_work, 200 * MN_MS);
    }
    snprintf(host->servers[0].name, sizeof host->servers[0].name, "own-%s", host->name);
    /* Every host offers this one, at one URL: replicas of each other. */
    snprintf(host->servers[1].name, sizeof host->servers[1].name, "shared");
    host->servers[1].is_modern = sim->options.seed % 2 == 0;
}

void sim_server_done(struct sim_host *host)
{
    mn_free(host->servers);
    host->servers = NULL;
}

struct mn_span sim_server_json(struct sim_host *host, struct mn_arena *arena)
{
    return mn_span_str(
        mn_arena_format(arena,
                        "{\"mcpServers\":{\"%s\":{\"command\":\"sim-server\",\"args\":[\"%s\"]},"
                        "\"shared\":{\"url\":\"http://shared.test/mcp\"}}}",
                        host->servers[0].name, host->servers[0].name));
}

struct sim_server *sim_server_find(struct sim_host *host, struct mn_span name)
{
    for (uint32_t i = 0; i < host->servers_count; i++)
        if (mn_span_is(name, host->servers[i].name)) return &host->servers[i];
    return NULL;
}

static void write_tools(struct sim_server *server, struct mn_writer *writer)
{
    mn_writer_str(writer, "\"tools\":[");
    for (uint32_t i = 0; i < server->tools_count; i++)
        mn_writer_format(writer,
                         "%s{\"name\":\"%s\",\"description\":\"does the work %u\","
                         "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"key\":{\"type\":"
                         "\"string\"}}}%s}",
                         i == 0 ? "" : ",",
                         i == 0   ? "work"
                         : i == 1 ? "look"
                                  : "extra",
                         i, i == 1 ? ",\"annotations\":{\"readOnlyHint\":true}" : "");
    mn_writer_str(writer, "]");
}

/* Does the work of one call: the ledger notes it, whoever asked. */
static void write_call(struct sim *sim, const struct json *params, struct mn_writer *writer)
{
    struct mn_span key = json_text(json_find_str(json_find_str(params, "arguments"), "key"));
    struct mn_map_entry *entry = mn_map_find(&sim->calls, key);

    if (entry == NULL) {
        sim_fail(sim, "a server was called with a key nobody sent: %.*s", (int)key.size,
                 (const char *)key.data);
        return;
    }
    MN_CONTAINER(entry, struct sim_call, entry)->executions++;
    sim->stats.executions++;
    mn_writer_format(writer, "\"content\":[{\"type\":\"text\",\"text\":\"did %.*s\"}]",
                     (int)key.size, (const char *)key.data);
}

static struct mn_buf *answer(struct mn_span id, const char *kind, struct mn_writer *body)
{
    struct mn_writer writer = {0};
    struct mn_buf *inside = mn_writer_done(body);

    mn_writer_str(&writer, "{\"jsonrpc\":\"2.0\",\"id\":");
    mn_writer_add(&writer, id);
    mn_writer_format(&writer, ",\"%s\":{", kind);
    mn_writer_add(&writer, mn_buf_span(inside));
    mn_writer_str(&writer, "}}");
    mn_buf_unref(inside);
    return mn_writer_done(&writer);
}

static const char *write_result(struct sim *sim, struct sim_server *server, struct mn_span method,
                                const struct json *params, struct mn_writer *body)
{
    if (server->is_modern) mn_writer_str(body, "\"resultType\":\"complete\",");
    if (server->is_modern && mn_span_is(method, "server/discover")) {
        mn_writer_str(body,
                      "\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},"
                      "\"ttlMs\":0,\"cacheScope\":\"private\"");
    } else if (!server->is_modern && mn_span_is(method, "initialize")) {
        mn_writer_str(body, "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{"
                            "\"listChanged\":true}},\"serverInfo\":{\"name\":\"sim\","
                            "\"version\":\"1\"}");
    } else if (mn_span_is(method, "tools/list")) {
        write_tools(server, body);
        if (server->is_modern) mn_writer_str(body, ",\"ttlMs\":0,\"cacheScope\":\"private\"");
    } else if (mn_span_is(method, "tools/call")) {
        write_call(sim, params, body);
    } else if (!server->is_modern && mn_span_is(method, "ping")) {
        return "result";
    } else {
        mn_writer_drop(body);
        mn_writer_str(body, "\"code\":-32601,\"message\":\"method not found\"");
        return "error";
    }
    return "result";
}

struct sim_reply sim_server_answer(struct sim *sim, struct sim_server *server,
                                   struct mn_span message)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    struct sim_reply reply = {0};
    const struct json *root, *id;
    struct mn_writer body = {0};

    if (json_parse_copy(parser, message, LIMITS, &arena, &root) != MN_OK) {
        sim_fail(sim, "%s was sent what is not JSON", server->name);
    } else if ((id = json_find_str(root, "id")) != NULL && json_find_str(root, "method") != NULL) {
        struct mn_span method = json_text(json_find_str(root, "method"));
        const char *kind = write_result(sim, server, method, json_find_str(root, "params"), &body);
        reply.delay = mn_span_is(method, "tools/call") ? server->work : 1 * MN_MS;
        reply.buf = answer(id->raw, kind, &body);
    }
    mn_writer_drop(&body);
    mn_arena_done(&arena);
    json_parser_free(parser);
    return reply;
}
