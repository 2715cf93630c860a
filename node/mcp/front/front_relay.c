/* A client behind a balancer posts its answers and cancellations at any node, and its session goes
 * there with them; but a question is open, and a call is answered, where it was. So what a node
 * knows nothing of it passes on to those that had the session before. What these know nothing of,
 * either, is over: then there is nobody to tell, and the client is told nothing, as by a server
 * that hears an answer too late. */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "proto/base/check.h"

static bool relay_pass(struct front *front, const struct front_session *session,
                       struct mn_span message, mn_time said_at)
{
    struct records_input input = {.type = RECORDS_IN_RELAY, .relay = {message, said_at}};

    if (message.size > RECORDS_RELAY_MAX) return false;
    memcpy(input.key.bytes, session->handle, sizeof input.key.bytes);
    records_step(front->records, front->now, &input, &front->records_outbox);
    return true;
}

bool front_relay_response(struct front *front, const struct front_session *session,
                          struct mn_span text, mn_time said_at)
{
    if (front_record_moves(session) == 1 && !session->is_elsewhere)
        return true; /* it was at no other node */
    return relay_pass(front, session, text, said_at);
}

void front_relay_cancel(struct front *front, const struct front_session *session,
                        const struct json *id, mn_time said_at)
{
    struct mn_writer params = {0}, message = {0};

    if (id->raw.size > JSONRPC_ID_SIZE_MAX) return;
    mn_writer_str(&params, "{\"requestId\":");
    mn_writer_add(&params, id->raw);
    mn_writer_str(&params, "}");
    jsonrpc_write_notification(&message, "notifications/cancelled", mn_buf_span(params.buf));
    (void)relay_pass(front, session, mn_buf_span(message.buf), said_at);
    mn_writer_drop(&params);
    mn_writer_drop(&message);
}

void front_relay_on_word(struct front *front, struct front_session *session, struct mn_span word,
                         mn_time age)
{
    mn_time now = front->now.mono;
    struct jsonrpc_message message;
    const struct json *value;

    if (json_parse_copy(front->parser, word, JSONRPC_LIMITS, &front->scratch, &value) != MN_OK ||
        jsonrpc_decode(value, &message) != MN_OK)
        return;
    if (message.kind == JSONRPC_RESULT || message.kind == JSONRPC_ERROR) {
        if (front_question_on_response(front, session, &message))
            MN_PROBE("front: an answer that was posted at another node");
    } else if (message.kind == JSONRPC_NOTIFICATION &&
               mn_span_is(message.method, "notifications/cancelled")) {
        if (front_legacy_cancel(front, session, json_find_str(message.params, "requestId"),
                                age < now ? now - age : 0))
            MN_PROBE("front: a call is cancelled that was posted at another node");
    }
}
