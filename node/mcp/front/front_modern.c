/* The modern era, 2026-07-28: every request stands alone. The checks come in the order that gives
 * each fault its own code: headers, _meta, version, method, arguments. */
#include <sodium.h>

#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_told.h"

#define VERSION "2026-07-28"
#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)

/* Revisions are dates, so later ones sort after. */
bool front_modern_is_version(struct mn_span version)
{
    return version.size == sizeof VERSION - 1 &&
           mn_span_compare(version, mn_span_str(VERSION)) >= 0 && version.data[4] == '-' &&
           version.data[7] == '-';
}

/* Undoes "=?base64?...?=". False: that form, but not base64. */
static bool front_modern_value(struct mn_arena *arena, struct mn_span header, struct mn_span *ret)
{
    static const char before[] = "=?base64?", after[] = "?=";
    const size_t before_size = sizeof before - 1, after_size = sizeof after - 1;
    struct mn_span text = header;
    uint8_t *bytes;
    size_t size;

    *ret = header;
    if (text.size < before_size + after_size) return true;
    if (memcmp(text.data, before, before_size) != 0) return true;
    if (memcmp(text.data + text.size - after_size, after, after_size) != 0) return true;
    text = mn_span(text.data + before_size, text.size - before_size - after_size);
    bytes = mn_arena_alloc(arena, text.size + 1);
    if (sodium_base642bin(bytes, text.size + 1, (const char *)text.data, text.size, NULL, &size,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    *ret = mn_span(bytes, size);
    return true;
}

/* The member of params that Mcp-Name repeats; NULL: the method has none. */
static const char *front_modern_name_of(struct mn_span method)
{
    static const char *const names[][2] = {
        {"tools/call", "name"},  {"prompts/get", "name"},    {"resources/read", "uri"},
        {"tasks/get", "taskId"}, {"tasks/update", "taskId"}, {"tasks/cancel", "taskId"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (mn_span_is(method, names[i][0])) return names[i][1];
    return NULL;
}

/* What is wrong with the headers that mirror the body; NULL: nothing. */
static const char *front_modern_header_fault(struct front *front,
                                             const struct front_exchange *exchange,
                                             const struct jsonrpc_message *message)
{
    struct mn_span method = front_header(exchange, "mcp-method");
    struct mn_span header = front_header(exchange, "mcp-name"), name;
    const char *member = front_modern_name_of(message->method);
    const struct json *value;

    if (front_header(exchange, "mcp-protocol-version").data == NULL)
        return "header MCP-Protocol-Version is missing";
    if (method.data == NULL) return "header Mcp-Method is missing";
    if (!mn_span_equal(method, message->method)) return "header Mcp-Method is not the method";
    if (member == NULL) return NULL;
    value = json_find_str(message->params, member);
    if (header.data == NULL) return value == NULL ? NULL : "header Mcp-Name is missing";
    if (!front_modern_value(&front->scratch, header, &name))
        return "header Mcp-Name is not valid base64";
    if (!json_is(value, JSON_STRING) || !mn_span_equal(name, value->text))
        return "header Mcp-Name is not what params say";
    return NULL;
}

static const char *front_modern_meta_fault(const struct front_meta *meta)
{
    if (!json_is(meta->version, JSON_STRING))
        return "params._meta must have io.modelcontextprotocol/protocolVersion, a string";
    if (!json_is(meta->capabilities, JSON_OBJECT))
        return "params._meta must have io.modelcontextprotocol/clientCapabilities, an object";
    if (meta->capabilities->raw.size > AUDIENCE_DECLARED_MAX)
        return "io.modelcontextprotocol/clientCapabilities must have at most 16 KiB";
    if (meta->info != NULL && meta->info->type != JSON_OBJECT)
        return "io.modelcontextprotocol/clientInfo must be an object";
    if (meta->log_level == NULL || loglevel_parse(json_text(meta->log_level)) != LOGLEVEL_NONE)
        return NULL;
    return "io.modelcontextprotocol/logLevel is not a log level";
}

static void front_modern_refuse_version(struct front *front, struct front_exchange *exchange,
                                        struct mn_span id, const struct json *version)
{
    struct mn_writer data = {0};

    mn_writer_str(&data, "{\"supported\":[\"" VERSION "\"],\"requested\":");
    mn_writer_add(&data, version->raw);
    mn_writer_str(&data, "}");
    front_reply_error(front, exchange, 400, id, JSONRPC_UNSUPPORTED_VERSION,
                      mn_span_str("this revision of MCP is not served without a session"),
                      mn_buf_span(data.buf));
    mn_writer_drop(&data);
}

/* True when the request may go on to its method; otherwise it has been answered. */
static bool front_modern_check(struct front *front, struct front_exchange *exchange,
                               const struct jsonrpc_message *message, const struct front_meta *meta)
{
    const char *fault = front_modern_header_fault(front, exchange, message);

    if (fault != NULL) {
        FAIL(400, message->id, JSONRPC_HEADER_MISMATCH, fault);
        return false;
    }
    fault = front_modern_meta_fault(meta);
    if (fault != NULL) {
        FAIL(400, message->id, JSONRPC_INVALID_PARAMS, fault);
        return false;
    }
    if (!mn_span_equal(front_header(exchange, "mcp-protocol-version"), meta->version->text)) {
        FAIL(400, message->id, JSONRPC_HEADER_MISMATCH,
             "header MCP-Protocol-Version is not the version in _meta");
        return false;
    }
    if (!mn_span_is(meta->version->text, VERSION)) {
        front_modern_refuse_version(front, exchange, message->id, meta->version);
        return false;
    }
    return true;
}

static void front_modern_discover(struct front *front, struct front_exchange *exchange,
                                  struct mn_span id, struct names_endpoint at)
{
    struct mn_writer result = {0};

    mn_writer_str(&result, "{\"resultType\":\"complete\",\"supportedVersions\":[\"" VERSION "\"],");
    front_about_capabilities(front, &result, at, NULL);
    front_about_instructions(front, &result, at);
    mn_writer_str(&result, ",\"ttlMs\":0,\"cacheScope\":\"private\"");
    front_about_rest(front, &result, at, true);
    mn_writer_str(&result, "}");
    front_reply_result(front, exchange, id, mn_buf_span(result.buf));
    mn_writer_drop(&result);
}

/* The integer in a number that may have an empty fraction: 42 and 42.0 are the same argument. */
static bool front_modern_integer(struct mn_span text, int64_t *ret)
{
    const uint8_t *dot = text.size == 0 ? NULL : memchr(text.data, '.', text.size);
    struct json number = {.type = JSON_NUMBER, .raw = text};

    if (dot != NULL) {
        number.raw.size = (size_t)(dot - text.data);
        for (const uint8_t *at = dot + 1; at < text.data + text.size; at++)
            if (*at != '0') return false;
    }
    if (number.raw.size == 0 || mn_span_is(number.raw, "-")) return false;
    return json_i64(&number, ret) == MN_OK;
}

/* Whether the argument says the same as its header. */
static bool front_modern_param_equal(const struct json *value, struct mn_span header)
{
    int64_t number, said;

    switch (value->type) {
    case JSON_STRING: return mn_span_equal(header, value->text);
    case JSON_TRUE: return mn_span_is(header, "true");
    case JSON_FALSE: return mn_span_is(header, "false");
    case JSON_NUMBER:
        if (mn_span_equal(header, value->raw)) return true;
        return front_modern_integer(value->raw, &number) && front_modern_integer(header, &said) &&
               number == said;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT: return false;
    }
    return false;
}

static const char *front_modern_param_text(struct front *front, const struct param_header *param,
                                           const char *what)
{
    return mn_arena_format(&front->scratch, "header %.*s %s", (int)param->header.size,
                           (const char *)param->header.data, what);
}

const char *front_modern_param_fault(struct front *front, const struct front_exchange *exchange,
                                     const struct names_item *tool, const struct json *arguments)
{
    const struct json_limits deep = {JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX};

    if (tool->params.count == 0) return NULL;
    if (front->body_values > JSON_NODES_MAX ||
        (json_is(arguments, JSON_OBJECT) &&
         json_parse(front->parser, arguments->raw, deep, &front->scratch, &arguments) != MN_OK))
        return "the arguments have too many values";
    for (uint32_t i = 0; i < tool->params.count; i++) {
        const struct param_header *param = &tool->params.items[i];
        const struct json *value = arguments;
        struct mn_span header = front_header_span(exchange, param->header);
        for (uint32_t k = 0; k < param->path_count; k++)
            value = json_find(value, param->path[k]);
        if (value != NULL && value->type == JSON_NULL) value = NULL;
        if (value == NULL) continue; /* no header is expected; one that there is says nothing */
        if (header.data == NULL) return front_modern_param_text(front, param, "is missing");
        if (!front_modern_value(&front->scratch, header, &header))
            return front_modern_param_text(front, param, "is not valid base64");
        if (!front_modern_param_equal(value, header))
            return front_modern_param_text(front, param, "is not what the argument says");
    }
    return NULL;
}

static void front_modern_list(struct front *front, struct front_exchange *exchange,
                              const struct jsonrpc_message *message, const struct front_meta *meta,
                              struct names_endpoint at, enum names_kind kind)
{
    at.client = front_about_client(front, meta->capabilities->raw);
    front_list(front, exchange, true, message, at, kind);
}

void front_modern_request(struct front *front, struct front_exchange *exchange,
                          const struct jsonrpc_message *message, const struct front_meta *meta)
{
    const struct front_method *method = front_route_method(message->method, true);
    struct names_endpoint at;
    const char *fault;

    if (!front_modern_check(front, exchange, message, meta)) return;
    if (method == NULL) method = front_route_extension(front, exchange->service, message->method);
    if (method == NULL) {
        FAIL(404, message->id, JSONRPC_METHOD_NOT_FOUND, "method not found");
        return;
    }
    if (!front_about_endpoint(front, exchange, message->id, &at)) return;
    if (method->what == FRONT_CALL || method->what == FRONT_EXTENSION)
        front_call_start(front, exchange, NULL, method, message, meta);
    else if ((fault = front_loop_fault(front, exchange, &at, method->what == FRONT_DISCOVER)) !=
             NULL)
        FAIL(200, message->id, JSONRPC_INVALID_REQUEST, fault);
    else if (method->what == FRONT_LIST)
        front_modern_list(front, exchange, message, meta, at, method->kind);
    else if (method->what == FRONT_LISTEN)
        front_stream_listen(front, exchange, message, meta);
    else
        front_modern_discover(front, exchange, message->id, at);
}
