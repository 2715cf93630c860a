/* Servers that talk: they ask their clients, report progress, log, keep tasks and resources, and
 * hear cancellations, in either era, behind a child's stdin and stdout or a URL (sim/mesh/fetch.c).
 */
#include "proto/base/memory.h"
#include "sim/mesh/talker_line.h"

struct talk *talk_find(struct sim *sim, struct mn_span key)
{
    struct mn_map_entry *entry = mn_map_find(&sim->talks->by_key, key);

    return entry == NULL ? NULL : MN_CONTAINER(entry, struct talk, by_key);
}

void talker_init(struct sim_server *server)
{
    server->is_talker = true;
    server->is_fragile = false;
    mn_list_init(&server->lines);
}

struct sim *talker_sim(const struct talker_line *line)
{
    return line->server->host->sim;
}

/* ---- saying ---- */

void talker_line_say(struct talker_line *line, uint64_t exchange, struct mn_writer *message,
                     bool is_last)
{
    struct mn_buf *buf = mn_writer_done(message);

    line->say(line->context, exchange, mn_buf_span(buf), is_last);
    mn_buf_unref(buf);
}

/* [kind]: "result" or "error", of which [body] is the inside. */
void talker_line_answer(struct talker_line *line, uint64_t exchange, struct mn_span id,
                        const char *kind, struct mn_writer *body)
{
    struct mn_buf *inside = mn_writer_done(body);
    struct mn_writer message = {0};

    mn_writer_str(&message, "{\"jsonrpc\":\"2.0\",\"id\":");
    mn_writer_add(&message, id);
    mn_writer_format(&message, ",\"%s\":{", kind);
    mn_writer_add(&message, mn_buf_span(inside));
    mn_writer_str(&message, "}}");
    mn_buf_unref(inside);
    talker_line_say(line, exchange, &message, true);
}

void talker_line_answer_text(struct talker_line *line, uint64_t exchange, struct mn_span id,
                             const char *kind, const char *text)
{
    struct mn_writer body = {0};

    if (line->server->is_modern && kind[0] == 'r')
        mn_writer_str(&body, text[0] == '\0' ? "\"resultType\":\"complete\""
                                             : "\"resultType\":\"complete\",");
    mn_writer_str(&body, text);
    talker_line_answer(line, exchange, id, kind, &body);
}

/* ---- what else it is asked ---- */

static void write_about(const struct talker_line *line, struct mn_writer *body)
{
    static const char common[] =
        "\"tools\":{\"listChanged\":true},\"resources\":{\"subscribe\":true},\"logging\":{}";

    if (line->server->is_modern)
        mn_writer_format(body,
                         "\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],"
                         "\"capabilities\":{%s,\"extensions\":{\"" TALK_TASKS "\":{}}},"
                         "\"ttlMs\":0,\"cacheScope\":\"private\"",
                         common);
    else
        mn_writer_format(body,
                         "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{%s,\"tasks\":{"
                         "\"list\":{},\"cancel\":{},\"requests\":{\"tools\":{\"call\":{}}}}},"
                         "\"serverInfo\":{\"name\":\"talker\",\"version\":\"1\"}",
                         common);
}

static void write_tools(struct talker_line *line, struct mn_writer *body, const struct json *params)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *declared =
        json_find_str(json_find_str(params, "_meta"), NS "clientCapabilities");

    if (line->declared != NULL && json_parse_copy(parser, mn_buf_span(line->declared), TALK_LIMITS,
                                                  &arena, &declared) != MN_OK)
        declared = NULL;
    sim_server_write_tools(line->server, declared, body);
    mn_arena_done(&arena);
    json_parser_free(parser);
}

static void write_list(struct talker_line *line, struct mn_writer *body, const struct json *params,
                       bool is_tools)
{
    char uri[64];

    if (line->server->is_modern)
        mn_writer_str(body, "\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\",");
    if (is_tools) {
        write_tools(line, body, params);
        return;
    }
    mn_writer_str(body, "\"resources\":[");
    for (uint32_t i = 0; i < TALK_RESOURCES; i++)
        mn_writer_format(body, "%s{\"uri\":\"%s\",\"name\":\"r%u\"}", i == 0 ? "" : ",",
                         talker_uri(line->server, i, uri), i);
    mn_writer_str(body, "]");
}

static void line_cancelled(struct talker_line *line, const struct json *params)
{
    const struct json *id = json_find_str(params, "requestId");

    if (id == NULL) return;
    MN_LIST_FOR_EACH_SAFE (entry, &line->works) {
        struct work *work = MN_CONTAINER(entry, struct work, list);
        if (mn_span_equal(mn_buf_span(work->id), id->raw)) talker_work_free(work);
    }
    MN_LIST_FOR_EACH_SAFE (entry, &line->listens) {
        struct listen *listen = MN_CONTAINER(entry, struct listen, list);
        if (mn_span_equal(mn_buf_span(listen->id), id->raw)) talker_listen_free(listen);
    }
}

void talker_gone(struct talker_line *line, uint64_t exchange)
{
    MN_LIST_FOR_EACH_SAFE (entry, &line->works) {
        struct work *work = MN_CONTAINER(entry, struct work, list);
        if (work->exchange == exchange) talker_work_free(work);
    }
    MN_LIST_FOR_EACH_SAFE (entry, &line->listens) {
        struct listen *listen = MN_CONTAINER(entry, struct listen, list);
        if (listen->exchange == exchange) talker_listen_free(listen);
    }
}

/* Elicitation as a task, 2025-11-25. */
static bool knows_tasks(const struct json *declared)
{
    const struct json *requests = json_find_str(json_find_str(declared, "tasks"), "requests");

    return json_find_str(json_find_str(requests, "elicitation"), "create") != NULL;
}

static void line_keep_declared(struct talker_line *line, const struct json *declared)
{
    if (line->server->is_modern) return;
    line->can_be_asked = talker_may_be_asked(declared);
    line->has_tasks = knows_tasks(declared);
    line->declared = mn_buf_unref(line->declared);
    if (declared != NULL) line->declared = mn_buf_copy(declared->raw);
}

/* False: not of this era, or unknown. */
static bool line_request_of_era(struct talker_line *line, uint64_t exchange, struct mn_span id,
                                struct mn_span method, const struct json *params)
{
    bool is_modern = line->server->is_modern;
    struct mn_writer body = {0};

    if (mn_span_is(method, is_modern ? "server/discover" : "initialize")) {
        line->is_initialized = !is_modern;
        line_keep_declared(line, json_find_str(params, "capabilities"));
        write_about(line, &body);
        talker_line_answer(line, exchange, id, "result", &body);
    } else if (is_modern && mn_span_is(method, "subscriptions/listen")) {
        talker_listen(line, exchange, id, params);
    } else if (!is_modern && mn_span_is(method, "resources/subscribe")) {
        talker_subscribe(line, exchange, id, params, true);
    } else if (!is_modern && mn_span_is(method, "resources/unsubscribe")) {
        talker_subscribe(line, exchange, id, params, false);
    } else if (!is_modern && mn_span_is(method, "tasks/result")) {
        talker_task(line, exchange, id, "result", params);
    } else if (!is_modern &&
               (mn_span_is(method, "logging/setLevel") || mn_span_is(method, "ping"))) {
        talker_line_answer_text(line, exchange, id, "result", "");
    } else {
        return false;
    }
    return true;
}

static void line_request(struct talker_line *line, uint64_t exchange, struct mn_span id,
                         struct mn_span method, const struct json *params)
{
    bool is_tools = mn_span_is(method, "tools/list");
    struct mn_writer body = {0};

    if (is_tools || mn_span_is(method, "resources/list")) {
        write_list(line, &body, params, is_tools);
        talker_line_answer(line, exchange, id, "result", &body);
    } else if (mn_span_is(method, "tools/call")) {
        talker_call(line, exchange, id, params);
    } else if (mn_span_is(method, "resources/read")) {
        talker_read(line, exchange, id, params);
    } else if (mn_span_is(method, "tasks/get")) {
        talker_task(line, exchange, id, "get", params);
    } else if (mn_span_is(method, "tasks/cancel")) {
        talker_task(line, exchange, id, "cancel", params);
    } else if (!line_request_of_era(line, exchange, id, method, params)) {
        talker_line_answer_text(line, exchange, id, "error",
                                "\"code\":-32601,\"message\":\"method not found\"");
    }
}

void talker_hear(struct talker_line *line, uint64_t exchange, struct mn_span message)
{
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *root, *id, *params;
    struct mn_span method;

    if (json_parse_copy(parser, message, TALK_LIMITS, &arena, &root) != MN_OK) {
        sim_fail(talker_sim(line), "%s was sent what is not JSON", line->server->name);
    } else {
        id = json_find_str(root, "id");
        params = json_find_str(root, "params");
        method = json_text(json_find_str(root, "method"));
        if (id != NULL && method.size > 0)
            line_request(line, exchange, id->raw, method, params);
        else if (id != NULL)
            talker_answered(line, root);
        else if (mn_span_is(method, "notifications/cancelled"))
            line_cancelled(line, params);
    }
    mn_arena_done(&arena);
    json_parser_free(parser);
}

/* ---- lines ---- */

struct talker_line *talker_open(struct sim_server *server, talker_say *say, void *context)
{
    struct talker_line *line = mn_alloc(sizeof *line);

    line->server = server;
    line->say = say;
    line->context = context;
    mn_list_init(&line->works);
    mn_list_init(&line->listens);
    mn_list_init(&line->tasks);
    mn_list_init(&line->asides);
    mn_list_push_back(&server->lines, &line->list);
    return line;
}

void talker_close(struct talker_line *line)
{
    if (line == NULL) return;
    while (!mn_list_is_empty(&line->works)) {
        struct work *work = MN_CONTAINER(line->works.next, struct work, list);
        work->talk->was_cut = true;
        talker_work_free(work);
    }
    while (!mn_list_is_empty(&line->listens))
        talker_listen_free(MN_CONTAINER(line->listens.next, struct listen, list));
    talker_tasks_drop(line);
    talker_asides_drop(line);
    mn_list_remove(&line->list);
    mn_buf_unref(line->declared);
    mn_free(line);
}

void *talker_context(const struct talker_line *line)
{
    return line->context;
}

struct talker_line *talker_line_at(struct mn_list *entry)
{
    return MN_CONTAINER(entry, struct talker_line, list);
}

uint32_t talker_open_count(const struct sim_server *server)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, &server->lines) {
        MN_LIST_FOR_EACH (each, &MN_CONTAINER(entry, struct talker_line, list)->works)
            count++;
    }
    return count;
}

uint32_t talker_shared_count(const struct sim_server *server)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, &server->lines) {
        const struct talker_line *line = MN_CONTAINER(entry, struct talker_line, list);
        count += line->is_initialized && mn_span_is(mn_buf_span(line->declared), "{}");
    }
    return count;
}
