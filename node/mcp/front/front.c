#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"

#define QUESTION_ID_SHIFT 16 /* what is left is exact in JSON, with room to count */

#define CALL_TIMEOUT (5 * MN_MINUTE)
#define CALL_TIMEOUT_TOTAL MN_HOUR

static void front_make_records(struct front *front)
{
    uint8_t seed[RNG_SEED_SIZE];
    struct records_config config = {.self = front->self, .seed = seed};

    rng_bytes(&front->rng, seed, sizeof seed);
    front->records = records_new(&config);
    front->records_outbox.arena = &front->records_arena;
}

struct front *front_new(const struct mcp_config *config)
{
    struct front *front = mn_alloc(sizeof *front);

    front->self = config->self;
    front->trace = config->trace;
    front->call_timeout = config->call_timeout == 0 ? CALL_TIMEOUT : config->call_timeout;
    front->call_timeout_total =
        config->call_timeout_total == 0 ? CALL_TIMEOUT_TOTAL : config->call_timeout_total;
    rng_init(&front->rng, config->seed);
    front->keys = config->keys;
    front->parsed = config->parsed;
    front->writes_count = config->writes_count;
    front->is_gathering = config->is_gathering;
    front_seal_init(front);
    if (config->guard == NULL)
        front->own_guard =
            guard_new(config->hosts, config->hosts_count, config->bearers, config->bearers_count);
    front->guard = config->guard != NULL ? config->guard : front->own_guard;
    front->parser = json_parser_new();
    names_init(&front->names, front->parser, rng_u64(&front->rng));
    usage_init(&front->usage, rng_u64(&front->rng));
    mn_map_init(&front->exchanges, rng_u64(&front->rng));
    mn_map_init(&front->sessions, rng_u64(&front->rng));
    mn_map_init(&front->calls, rng_u64(&front->rng));
    mn_map_init(&front->questions, rng_u64(&front->rng));
    mn_map_init(&front->ended, rng_u64(&front->rng));
    mn_map_init(&front->sessions_by_handle, rng_u64(&front->rng));
    mn_map_init(&front->adoptions, rng_u64(&front->rng));
    mn_map_init(&front->endings, front->adoptions.seed);
    front_make_records(front);
    mn_list_init(&front->ended_order);
    mn_map_init(&front->feeds, rng_u64(&front->rng));
    mn_map_init(&front->feeds_by_ticket, rng_u64(&front->rng));
    mn_map_init(&front->subscribers, front->feeds.seed);
    /* Its client may answer late what another process asked in its session, here or elsewhere. */
    front->question_last = rng_u64(&front->rng) >> QUESTION_ID_SHIFT;
    front_look_init(front);
    mn_map_init(&front->listed, rng_u64(&front->rng));
    mn_list_init(&front->updates_due);
    mn_list_init(&front->streams);
    mn_list_init(&front->streams_due);
    mn_list_init(&front->large);
    mn_list_init(&front->packs);
    mn_list_init(&front->inputs);
    front->changed_at = MN_TIME_NEVER;
    front->judge_at = MN_TIME_NEVER;
    return front;
}

void front_call_free(struct front *front, struct front_call *call)
{
    front_question_drop(front, call);
    front_large_drop(front, call);
    front_pack_drop(front, call);
    usage_drop(&front->usage, call->usage);
    mn_heap_remove(&front->retries, &call->retry);
    mn_map_remove(&front->calls, &call->by_ticket);
    mn_list_remove(&call->in_exchange);
    mn_list_remove(&call->in_session);
    mn_buf_unref(call->payload);
    mn_free(call);
}

void front_exchange_free(struct front *front, struct front_exchange *exchange)
{
    struct mn_list *entry;

    while ((entry = mn_list_take(&exchange->calls)) != NULL)
        MN_CONTAINER(entry, struct front_call, in_exchange)->exchange = NULL;
    front_record_leave(front, exchange);
    front_taken_leave(exchange);
    front->tokens_used -= exchange->has_token;
    if (exchange->session != NULL) exchange->session->stream = NULL;
    front_subscriptions_done(front, &exchange->subscriptions);
    if (!mn_list_is_empty(&exchange->in_streams)) front->streams_count--;
    mn_list_remove(&exchange->in_streams);
    mn_heap_remove(&front->timers, &exchange->timer);
    mn_map_remove(&front->exchanges, &exchange->by_id);
    front->bodies_size -= mn_writer_size(&exchange->body);
    mn_writer_drop(&exchange->body);
    json_feed_free(exchange->feed);
    front->batches_size -= pieces_size(&exchange->batch);
    pieces_drop(&exchange->batch);
    mn_buf_unref(exchange->listen_id);
    mn_buf_unref(exchange->new_session);
    mn_buf_unref(exchange->meshes);
    mn_free(exchange);
}

void front_session_free(struct front *front, struct front_session *session)
{
    MN_ASSERT(mn_list_is_empty(&session->calls));
    MN_ASSERT(session->stream == NULL);
    front_record_done(front, session);
    front->tokens_used -= session->has_token;
    front_subscriptions_done(front, &session->subscriptions);
    mn_list_remove(&session->in_look);
    front_task_done(session);
    front_theirs_done(session);
    front_replay_done(front, session);
    front_roots_done(session);
    front_aside_done(front, session);
    front_orphan_done(session);
    mn_heap_remove(&front->expiries, &session->expiry);
    mn_map_remove(&front->sessions_by_handle, &session->by_handle);
    mn_map_remove(&front->sessions, &session->by_id);
    mn_free(session);
}

void front_free(struct front *front)
{
    struct mn_map_entry *entry;

    if (front == NULL) return;
    while ((entry = mn_map_next(&front->calls, NULL)) != NULL)
        front_call_free(front, MN_CONTAINER(entry, struct front_call, by_ticket));
    while ((entry = mn_map_next(&front->exchanges, NULL)) != NULL)
        front_exchange_free(front, MN_CONTAINER(entry, struct front_exchange, by_id));
    while ((entry = mn_map_next(&front->sessions, NULL)) != NULL)
        front_session_free(front, MN_CONTAINER(entry, struct front_session, by_id));
    front_input_drop(front, NULL);
    mn_map_done(&front->calls);
    mn_map_done(&front->questions);
    front_session_done(front);
    front_task_list_done(front);
    mn_map_done(&front->feeds);
    mn_map_done(&front->feeds_by_ticket);
    mn_map_done(&front->subscribers);
    front_look_done(front);
    mn_heap_done(&front->feeds_timers);
    mn_heap_done(&front->updates_timers);
    mn_heap_done(&front->taken_timers);
    mn_map_done(&front->exchanges);
    mn_map_done(&front->sessions);
    mn_map_done(&front->sessions_by_handle);
    front_record_free(front);
    mn_heap_done(&front->timers);
    mn_heap_done(&front->expiries);
    mn_heap_done(&front->retries);
    names_done(&front->names);
    usage_done(&front->usage);
    json_parser_free(front->parser);
    guard_free(front->own_guard);
    front_seal_done(front);
    rng_done(&front->rng);
    mn_arena_done(&front->scratch);
    mn_free(front);
}

struct mn_span front_header_span(const struct front_exchange *exchange, struct mn_span name)
{
    for (uint32_t i = 0; i < exchange->headers_count; i++)
        if (mn_span_equal(exchange->headers[i].name, name)) return exchange->headers[i].value;
    return mn_span(NULL, 0);
}

struct mn_span front_header(const struct front_exchange *exchange, const char *name)
{
    return front_header_span(exchange, mn_span_str(name));
}

static void front_on_edge(struct front *front, const struct edge_input *input)
{
    struct mn_map_entry *entry;
    struct front_exchange *exchange;

    if (input->type == EDGE_IN_HTTP_OPEN) {
        front_http_open(front, input);
        return;
    }
    if (input->type != EDGE_IN_HTTP_BODY && input->type != EDGE_IN_HTTP_WRITABLE &&
        input->type != EDGE_IN_HTTP_GONE)
        return;
    entry = mn_map_find(&front->exchanges, mn_span(&input->id, sizeof input->id));
    if (entry == NULL) return;
    exchange = MN_CONTAINER(entry, struct front_exchange, by_id);
    if (input->type == EDGE_IN_HTTP_BODY)
        front_http_body(front, exchange, input);
    else if (input->type == EDGE_IN_HTTP_WRITABLE)
        exchange->unread = 0;
    else
        front_http_gone(front, exchange);
}

static void front_lists_changed(struct front *front)
{
    front->changed_at =
        mn_time_min(front->changed_at, mn_time_after(front->now.mono, MCP_CHANGED_DELAY));
}

/* Tools that their servers define otherwise than before. */
static void front_tell_changes(struct front *front)
{
    struct names_change *change;

    while ((change = names_take_change(&front->names)) != NULL) {
        const char *text = mn_arena_format(&front->scratch, "%.*s/%.*s", (int)change->service.size,
                                           (const char *)change->service.data,
                                           (int)change->tool.size, (const char *)change->tool.data);
        mn_trace(front->trace, front->now.mono, MN_EV_TOOL_CHANGED, NULL, 0, 0, text);
        mn_free(change);
    }
}

static void front_on_call(struct front *front, const struct call_message *message)
{
    if (message->type == CALL_MESSAGE_EVENT) {
        if (!front_subscribe_on_event(front, &message->event) &&
            !front_task_list_on_event(front, &message->event))
            front_answer_on_event(front, &message->event);
        return;
    }
    if (message->type != CALL_MESSAGE_SERVICE) return;
    front_look_note(front, message->service.name);
    names_on_service(&front->names, &message->service);
    front_look_note(front, message->service.name);
    front_tell_changes(front);
    front_lists_changed(front);
}

/* A response that nothing was said on for a while, or a stream that has lasted for a moment. */
static void front_on_silence(struct front *front, struct front_exchange *exchange)
{
    if (!exchange->is_stream)
        front_reply_open(front, exchange);
    else if (exchange->legacy != NULL && !exchange->is_noted)
        front_orphan_note(front, exchange);
    else
        front_reply_keepalive(front, exchange);
    front_reply_wait(front, exchange);
}

static void front_on_idle(struct front *front, struct front_session *session)
{
    if (session->stream == NULL && mn_list_is_empty(&session->calls)) {
        mn_trace(front->trace, front->now.mono, MN_EV_SESSION_CLOSED, NULL, 0, 0, "idle");
        front_session_free(front, session);
        return;
    }
    mn_heap_set(&front->expiries, &session->expiry,
                mn_time_after(front->now.mono, MCP_SESSION_IDLE));
}

static void front_on_time(struct front *front)
{
    mn_time now = front->now.mono;

    while (mn_heap_deadline(&front->timers) <= now)
        front_on_silence(front,
                         MN_CONTAINER(mn_heap_peek(&front->timers), struct front_exchange, timer));
    while (mn_heap_deadline(&front->expiries) <= now)
        front_on_idle(front,
                      MN_CONTAINER(mn_heap_peek(&front->expiries), struct front_session, expiry));
    front_feed_on_time(front);
    front_updates_slice(front);
    front_taken_on_time(front);
    front_orphan_on_time(front);
    front_record_on_time(front);
    front_token_on_time(front);
    if (front->changed_at <= now) {
        front->changed_at = MN_TIME_NEVER;
        front_look_begin(front);
        front_stream_changed(front);
    }
    front_stream_slice(front);
}

void front_step(struct front *front, struct mn_now now, const struct mcp_input *input,
                struct mcp_outbox *outbox)
{
    front->now = now;
    front->outbox = outbox;
    front->body = mn_span(NULL, 0);
    front->body_whole = NULL;
    front->body_values = 0;
    front->look.had_slice = false;
    switch (input->type) {
    case MCP_IN_EDGE: front_on_edge(front, input->edge); break;
    case MCP_IN_CALL: front_on_call(front, input->call); break;
    case MCP_IN_KEYS: break;
    case MCP_IN_NODES: front_record_on_nodes(front, input->nodes.items, input->nodes.count); break;
    case MCP_IN_CURATION:
        names_curate(&front->names, input->pairs, input->pairs_count);
        front_look_note_all(front);
        front_lists_changed(front);
        break;
    case MCP_IN_RECOVER:
        front_record_recover(front, input->recover.key, input->recover.value);
        break;
    case MCP_IN_CARRIED:
        front_record_on_message(front, &input->carried.from, input->carried.bytes);
        break;
    case MCP_IN_STOP:
        front->is_stopping = true;
        front_stream_stop(front);
        break;
    case MCP_IN_TICK:
        front_large_on_tick(front);
        front_pack_on_tick(front);
        front_input_on_tick(front);
        front_look_on_tick(front);
        break;
    }
    front_large_bound(front);
    front_on_time(front);
    front_record_run(front);
    mn_arena_reset(&front->scratch);
    front->outbox = NULL;
}

mn_time front_deadline(const struct front *front)
{
    mn_time at = mn_time_min(mn_heap_deadline(&front->timers), mn_heap_deadline(&front->expiries));
    at = mn_time_min(at, mn_heap_deadline(&front->feeds_timers));
    at = mn_time_min(at, front_updates_deadline(front));
    at = mn_time_min(at, mn_heap_deadline(&front->taken_timers));
    at = mn_time_min(at, mn_heap_deadline(&front->retries));
    at = mn_time_min(at, records_deadline(front->records));
    at = mn_time_min(at, front->judge_at);
    if (!mn_list_is_empty(&front->large) || !mn_list_is_empty(&front->packs) ||
        !mn_list_is_empty(&front->inputs) || front_look_is_under_way(front) ||
        front_stream_is_due(front))
        return 0;
    return mn_time_min(at, front->changed_at);
}

bool front_is_idle(const struct front *front)
{
    return front->exchanges.count == 0;
}

const struct usage *front_usage(const struct front *front)
{
    return &front->usage;
}

struct names *front_names(struct front *front)
{
    return &front->names;
}

void front_stats(const struct front *front, struct mcp_stats *ret)
{
    *ret = front->stats;
    ret->exchanges_count = front->exchanges.count;
    ret->sessions_count = front->sessions.count;
    ret->streams_count = front->streams_count;
    ret->calls_count = front->calls.count;
    ret->tools_dropped = front->names.dropped_count;
}

static void front_check_exchange(const struct front *front, const struct front_exchange *exchange)
{
    MN_ASSERT(exchange->kind == FRONT_EXCHANGE_POST || exchange->is_stream);
    MN_ASSERT((exchange->kind == FRONT_EXCHANGE_POST) == mn_list_is_empty(&exchange->in_streams));
    if (exchange->session != NULL) MN_ASSERT(exchange->session->stream == exchange);
    MN_LIST_FOR_EACH (entry, &exchange->calls) {
        MN_ASSERT(MN_CONTAINER(entry, struct front_call, in_exchange)->exchange == exchange);
    }
    MN_ASSERT(mn_map_find(&front->exchanges, exchange->by_id.key) == &exchange->by_id);
}

void front_check(const struct front *front)
{
    size_t bodies_size = 0, batches_size = 0;
    uint32_t streams_count = 0, tokens_used = 0;

    for (struct mn_map_entry *entry = mn_map_next(&front->exchanges, NULL); entry != NULL;
         entry = mn_map_next(&front->exchanges, entry)) {
        struct front_exchange *exchange = MN_CONTAINER(entry, struct front_exchange, by_id);
        front_check_exchange(front, exchange);
        bodies_size += mn_writer_size(&exchange->body);
        batches_size += pieces_size(&exchange->batch);
        tokens_used += exchange->has_token;
        streams_count += !mn_list_is_empty(&exchange->in_streams);
    }
    usage_check(&front->usage);
    records_check(front->records);
    MN_ASSERT(front->sessions.count == front->sessions_by_handle.count);
    front_subscribe_check(front);
    front_subscription_check(front);
    front_look_check(front);
    MN_ASSERT(bodies_size + front_pack_size(front) + front_input_size(front) == front->bodies_size);
    MN_ASSERT(batches_size == front->batches_size);
    front_outlive_check(front);
    MN_ASSERT(streams_count == front->streams_count);
    MN_ASSERT(front->streams_count <= MCP_STREAMS_MAX);
    MN_ASSERT(front->sessions.count <= MCP_SESSIONS_MAX);
    MN_ASSERT(front->calls.count <= MCP_CALLS_MAX);
    for (struct mn_map_entry *entry = mn_map_next(&front->sessions, NULL); entry != NULL;
         entry = mn_map_next(&front->sessions, entry)) {
        struct front_session *session = MN_CONTAINER(entry, struct front_session, by_id);
        tokens_used += session->has_token;
        if (session->stream != NULL) MN_ASSERT(session->stream->session == session);
        MN_ASSERT(session->expiry.index_plus_one != 0);
    }
    MN_ASSERT(tokens_used == front->tokens_used);
    MN_ASSERT(tokens_used == 0 || front->judge_at != MN_TIME_NEVER);
}
