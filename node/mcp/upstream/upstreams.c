#include "node/mcp/upstream/upstreams.h"

#include "node/mcp/upstream/upstream.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_exchange.h"
#include "node/mcp/upstream/upstream_given.h"
#include "node/mcp/upstream/upstream_large.h"
#include "node/mcp/upstream/upstream_orphan.h"
#include "node/mcp/upstream/upstream_reply.h"
#include "node/mcp/upstream/upstream_request.h"
#include "proto/base/check.h"

struct upstreams {
    struct upstream_host host;
};

static struct upstream *upstreams_at(const struct mn_list *link)
{
    return MN_CONTAINER((uintptr_t)link, struct upstream, link);
}

struct upstreams *upstreams_new(const struct upstreams_config *config)
{
    struct upstreams *upstreams = mn_alloc(sizeof *upstreams);
    struct upstream_host *host = &upstreams->host;

    host->self = config->self;
    host->mesh_id = config->mesh_id;
    host->trace = config->trace;
    host->parsed = config->parsed;
    rng_init(&host->rng, config->seed);
    host->parser = json_parser_new();
    mn_list_init(&host->servers);
    mn_list_init(&host->dead);
    mn_list_init(&host->large);
    mn_list_init(&host->replies);
    mn_map_init(&host->names, rng_u64(&host->rng));
    mn_map_init(&host->children, rng_u64(&host->rng));
    mn_map_init(&host->exchanges, rng_u64(&host->rng));
    mn_map_init(&host->requests, rng_u64(&host->rng));
    mn_map_init(&host->tickets, rng_u64(&host->rng));
    mn_map_init(&host->parked, rng_u64(&host->rng));
    mn_map_init(&host->watches, rng_u64(&host->rng));
    mn_map_init(&host->given, rng_u64(&host->rng));
    mn_list_init(&host->given_order);
    host->given_timer.kind = UPSTREAM_TIMER_GIVEN;
    return upstreams;
}

/* Every public function that changes something is inside one of these. */
static void upstreams_begin(struct upstream_host *host, struct mn_now now,
                            struct upstreams_outbox *outbox)
{
    host->now = now;
    host->outbox = outbox;
    mn_arena_reset(&host->scratch);
    mn_arena_reset(&host->shown);
}

static void upstreams_end(struct upstream_host *host)
{
    if (host->has_ended) {
        host->has_ended = false;
        MN_LIST_FOR_EACH_SAFE (link, &host->servers) {
            struct upstream *server = upstreams_at(link);
            if (server->is_lease && server->state == UPSTREAM_STOPPED && server->stdio.child == 0)
                upstream_free(server);
        }
    }
    upstream_http_free_dead(host);
    host->outbox = NULL;
}

void upstreams_free(struct upstreams *upstreams)
{
    struct mn_arena arena = {0};
    struct edge_outbox edge = {.arena = &arena};
    struct call_outbox calls = {.arena = &arena};
    struct upstreams_outbox outbox = {&edge, &calls}; /* nobody reads it */
    struct upstream_host *host;

    if (upstreams == NULL) return;
    host = &upstreams->host;
    upstreams_begin(host, host->now, &outbox);
    while (!mn_list_is_empty(&host->servers)) {
        struct upstream *server = upstreams_at(host->servers.next);
        if (!server->is_removed) mn_map_remove(&host->names, &server->by_name);
        upstream_free(server);
    }
    for (struct mn_map_entry *entry; (entry = mn_map_next(&host->exchanges, NULL)) != NULL;)
        upstream_exchange_end(MN_CONTAINER(entry, struct upstream_exchange, by_fetch));
    upstream_given_done(host);
    upstreams_end(host);
    call_outbox_reset(&calls);
    edge_outbox_reset(&edge);
    mn_arena_done(&arena);
    mn_map_done(&host->names);
    mn_map_done(&host->children);
    mn_map_done(&host->exchanges);
    mn_map_done(&host->requests);
    mn_map_done(&host->tickets);
    mn_map_done(&host->parked);
    mn_map_done(&host->watches);
    mn_heap_done(&host->timers);
    mn_arena_done(&host->scratch);
    mn_arena_done(&host->shown);
    json_parser_free(host->parser);
    rng_done(&host->rng);
    mn_free(upstreams);
}

/* Steps. */

static void upstreams_fire(struct upstream_timer *timer)
{
    switch (timer->kind) {
    case UPSTREAM_TIMER_START:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, start_timer), timer->kind);
        break;
    case UPSTREAM_TIMER_WITHDRAW:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, withdraw_timer), timer->kind);
        break;
    case UPSTREAM_TIMER_RELIST:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, relist_timer), timer->kind);
        break;
    case UPSTREAM_TIMER_STREAM:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, stream_timer), timer->kind);
        break;
    case UPSTREAM_TIMER_WATCH:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, watch_timer), timer->kind);
        break;
    case UPSTREAM_TIMER_SURVEY:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, survey.timer), timer->kind);
        break;
    case UPSTREAM_TIMER_HOLD:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, survey.hold), timer->kind);
        break;
    case UPSTREAM_TIMER_LEASE:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, lease.timer), timer->kind);
        break;
    case UPSTREAM_TIMER_ASIDE:
        upstream_on_timer(MN_CONTAINER(timer, struct upstream, aside.timer), timer->kind);
        break;
    case UPSTREAM_TIMER_REQUEST:
        upstream_request_on_timer(MN_CONTAINER(timer, struct upstream_request, timer));
        break;
    case UPSTREAM_TIMER_EXCHANGE: upstream_http_on_timer(timer); break;
    case UPSTREAM_TIMER_GIVEN:
        upstream_given_on_timer(MN_CONTAINER(timer, struct upstream_host, given_timer));
        break;
    }
}

static void upstreams_run_timers(struct upstream_host *host)
{
    struct mn_heap_entry *entry;

    while ((entry = mn_heap_peek(&host->timers)) != NULL && entry->at <= host->now.mono) {
        mn_heap_remove(&host->timers, entry);
        upstreams_fire(MN_CONTAINER(entry, struct upstream_timer, heap));
    }
}

static void upstreams_on_edge(struct upstream_host *host, const struct edge_input *input)
{
    struct mn_map_entry *entry;

    switch ((int)input->type) { /* the others are none of ours */
    case EDGE_IN_FETCH_HEAD:
    case EDGE_IN_FETCH_BODY:
    case EDGE_IN_FETCH_DONE: upstream_http_on_edge(host, input); break;
    case EDGE_IN_CHILD_OUT:
    case EDGE_IN_CHILD_WRITABLE:
    case EDGE_IN_CHILD_EXIT:
        entry = mn_map_find(&host->children, upstream_u64_key(&input->id));
        if (entry != NULL)
            upstream_stdio_on_edge(MN_CONTAINER(entry, struct upstream, stdio.by_id), input);
        break;
    default: break;
    }
}

static void upstreams_on_call(struct upstream_host *host, const struct call_message *message)
{
    if (message->type == CALL_MESSAGE_REQUEST)
        upstream_call_serve(host, &message->request);
    else if (message->type == CALL_MESSAGE_CANCEL &&
             !(message->is_lost && upstream_orphan_keep(host, message->ticket)))
        upstream_call_cancel(host, message->ticket);
    else if (message->type == CALL_MESSAGE_INPUT)
        upstream_call_input(host, message->more.ticket, message->more.payload);
}

static void upstreams_on_stop(struct upstream_host *host)
{
    if (host->is_stopping) return;
    host->is_stopping = true;
    host->stop_at = mn_time_after(host->now.mono, UPSTREAMS_DRAIN);
    MN_LIST_FOR_EACH (link, &host->servers)
        upstream_withdraw(upstreams_at(link));
}

/* Stops what has nothing to finish any more. */
static void upstreams_drain(struct upstream_host *host)
{
    if (!host->is_stopping) return;
    MN_LIST_FOR_EACH_SAFE (link, &host->servers) {
        struct upstream *server = upstreams_at(link);
        bool is_stopped =
            server->state == UPSTREAM_STOPPED && server->after_exit == UPSTREAM_AFTER_NOTHING;
        if (!is_stopped && (server->calls_count == 0 || host->now.mono >= host->stop_at))
            upstream_stop(server, UPSTREAM_AFTER_NOTHING);
    }
}

void upstreams_step(struct upstreams *upstreams, struct mn_now now,
                    const struct upstreams_input *input, struct upstreams_outbox *outbox)
{
    struct upstream_host *host = &upstreams->host;

    upstreams_begin(host, now, outbox);
    upstreams_run_timers(host);
    switch (input->type) {
    case UPSTREAMS_IN_TICK:
        upstream_large_on_tick(host);
        upstream_reply_on_tick(host);
        break;
    case UPSTREAMS_IN_EDGE: upstreams_on_edge(host, input->edge); break;
    case UPSTREAMS_IN_CALL: upstreams_on_call(host, input->call); break;
    case UPSTREAMS_IN_STOP: upstreams_on_stop(host); break;
    }
    upstreams_drain(host);
    upstreams_end(host);
}

mn_time upstreams_deadline(const struct upstreams *upstreams)
{
    const struct upstream_host *host = &upstreams->host;
    mn_time deadline = mn_heap_deadline(&host->timers);

    if (!mn_list_is_empty(&host->large) || !mn_list_is_empty(&host->replies)) return 0;
    /* What is left after that waits for nothing that a step could do. */
    if (host->is_stopping && host->now.mono < host->stop_at &&
        host->tickets.count + host->parked.count > 0)
        deadline = mn_time_min(deadline, host->stop_at);
    return deadline;
}

bool upstreams_is_idle(const struct upstreams *upstreams)
{
    return upstreams->host.children.count == 0 && upstreams->host.exchanges.count == 0;
}

static void upstreams_check_server(const struct upstream *server)
{
    uint32_t calls_count = 0;

    MN_LIST_FOR_EACH (link, &server->sent) {
        const struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        MN_ASSERT(request->is_sent && request->server == server);
        MN_ASSERT(server->is_http || request->exchange == NULL);
        if (request->kind == UPSTREAM_REQUEST_CALL) calls_count++;
    }
    MN_LIST_FOR_EACH (link, &server->queue) {
        const struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        MN_ASSERT(!request->is_sent && request->exchange == NULL);
        MN_ASSERT(request->kind == UPSTREAM_REQUEST_CALL && request->payload != NULL);
        calls_count++;
    }
    MN_LIST_FOR_EACH (link, &server->asking) {
        const struct upstream_request *request = MN_CONTAINER(link, struct upstream_request, link);
        MN_ASSERT(!request->is_sent && request->exchange == NULL);
        MN_ASSERT(request->asked != NULL || request->task != NULL);
        calls_count++;
    }
    MN_ASSERT(calls_count == server->calls_count);
    MN_ASSERT(calls_count <= UPSTREAM_IN_FLIGHT_MAX);
    MN_ASSERT(server->stdio.consumed <= server->stdio.written);
    MN_ASSERT((server->state == UPSTREAM_READY) == (server->ready_at != MN_TIME_NEVER));
    /* A survey is of a server that runs, and in time it ends. */
    MN_ASSERT(!server->survey.is_active || server->state == UPSTREAM_READY);
    MN_ASSERT(!server->survey.is_active || upstream_timer_is_set(&server->survey.timer));
    MN_ASSERT(server->survey.probe == NULL || server->survey.is_active ||
              server->survey.probe->state == UPSTREAM_STOPPED);
    /* Whoever is down comes back by itself. */
    if (server->state == UPSTREAM_BACKOFF || server->state == UPSTREAM_AUTH ||
        server->state == UPSTREAM_FAILED)
        MN_ASSERT(server->start_timer.heap.index_plus_one != 0 ||
                  server->after_exit == UPSTREAM_AFTER_START);
}

void upstreams_check(const struct upstreams *upstreams)
{
    const struct upstream_host *host = &upstreams->host;
    size_t calls_count = 0;

    MN_LIST_FOR_EACH (link, &host->servers) {
        upstreams_check_server(upstreams_at(link));
        calls_count += upstreams_at(link)->calls_count;
    }
    MN_ASSERT(calls_count == host->tickets.count + host->parked.count);
    MN_ASSERT(host->orphans_count <= host->parked.count);
    MN_ASSERT(host->answers_size <= UPSTREAM_ANSWERS_SIZE_MAX);
    upstream_given_check(host);
    MN_ASSERT(!host->has_ended);
    MN_ASSERT(host->names.count <= UPSTREAMS_MAX);
    MN_ASSERT(mn_list_is_empty(&host->dead));
}

/* Commands. */

static struct upstream *upstreams_by_name(const struct upstream_host *host, struct mn_span name)
{
    struct mn_map_entry *entry = mn_map_find(&host->names, name);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct upstream, by_name);
}

static mn_status upstreams_refuse(struct upstreams_outbox *outbox, mn_status status,
                                  struct mn_span name, const char *text, struct mn_span *why)
{
    *why = mn_span_str(
        mn_arena_format(outbox->calls->arena, "server \"%.*s\": %s",
                        name.size > UPSTREAM_NAME_MAX ? UPSTREAM_NAME_MAX : (int)name.size,
                        (const char *)name.data, text));
    return status;
}

static mn_status upstreams_may_add(struct upstream_host *host, const struct upstream_config *config,
                                   struct upstreams_outbox *outbox, struct mn_span *why)
{
    struct mn_span fault;

    if (upstream_config_check(config, outbox->calls->arena, &fault) != MN_OK)
        return upstreams_refuse(outbox, MN_CONFIG, config->name, (const char *)fault.data, why);
    if (host->is_stopping)
        return upstreams_refuse(outbox, MN_STATE, config->name, "the node is stopping", why);
    if (upstreams_by_name(host, config->name) != NULL)
        return upstreams_refuse(outbox, MN_EXISTS, config->name,
                                "there is another one of this name: remove it first, or choose "
                                "another name",
                                why);
    if (host->names.count >= UPSTREAMS_MAX)
        return upstreams_refuse(outbox, MN_FULL, config->name, "256 servers are all a node takes",
                                why);
    return MN_OK;
}

mn_status upstreams_add(struct upstreams *upstreams, struct mn_now now,
                        const struct upstream_config *config, struct upstreams_outbox *outbox,
                        struct mn_span *why)
{
    struct upstream_host *host = &upstreams->host;
    struct upstream *server = upstreams_by_name(host, config->name);
    mn_status status;

    if (server != NULL && upstream_config_equal(server->config, config)) return MN_OK;
    status = upstreams_may_add(host, config, outbox, why);
    if (status != MN_OK) return status;
    upstreams_begin(host, now, outbox);
    server = upstream_new(host, config);
    mn_map_insert(&host->names, &server->by_name, server->config->name);
    upstream_start(server);
    upstreams_end(host);
    return MN_OK;
}

mn_status upstreams_remove(struct upstreams *upstreams, struct mn_now now, struct mn_span name,
                           struct upstreams_outbox *outbox, struct mn_span *why)
{
    struct upstream_host *host = &upstreams->host;
    struct upstream *server = upstreams_by_name(host, name);

    if (server == NULL)
        return upstreams_refuse(outbox, MN_NOT_FOUND, name, "this node has none of that name", why);
    upstreams_begin(host, now, outbox);
    mn_map_remove(&host->names, &server->by_name);
    server->is_removed = true;
    upstream_stop(server, UPSTREAM_AFTER_NOTHING);
    upstreams_end(host); /* its leases go first */
    if (server->stdio.child == 0) upstream_free(server);
    return MN_OK;
}

mn_status upstreams_restart(struct upstreams *upstreams, struct mn_now now, struct mn_span name,
                            struct upstreams_outbox *outbox, struct mn_span *why)
{
    struct upstream_host *host = &upstreams->host;
    struct upstream *server = upstreams_by_name(host, name);

    if (server == NULL)
        return upstreams_refuse(outbox, MN_NOT_FOUND, name, "this node has none of that name", why);
    if (host->is_stopping)
        return upstreams_refuse(outbox, MN_STATE, name, "the node is stopping", why);
    upstreams_begin(host, now, outbox);
    upstream_stop(server, UPSTREAM_AFTER_START);
    upstreams_end(host);
    return MN_OK;
}

/* What there is to see. */

uint32_t upstreams_count(const struct upstreams *upstreams)
{
    return upstreams->host.names.count;
}

/* The accessors are const for their callers; the arena for what they return is scratch. */
static void upstreams_show(const struct upstream_host *host, const struct upstream *server,
                           struct upstream_info *ret)
{
    struct mn_arena *arena = (struct mn_arena *)(uintptr_t)&host->shown;
    bool is_waiting = server->start_timer.heap.index_plus_one != 0;

    *ret = (struct upstream_info){
        .name = server->config->name,
        .is_http = server->is_http,
        .target = upstream_config_target(server->config, arena),
        .state = server->state,
        .since = server->since,
        .next_start = is_waiting ? server->start_timer.heap.at : MN_TIME_NEVER,
        .is_modern = upstream_is_modern(server),
        .version = mn_span_str(server->version),
        .server_info = mn_buf_span(server->server_info),
        .is_offered = server->is_offered,
        .tools_count = server->tools.count + upstream_shown_tools(&server->survey.known),
        .in_flight_count = server->calls_count,
        .tools_dropped_count = server->tools.dropped_count,
        .starts_count = server->starts_count,
        .calls_count = server->calls_total,
        .noise_count = server->noise_count,
        .error = mn_span_str(server->error),
        .lists_error = mn_buf_span(server->survey.error),
    };
}

/* How many names stand before this one. */
static uint32_t upstreams_rank(const struct upstream_host *host, const struct upstream *server)
{
    uint32_t rank = 0;

    MN_LIST_FOR_EACH (link, &host->servers) {
        const struct upstream *other = upstreams_at(link);
        if (!other->is_removed && mn_span_compare(other->config->name, server->config->name) < 0)
            rank++;
    }
    return rank;
}

void upstreams_info(const struct upstreams *upstreams, uint32_t index, struct upstream_info *ret)
{
    const struct upstream_host *host = &upstreams->host;

    MN_ASSERT(index < host->names.count);
    MN_LIST_FOR_EACH (link, &host->servers) {
        const struct upstream *server = upstreams_at(link);
        if (server->is_removed || upstreams_rank(host, server) != index) continue;
        upstreams_show(host, server, ret);
        return;
    }
    MN_ASSERT(!"names are unique, so every rank is somebody's");
}

mn_status upstreams_find(const struct upstreams *upstreams, struct mn_span name,
                         struct upstream_info *ret)
{
    const struct upstream *server = upstreams_by_name(&upstreams->host, name);

    if (server == NULL) return MN_NOT_FOUND;
    upstreams_show(&upstreams->host, server, ret);
    return MN_OK;
}

const char *upstream_state_name(enum upstream_state state)
{
    static const char *const names[] = {
        [UPSTREAM_STOPPED] = "stopped", [UPSTREAM_STARTING] = "starting",
        [UPSTREAM_PROBING] = "probing", [UPSTREAM_READY] = "ready",
        [UPSTREAM_BACKOFF] = "backoff", [UPSTREAM_AUTH] = "auth",
        [UPSTREAM_FAILED] = "failed",
    };

    MN_ASSERT((unsigned)state < sizeof names / sizeof *names);
    return names[state];
}

bool upstreams_log_next(const struct upstreams *upstreams, struct mn_span name, uint64_t after,
                        struct upstream_log_line *ret)
{
    const struct upstream *server = upstreams_by_name(&upstreams->host, name);

    return server != NULL &&
           upstream_log_next(&server->log, after, &ret->sequence, &ret->wall, &ret->text);
}
