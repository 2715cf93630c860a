/* Scripted MCP servers: what a small honest server of either era says, and in times of trouble what
 * a slow, hanging or crashing one does. It counts each execution in the world's ledger, where no
 * crash can hide it. */
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/mesh/talker.h"

#define LIMITS ((struct json_limits){.depth_max = 64, .depth_kept = 8, .nodes_max = 4096})
#define LARGE_MIN 262144 /* bytes of an answer that is not handled in one step */
#define TOOLS_MIN 2      /* "work" and "look" are always there */
#define TOOLS_MAX 6

/* How a call goes. */
enum mood {
    MOOD_FINE,
    MOOD_SLOW,        /* takes long, but not too long */
    MOOD_HANGS,       /* works and never answers */
    MOOD_DIES_BEFORE, /* its process or connection ends without a trace of work */
    MOOD_DIES_AFTER,  /* the same, but the work is done */
    MOOD_REFUSES,     /* answers with an error */
    MOOD_NOISY,       /* writes what is no message before it answers */
    MOOD_COUNT
};

struct sim_server *sim_server_add(struct sim_host *host, enum sim_server_kind kind,
                                  const char *name, bool is_modern)
{
    struct sim *sim = host->sim;
    struct sim_server *server = &host->servers[host->servers_count++];

    MN_ASSERT(host->servers_count <= SIM_SERVERS_MAX);
    server->host = host;
    server->kind = kind;
    server->is_modern = is_modern;
    server->own_tools = TOOLS_MIN;
    server->is_fragile = kind == SIM_SERVER_CHILD && rng_below(&sim->rng_work, 2) == 0;
    server->session = 1;
    server->work = 1 * MN_MS + rng_below(&sim->rng_work, 200 * MN_MS);
    snprintf(server->name, sizeof server->name, "%s", name);
    return server;
}

/* Each host has a child of its own. Every host offers "shared", every second one "pool", each at
 * one URL: replicas of each other. Calls of "shared" stay at home, those of "pool" must be routed.
 */
void sim_server_init(struct sim_host *host)
{
    struct sim *sim = host->sim;
    bool is_even = sim->options.story->seed % 2 == 0;
    char name[2 * SIM_NAME_MAX];

    snprintf(name, sizeof name, "own-%s", host->name);
    sim_server_add(host, SIM_SERVER_CHILD, name, rng_below(&sim->rng_work, 2) == 0);
    sim_server_add(host, SIM_SERVER_HTTP, "shared", is_even);
    if (host->index % 2 == 1) sim_server_add(host, SIM_SERVER_HTTP, "pool", !is_even);
}

void sim_server_done(struct sim_host *host)
{
    for (uint32_t i = 0; i < host->servers_count; i++)
        mn_buf_unref(host->servers[i].listen_id);
}

struct mn_span sim_server_json(struct sim_host *host, struct mn_arena *arena)
{
    struct mn_writer writer = {0};
    struct mn_buf *text;
    struct mn_span copy;

    mn_writer_format(&writer,
                     "{\"mcpServers\":{\"%s\":{\"command\":\"sim-server\",\"args\":[\"%s\"]}",
                     host->servers[0].name, host->servers[0].name);
    for (uint32_t i = 1; i < host->servers_count; i++)
        mn_writer_format(&writer, ",\"%s\":{\"url\":\"http://%s.test/mcp\"}", host->servers[i].name,
                         host->servers[i].name);
    mn_writer_str(&writer, "}}");
    text = mn_writer_done(&writer);
    copy = mn_arena_copy(arena, mn_buf_span(text));
    mn_buf_unref(text);
    return copy;
}

struct sim_server *sim_server_find(struct sim_host *host, struct mn_span name)
{
    for (uint32_t i = 0; i < host->servers_count; i++)
        if (mn_span_is(name, host->servers[i].name)) return &host->servers[i];
    return NULL;
}

/* ---- its tools ---- */

struct sim_server *sim_server_itself(struct sim_server *server)
{
    struct sim *sim = server->host->sim;
    struct sim_server *first = NULL;

    for (uint32_t i = 0; first == NULL; i++)
        first = sim_server_find(&sim->hosts[i], mn_span_str(server->name));
    return first;
}

uint32_t sim_server_tools(struct sim_server *server)
{
    return sim_server_itself(server)->own_tools;
}

const char *sim_server_tool(uint32_t index, char name[SIM_NAME_MAX])
{
    if (index < TOOLS_MIN) return index == 0 ? "work" : "look";
    snprintf(name, SIM_NAME_MAX, "extra%u", index);
    return name;
}

/* Its tools changed: a child says so; what is behind a URL is found out by looking again. */
static void server_tell(struct sim_host *host, struct sim_server *server)
{
    struct mn_writer writer = {0};
    struct mn_buf *message;

    if (server->kind == SIM_SERVER_HTTP) return;
    if (server->is_modern && server->listen_id == NULL) return; /* nobody asked to be told */
    mn_writer_str(&writer, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"");
    if (server->is_modern) {
        mn_writer_str(&writer,
                      ",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
        mn_writer_add(&writer, mn_buf_span(server->listen_id));
        mn_writer_str(&writer, "}}");
    }
    mn_writer_str(&writer, "}\n");
    message = mn_writer_done(&writer);
    sim_child_say(host, message);
    mn_buf_unref(message);
}

void sim_server_change(struct sim_host *host)
{
    sim_server_change_one(host, rng_below(&host->sim->rng_fault, host->servers_count));
}

static void server_changed(struct sim_host *host, struct sim_server *server)
{
    if (server->is_talker)
        talker_tools_changed(server);
    else
        server_tell(host, server);
}

void sim_server_change_one(struct sim_host *host, uint32_t which)
{
    struct sim *sim = host->sim;
    struct sim_server *server = &host->servers[which];
    struct sim_server *itself = sim_server_itself(server);

    itself->own_tools = TOOLS_MIN + rng_below(&sim->rng_fault, TOOLS_MAX - TOOLS_MIN + 1);
    server_changed(host, server);
}

/* ---- what only some are shown ---- */

/* Those of server.c have one process for all sessions, so they know only of modern requests who
 * asks. */
static bool is_shy(const struct sim_server *server)
{
    return server->host->sim->is_shy && (server->is_modern || server->is_talker);
}

/* Of what a client declares, that which makes a difference to the server. */
static uint32_t minded(struct sim_server *server, uint32_t declared)
{
    return is_shy(server) ? declared & ~sim_server_itself(server)->untold : 0;
}

uint32_t sim_server_secrets(struct sim_server *server, uint32_t declared)
{
    declared = minded(server, declared);
    return ((declared & SIM_ASKED) != 0 ? 1u : 0u) + ((declared & SIM_PAIRED) != 0 ? 1u : 0u) +
           ((declared & SIM_SHOWN) != 0 ? 1u : 0u);
}

const char *sim_server_secret(struct sim_server *server, uint32_t declared, uint32_t index,
                              char name[SIM_NAME_MAX])
{
    static const char *const kinds[] = {"ask", "pair", "app"};
    uint32_t kind = 0;

    declared = minded(server, declared);
    for (uint32_t seen = 0;; kind++)
        if ((declared >> kind & 1) != 0 && seen++ == index) break;
    snprintf(name, SIM_NAME_MAX, SIM_SHY "%s-%u", kinds[kind], sim_server_itself(server)->secrets);
    return name;
}

const char *sim_server_variant(struct sim_server *server, uint32_t declared,
                               char text[SIM_NAME_MAX])
{
    text[0] = '\0';
    if ((minded(server, declared) & SIM_SHOWN) != 0)
        snprintf(text, SIM_NAME_MAX, SIM_SHY "picture %u", sim_server_itself(server)->secrets);
    return text;
}

const char *sim_declaration(uint32_t declared)
{
    static const char *const texts[SIM_DECLARATIONS] = {
        "{}",
        "{\"elicitation\":{}}",
        "{\"sampling\":{},\"roots\":{}}",
        "{\"elicitation\":{},\"sampling\":{},\"roots\":{}}",
        "{" SIM_CAN_SHOW "}",
        "{\"elicitation\":{}," SIM_CAN_SHOW "}",
        "{\"sampling\":{},\"roots\":{}," SIM_CAN_SHOW "}",
        SIM_CAN_ALL};

    return texts[declared];
}

static uint32_t declared_bits(const struct json *declared)
{
    bool is_paired = json_is(json_find_str(declared, "sampling"), JSON_OBJECT) &&
                     json_is(json_find_str(declared, "roots"), JSON_OBJECT);

    const struct json *shown =
        json_find_str(json_find_str(declared, "extensions"), "io.modelcontextprotocol/ui");

    return (json_is(json_find_str(declared, "elicitation"), JSON_OBJECT) ? SIM_ASKED : 0) |
           (is_paired ? SIM_PAIRED : 0) | (json_is(shown, JSON_OBJECT) ? SIM_SHOWN : 0);
}

void sim_server_change_secrets(struct sim_host *host, uint32_t which)
{
    sim_server_itself(&host->servers[which])->secrets++;
    server_changed(host, &host->servers[which]);
}

void sim_server_redefine(struct sim_host *host, uint32_t which)
{
    struct sim_server *server = &host->servers[which];

    server->edition++;
    server_tell(host, server);
}

void sim_server_forget(struct sim_host *host)
{
    struct sim_server *server = &host->servers[host->servers_count - 1];

    if (server->is_talker)
        sim_fetch_forget(server);
    else if (server->kind == SIM_SERVER_HTTP)
        sim_server_itself(server)->session++;
}

/* In front of the others, so that their order shows, too. */
static void write_secrets(struct sim_server *server, uint32_t declared, struct mn_writer *writer)
{
    char name[SIM_NAME_MAX];

    for (uint32_t i = 0; i < sim_server_secrets(server, declared); i++)
        mn_writer_format(writer, "{\"name\":\"%s\",\"inputSchema\":{\"type\":\"object\"}},",
                         sim_server_secret(server, declared, i, name));
}

void sim_server_write_tools(struct sim_server *server, const struct json *declared,
                            struct mn_writer *writer)
{
    char name[SIM_NAME_MAX], picture[SIM_NAME_MAX], edition[24] = "";

    if (server->edition > 0) snprintf(edition, sizeof edition, " anew (%u)", server->edition);
    mn_writer_str(writer, "\"tools\":[");
    write_secrets(server, declared_bits(declared), writer);
    sim_server_variant(server, declared_bits(declared), picture);
    for (uint32_t i = 0; i < sim_server_tools(server); i++)
        mn_writer_format(writer,
                         "%s{\"name\":\"%s\",\"description\":\"does the work %u%s%s\","
                         "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"key\":{\"type\":"
                         "\"string\"},\"pad\":{\"type\":\"string\"}}}%s}",
                         i == 0 ? "" : ",", sim_server_tool(i, name), i, edition,
                         i == 0 ? picture : "",
                         i == 1 ? ",\"annotations\":{\"readOnlyHint\":true}" : "");
    mn_writer_str(writer, "]");
}

/* ---- calls ---- */

/* What it is told about the caller, beside what is to be done. */
static void note_level(struct sim_call *call, const struct json *params)
{
    struct mn_span level = json_text(
        json_find_str(json_find_str(params, "_meta"), "io.modelcontextprotocol/logLevel"));

    if (level.size >= sizeof call->log_level) level.size = sizeof call->log_level - 1;
    memset(call->log_level, 0, sizeof call->log_level);
    if (level.size > 0) memcpy(call->log_level, level.data, level.size);
}

static void do_work(const struct sim_server *server, struct mn_span key, const struct json *params)
{
    struct sim *sim = server->host->sim;
    struct mn_map_entry *entry = mn_map_find(&sim->calls, key);
    struct mn_span name = json_text(json_find_str(params, "name"));
    struct sim_call *call;

    if (entry == NULL) {
        sim_fail(sim, "a server was called with a key nobody sent: %.*s", (int)key.size,
                 (const char *)key.data);
        return;
    }
    call = MN_CONTAINER(entry, struct sim_call, entry);
    call->executions++;
    call->edition = server->edition;
    call->by = server;
    snprintf(call->did, sizeof call->did, "%.*s", (int)name.size, (const char *)name.data);
    note_level(call, params);
    sim->stats.executions++;
    sim_check_call(sim, call);
}

static enum mood draw_mood(struct sim *sim)
{
    if (sim->trouble == 0 || rng_below(&sim->rng_work, sim->trouble) != 0) return MOOD_FINE;
    return (enum mood)(1 + rng_below(&sim->rng_work, MOOD_COUNT - 1));
}

/* In a tenth of the runs a call that said much is answered with more, by so much that the node
 * which gets it has to go through it slice by slice. */
static void write_pad(const struct sim *sim, const struct json *arguments, struct mn_writer *writer)
{
    size_t size = json_text(json_find_str(arguments, "pad")).size;

    if (size == 0 || sim->options.story->seed % 10 != 7) return;
    MN_PROBE("sim: a large answer");
    size += LARGE_MIN;
    mn_writer_str(writer, ",\"_meta\":{\"pad\":\"");
    memset(mn_writer_take(writer, size), 'x', size);
    mn_writer_str(writer, "\"}");
}

/* Does the work of one call, as well as its mood lets it. */
static const char *write_call(struct sim_server *server, const struct json *params,
                              struct mn_writer *writer, struct sim_reply *reply)
{
    struct sim *sim = server->host->sim;
    const struct json *arguments = json_find_str(params, "arguments");
    struct mn_span key = json_text(json_find_str(arguments, "key"));
    enum mood mood = draw_mood(sim);

    reply->delay = server->work;
    reply->is_silent = mood == MOOD_HANGS;
    reply->is_noisy = mood == MOOD_NOISY;
    reply->is_break = mood == MOOD_DIES_BEFORE || mood == MOOD_DIES_AFTER;
    if (mood != MOOD_DIES_BEFORE && mood != MOOD_REFUSES) do_work(server, key, params);
    if (mood == MOOD_SLOW) {
        MN_PROBE("sim: a server is slow");
        reply->delay += rng_below_u64(&sim->rng_work, SIM_CALL_TIMEOUT - 5 * MN_SEC);
    }
    if (mood == MOOD_REFUSES) {
        mn_writer_drop(writer);
        mn_writer_str(writer, "\"code\":-32000,\"message\":\"not in the mood\"");
        return "error";
    }
    mn_writer_format(writer, "\"content\":[{\"type\":\"text\",\"text\":\"did %.*s\"}]",
                     (int)key.size, (const char *)key.data);
    write_pad(sim, arguments, writer);
    return "result";
}

/* ---- what it says ---- */

static struct mn_buf *write_answer(struct mn_span id, const char *kind, struct mn_writer *body)
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

/* A listen is not answered but acknowledged. */
static struct mn_buf *acknowledge(struct sim_server *server, struct mn_span id)
{
    struct mn_writer writer = {0};

    mn_buf_unref(server->listen_id);
    server->listen_id = mn_buf_copy(id);
    mn_writer_str(&writer,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
                  "\"params\":{\"notifications\":{\"toolsListChanged\":true},\"_meta\":{"
                  "\"io.modelcontextprotocol/subscriptionId\":");
    mn_writer_add(&writer, id);
    mn_writer_str(&writer, "}}}");
    return mn_writer_done(&writer);
}

static void write_discover(const struct sim_server *server, struct mn_writer *body)
{
    mn_writer_format(body,
                     "\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{%s}},"
                     "\"ttlMs\":0,\"cacheScope\":\"private\"",
                     server->kind == SIM_SERVER_CHILD ? "\"listChanged\":true" : "");
}

static const struct json *declared_in(const struct json *params)
{
    return json_find_str(json_find_str(params, "_meta"),
                         "io.modelcontextprotocol/clientCapabilities");
}

static const char *write_result(struct sim_server *server, struct mn_span method,
                                const struct json *params, struct mn_writer *body,
                                struct sim_reply *reply)
{
    if (server->is_modern) mn_writer_str(body, "\"resultType\":\"complete\",");
    if (server->is_modern && mn_span_is(method, "server/discover")) {
        write_discover(server, body);
    } else if (!server->is_modern && mn_span_is(method, "initialize")) {
        mn_writer_str(body, "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{"
                            "\"listChanged\":true}},\"serverInfo\":{\"name\":\"sim\","
                            "\"version\":\"1\"}");
    } else if (mn_span_is(method, "tools/list")) {
        sim_server_write_tools(server, declared_in(params), body);
        if (server->is_modern) mn_writer_str(body, ",\"ttlMs\":0,\"cacheScope\":\"private\"");
    } else if (mn_span_is(method, "tools/call")) {
        return write_call(server, params, body, reply);
    } else if (!server->is_modern && mn_span_is(method, "ping")) {
        return "result";
    } else {
        mn_writer_drop(body);
        mn_writer_str(body, "\"code\":-32601,\"message\":\"method not found\"");
        return "error";
    }
    return "result";
}

static void server_answer(struct sim_server *server, const struct json *root,
                          struct sim_reply *reply)
{
    const struct json *id = json_find_str(root, "id");
    struct mn_span method = json_text(json_find_str(root, "method"));
    struct mn_writer body = {0};

    if (id == NULL || method.size == 0) return; /* a notification */
    if (!server->is_modern && server->is_fragile && mn_span_is(method, "server/discover")) {
        reply->is_break = true;
        return;
    }
    if (server->is_modern && mn_span_is(method, "subscriptions/listen")) {
        reply->buf = acknowledge(server, id->raw);
        return;
    }
    const char *kind = write_result(server, method, json_find_str(root, "params"), &body, reply);
    if (reply->is_silent)
        mn_writer_drop(&body);
    else
        reply->buf = write_answer(id->raw, kind, &body);
}

struct sim_reply sim_server_answer(struct sim *sim, struct sim_server *server,
                                   struct mn_span message)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    struct sim_reply reply = {.delay = 1 * MN_MS};
    const struct json *root;

    if (json_parse_copy(parser, message, LIMITS, &arena, &root) == MN_OK)
        server_answer(server, root, &reply);
    else
        sim_fail(sim, "%s was sent what is not JSON", server->name);
    mn_arena_done(&arena);
    json_parser_free(parser);
    return reply;
}
