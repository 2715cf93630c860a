/* tools, call: the tools of the mesh, and calling one as any MCP client would. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column tool_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},
    {"SERVER", "server", CTL_AS_TEXT, false},
    {"NODES", "nodes", CTL_AS_TEXT, false},
    {"DESCRIPTION", "definition.description", CTL_AS_TEXT, true},
};

static int tools_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/tools", &root);

    if (status == CTL_OK) ctl_print_list(ctl, root, tool_columns, COUNT(tool_columns));
    return status;
}

int ctl_tools(struct ctl *ctl)
{
    return ctl_watch(ctl, tools_once);
}

static int tool_get(struct ctl *ctl, const char *name, const struct json **ret)
{
    const struct json *root, *items;
    int status = ctl_get(ctl, "/v1/tools", &root);

    if (status != CTL_OK) return status;
    items = json_find_str(root, "items");
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item))
        if (mn_span_is(ctl_string(item, "name"), name)) {
            *ret = item;
            return CTL_OK;
        }
    return ctl_error(ctl, CTL_NOT_FOUND, "not_found", "meshctl tools", "no tool %s in the mesh",
                     name);
}

int ctl_tools_show(struct ctl *ctl)
{
    const struct json *tool;
    int status = tool_get(ctl, ctl->args[0], &tool);

    if (status != CTL_OK) return status;
    if (ctl->format == CTL_TABLE || ctl->format == CTL_WIDE) {
        struct mn_span server = ctl_string(tool, "server");
        struct mn_span text = ctl_string(tool, "definition.description");
        printf("%s, a tool of server %.*s on %lld node(s)\n%.*s\n", ctl->args[0], (int)server.size,
               (const char *)server.data, ctl_number(tool, "nodes"), (int)text.size,
               (const char *)text.data);
        ctl_print_json(ctl_find(tool, "definition"));
    } else {
        ctl_print_json(tool);
    }
    return CTL_OK;
}

int ctl_tools_find(struct ctl *ctl)
{
    const struct json *root, *items;
    int status = ctl_get(ctl, "/v1/tools", &root), found = 0;

    if (status != CTL_OK) return status;
    items = json_find_str(root, "items");
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        struct mn_span name = ctl_string(item, "name");
        char *text =
            mn_arena_format(&ctl->arena, "%.*s %.*s", (int)name.size, (const char *)name.data,
                            (int)item->raw.size, (const char *)item->raw.data);
        if (strcasestr(text, ctl->args[0]) == NULL) continue;
        found++;
        if (ctl->format == CTL_JSON || ctl->format == CTL_JSONL)
            ctl_print_json(item);
        else
            printf("%.*s\n", (int)name.size, (const char *)name.data);
    }
    if (found == 0)
        return ctl_error(ctl, CTL_NOT_FOUND, "not_found", "meshctl tools", "no tool has %s in it",
                         ctl->args[0]);
    return CTL_OK;
}

/* ---- calling: a short legacy session, which needs nothing of the tool's schema in headers ---- */

struct call {
    struct ctl *ctl;
    const char *path;       /* /mcp or /mcp/servers/NAME.NODE */
    const char *tool;       /* as that endpoint calls it */
    char session[300];      /* header */
    struct mn_writer bytes; /* of the answer so far */
    struct mn_buf *result;  /* JSON-RPC response, once it is there */
};

static struct mn_span read_stdin(struct ctl *ctl)
{
    struct mn_writer writer = {0};
    char block[4096];
    struct mn_buf *buf;
    struct mn_span text;

    for (size_t got; (got = fread(block, 1, sizeof block, stdin)) > 0;)
        mn_writer_add(&writer, mn_span(block, got));
    buf = mn_writer_done(&writer);
    text = mn_arena_copy(&ctl->arena, mn_buf_span(buf));
    mn_buf_unref(buf);
    return text;
}

/* --node: that node's server under its own name, and the tool as the server calls it. */
static int call_target(struct call *call)
{
    struct ctl *ctl = call->ctl;
    const char *node = ctl_value(ctl, "--node"), *dot;
    const struct json *tool;
    struct mn_span server, own;
    int status;

    call->path = "/mcp";
    call->tool = ctl->args[0];
    if (node == NULL) return CTL_OK;
    status = tool_get(ctl, ctl->args[0], &tool);
    if (status != CTL_OK) return status;
    server = ctl_string(tool, "server");
    own = ctl_string(tool, "tool");
    dot = memchr(server.data, '.', server.size);
    if (dot != NULL) server.size = (size_t)(dot - (const char *)server.data);
    call->path = mn_arena_format(&ctl->arena, "/mcp/servers/%.*s.%s", (int)server.size,
                                 (const char *)server.data, node);
    call->tool = mn_arena_format(&ctl->arena, "%.*s", (int)own.size, (const char *)own.data);
    return CTL_OK;
}

static void call_on_message(struct call *call, struct mn_span text)
{
    const struct json *message = ctl_parse_json(call->ctl, text);
    const struct json *params = json_find_str(message, "params");

    if (message == NULL) return;
    if (json_find_str(message, "id") != NULL) {
        mn_buf_unref(call->result);
        call->result = mn_buf_copy(text);
    } else if (mn_span_is(ctl_string(message, "method"), "notifications/progress") &&
               !call->ctl->is_quiet) {
        struct mn_span words = ctl_string(params, "message");
        fprintf(stderr, "progress %lld/%lld %.*s\n", ctl_number(params, "progress"),
                ctl_number(params, "total"), (int)words.size, (const char *)words.data);
    }
}

/* JSON, or an event stream: each `data:` line is a message. */
static bool call_on_bytes(struct ctl *ctl, struct mn_span bytes, void *context)
{
    struct call *call = context;

    (void)ctl;
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] != '\n') {
            mn_writer_add(&call->bytes, mn_span(&bytes.data[i], 1));
            continue;
        }
        struct mn_buf *line = mn_writer_done(&call->bytes);
        if (line->size > 5 && memcmp(line->bytes, "data:", 5) == 0)
            call_on_message(call, mn_span(line->bytes + 5, line->size - 5));
        else if (line->size > 0 && line->bytes[0] == '{')
            call_on_message(call, mn_buf_span(line));
        mn_buf_unref(line);
    }
    return true;
}

static int call_open(struct call *call)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
        "\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"meshctl\",\"version\":"
        "\"" MN_VERSION "\"}}}";
    static const char *const headers[] = {"Accept: application/json, text/event-stream", NULL};
    const struct ctl_request request = {
        .method = "POST", .path = call->path, .body = mn_span_str(body), .headers = headers};
    struct ctl_answer answer;
    int status = ctl_http(call->ctl, &request, &answer);

    if (status != CTL_OK) return status;
    mn_buf_unref(answer.body);
    if (answer.status == 404)
        return ctl_error(call->ctl, CTL_NOT_FOUND, "not_found", "meshctl nodes; meshctl tools",
                         "that node has no such server");
    if (answer.status != 200 || answer.session[0] == '\0')
        return ctl_error(call->ctl, answer.status == 401 ? CTL_DENIED : CTL_FAILED, "refused",
                         "meshctl status", "the node refused an MCP session (%ld)", answer.status);
    snprintf(call->session, sizeof call->session, "Mcp-Session-Id: %s", answer.session);
    return CTL_OK;
}

static int call_send(struct call *call, struct mn_span arguments)
{
    const char *headers[] = {"Accept: application/json, text/event-stream", call->session, NULL};
    struct mn_writer writer = {0};
    struct mn_buf *body;
    struct ctl_answer answer;
    int status;

    mn_writer_str(&writer, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{"
                           "\"_meta\":{\"progressToken\":1},\"name\":");
    json_write_string(&writer, mn_span_str(call->tool));
    mn_writer_str(&writer, ",\"arguments\":");
    mn_writer_add(&writer, arguments);
    mn_writer_str(&writer, "}}");
    body = mn_writer_done(&writer);
    status = ctl_http(call->ctl,
                      &(struct ctl_request){.method = "POST",
                                            .path = call->path,
                                            .body = mn_buf_span(body),
                                            .headers = headers,
                                            .on_bytes = call_on_bytes,
                                            .context = call},
                      &answer);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    mn_buf_unref(answer.body);
    body = mn_writer_done(&call->bytes); /* a JSON answer needs no newline at its end */
    if (body->size > 0) call_on_message(call, mn_buf_span(body));
    mn_buf_unref(body);
    return CTL_OK;
}

static void call_close(struct call *call)
{
    const char *headers[] = {call->session, NULL};
    struct ctl_answer answer;

    if (ctl_http(call->ctl,
                 &(struct ctl_request){.method = "DELETE", .path = call->path, .headers = headers},
                 &answer) == CTL_OK)
        mn_buf_unref(answer.body);
}

static void print_content(const struct json *result)
{
    const struct json *content = json_find_str(result, "content");

    if (!json_is(content, JSON_ARRAY)) return;
    for (const struct json *block = json_first(content); block != NULL;
         block = json_next(content, block)) {
        struct mn_span text = ctl_string(block, "text");
        if (mn_span_is(ctl_string(block, "type"), "text"))
            printf("%.*s\n", (int)text.size, (const char *)text.data);
        else
            ctl_print_json(block);
    }
}

static int call_print(struct call *call)
{
    struct ctl *ctl = call->ctl;
    const struct json *message, *result, *error;

    if (call->result == NULL)
        return ctl_error(ctl, CTL_FAILED, "no_answer", "meshctl events",
                         "the node closed the call without an answer");
    message = ctl_parse_json(ctl, mn_buf_span(call->result));
    error = json_find_str(message, "error");
    if (error != NULL) {
        struct mn_span text = ctl_string(error, "message"),
                       reason = ctl_string(error, "data.reason");
        return ctl_error(ctl, mn_span_is(reason, "not_found") ? CTL_NOT_FOUND : CTL_FAILED,
                         reason.size > 0 ? mn_arena_format(&ctl->arena, "%.*s", (int)reason.size,
                                                           (const char *)reason.data)
                                         : "tool_error",
                         "meshctl tools; meshctl route explain TOOL", "%.*s", (int)text.size,
                         (const char *)text.data);
    }
    result = json_find_str(message, "result");
    if (result == NULL)
        return ctl_error(ctl, CTL_FAILED, "bad_answer", "meshctl events", "not a JSON-RPC answer");
    if (ctl->format == CTL_JSON || ctl->format == CTL_JSONL)
        ctl_print_json(result);
    else
        print_content(result);
    return ctl_is_true(result, "isError") ? CTL_FAILED : CTL_OK;
}

int ctl_call(struct ctl *ctl)
{
    struct call call = {.ctl = ctl};
    struct mn_span arguments = mn_span_str(ctl->args_count > 1 ? ctl->args[1] : "{}");
    const struct json *root;
    int status;

    if (mn_span_is(arguments, "-")) arguments = read_stdin(ctl);
    root = ctl_parse_json(ctl, arguments);
    if (!json_is(root, JSON_OBJECT))
        return ctl_error(ctl, CTL_USAGE, "usage",
                         "meshctl call everything__echo '{\"message\":\"hi\"}'",
                         "the arguments are not a JSON object");
    status = call_target(&call);
    if (status == CTL_OK) status = call_open(&call);
    if (status != CTL_OK) return status;
    ctl->timeout_ms =
        ctl->timeout_ms == 30000 ? 3600000 : ctl->timeout_ms; /* a tool may take long */
    status = call_send(&call, arguments);
    if (status == CTL_OK) status = call_print(&call);
    ctl->timeout_ms = 2000;
    call_close(&call);
    mn_buf_unref(call.result);
    return status;
}
