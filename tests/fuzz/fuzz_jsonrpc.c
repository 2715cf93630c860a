/* JSON-RPC messages: what is decoded must be consistent, what is written from it must decode to the
 * same again, and what is told of those that are not parsed agree. */
#include <stdlib.h>

#include "node/mcp/wire/jsonrpc.h"
#include "node/mcp/wire/jsonrpc_skim.h"

static struct json_parser *parser;
static struct mn_arena arena;

static mn_status decode(struct mn_span text, struct jsonrpc_message *ret)
{
    const struct json *value;
    mn_status status = json_parse_copy(parser, text, JSONRPC_LIMITS, &arena, &value);

    return status != MN_OK ? status : jsonrpc_decode(value, ret);
}

static void must(int condition)
{
    if (!condition) abort();
}

static void write_again(const struct jsonrpc_message *message, struct mn_writer *writer)
{
    struct mn_span none = {0};

    switch (message->kind) {
    case JSONRPC_REQUEST:
        jsonrpc_write_request(writer, message->id, "m",
                              message->params == NULL ? none : message->params->raw);
        break;
    case JSONRPC_NOTIFICATION:
        jsonrpc_write_notification(writer, "m",
                                   message->params == NULL ? none : message->params->raw);
        break;
    case JSONRPC_RESULT: jsonrpc_write_result(writer, message->id, message->result->raw); break;
    case JSONRPC_ERROR:
        jsonrpc_write_error(writer, message->id, message->code, message->message, message->data);
        break;
    }
}

/* What is told without parsing is within the text, and of a response nobody else's id; a key that
 * is written with escapes is not seen. */
static void check_skimmed(struct mn_span text, const struct jsonrpc_message *message)
{
    struct mn_span id = jsonrpc_skim_answered(text);

    if (id.size == 0) return;
    must(id.data >= text.data && id.data + id.size <= text.data + text.size);
    if (message->kind == JSONRPC_RESULT || message->kind == JSONRPC_ERROR)
        must(message->id.size == 0 || mn_span_equal(id, message->id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jsonrpc_message message = {0}, again;
    struct mn_writer writer = {0};

    parser = json_parser_new();
    if (decode(mn_span(data, size), &message) == MN_OK) {
        must((message.kind == JSONRPC_REQUEST || message.kind == JSONRPC_RESULT) <=
             (message.id.size > 0));
        must(message.id.size <= JSONRPC_ID_SIZE_MAX);
        write_again(&message, &writer);
        must(decode(mn_buf_span(writer.buf), &again) == MN_OK);
        must(again.kind == message.kind && mn_span_equal(again.id, message.id));
        must(again.code == message.code && mn_span_equal(again.message, message.message));
        must(mn_span_equal(again.data, message.data));
        must((again.params == NULL) == (message.params == NULL));
        if (again.params != NULL) must(mn_span_equal(again.params->raw, message.params->raw));
        if (again.result != NULL) must(mn_span_equal(again.result->raw, message.result->raw));
    }
    if (size > 0) check_skimmed(mn_span(data, size), &message);
    mn_writer_drop(&writer);
    json_parser_free(parser);
    mn_arena_done(&arena);
    return 0;
}
