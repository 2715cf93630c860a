/* What servers answer, on its way back to the client: in the shape of its era, and spliced, never
 * rebuilt. */
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_edit.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"

#define AWAY_MAX_MS 60000u /* a server asks its clients to stay away no longer */

static const struct json_limits kept_members = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};

/* Answers the client, if it is still there, and forgets the call. */
static void front_answer_fail(struct front *front, struct front_call *call, uint32_t http_code,
                              int64_t code, struct mn_span text, struct mn_span data)
{
    struct front_exchange *exchange = call->exchange;
    struct mn_span id = mn_arena_copy(&front->scratch, call->id);

    struct front_session *noted = call->is_noted ? call->session : NULL;

    if (exchange == NULL && call->stream != 0) {
        struct mn_writer message = {0};
        jsonrpc_write_error(&message, id, code, text, data);
        front_replay_late(front, call, mn_buf_span(message.buf), true);
        mn_writer_drop(&message);
    }
    front_call_free(front, call);
    front->stats.calls_failed++;
    if (exchange != NULL) front_reply_error(front, exchange, http_code, id, code, text, data);
    if (noted != NULL) front_orphan_save(front, noted);
}

/* The answer of a call whose client is away. */
static void front_answer_late(struct front *front, struct front_call *call, struct mn_span result)
{
    struct mn_writer message = {0};

    if (call->exchange != NULL || call->stream == 0) return;
    if (result.size >= JSONRPC_LARGE) { /* it cannot be had again, but has its place */
        front_replay_late(front, call, mn_span(NULL, result.size), true);
        return;
    }
    jsonrpc_write_result(&message, call->id, result);
    front_replay_late(front, call, mn_buf_span(message.buf), true);
    mn_writer_drop(&message);
}

/* Its session is elsewhere, and so is the call by now: what became of it is told there. Who still
 * listens here is not told a thing, and asks. */
static void front_answer_leave(struct front *front, struct front_call *call)
{
    struct front_exchange *exchange = call->exchange;

    MN_PROBE("front: a call was taken by the node that its client uses now");
    front_call_free(front, call);
    if (exchange != NULL) front_reply_nothing(front, exchange);
}

static bool front_answer_is_elsewhere(const struct front_call *call, enum call_failure failure)
{
    if (call->session == NULL || !call->is_noted) return false;
    return failure == CALL_TAKEN || (call->session->is_elsewhere &&
                                     (failure == CALL_OUTCOME_UNKNOWN || failure == CALL_GONE));
}

static void front_answer_broken(struct front *front, struct front_call *call, const char *text)
{
    front_answer_fail(front, call, 200, JSONRPC_INTERNAL, mn_span_str(text), mn_span(NULL, 0));
}

/* Whether it is only known that nobody was reached. Of a call that came through another node, or
 * that was begun in a round before this one, that says nothing: it may have run. */
static bool front_answer_is_lost(const struct front_call *call, enum call_failure failure)
{
    return call->is_claim ||
           (call->is_resumed &&
            (failure == CALL_UNAVAILABLE || failure == CALL_NOT_FOUND || failure == CALL_CONFLICT));
}

static void front_answer_on_failed(struct front *front, struct front_call *call,
                                   const struct call_event *event)
{
    struct mn_writer data = {0};
    char node[MN_ID_TEXT_SIZE];
    enum call_failure failure = event->failure;
    struct mn_span text = event->text;
    bool is_unknown;

    if (!call->is_claim && failure == CALL_NOT_FOUND && front_about_is_early(front)) {
        failure = CALL_UNAVAILABLE;
        text = mn_span_str(FRONT_EARLY);
    } else if (front_answer_is_lost(call, failure)) {
        failure = CALL_OUTCOME_UNKNOWN;
    }
    is_unknown = failure == CALL_NOT_FOUND || failure == CALL_CONFLICT;
    if (failure == CALL_TIMED_OUT || failure == CALL_OUTCOME_UNKNOWN)
        text = mn_span_str(mn_arena_format(
            &front->scratch, "outcome unknown: %s (%.*s)",
            call->method->kind == NAMES_TOOLS ? "the tool may have run" : "it may have been served",
            (int)text.size, (const char *)text.data));
    mn_writer_format(&data, "{\"reason\":\"%s\"", call_failure_name(failure));
    if (!mn_id_is_zero(&event->node))
        mn_writer_format(&data, ",\"node\":\"%s\"", mn_id_format(&event->node, node));
    mn_writer_str(&data, "}");
    front_answer_fail(front, call, 200, is_unknown ? JSONRPC_INVALID_PARAMS : JSONRPC_INTERNAL,
                      text, mn_buf_span(data.buf));
    mn_writer_drop(&data);
}

static struct mn_span front_answer_padded(struct front *front, struct mn_span text);

/* A modern client is asked by a result, and calls again. False: it cannot be asked. */
static bool front_answer_on_urls(struct front *front, struct front_call *call, struct mn_span data)
{
    struct front_exchange *exchange = call->exchange;
    struct mn_span id = mn_arena_copy(&front->scratch, call->id);
    struct mn_writer writer = {0};
    bool is_written = exchange != NULL && front_round_of_urls(front, call, data, &writer);

    if (is_written) {
        front_call_free(front, call);
        front_reply_result(front, exchange, id, mn_buf_span(writer.buf));
    }
    mn_writer_drop(&writer);
    return is_written;
}

/* What is said of a resource ([value], kept) names it as its client does. */
static struct mn_span front_answer_data(struct front *front, const struct front_call *call,
                                        const struct json *value)
{
    const struct json *uri = json_find_str(value, "uri");
    const uint8_t *end;
    struct mn_writer writer = {0};
    struct mn_span data;

    if (call->method->kind != NAMES_RESOURCES || call->own.size == 0 ||
        !mn_span_equal(json_text(uri), call->own))
        return value->raw;
    mn_writer_add(&writer, mn_span(value->raw.data, (size_t)(uri->raw.data - value->raw.data)));
    json_write_string(&writer, call->uri);
    end = uri->raw.data + uri->raw.size;
    mn_writer_add(&writer, mn_span(end, (size_t)(value->raw.data + value->raw.size - end)));
    data = mn_arena_copy(&front->scratch, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return data;
}

/* An error of the server goes on as it is; modern clients also get its HTTP status. */
static void front_answer_on_error(struct front *front, struct front_call *call,
                                  const Meshnode__Gateway__Error *error)
{
    struct mn_span data = pb_span(error->data);
    const struct json *value = NULL;
    uint32_t http_code = 200;
    int64_t code = error->code;
    bool is_unknown = code == JSONRPC_RESOURCE_NOT_FOUND || code == JSONRPC_INVALID_PARAMS ||
                      code == JSONRPC_METHOD_NOT_FOUND;

    if (is_unknown && front_call_next(front, call)) return;
    front_task_told(front, call, NULL);
    if (code == JSONRPC_METHOD_NOT_FOUND && call->is_aggregated && call->method->member == NULL) {
        /* /mcp does have completions, only this server has none. */
        struct mn_span none = mn_span_str("{\"completion\":{\"values\":[]}}");
        front_answer_on_result(front, call, front_answer_padded(front, none), &front->self,
                               mn_span(NULL, 0));
        return;
    }
    if (data.size > 0 &&
        json_parse_copy(front->parser, data, kept_members, &front->scratch, &value) != MN_OK)
        data = mn_span(NULL, 0);
    if (data.size > 0) data = front_answer_data(front, call, value);
    if (call->session == NULL) {
        if (code == JSONRPC_URL_ELICITATION && front_answer_on_urls(front, call, data)) return;
        if (code == JSONRPC_METHOD_NOT_FOUND) http_code = 404;
        if (code <= JSONRPC_HEADER_MISMATCH && code >= JSONRPC_UNSUPPORTED_VERSION) http_code = 400;
        /* Codes that modern clients must not see. */
        if (code == JSONRPC_RESOURCE_NOT_FOUND) code = JSONRPC_INVALID_PARAMS;
        if (code == JSONRPC_URL_ELICITATION) code = JSONRPC_INTERNAL;
    }
    front_answer_fail(front, call, http_code, code, pb_text(error->message), data);
}

/* What of a result goes on as it stands: members one after the other, as long as nothing else comes
 * between. */
struct front_run {
    struct pieces *to;
    const uint8_t *begin, *end; /* NULL: nothing */
    bool is_first;
};

static void front_run_flush(struct front_run *run)
{
    if (run->begin == NULL) return;
    if (!run->is_first) pieces_str(run->to, ",");
    pieces_add(run->to, mn_span(run->begin, (size_t)(run->end - run->begin)));
    run->is_first = false;
    run->begin = NULL;
}

#define WHO "io.modelcontextprotocol/serverInfo"
#define META_MAX 65536 /* bytes of _meta in which that is looked for */

/* The members of a copy of a modern result's _meta if it says who answers; else NULL. */
static const struct json *front_answer_meta(struct front *front, const struct json *meta)
{
    const struct json *members;

    if (!json_is(meta, JSON_OBJECT) || meta->raw.size > META_MAX ||
        json_parse_copy(front->parser, meta->raw, kept_members, &front->scratch, &members) !=
            MN_OK ||
        json_find_str(members, WHO) == NULL)
        return NULL;
    return members;
}

/* What a legacy client does not know. */
static bool front_answer_is_modern(const struct json *key)
{
    return mn_span_is(key->text, "resultType") || mn_span_is(key->text, "ttlMs") ||
           mn_span_is(key->text, "cacheScope");
}

/* _meta without who answers, of which a legacy client was told once; nothing if that was all. What
 * goes out are not the [members] of a copy, but those of [meta], where something may be said
 * otherwise. */
static void front_answer_write_meta(struct front_run *run, struct mn_span meta,
                                    const struct json *members)
{
    const char *before = "\"_meta\":{";

    for (const struct json *one = json_first(members); one != NULL; one = json_next(members, one)) {
        const struct json *value = json_value(one);
        if (mn_span_is(one->text, WHO)) continue;
        if (!run->is_first) pieces_str(run->to, ",");
        pieces_str(run->to, before);
        pieces_add(run->to, one->raw);
        pieces_str(run->to, ":");
        pieces_add(run->to,
                   mn_span(meta.data + (value->raw.data - members->raw.data), value->raw.size));
        run->is_first = false;
        before = "";
    }
    if (before[0] == '\0') pieces_str(run->to, "}");
}

/* The result for a legacy client: structuredContent only as an object, and, [is_modern], nothing
 * that it does not know. */
static void front_answer_write_legacy(struct front *front, struct pieces *to,
                                      const struct json *result, bool is_modern)
{
    const struct json *meta = json_find_str(result, "_meta");
    const struct json *members = is_modern ? front_answer_meta(front, meta) : NULL;
    struct front_run run = {to, NULL, NULL, true};

    pieces_str(to, "{");
    for (const struct json *key = json_first(result); key != NULL; key = json_next(result, key)) {
        const struct json *value = json_value(key);
        bool is_wrapped = mn_span_is(key->text, "structuredContent") && value->type != JSON_OBJECT;
        bool is_meta = members != NULL && value == meta;
        if (is_wrapped || is_meta || (is_modern && front_answer_is_modern(key))) {
            front_run_flush(&run);
            if (is_meta) front_answer_write_meta(&run, meta->raw, members);
        } else {
            if (run.begin == NULL) run.begin = key->raw.data;
            run.end = value->raw.data + value->raw.size;
        }
        if (!is_wrapped) continue;
        pieces_str(to, run.is_first ? "" : ",");
        pieces_str(to, "\"structuredContent\":{\"result\":");
        pieces_add(to, value->raw);
        pieces_str(to, "}");
        run.is_first = false;
    }
    front_run_flush(&run);
    pieces_str(to, "}");
}

/* What a modern client misses in a result of a legacy server. */
static void front_answer_write_modern(struct pieces *to, const struct json *result, bool has_type,
                                      bool has_hints)
{
    pieces_str(to, "{");
    if (!has_type) pieces_str(to, "\"resultType\":\"complete\"");
    if (!has_hints && !has_type) pieces_str(to, ",");
    if (!has_hints) pieces_str(to, "\"ttlMs\":0,\"cacheScope\":\"private\"");
    if (result->count > 0) pieces_str(to, ",");
    pieces_add(to, mn_span(result->raw.data + 1, result->raw.size - 1));
}

/* True: [to] has what goes out instead. */
static bool front_answer_translate(struct front *front, const struct front_call *call,
                                   const struct json *result, const struct json *const parts[4],
                                   struct pieces *to)
{
    bool is_read = call->method->kind == NAMES_RESOURCES && call->method->member != NULL;
    bool has_hints = !is_read || (parts[2] != NULL && parts[3] != NULL);

    if (call->session == NULL) {
        if (parts[0] != NULL && has_hints) return false;
        /* Half of the hints is no hint; such a result comes from nobody we know of. */
        if (is_read && (parts[2] != NULL || parts[3] != NULL)) has_hints = true;
        front_answer_write_modern(to, result, parts[0] != NULL, has_hints);
        return true;
    }
    if (parts[0] == NULL && (parts[1] == NULL || parts[1]->type == JSON_OBJECT)) return false;
    front_answer_write_legacy(front, to, result, parts[0] != NULL);
    return true;
}

/* A result that is not the last word. True: [to] has what goes out; false: nothing can. */
static bool front_answer_incomplete(struct front *front, const struct front_call *call,
                                    const struct json *result, const mn_id *node,
                                    struct mn_span resume, struct pieces *to)
{
    struct mn_span type = json_text(json_find_str(result, "resultType"));
    bool is_question = mn_span_is(type, "input_required");

    if (mn_span_is(type, "task")) return front_task_created(front, call, node, result, &to->writer);
    return call->session == NULL && is_question &&
           front_round_result(front, call, node, result, resume, to);
}

/* A copy that can be parsed where it is. */
static struct mn_span front_answer_padded(struct front *front, struct mn_span text)
{
    uint8_t *copy = mn_arena_alloc(&front->scratch, text.size + MN_BUF_PADDING);

    memcpy(copy, text.data, text.size);
    return mn_span(copy, text.size);
}

/* Where tasks may begin, one level more is looked at. What this node has parsed has as many. */
static mn_status front_answer_parse(struct front *front, const struct front_call *call,
                                    struct mn_span text, const struct json **ret)
{
    const struct json_limits more = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct json *known = front->parsed == NULL ? NULL : parsed_find(front->parsed, text);

    if (known != NULL) {
        *ret = known;
        return MN_OK;
    }
    if (front_task_may_begin(call) &&
        json_parse(front->parser, text, more, &front->scratch, ret) == MN_OK)
        return MN_OK;
    return json_parse(front->parser, text, kept_members, &front->scratch, ret);
}

/* What became small on its way, because of spaces that were left out, is an answer as any. */
static struct mn_span front_answer_whole(struct front *front, struct pieces *to)
{
    struct mn_writer writer = {0};
    struct mn_buf *piece;
    struct mn_span text;

    while ((piece = pieces_take(to)) != NULL) {
        mn_writer_add(&writer, mn_buf_span(piece));
        mn_buf_unref(piece);
    }
    text = mn_arena_copy(&front->scratch, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return text;
}

/* What goes out, in [to] or as it came. */
static void front_answer_say(struct front *front, struct front_call *call,
                             const struct front_answer *answer, struct pieces *to, bool is_changed)
{
    struct front_exchange *exchange = call->exchange;
    struct front_session *began = answer->is_task ? call->session : NULL;
    struct front_session *noted = call->is_noted ? call->session : NULL;
    struct mn_span id = mn_arena_copy(&front->scratch, call->id), text = answer->result->raw;

    if (!is_changed && (to->source != NULL || to->changes_count > 0)) {
        pieces_add(to, text);
        is_changed = true;
    }
    if (began != NULL && began->is_elsewhere) began = NULL; /* that node knows more of it */
    /* A task is known to others before its client knows it. */
    if (began != NULL && (exchange == NULL || exchange->is_stream || to->source != NULL)) {
        front_record_save(front, began);
        began = NULL;
    }
    if (to->source != NULL && pieces_size(to) >= JSONRPC_LARGE) {
        front_answer_late(front, call, mn_span(NULL, pieces_size(to)));
        front_call_free(front, call);
        if (exchange != NULL) front_reply_pieces(front, exchange, id, to);
    } else {
        if (is_changed)
            text =
                to->done_count == 0 ? mn_buf_span(to->writer.buf) : front_answer_whole(front, to);
        front_answer_late(front, call, text);
        front_call_free(front, call);
        if (exchange != NULL && began != NULL)
            front_record_reply(front, exchange, began, id, text);
        else if (exchange != NULL)
            front_reply_result(front, exchange, id, text);
    }
    if (noted != NULL) front_orphan_save(front, noted);
}

/* Whether it can go on as part of the buffer it is in. */
static bool front_answer_in_pieces(const struct front_call *call, const struct front_answer *answer)
{
    return answer->source != NULL && answer->result->raw.size >= JSONRPC_LARGE &&
           !(answer->has_lines && call->exchange != NULL &&
             front_reply_is_in_lines(call->exchange));
}

void front_answer_parsed(struct front *front, struct front_call *call, mn_status status,
                         struct front_answer *answer)
{
    static const char *const names[] = {"resultType", "structuredContent", "ttlMs", "cacheScope"};
    const struct json *parts[4];
    struct pieces to = {0};
    bool is_changed;

    if (status == MN_OK &&
        !front_task_begun(front, call, &answer->node, &answer->result, &answer->is_task)) {
        front_answer_broken(front, call,
                            "the server's task cannot go on: it, or its id, is too long");
        return;
    }
    if (status != MN_OK || answer->result->type != JSON_OBJECT ||
        json_pick(answer->result, names, 4, parts) != MN_OK) {
        front_answer_broken(front, call, "the server's result is not usable JSON");
        return;
    }
    if (front_answer_in_pieces(call, answer)) to.source = answer->source;
    to.changes = answer->changes;
    to.changes_count = answer->changes_count;
    if (parts[0] == NULL || mn_span_is(json_text(parts[0]), "complete")) {
        is_changed = front_answer_translate(front, call, answer->result, parts, &to);
    } else if (front_answer_incomplete(front, call, answer->result, &answer->node, answer->resume,
                                       &to)) {
        is_changed = true;
    } else {
        front_answer_broken(front, call, "the server wants input that this client cannot give");
        return;
    }
    front_task_told(front, call, answer->result);
    front_answer_say(front, call, answer, &to, is_changed);
    pieces_drop(&to);
}

/* [text] is part of a buffer, or padded: it is read once, where it is. */
void front_answer_on_result(struct front *front, struct front_call *call, struct mn_span text,
                            const mn_id *node, struct mn_span resume)
{
    struct front_answer answer = {.node = *node, .resume = resume};
    mn_status status =
        front_answer_parse(front, call, front_edit_result(front, call, text), &answer.result);

    front_answer_parsed(front, call, status, &answer);
}

void front_answer_write_progress(struct mn_writer *writer, struct mn_span token,
                                 const struct json *progress)
{
    mn_writer_str(writer, "{\"progressToken\":");
    mn_writer_add(writer, token);
    if (progress->count > 0) mn_writer_str(writer, ",");
    mn_writer_add(writer, mn_span(progress->raw.data + 1, progress->raw.size - 1));
}

/* params of notifications/progress, with the client's token back in. */
static void front_answer_on_progress(struct front *front, struct front_call *call,
                                     struct mn_span text)
{
    struct mn_writer params = {0}, message = {0};
    const struct json *value;

    if ((call->exchange == NULL && call->stream == 0) || call->progress.size == 0) return;
    if (json_parse_copy(front->parser, text, kept_members, &front->scratch, &value) != MN_OK)
        return;
    if (value->type != JSON_OBJECT || json_find_str(value, "progressToken") != NULL) return;
    if (!front_again_is_further(call, json_find_str(value, "progress"))) return;
    front_answer_write_progress(&params, call->progress, value);
    jsonrpc_write_notification(&message, "notifications/progress", mn_buf_span(params.buf));
    if (call->exchange != NULL)
        front_reply_notification(front, call->exchange, mn_buf_span(message.buf));
    else
        front_replay_late(front, call, mn_buf_span(message.buf), false);
    mn_writer_drop(&params);
    mn_writer_drop(&message);
}

/* A notification of the server's that goes on as it is. */
static void front_answer_notify(struct front *front, struct front_call *call, const char *method,
                                struct mn_span text)
{
    struct mn_writer message = {0};
    const struct json *value;

    if (call->exchange == NULL && call->stream == 0) return;
    if (json_parse_copy(front->parser, text, kept_members, &front->scratch, &value) != MN_OK)
        return;
    if (value->type != JSON_OBJECT) return;
    jsonrpc_write_notification(&message, method, value->raw);
    if (call->exchange != NULL)
        front_reply_notification(front, call->exchange, mn_buf_span(message.buf));
    else
        front_replay_late(front, call, mn_buf_span(message.buf), false);
    mn_writer_drop(&message);
}

static void front_answer_on_log(struct front *front, struct front_call *call, struct mn_span text)
{
    if (call->wants_log) front_answer_notify(front, call, "notifications/message", text);
}

/* A client of this revision was given an id for each URL it was asked to visit. */
static void front_answer_on_elicited(struct front *front, struct front_call *call,
                                     struct mn_span text)
{
    if (call->session == NULL || strcmp(call->session->version, "2025-11-25") != 0) return;
    front_answer_notify(front, call, "notifications/elicitation/complete", text);
}

/* What the server does with its stream, that of the client does where it stands for the server's;
 * of a call that runs again the client saw it before. */
static void front_answer_on_away(struct front *front, struct front_call *call, uint32_t delay_ms)
{
    struct front_exchange *exchange = call->exchange;

    if (exchange != NULL && !call->is_again && !call->is_aggregated && !exchange->is_batch &&
        front_replay_is_known(call->session))
        front_reply_pause(front, exchange, delay_ms < AWAY_MAX_MS ? delay_ms : AWAY_MAX_MS);
}

/* Its server's answer, or the mesh's refusal: the latter's time says nothing of the tool. */
static void front_answer_count(struct front *front, struct front_call *call, bool has_answer)
{
    usage_end(&front->usage, call->usage, front->now.mono, front->now.mono - call->started,
              has_answer);
    call->usage = NULL;
}

void front_answer_on_event(struct front *front, const struct call_event *event)
{
    struct mn_map_entry *entry =
        mn_map_find(&front->calls, mn_span(&event->ticket, sizeof event->ticket));
    const Meshnode__Gateway__Event *payload = NULL;
    bool is_last = event->kind != CALL_EVENT_PROGRESS;
    struct front_call *call;

    if (entry == NULL) return; /* cancelled meanwhile */
    call = MN_CONTAINER(entry, struct front_call, by_ticket);
    if (is_last) front_answer_count(front, call, event->kind == CALL_EVENT_RESULT);
    if (call->session != NULL && front_roots_note(call->session, call->service, &event->node))
        front_aside_served(front, call->session, call->service, &event->node);
    front_again_on_event(front, call, event);
    if (call->is_doomed && !is_last && event->payload != NULL) { /* it is here */
        front_call_cancel(front, call);
        return;
    }
    if (event->kind == CALL_EVENT_FAILED && call->is_noted &&
        front_orphan_retry(front, call, event->failure))
        return;
    if (event->kind == CALL_EVENT_FAILED && front_answer_is_elsewhere(call, event->failure)) {
        front_answer_leave(front, call);
        return;
    }
    if (event->kind == CALL_EVENT_FAILED) {
        front_answer_on_failed(front, call, event);
        return;
    }
    if (event->payload != NULL)
        payload = pb_view(&meshnode__gateway__event__descriptor, &front->scratch,
                          mn_buf_span(event->payload));
    if (payload != NULL && is_last && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_RESULT &&
        pb_span(payload->result).size >= JSONRPC_LARGE)
        front_large_begin(front, call, event, pb_span(payload->result), pb_span(payload->resume));
    else if (payload != NULL && is_last &&
             payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_RESULT)
        front_answer_on_result(front, call, pb_span(payload->result), &event->node,
                               pb_span(payload->resume));
    else if (payload != NULL && is_last &&
             payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_ERROR)
        front_answer_on_error(front, call, payload->error);
    else if (is_last)
        front_answer_broken(front, call, "the serving node sent nothing usable");
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_PROGRESS)
        front_answer_on_progress(front, call, pb_span(payload->progress));
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_QUESTION)
        front_question_ask(front, call, payload->question, event->payload);
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_LOG)
        front_answer_on_log(front, call, pb_span(payload->log));
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_WITHDRAWN)
        front_question_withdraw(front, call, pb_text(payload->withdrawn));
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_OUTLIVED)
        front_outlive(front, call, payload->outlived);
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_ELICITED)
        front_answer_on_elicited(front, call, pb_span(payload->elicited));
    else if (payload != NULL && payload->kind_case == MESHNODE__GATEWAY__EVENT__KIND_AWAY)
        front_answer_on_away(front, call, payload->away);
}
