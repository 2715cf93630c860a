#include "tests/tools/tool.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/mcp/wire/jsonrpc.h"

#define TOOL_META "io.modelcontextprotocol/"
#define TOOL_SERVER "{\"name\":\"mcp-tool\",\"version\":\"1.0.0\"}"
#define TOOL_MODERN_END \
    ",\"resultType\":\"complete\",\"_meta\":{\"" TOOL_META "serverInfo\":" TOOL_SERVER "}}"
#define TOOL_CACHE ",\"ttlMs\":60000,\"cacheScope\":\"public\""

static const char tool_list[] =
    "{\"tools\":["
    "{\"name\":\"echo\",\"description\":\"Gives back what it gets\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"},"
    "\"message\":{\"type\":\"string\"}}}},"
    "{\"name\":\"sleep\",\"description\":\"Answers after some time\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{\"ms\":{\"type\":\"integer\",\"minimum\":0}}}},"
    "{\"name\":\"progress\",\"description\":\"Reports steps, then answers\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{\"steps\":{\"type\":\"integer\",\"minimum\":0},"
    "\"ms\":{\"type\":\"integer\",\"minimum\":0}}}},"
    "{\"name\":\"big\",\"description\":\"Gives many bytes\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{\"bytes\":{\"type\":\"integer\",\"minimum\":0}}}},"
    "{\"name\":\"counter\",\"description\":\"Counts executions\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{}}},"
    "{\"name\":\"counter_readonly\",\"description\":\"Counts executions too\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{}},\"annotations\":{\"readOnlyHint\":true}},"
    "{\"name\":\"crash\",\"description\":\"Ends the process\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{}}},"
    "{\"name\":\"hang\",\"description\":\"Never answers\",\"inputSchema\":"
    "{\"type\":\"object\",\"properties\":{}}}";

static bool tool_make_list(struct tool *tool, const char *more)
{
    struct mn_writer list = {0};
    uint64_t count = strtoull(more, NULL, 10);
    if (count > TOOL_MORE_MAX) return false;
    mn_writer_str(&list, tool_list);
    for (uint64_t i = 1; i <= count; i++)
        mn_writer_format(&list,
                         ",{\"name\":\"echo_%" PRIu64 "\",\"description\":\"Gives back what it "
                         "gets, as %" PRIu64 " others do\",\"inputSchema\":{\"type\":\"object\","
                         "\"properties\":{\"text\":{\"type\":\"string\"}}}}",
                         i, count);
    mn_writer_str(&list, "]");
    tool->list = mn_writer_done(&list);
    return true;
}

bool tool_init(struct tool *tool, int argc, char **argv, const char *own, const char **own_value)
{
    const char *more = "0";
    *tool = (struct tool){.era = TOOL_LEGACY};
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--era") == 0 && strcmp(value, "legacy") == 0)
            tool->era = TOOL_LEGACY;
        else if (strcmp(argv[i], "--era") == 0 && strcmp(value, "modern") == 0)
            tool->era = TOOL_MODERN;
        else if (strcmp(argv[i], "--era") == 0 && strcmp(value, "both") == 0)
            tool->era = TOOL_BOTH;
        else if (strcmp(argv[i], "--count-file") == 0 && *value != '\0')
            tool->count_path = value;
        else if (strcmp(argv[i], "--tools") == 0 && *value != '\0')
            more = value;
        else if (strcmp(argv[i], "--answers") == 0 &&
                 (strcmp(value, "json") == 0 || strcmp(value, "sse") == 0))
            tool->is_sse = *value == 's';
        else if (own != NULL && strcmp(argv[i], own) == 0 && *value != '\0')
            *own_value = value;
        else
            return false;
    }
    tool->parser = json_parser_new();
    return tool_make_list(tool, more);
}

void tool_done(struct tool *tool)
{
    json_parser_free(tool->parser);
    mn_buf_unref(tool->list);
    mn_arena_done(&tool->arena);
}

/* Writing. */

static void tool_begin_result(struct mn_writer *out, struct mn_span id)
{
    mn_writer_str(out, "{\"jsonrpc\":\"2.0\",\"id\":");
    mn_writer_add(out, id);
    mn_writer_str(out, ",\"result\":");
}

static void tool_end_result(struct mn_writer *out, bool is_modern)
{
    mn_writer_str(out, is_modern ? TOOL_MODERN_END "}" : "}}");
}

static void tool_write_text(struct mn_writer *out, struct mn_span id, bool is_modern,
                            struct mn_span text)
{
    tool_begin_result(out, id);
    mn_writer_str(out, "{\"content\":[{\"type\":\"text\",\"text\":");
    json_write_string(out, text);
    mn_writer_str(out, "}]");
    tool_end_result(out, is_modern);
}

static enum tool_verdict tool_refuse(struct mn_writer *out, struct mn_span id, int64_t code,
                                     const char *text)
{
    struct mn_span data = mn_span(NULL, 0);
    if (code == JSONRPC_UNSUPPORTED_VERSION) data = mn_span_str("{\"supported\":[\"2026-07-28\"]}");
    jsonrpc_write_error(out, id, code, mn_span_str(text), data);
    return TOOL_ANSWER;
}

void tool_write_progress(const struct tool_later *later, uint64_t step, struct mn_writer *out)
{
    mn_writer_format(out,
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
                     "{\"progressToken\":%s,\"progress\":%" PRIu64 ",\"total\":%" PRIu64 "}}",
                     later->token, step, later->steps);
}

void tool_write_later(const struct tool_later *later, struct mn_writer *out)
{
    tool_write_text(out, mn_span_str(later->id), later->is_modern, mn_span_str("done"));
}

/* Calls. */

static uint64_t tool_number(const struct json *arguments, const char *name, uint64_t fallback)
{
    int64_t value = 0;
    if (json_i64(json_find_str(arguments, name), &value) != MN_OK || value < 0) return fallback;
    return (uint64_t)value;
}

static uint64_t tool_count(struct tool *tool)
{
    struct stat info;
    if (tool->count_path == NULL) return ++tool->count;
    int fd = open(tool->count_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &info) != 0) abort();
    close(fd);
    return (uint64_t)info.st_size;
}

static void tool_copy_raw(char to[TOOL_ID_MAX + 1], struct mn_span raw)
{
    size_t size = raw.size < TOOL_ID_MAX ? raw.size : TOOL_ID_MAX;
    memcpy(to, raw.data, size);
    to[size] = '\0';
}

static enum tool_verdict tool_defer(const struct jsonrpc_message *message, uint64_t ms,
                                    uint64_t steps, bool is_modern, struct tool_later *later)
{
    const struct json *token =
        json_find_str(json_find_str(message->params, "_meta"), "progressToken");
    *later = (struct tool_later){.is_modern = is_modern, .ms = ms, .steps = steps};
    tool_copy_raw(later->id, message->id);
    if (token != NULL) tool_copy_raw(later->token, token->raw);
    return TOOL_LATER;
}

static enum tool_verdict tool_give_big(struct mn_writer *out, struct mn_span id, bool is_modern,
                                       uint64_t size)
{
    if (size > TOOL_BIG_MAX) return tool_refuse(out, id, JSONRPC_INVALID_PARAMS, "too many bytes");
    char *text = mn_alloc(size + 1);
    memset(text, 'b', size);
    tool_write_text(out, id, is_modern, mn_span(text, size));
    mn_free(text);
    return TOOL_ANSWER;
}

static bool tool_is_echo(struct mn_span name)
{
    return name.size > 5 && memcmp(name.data, "echo_", 5) == 0;
}

static enum tool_verdict tool_call(struct tool *tool, const struct jsonrpc_message *message,
                                   bool is_modern, struct mn_writer *out, struct tool_later *later)
{
    const struct json *arguments = json_find_str(message->params, "arguments");
    struct mn_span name = json_text(json_find_str(message->params, "name"));
    if (mn_span_is(name, "echo") || tool_is_echo(name)) {
        const struct json *text = json_find_str(arguments, "text");
        if (text == NULL) text = json_find_str(arguments, "message");
        tool_write_text(out, message->id, is_modern, json_text(text));
    } else if (mn_span_is(name, "counter") || mn_span_is(name, "counter_readonly")) {
        char text[32];
        int size = snprintf(text, sizeof text, "%" PRIu64, tool_count(tool));
        tool_write_text(out, message->id, is_modern, mn_span(text, (size_t)size));
    } else if (mn_span_is(name, "big")) {
        return tool_give_big(out, message->id, is_modern, tool_number(arguments, "bytes", 0));
    } else if (mn_span_is(name, "sleep")) {
        return tool_defer(message, tool_number(arguments, "ms", 0), 1, is_modern, later);
    } else if (mn_span_is(name, "progress")) {
        uint64_t steps = tool_number(arguments, "steps", 3);
        return tool_defer(message, tool_number(arguments, "ms", 10), steps == 0 ? 1 : steps,
                          is_modern, later);
    } else if (mn_span_is(name, "hang")) {
        return tool_defer(message, UINT64_MAX, 1, is_modern, later);
    } else if (mn_span_is(name, "crash")) {
        _exit(1);
    } else {
        return tool_refuse(out, message->id, JSONRPC_INVALID_PARAMS, "unknown tool");
    }
    return TOOL_ANSWER;
}

/* Messages. */

static enum tool_verdict tool_initialize(struct tool *tool, const struct jsonrpc_message *message,
                                         struct mn_writer *out)
{
    struct mn_span asked = json_text(json_find_str(message->params, "protocolVersion"));
    bool is_known = mn_span_is(asked, "2025-03-26") || mn_span_is(asked, "2025-06-18") ||
                    mn_span_is(asked, "2024-11-05");
    if (tool->era == TOOL_MODERN)
        return tool_refuse(out, message->id, JSONRPC_UNSUPPORTED_VERSION, "modern only");
    tool_begin_result(out, message->id);
    mn_writer_str(out, "{\"protocolVersion\":");
    json_write_string(out, is_known ? asked : mn_span_str("2025-11-25"));
    mn_writer_str(out, ",\"capabilities\":{\"tools\":{}},\"serverInfo\":" TOOL_SERVER);
    tool_end_result(out, false);
    return TOOL_ANSWER;
}

static enum tool_verdict tool_discover(const struct jsonrpc_message *message, struct mn_writer *out)
{
    tool_begin_result(out, message->id);
    mn_writer_str(
        out, "{\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}}" TOOL_CACHE);
    tool_end_result(out, true);
    return TOOL_ANSWER;
}

static enum tool_verdict tool_request(struct tool *tool, const struct jsonrpc_message *message,
                                      struct mn_writer *out, struct tool_later *later)
{
    struct mn_span version = json_text(
        json_find_str(json_find_str(message->params, "_meta"), TOOL_META "protocolVersion"));
    bool is_modern = version.size > 0 && (tool->era & TOOL_MODERN) != 0;
    if (is_modern && !mn_span_is(version, "2026-07-28"))
        return tool_refuse(out, message->id, JSONRPC_UNSUPPORTED_VERSION, "unsupported version");
    if (!is_modern && mn_span_is(message->method, "initialize"))
        return tool_initialize(tool, message, out);
    if (!is_modern && tool->era == TOOL_MODERN)
        return tool_refuse(out, message->id, JSONRPC_INVALID_PARAMS, "no protocol version");
    if (is_modern && mn_span_is(message->method, "server/discover"))
        return tool_discover(message, out);
    if (mn_span_is(message->method, "tools/call"))
        return tool_call(tool, message, is_modern, out, later);
    if (mn_span_is(message->method, "tools/list")) {
        tool_begin_result(out, message->id);
        mn_writer_add(out, mn_buf_span(tool->list));
        if (is_modern) mn_writer_str(out, TOOL_CACHE);
        tool_end_result(out, is_modern);
        return TOOL_ANSWER;
    }
    if (!is_modern && mn_span_is(message->method, "ping")) {
        jsonrpc_write_result(out, message->id, mn_span_str("{}"));
        return TOOL_ANSWER;
    }
    return tool_refuse(out, message->id, JSONRPC_METHOD_NOT_FOUND, "method not found");
}

enum tool_verdict tool_handle(struct tool *tool, struct mn_span text, struct mn_writer *out,
                              struct tool_later *later)
{
    const struct json *value = NULL;
    struct jsonrpc_message message = {0};
    enum tool_verdict verdict = TOOL_NOTHING;
    mn_arena_reset(&tool->arena);
    if (json_parse_copy(tool->parser, text, JSONRPC_LIMITS, &tool->arena, &value) != MN_OK)
        return tool_refuse(out, mn_span(NULL, 0), JSONRPC_PARSE_ERROR, "not JSON");
    if (jsonrpc_decode(value, &message) != MN_OK)
        return tool_refuse(out, message.id, JSONRPC_INVALID_REQUEST, "not JSON-RPC 2.0");
    if (message.kind == JSONRPC_REQUEST) {
        verdict = tool_request(tool, &message, out, later);
    } else if (message.kind == JSONRPC_NOTIFICATION &&
               mn_span_is(message.method, "notifications/cancelled")) {
        const struct json *id = json_find_str(message.params, "requestId");
        if (id == NULL) return TOOL_NOTHING;
        tool_copy_raw(later->id, id->raw);
        verdict = TOOL_CANCEL;
    }
    return verdict;
}
