/* call: calls a tool as any MCP client would. One stateless request of the 2026-07-28 revision, so
 * that ending meshctl cancels the call; a short session of the older one where the new one wants
 * arguments repeated in headers, which only clients that know the tool can do. */
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"

#define CALL_TIMEOUT 3600000      /* ms: a tool may take long */
#define CLOSE_TIMEOUT 2000        /* ms: for the end of a session */
#define HEADER_MISMATCH (-32020)  /* JSON-RPC: Mcp-Param headers are missing */
#define LINE_MAX_SIZE (64u << 20) /* bytes of one message */
#define ACCEPT "Accept: application/json, text/event-stream"
#define MODERN "2026-07-28"
#define LEGACY "2025-11-25"
#define NS "io.modelcontextprotocol/"
#define CLIENT_INFO "{\"name\":\"meshctl\",\"version\":\"" MN_VERSION "\"}"

struct call {
    struct ctl *ctl;
    const char *path; /* /mcp or /mcp/servers/NAME.NODE */
    const char *tool; /* as that endpoint calls it */
    struct mn_span arguments;
    char session[300];      /* header of a legacy session; empty: none */
    struct mn_writer bytes; /* of the line that is coming */
    struct mn_buf *answer;  /* JSON-RPC response, once it is there */
    long status;            /* of HTTP */
};

/* ---- what to call, and where ---- */

struct mn_span ctl_read_stdin(struct ctl *ctl)
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

static bool names_node(const struct json *route, const char *node)
{
    struct mn_span id = ctl_string(route, "id");
    size_t size = strlen(node);

    return mn_span_is(ctl_string(route, "node"), node) ||
           (size >= 4 && id.size >= size && memcmp(id.data, node, size) == 0);
}

/* The node that --node means, among those that have the tool; NULL: told. */
static const char *choose_node(struct ctl *ctl, const struct json *routes, const char *node,
                               int *status)
{
    const char *have = "", *chosen = NULL;
    const struct json *items = json_find_str(routes, "items");
    const char *hint = mn_arena_format(&ctl->arena, "meshctl route explain %s", ctl->args[0]);
    unsigned matches = 0;

    for (const struct json *item = json_is(items, JSON_ARRAY) ? json_first(items) : NULL;
         item != NULL; item = json_next(items, item)) {
        const char *name = ctl_show(ctl, item, "node");
        have = mn_arena_format(&ctl->arena, "%s%s%s (%.8s)", have, *have == '\0' ? "" : ", ", name,
                               ctl_show(ctl, item, "id"));
        if (!names_node(item, node)) continue;
        chosen = name;
        matches++;
        if (strcmp(name, node) == 0) return name;
    }
    if (matches == 1) return chosen;
    if (matches == 0)
        *status = ctl_error(ctl, CTL_NOT_FOUND, "not_found", hint,
                            "%s does not have it; these do: %s", node, have);
    else
        *status = ctl_error(ctl, CTL_CONFLICT, "ambiguous", hint, "%s may be %u of these: %s", node,
                            matches, have);
    return NULL;
}

/* --node: that node's server under its own name, and the tool as the server calls it. */
static int call_target(struct call *call)
{
    struct ctl *ctl = call->ctl;
    const char *node = ctl_value(ctl, "--node"), *server;
    const struct json *tool, *routes;
    int status;

    call->path = "/mcp";
    call->tool = ctl->args[0];
    if (node == NULL) return CTL_OK;
    status = ctl_get(ctl, ctl_path(ctl, "/v1/tools/", ctl->args[0], ""), &tool);
    if (status == CTL_OK)
        status = ctl_get(ctl, ctl_path(ctl, "/v1/route/", ctl->args[0], ""), &routes);
    if (status != CTL_OK) return status;
    node = choose_node(ctl, routes, node, &status);
    if (node == NULL) return status;
    server = ctl_show(ctl, tool, "server");
    call->path = mn_arena_format(&ctl->arena, "/mcp/servers/%.*s.%s", (int)strcspn(server, "."),
                                 server, node);
    call->tool = ctl_show(ctl, tool, "tool");
    return CTL_OK;
}

/* ---- what comes back ---- */

static void print_progress(struct ctl *ctl, const struct json *params)
{
    const struct json *total = json_find_str(params, "total");

    fprintf(ctl->err, "progress %g", ctl_number(params, "progress"));
    if (total != NULL) fprintf(ctl->err, "/%g", ctl_number(params, "total"));
    fprintf(ctl->err, " %s\n", ctl_show(ctl, params, "message"));
}

static void call_on_message(struct call *call, struct mn_span text)
{
    const struct json *message = ctl_parse_json(call->ctl, text);

    if (message == NULL) return;
    if (json_find_str(message, "method") == NULL) {
        mn_buf_unref(call->answer);
        call->answer = mn_buf_copy(text);
    } else if (mn_span_is(ctl_string(message, "method"), "notifications/progress") &&
               !call->ctl->is_quiet) {
        print_progress(call->ctl, json_find_str(message, "params"));
    }
}

static void call_on_line(struct call *call)
{
    struct mn_buf *line = mn_writer_done(&call->bytes);

    if (line->size > 5 && memcmp(line->bytes, "data:", 5) == 0)
        call_on_message(call, mn_span(line->bytes + 5, line->size - 5));
    else if (line->size > 0 && line->bytes[0] == '{')
        call_on_message(call, mn_buf_span(line));
    mn_buf_unref(line);
}

/* JSON, or an event stream whose `data:` lines are messages: our own kind never cuts them in two.
 */
static bool call_on_bytes(struct ctl *ctl, struct mn_span bytes, void *context)
{
    struct call *call = context;

    (void)ctl;
    while (bytes.size > 0) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.size);
        size_t size = end == NULL ? bytes.size : (size_t)(end - bytes.data);
        if (mn_writer_size(&call->bytes) + size > LINE_MAX_SIZE) return false;
        mn_writer_add(&call->bytes, mn_span(bytes.data, size));
        if (end == NULL) return true;
        call_on_line(call);
        bytes = mn_span(end + 1, bytes.size - size - 1);
    }
    return true;
}

/* ---- one request ---- */

static int call_post(struct call *call, const char *const *headers, struct mn_buf *body)
{
    const struct ctl_request request = {.method = "POST",
                                        .path = call->path,
                                        .body = mn_buf_span(body),
                                        .headers = headers,
                                        .on_bytes = call_on_bytes,
                                        .context = call};
    struct ctl_answer answer;
    int status;

    call->answer = mn_buf_unref(call->answer);
    status = ctl_http(call->ctl, &request, &answer);
    mn_buf_unref(body);
    if (status != CTL_OK) {
        mn_writer_drop(&call->bytes);
        return ctl_tell_failure(call->ctl, status);
    }
    mn_buf_unref(answer.body);
    call->status = answer.status;
    if (answer.session[0] != '\0')
        snprintf(call->session, sizeof call->session, "Mcp-Session-Id: %s", answer.session);
    call_on_line(call); /* JSON needs no newline at its end */
    return CTL_OK;
}

static struct mn_buf *call_body(const struct call *call, const char *meta)
{
    struct mn_writer writer = {0};

    mn_writer_format(&writer,
                     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{"
                     "\"_meta\":{\"progressToken\":1%s},\"name\":",
                     meta);
    json_write_string(&writer, mn_span_str(call->tool));
    mn_writer_str(&writer, ",\"arguments\":");
    mn_writer_add(&writer, call->arguments);
    mn_writer_str(&writer, "}}");
    return mn_writer_done(&writer);
}

static int call_modern(struct call *call)
{
    const char *headers[] = {ACCEPT, "MCP-Protocol-Version: " MODERN, "Mcp-Method: tools/call",
                             mn_arena_format(&call->ctl->arena, "Mcp-Name: %s", call->tool), NULL};
    return call_post(call, headers,
                     call_body(call,
                               ",\"" NS "protocolVersion\":\"" MODERN "\",\"" NS
                               "clientInfo\":" CLIENT_INFO ",\"" NS "clientCapabilities\":{}"));
}

static int call_legacy(struct call *call)
{
    static const char initialize[] =
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
        "\"" LEGACY "\",\"capabilities\":{},\"clientInfo\":" CLIENT_INFO "}}";
    const char *open_headers[] = {ACCEPT, NULL};
    const char *call_headers[] = {ACCEPT, call->session, NULL};
    int status = call_post(call, open_headers, mn_buf_copy(mn_span_str(initialize)));

    if (status != CTL_OK || call->session[0] == '\0') return status;
    return call_post(call, call_headers, call_body(call, ""));
}

static void call_close(struct call *call)
{
    const char *headers[] = {call->session, NULL};
    const struct ctl_request request = {.method = "DELETE", .path = call->path, .headers = headers};
    struct ctl_answer answer;

    if (call->session[0] == '\0') return;
    call->ctl->timeout_ms = CLOSE_TIMEOUT;
    if (ctl_http(call->ctl, &request, &answer) == CTL_OK) mn_buf_unref(answer.body);
}

static bool wants_header_params(struct call *call)
{
    const struct json *message =
        call->answer == NULL ? NULL : ctl_parse_json(call->ctl, mn_buf_span(call->answer));
    return (long)ctl_number(message, "error.code") == HEADER_MISMATCH;
}

/* A name that no header can carry as it is. */
static bool is_plain(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (*at <= ' ' || *at == 0x7f) return false;
    return *name != '\0' && *name != '=';
}

/* ---- printing ---- */

/* A program gets the text as it is, a terminal without what would steer it. */
static void print_text(struct ctl *ctl, struct mn_span text)
{
    while (ctl->is_terminal && text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        fprintf(ctl->out, "%s\n", ctl_show_span(ctl, mn_span(text.data, size)));
        if (end == NULL) return;
        text = mn_span(end + 1, text.size - size - 1);
    }
    if (ctl->is_terminal) return;
    fwrite(text.data, 1, text.size, ctl->out);
    if (text.size == 0 || text.data[text.size - 1] != '\n') putc('\n', ctl->out);
}

static void print_block(struct ctl *ctl, const struct json *block)
{
    struct mn_span type = ctl_string(block, "type"), data = ctl_string(block, "data");

    if (mn_span_is(type, "text"))
        print_text(ctl, ctl_string(block, "text"));
    else if (data.size > 0)
        fprintf(ctl->out, "[%s %s, %zu bytes; --json has it]\n", ctl_show_span(ctl, type),
                ctl_show(ctl, block, "mimeType"), data.size / 4 * 3);
    else
        print_text(ctl, block->raw);
}

static void print_result(struct ctl *ctl, const struct json *result)
{
    const struct json *content = json_find_str(result, "content");
    const struct json *structured = json_find_str(result, "structuredContent");

    if (ctl_wants_json(ctl)) {
        ctl_print_json(ctl, result);
        return;
    }
    for (const struct json *block = json_is(content, JSON_ARRAY) ? json_first(content) : NULL;
         block != NULL; block = json_next(content, block))
        print_block(ctl, block);
    if ((!json_is(content, JSON_ARRAY) || content->count == 0) && structured != NULL)
        print_text(ctl, structured->raw);
}

static int exit_of_reason(struct mn_span reason)
{
    if (mn_span_is(reason, "not_found")) return CTL_NOT_FOUND;
    if (mn_span_is(reason, "conflict")) return CTL_CONFLICT;
    if (mn_span_is(reason, "timed_out") || mn_span_is(reason, "outcome_unknown"))
        return CTL_TIMEOUT;
    return CTL_FAILED;
}

static int tell_error(struct call *call, const struct json *error)
{
    struct ctl *ctl = call->ctl;
    const char *reason = ctl_show(ctl, error, "data.reason");
    const char *message = ctl_show(ctl, error, "message");
    const char *hint = mn_arena_format(&ctl->arena, "meshctl route explain %s", ctl->args[0]);
    int exit_code = exit_of_reason(ctl_string(error, "data.reason"));

    if (call->status == 401 || call->status == 403) {
        exit_code = CTL_DENIED;
        hint = "meshctl --token-file FILE ..., with one of the node's http.auth.bearer secrets, or "
               "an API token (meshctl token create --role client)";
        reason = "not_allowed";
    } else if (strcmp(reason, "quarantined") == 0 || strcmp(reason, "changed") == 0) {
        hint = mn_arena_format(&ctl->arena, "meshctl tools pins; meshctl tools approve %s",
                               ctl->args[0]);
    } else if (exit_code == CTL_NOT_FOUND) {
        hint = "meshctl tools";
    }
    if (*message == '\0' && json_is(json_find_str(error, "code"), JSON_NUMBER))
        message = mn_arena_format(&ctl->arena, "error %s, of which its server says nothing",
                                  ctl_show_span(ctl, json_find_str(error, "code")->raw));
    return ctl_error(ctl, exit_code, *reason == '\0' ? "tool_error" : reason, hint, "%s", message);
}

static int call_print(struct call *call)
{
    struct ctl *ctl = call->ctl;
    const struct json *message, *result, *error;

    if (call->answer == NULL)
        return ctl_error(ctl, CTL_FAILED, "no_answer", "meshctl events",
                         "the node ended the call without an answer (HTTP status %ld)",
                         call->status);
    message = ctl_parse_json(ctl, mn_buf_span(call->answer));
    error = json_find_str(message, "error");
    if (error != NULL) return tell_error(call, error);
    result = json_find_str(message, "result");
    if (!json_is(result, JSON_OBJECT))
        return ctl_error(ctl, CTL_FAILED, "bad_answer", "meshctl doctor",
                         "the answer is no JSON-RPC result");
    print_result(ctl, result);
    return ctl_is_true(result, "isError") ? CTL_FAILED : CTL_OK;
}

/* ---- the command ---- */

static int call_read_arguments(struct call *call)
{
    struct ctl *ctl = call->ctl;

    call->arguments = mn_span_str(ctl->args_count > 1 ? ctl->args[1] : "{}");
    if (mn_span_is(call->arguments, "-")) call->arguments = ctl_read_stdin(ctl);
    if (json_is(ctl_parse_json(ctl, call->arguments), JSON_OBJECT)) return CTL_OK;
    return ctl_error(ctl, CTL_USAGE, "usage",
                     mn_arena_format(&ctl->arena, "meshctl tools show %s", ctl->args[0]),
                     "the arguments are no JSON object, such as '{\"message\":\"hi\"}'");
}

int ctl_call(struct ctl *ctl)
{
    struct call call = {.ctl = ctl};
    int status = call_read_arguments(&call);

    if (status == CTL_OK) status = call_target(&call);
    if (status != CTL_OK) return status;
    if (!ctl->has_timeout) ctl->timeout_ms = CALL_TIMEOUT;
    if (is_plain(call.tool)) status = call_modern(&call);
    if (!is_plain(call.tool) || (status == CTL_OK && wants_header_params(&call)))
        status = call_legacy(&call);
    if (status == CTL_OK) status = call_print(&call);
    call_close(&call);
    mn_buf_unref(call.answer);
    return status;
}
