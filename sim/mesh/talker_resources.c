/* The resources of a talker: what they are, who wants to hear of them, and what is told unasked. */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/mesh/talker_line.h"

const char *talker_uri(const struct sim_server *server, uint32_t resource, char text[64])
{
    snprintf(text, 64, "sim://%s/%u", server->name, resource);
    return text;
}

static const char unknown[] = "\"code\":-32602,\"message\":\"" TALK_UNKNOWN "\"";

/* Which of its resources a URI is; TALK_RESOURCES: none. */
static uint32_t resource_of(const struct talker_line *line, struct mn_span uri)
{
    uint32_t i = 0;
    char text[64];

    while (i < TALK_RESOURCES && !mn_span_is(uri, talker_uri(line->server, i, text)))
        i++;
    return i;
}

void talker_read(struct talker_line *line, uint64_t exchange, struct mn_span id,
                 const struct json *params)
{
    uint32_t which = resource_of(line, json_text(json_find_str(params, "uri")));
    struct mn_writer body = {0};
    char uri[64];

    if (which == TALK_RESOURCES) {
        talker_line_answer_text(line, exchange, id, "error", unknown);
        return;
    }
    if (line->server->is_modern)
        mn_writer_str(&body, "\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\",");
    mn_writer_format(&body, "\"contents\":[{\"uri\":\"%s\",\"text\":\"%u\"}]",
                     talker_uri(line->server, which, uri), line->server->versions[which]);
    talker_line_answer(line, exchange, id, "result", &body);
}

static void write_subscription(struct mn_writer *writer, struct mn_span id)
{
    mn_writer_str(writer, "\"_meta\":{\"" NS "subscriptionId\":");
    mn_writer_add(writer, id);
    mn_writer_str(writer, "}");
}

/* What of it is there to be told of. */
static void write_honoured(struct mn_writer *writer, const struct listen *listen)
{
    const char *comma = "";
    char uri[64];

    mn_writer_str(writer, listen->wants_tools ? "{\"toolsListChanged\":true," : "{");
    if (listen->tasks != NULL) {
        mn_writer_str(writer, "\"taskIds\":");
        mn_writer_add(writer, mn_buf_span(listen->tasks));
        mn_writer_str(writer, ",");
    }
    mn_writer_str(writer, "\"resourceSubscriptions\":[");
    for (uint32_t i = 0; i < TALK_RESOURCES; i++) {
        if (!listen->wants[i]) continue;
        mn_writer_format(writer, "%s\"%s\"", comma, talker_uri(listen->server, i, uri));
        comma = ",";
    }
    mn_writer_str(writer, "]}");
}

void talker_listen(struct talker_line *line, uint64_t exchange, struct mn_span id,
                   const struct json *params)
{
    const struct json *wanted = json_find_str(params, "notifications");
    const struct json *uris = json_find_str(wanted, "resourceSubscriptions");
    struct listen *listen = mn_alloc(sizeof *listen);
    struct mn_writer message = {0};

    listen->id = mn_buf_copy(id);
    listen->server = line->server;
    listen->exchange = exchange;
    listen->wants_tools = json_is_true(json_find_str(wanted, "toolsListChanged"));
    if (json_find_str(wanted, "taskIds") != NULL)
        listen->tasks = mn_buf_copy(json_find_str(wanted, "taskIds")->raw);
    mn_list_push_back(&line->listens, &listen->list);
    if (json_is(uris, JSON_ARRAY))
        for (const struct json *uri = json_first(uris); uri != NULL; uri = json_next(uris, uri)) {
            uint32_t which = resource_of(line, json_text(uri));
            if (which < TALK_RESOURCES) listen->wants[which] = true;
        }
    mn_writer_str(&message, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/"
                            "acknowledged\",\"params\":{\"notifications\":");
    write_honoured(&message, listen);
    mn_writer_str(&message, ",");
    write_subscription(&message, id);
    mn_writer_str(&message, "}}");
    talker_line_say(line, exchange, &message, false);
}

void talker_listen_free(struct listen *listen)
{
    mn_list_remove(&listen->list);
    mn_buf_unref(listen->id);
    mn_buf_unref(listen->tasks);
    mn_free(listen);
}

/* Legacy: resources/subscribe and unsubscribe. */
void talker_subscribe(struct talker_line *line, uint64_t exchange, struct mn_span id,
                      const struct json *params, bool is_on)
{
    uint32_t which = resource_of(line, json_text(json_find_str(params, "uri")));

    if (which < TALK_RESOURCES) line->topics[which] = is_on;
    if (is_on && which == TALK_RESOURCES)
        talker_line_answer_text(line, exchange, id, "error", unknown);
    else
        talker_line_answer_text(line, exchange, id, "result", "");
}

/* ---- what it tells unasked ---- */

static void line_tell(struct talker_line *line, const char *method, const char *uri,
                      const struct listen *listen)
{
    struct mn_writer message = {0};

    mn_writer_format(&message, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{", method);
    if (uri != NULL) mn_writer_format(&message, "\"uri\":\"%s\"%s", uri, listen == NULL ? "" : ",");
    if (listen != NULL) write_subscription(&message, mn_buf_span(listen->id));
    mn_writer_str(&message, "}}");
    talker_line_say(line, listen == NULL ? 0 : listen->exchange, &message, false);
}

void talker_tools_changed(struct sim_server *server)
{
    static const char method[] = "notifications/tools/list_changed";

    MN_LIST_FOR_EACH_SAFE (entry, &server->lines) {
        struct talker_line *line = MN_CONTAINER(entry, struct talker_line, list);
        if (!server->is_modern) line_tell(line, method, NULL, NULL);
        MN_LIST_FOR_EACH_SAFE (each, &line->listens) {
            const struct listen *listen = MN_CONTAINER(each, struct listen, list);
            if (listen->wants_tools) line_tell(line, method, NULL, listen);
        }
    }
}

void talker_touch(struct sim_server *server, uint32_t resource)
{
    static const char method[] = "notifications/resources/updated";
    char uri[64];

    server->versions[resource]++;
    if (server->host->sim->options.is_verbose)
        printf("%9.3f     %s/%u is %u now\n", (double)server->host->sim->time / 1e6, server->name,
               resource, server->versions[resource]);
    talker_uri(server, resource, uri);
    MN_LIST_FOR_EACH_SAFE (entry, &server->lines) {
        struct talker_line *line = MN_CONTAINER(entry, struct talker_line, list);
        if (line->topics[resource]) line_tell(line, method, uri, NULL);
        MN_LIST_FOR_EACH_SAFE (each, &line->listens) {
            const struct listen *listen = MN_CONTAINER(each, struct listen, list);
            if (listen->wants[resource]) line_tell(line, method, uri, listen);
        }
    }
}

static void line_tell_task(struct talker_line *line, struct mn_span params,
                           const struct listen *listen)
{
    struct mn_writer message = {0};

    mn_writer_format(&message,
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks%s\",\"params\":{",
                     listen == NULL ? "/status" : "");
    mn_writer_add(&message, params);
    if (listen != NULL) {
        mn_writer_str(&message, ",");
        write_subscription(&message, mn_buf_span(listen->id));
    }
    mn_writer_str(&message, "}}");
    talker_line_say(line, listen == NULL ? 0 : listen->exchange, &message, false);
}

/* Whether [tasks], an array of short texts, names it. */
static bool names_task(struct mn_span tasks, const char *id)
{
    char quoted[32];
    size_t size = (size_t)snprintf(quoted, sizeof quoted, "\"%s\"", id);

    for (size_t at = 0; at + size <= tasks.size; at++)
        if (memcmp(tasks.data + at, quoted, size) == 0) return true;
    return false;
}

void talker_tell_task(struct talker_line *line, const char *id, struct mn_span params)
{
    if (!line->server->is_modern) line_tell_task(line, params, NULL);
    MN_LIST_FOR_EACH_SAFE (each, &line->listens) {
        const struct listen *listen = MN_CONTAINER(each, struct listen, list);
        if (listen->tasks != NULL && names_task(mn_buf_span(listen->tasks), id))
            line_tell_task(line, params, listen);
    }
}
