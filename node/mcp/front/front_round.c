/* Rounds of a modern client (multi round-trip requests): a server that wants input answers
 * input_required with a state of its own, and the client sends its request once more, perhaps to
 * another node. So the state it is given is ours: sealed, it says which node and server to go back
 * to, which call it belongs to, and holds the server's own state, or the handle under which a
 * legacy server's call is parked. */
#include "crypto/digest.h"
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define ROUND_TTL (15 * MN_MINUTE)
#define ROUND_FORMAT 1

enum round_kind { ROUND_STATE = 1, ROUND_RESUME };

/* What is sealed; the service's name and then the inner state follow. */
struct round_head {
    uint8_t format, kind, service_size, digest[FRONT_DIGEST_SIZE], node[sizeof(mn_id)];
};

_Static_assert(sizeof(struct round_head) == 19 + sizeof(mn_id), "no padding");

/* Of all members of params that stay the same from round to round, as the server is told them. */
static void front_round_digest(struct front *front, const struct front_method *method,
                               const struct front_target *target, const struct json *params,
                               uint8_t ret[FRONT_DIGEST_SIZE])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, FRONT_DIGEST_SIZE);
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key)) {
        if (mn_span_is(key->text, "_meta") || mn_span_is(key->text, "inputResponses") ||
            mn_span_is(key->text, "requestState"))
            continue;
        digest_variable(&digest, key->text);
        digest_variable(&digest, front_call_said(front, method, target, key));
    }
    digest_end(&digest, ret);
}

/* The same of a call that was sent. False: its params are no object. */
static bool front_round_digest_sent(struct front *front, const struct front_call *call,
                                    uint8_t ret[FRONT_DIGEST_SIZE])
{
    static const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    static const struct front_target as_it_is;
    const Meshnode__Gateway__Request *request = pb_view(
        &meshnode__gateway__request__descriptor, &front->scratch, mn_buf_span(call->payload));
    const struct json *params;

    if (call->is_round) {
        memcpy(ret, call->round, sizeof call->round);
        return true;
    }
    if (request == NULL ||
        json_parse(front->parser, pb_span(request->params), limits, &front->scratch, &params) !=
            MN_OK ||
        params->type != JSON_OBJECT)
        return false;
    front_round_digest(front, call->method, &as_it_is, params, ret);
    return true;
}

/* A server's own state may be long; most are short, and so are ours. */
static enum sealed_what front_round_what(size_t plain_size)
{
    return plain_size > sealed_plain_max(SEALED_REQUEST_STATE) ? SEALED_UPSTREAM_STATE
                                                               : SEALED_REQUEST_STATE;
}

/* The endpoint; which request it is stands inside. */
static mn_id front_round_context(const struct front_exchange *exchange)
{
    return sealed_context_list(exchange->service, mn_span_str("round"));
}

static mn_status front_round_unseal(struct front *front, const struct front_exchange *exchange,
                                    const struct json *state, struct mn_span *ret)
{
    mn_id context = front_round_context(exchange);

    struct sealed_header header;
    enum sealed_what what;

    if (state->type != JSON_STRING) return MN_MALFORMED;
    what = sealed_peek(state->text, SEALED_UPSTREAM_STATE, &header) == MN_OK ? SEALED_UPSTREAM_STATE
                                                                             : SEALED_REQUEST_STATE;
    return front_unseal(front, what, &exchange->principal, &context, state->text, ret);
}

mn_status front_round_open(struct front *front, const struct front_exchange *exchange,
                           const struct json *state, struct front_round *ret)
{
    struct mn_span bytes;
    struct round_head head;
    mn_status status;

    *ret = (struct front_round){0};
    if (state == NULL) return MN_OK;
    status = front_round_unseal(front, exchange, state, &bytes);
    if (status != MN_OK) return status;
    if (bytes.size < sizeof head) return MN_MALFORMED;
    memcpy(&head, bytes.data, sizeof head);
    if (head.format != ROUND_FORMAT || sizeof head + head.service_size > bytes.size)
        return MN_MALFORMED;
    ret->is_next = true;
    memcpy(ret->digest, head.digest, sizeof ret->digest);
    memcpy(ret->node.bytes, head.node, sizeof ret->node.bytes);
    ret->service = mn_span(bytes.data + sizeof head, head.service_size);
    bytes = mn_span(bytes.data + sizeof head + head.service_size,
                    bytes.size - sizeof head - head.service_size);
    if (head.kind == ROUND_RESUME)
        ret->resume = bytes;
    else
        ret->state = bytes;
    ret->has_state = head.kind == ROUND_STATE;
    return MN_OK;
}

bool front_round_fits(struct front *front, struct front_call *call, const struct front_round *round,
                      const struct front_target *target, const struct json *params)
{
    front_round_digest(front, call->method, target, params, call->round);
    call->is_round = true;
    return memcmp(call->round, round->digest, sizeof call->round) == 0;
}

/* Sealed: the way back to [node], and what to say there. False: the call cannot go on. */
static bool front_round_seal(struct front *front, const struct front_call *call, const mn_id *node,
                             enum round_kind kind, struct mn_span inner, struct mn_span *ret)
{
    struct round_head head = {
        .format = ROUND_FORMAT, .kind = (uint8_t)kind, .service_size = (uint8_t)call->service.size};
    struct mn_writer writer = {0};
    mn_id context;

    if (call->exchange == NULL || !front_round_digest_sent(front, call, head.digest)) return false;
    context = front_round_context(call->exchange);
    memcpy(head.node, node->bytes, sizeof head.node);
    mn_writer_add(&writer, mn_span(&head, sizeof head));
    mn_writer_add(&writer, call->service);
    mn_writer_add(&writer, inner);
    *ret = front_seal(front, front_round_what(mn_writer_size(&writer)), &call->exchange->principal,
                      &context, ROUND_TTL, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return ret->size > 0;
}

bool front_round_result(struct front *front, const struct front_call *call, const mn_id *node,
                        const struct json *result, struct mn_span resume, struct pieces *to)
{
    const struct json *state = json_find_str(result, "requestState");
    bool is_first = true, has_state = resume.size > 0 || json_is(state, JSON_STRING);
    struct mn_span text = mn_span(NULL, 0);

    if (has_state &&
        !front_round_seal(front, call, node, resume.size > 0 ? ROUND_RESUME : ROUND_STATE,
                          resume.size > 0 ? resume : state->text, &text))
        return false;
    pieces_str(to, "{");
    for (const struct json *key = json_first(result); key != NULL; key = json_next(result, key)) {
        if (mn_span_is(key->text, "requestState")) continue;
        if (!call->is_aggregated || !mn_span_is(key->text, "inputRequests")) {
            front_call_put_member(to, key, &is_first);
            continue;
        }
        pieces_str(to, is_first ? "\"inputRequests\":" : ",\"inputRequests\":");
        front_content_put_requests(front, to, call, json_value(key));
        is_first = false;
    }
    if (has_state) {
        pieces_str(to, ",\"requestState\":");
        json_write_string(&to->writer, text);
    }
    pieces_str(to, "}");
    return true;
}

bool front_round_of_urls(struct front *front, const struct front_call *call, struct mn_span data,
                         struct mn_writer *writer)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 3, JSON_NODES_MAX};
    const struct json *value, *list;
    uint32_t count = 0;

    if (!front_call_is_declared(front, call, "elicitation", "url") ||
        json_parse_copy(front->parser, data, limits, &front->scratch, &value) != MN_OK)
        return false;
    list = json_find_str(value, "elicitations");
    if (!json_is(list, JSON_ARRAY) || list->count == 0) return false;
    mn_writer_str(writer, "{\"resultType\":\"input_required\",\"inputRequests\":{");
    for (const struct json *item = json_first(list); item != NULL; item = json_next(list, item)) {
        bool is_first = true;
        if (item->type != JSON_OBJECT) continue;
        mn_writer_format(writer,
                         "%s\"elicitation-%u\":{\"method\":\"elicitation/create\",\"params\":{",
                         count == 0 ? "" : ",", count + 1);
        count++;
        if (call->is_aggregated) {
            mn_writer_str(writer, "\"_meta\":{");
            front_content_write_server(writer, call);
            mn_writer_str(writer, "}");
            is_first = false;
        }
        for (const struct json *key = json_first(item); key != NULL; key = json_next(item, key))
            if (!mn_span_is(key->text, "elicitationId") &&
                (!call->is_aggregated || !mn_span_is(key->text, "_meta")))
                front_call_write_member(writer, key, &is_first);
        mn_writer_str(writer, "}}");
    }
    mn_writer_str(writer, "}}");
    return count > 0;
}
