#include "node/core/calls_internal.h"

#include "proto/base/check.h"

#define WAKE_BLOCKED_MAX 16 /* waiting calls tried in vain when something ended */

struct calls_config calls_config_default(void)
{
    return (struct calls_config){.calls_max = 4096,
                                 .served_max = 4096,
                                 .concurrent_max = 256,
                                 .queued_max = 1024,
                                 .served_peer_max = 1024,
                                 .attempts_max = 5,
                                 .retry_percent = 10,
                                 .verdict_max = 5 * MN_SEC};
}

/* ---- peers ---- */

struct calls_peer *calls_peer(const struct calls *calls, const mn_id *node)
{
    struct mn_map_entry *found = mn_map_find(&calls->peers, mn_span(node->bytes, sizeof *node));
    return found == NULL ? NULL : MN_CONTAINER(found, struct calls_peer, in_map);
}

static struct calls_peer *calls_peer_get(struct calls *calls, const mn_id *node)
{
    struct calls_peer *peer = calls_peer(calls, node);

    if (peer != NULL) return peer;
    peer = mn_alloc(sizeof *peer);
    peer->node = *node;
    peer->is_routable = true;
    peer->budget = CALLS_BUDGET_MAX;
    peer->seq_last = calls->seq_floor;
    mn_list_init(&peer->attempts);
    mn_list_init(&peer->served);
    mn_map_insert(&calls->peers, &peer->in_map, mn_span(peer->node.bytes, sizeof peer->node));
    return peer;
}

static void calls_peer_remove(struct calls *calls, struct calls_peer *peer)
{
    MN_ASSERT(mn_list_is_empty(&peer->attempts) && mn_list_is_empty(&peer->served));
    if (peer->seq_last > calls->seq_floor) calls->seq_floor = peer->seq_last;
    mn_map_remove(&calls->peers, &peer->in_map);
    mn_free(peer->window);
    mn_free(peer);
}

/* ---- life ---- */

struct calls *calls_new(const struct calls_config *config)
{
    struct calls *calls = mn_alloc(sizeof *calls);
    struct balance_config balance = {.self = config->self,
                                     .concurrent_max = config->concurrent_max,
                                     .entries_max = 2 * config->calls_max + 1024,
                                     .trace = config->trace};
    struct rng rng;

    MN_ASSERT(config->services != NULL && config->calls_max > 0 && config->served_max > 0);
    MN_ASSERT(config->attempts_max > 0 && config->attempts_max <= CALLS_ATTEMPTS_LIMIT);
    calls->config = *config;
    rng_init(&rng, config->seed);
    rng_bytes(&rng, balance.seed, sizeof balance.seed);
    calls->balance = balance_new(&balance);
    mn_map_init(&calls->peers, rng_u64(&rng));
    mn_map_init(&calls->open, rng_u64(&rng));
    mn_map_init(&calls->remote, rng_u64(&rng));
    mn_map_init(&calls->executions, rng_u64(&rng));
    mn_map_init(&calls->served, rng_u64(&rng));
    mn_map_init(&calls->waitlists, rng_u64(&rng));
    mn_list_init(&calls->dirty);
    calls->self = calls_peer_get(calls, &config->self);
    calls->self->is_linked = true;
    rng_done(&rng);
    return calls;
}

static void calls_free_entries(struct calls *calls)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&calls->open, NULL)) != NULL) {
        struct call *call = MN_CONTAINER(entry, struct call, in_map);
        mn_map_remove(&calls->open, entry);
        mn_list_remove(&call->in_peer);
        calls_call_free(call);
    }
    while ((entry = mn_map_next(&calls->served, NULL)) != NULL) {
        struct served *served = MN_CONTAINER(entry, struct served, in_map);
        mn_map_remove(&calls->served, entry);
        mn_list_remove(&served->in_peer);
        mn_free(served);
    }
    while ((entry = mn_map_next(&calls->waitlists, NULL)) != NULL)
        calls_waitlist_remove(calls, MN_CONTAINER(entry, struct waitlist, in_map));
    while ((entry = mn_map_next(&calls->peers, NULL)) != NULL)
        calls_peer_remove(calls, MN_CONTAINER(entry, struct calls_peer, in_map));
}

void calls_free(struct calls *calls)
{
    if (calls == NULL) return;
    calls_free_entries(calls);
    mn_map_done(&calls->peers);
    mn_map_done(&calls->open);
    mn_map_done(&calls->remote);
    mn_map_done(&calls->executions);
    mn_map_done(&calls->served);
    mn_map_done(&calls->waitlists);
    mn_heap_done(&calls->timers);
    mn_heap_done(&calls->served_timers);
    balance_free(calls->balance);
    mn_free(calls);
}

/* ---- what leaves ---- */

struct calls_output *calls_send(struct calls *calls, struct calls_peer *peer,
                                const struct callwire *message, struct mn_buf *payload,
                                uint64_t tag)
{
    struct calls_outbox *outbox = calls->outbox;
    bool is_request = message->kind == MESHNODE__CALLWIRE__KIND__KIND_REQUEST;
    bool is_more = message->kind == MESHNODE__CALLWIRE__KIND__KIND_CANCEL ||
                   message->kind == MESHNODE__CALLWIRE__KIND__KIND_INPUT;

    MN_ASSERT(mn_buf_span(payload).size <= CALLWIRE_PAYLOAD_MAX);
    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count++] = (struct calls_output){
        .to = peer->node,
        .class = is_request || is_more ? CALLS_CLASS_REQUEST : CALLS_CLASS_RESPONSE,
        .head = callwire_encode(message, outbox->arena),
        .payload = mn_buf_ref(payload),
        .tag = tag,
        .timeout = is_request ? message->timeout_total : 0,
    };
    return &outbox->items[outbox->count - 1];
}

void calls_execution_add(struct calls *calls, struct execution *execution)
{
    execution->ticket = ++calls->execution_last;
    mn_map_insert(&calls->executions, &execution->in_map,
                  mn_span(&execution->ticket, sizeof execution->ticket));
}

void calls_execution_remove(struct calls *calls, struct execution *execution)
{
    mn_map_remove(&calls->executions, &execution->in_map);
}

/* ---- the gateway ---- */

static mn_time calls_timeout(mn_time timeout)
{
    return timeout == 0 || timeout > CALLWIRE_TIMEOUT_MAX ? CALLWIRE_TIMEOUT_MAX : timeout;
}

static struct call *calls_open(struct calls *calls, const struct call_request *request)
{
    struct call *call = mn_alloc(sizeof *call);

    call->ticket = request->ticket;
    call->payload = request->payload == NULL ? mn_buf_new(0) : mn_buf_ref(request->payload);
    if (request->trace.size > 0 && request->trace.size <= CALLWIRE_TRACE_MAX)
        call->trace = mn_buf_copy(request->trace);
    call->timeout = calls_timeout(request->timeout);
    call->idle_at = mn_time_after(calls->now.mono, call->timeout);
    call->total_at = mn_time_after(calls->now.mono, calls_timeout(request->timeout_total));
    call->is_idempotent = request->is_idempotent;
    call->wants_place = request->wants_place;
    call->only = request->node;
    if (request->service.size <= sizeof call->service) { /* longer ones are nobody's names */
        memcpy(call->service, request->service.data, request->service.size);
        call->service_size = (uint8_t)request->service.size;
    }
    mn_list_init(&call->in_wait);
    mn_list_init(&call->in_peer);
    mn_map_insert(&calls->open, &call->in_map, mn_span(&call->ticket, sizeof call->ticket));
    calls_arm(calls, call);
    return call;
}

static void calls_on_request(struct calls *calls, const struct call_request *request)
{
    struct call *call = calls_open(calls, request);
    struct refusal refusal;

    calls->stats.started++;
    if (calls->open.count > calls->config.calls_max) {
        refusal = CALLS_REFUSE(calls, CALL_BUSY, "%u calls are in flight at this node, its limit",
                               calls->config.calls_max);
        calls_fail(calls, call, &refusal);
    } else if (call->payload->size > CALLWIRE_PAYLOAD_MAX) {
        refusal = CALLS_REFUSE(calls, CALL_UNAVAILABLE,
                               "the request has %u bytes, a call carries at most %u",
                               call->payload->size, CALLWIRE_PAYLOAD_MAX);
        calls_fail(calls, call, &refusal);
    } else {
        (void)calls_dispatch(calls, call, NULL);
    }
}

static void calls_on_cancel(struct calls *calls, uint64_t ticket)
{
    struct mn_map_entry *found = mn_map_find(&calls->open, mn_span(&ticket, sizeof ticket));
    struct call *call;

    if (found == NULL) return; /* its last event is on the way */
    call = MN_CONTAINER(found, struct call, in_map);
    calls->stats.cancelled++;
    if (call->state == CALL_WAITING) {
        calls_wait_end(calls, call);
    } else {
        calls_attempt_abort(calls, call);
        calls_attempt_end(calls, call, BALANCE_UNKNOWN);
    }
    calls_end(calls, call);
}

static void calls_on_input(struct calls *calls, const struct call_more *more)
{
    struct mn_map_entry *found =
        mn_map_find(&calls->open, mn_span(&more->ticket, sizeof more->ticket));
    struct call *call;

    if (found == NULL) return; /* its last event is on the way */
    call = MN_CONTAINER(found, struct call, in_map);
    if (call->state == CALL_WAITING || mn_buf_span(more->payload).size > CALLWIRE_PAYLOAD_MAX)
        return;
    call->idle_at = mn_time_after(calls->now.mono, call->timeout);
    calls_arm(calls, call);
    calls_attempt_input(calls, call, more->payload);
}

static void calls_on_event(struct calls *calls, const struct call_event *event)
{
    struct mn_map_entry *found =
        mn_map_find(&calls->executions, mn_span(&event->ticket, sizeof event->ticket));
    struct execution *execution;
    struct call *call;

    if (found == NULL) return; /* cancelled meanwhile */
    execution = MN_CONTAINER(found, struct execution, in_map);
    if (execution->is_served) {
        calls_serve_event(calls, MN_CONTAINER(execution, struct served, execution), event);
        return;
    }
    call = MN_CONTAINER(execution, struct call, local);
    switch (event->kind) {
    case CALL_EVENT_PROGRESS: calls_on_progress(calls, call, event->payload); return;
    case CALL_EVENT_RESULT: calls_on_result(calls, call, event->payload); return;
    case CALL_EVENT_FAILED:
        calls_on_failed(calls, call, event->failure, calls_is_not_started(event->failure),
                        event->text);
        return;
    }
}

static void calls_on_gateway(struct calls *calls, const struct call_message *message)
{
    switch (message->type) {
    case CALL_MESSAGE_REQUEST: calls_on_request(calls, &message->request); return;
    case CALL_MESSAGE_CANCEL: calls_on_cancel(calls, message->ticket); return;
    case CALL_MESSAGE_EVENT: calls_on_event(calls, &message->event); return;
    case CALL_MESSAGE_INPUT: calls_on_input(calls, &message->more); return;
    case CALL_MESSAGE_OFFER:
    case CALL_MESSAGE_SERVICE: break;
    }
    MN_ASSERT(false && "a message about calls");
}

/* ---- other nodes ---- */

static struct call *calls_find_remote(const struct calls *calls, const mn_id *node, uint64_t seq)
{
    uint8_t key[CALLS_KEY_SIZE];
    struct mn_map_entry *found = mn_map_find(&calls->remote, calls_key(node, seq, key));

    return found == NULL ? NULL : MN_CONTAINER(found, struct call, in_remote);
}

static void calls_on_answer(struct calls *calls, struct calls_peer *peer,
                            const struct callwire *message, struct mn_buf *whole)
{
    struct call *call = calls_find_remote(calls, &peer->node, message->seq);
    struct mn_buf *payload;

    if (call == NULL || message->boot != calls->epoch) return; /* cancelled, or failed over */
    if (message->kind == MESHNODE__CALLWIRE__KIND__KIND_FAILED) {
        calls_on_failed(calls, call, message->failure, message->not_started, message->text);
        return;
    }
    payload = whole == NULL ? mn_buf_copy(message->payload) : mn_buf_cut(whole, message->payload);
    if (message->kind == MESHNODE__CALLWIRE__KIND__KIND_PROGRESS)
        calls_on_progress(calls, call, payload);
    else
        calls_on_result(calls, call, payload);
    mn_buf_unref(payload);
}

/* The message is no longer whole after it, if it is part of a buffer. */
static void calls_on_message(struct calls *calls, const mn_id *node, struct mn_span bytes,
                             struct mn_buf *whole)
{
    struct calls_peer *peer = calls_peer(calls, node);
    struct callwire message;

    if (peer == NULL || !peer->is_linked) return;
    if (callwire_decode(bytes, calls->outbox->arena, &message) != MN_OK) {
        calls->stats.messages_malformed++;
        return;
    }
    switch (message.kind) {
    case MESHNODE__CALLWIRE__KIND__KIND_REQUEST:
        calls_serve_request(calls, peer, &message, whole);
        return;
    case MESHNODE__CALLWIRE__KIND__KIND_CANCEL: calls_serve_cancel(calls, peer, &message); return;
    case MESHNODE__CALLWIRE__KIND__KIND_INPUT:
        calls_serve_input(calls, peer, &message, whole);
        return;
    case MESHNODE__CALLWIRE__KIND__KIND_PROGRESS:
    case MESHNODE__CALLWIRE__KIND__KIND_RESULT:
    case MESHNODE__CALLWIRE__KIND__KIND_FAILED:
        calls_on_answer(calls, peer, &message, whole);
        return;
    case MESHNODE__CALLWIRE__KIND__KIND_NONE:
    case _MESHNODE__CALLWIRE__KIND_IS_INT_SIZE: break;
    }
    MN_ASSERT(false && "a kind that decodes");
}

static void calls_on_unsent(struct calls *calls, const mn_id *node, uint64_t tag)
{
    struct calls_peer *peer = calls_peer(calls, node);
    struct call *call;
    const char *text;

    if (peer == NULL) return;
    if ((tag & 3) == CALLS_TAG_RESULT) {
        calls_serve_unsent(calls, peer, tag >> 2);
        return;
    }
    call = calls_find_remote(calls, node, tag >> 2);
    if (call == NULL) return;
    text = mn_arena_format(calls->outbox->arena,
                           "the call could not be sent to node %s; nothing was executed",
                           call->node_name);
    calls_on_failed(calls, call, CALL_UNAVAILABLE, true, mn_span_str(text));
}

/* A call that was sent in an earlier epoch than the present one, or NULL. */
static struct call *calls_find_older(const struct calls *calls)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&calls->remote, entry)) != NULL) {
        struct call *call = MN_CONTAINER(entry, struct call, in_remote);
        if (call->boot != calls->epoch) return call;
    }
    return NULL;
}

/* Others may take our numbers for those of an earlier run and not even answer: whoever executes
 * something for us shall stop, and what it was is unknown. Then we number anew. */
static void calls_on_start(struct calls *calls, uint64_t epoch)
{
    struct mn_map_entry *entry = NULL;
    struct call *call;

    MN_ASSERT(epoch > calls->epoch);
    while ((entry = mn_map_next(&calls->remote, entry)) != NULL)
        calls_attempt_abort(calls, MN_CONTAINER(entry, struct call, in_remote));
    calls->epoch = epoch;
    while ((call = calls_find_older(calls)) != NULL) {
        MN_PROBE("calls: began anew with a call in flight");
        calls_on_failed(calls, call, CALL_OUTCOME_UNKNOWN, false,
                        mn_span_str("this node began anew while the call was in flight"));
    }
}

/* What is known of a node has changed: calls that wait for a word on it look again. */
static void calls_recheck(struct calls *calls)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&calls->waitlists, entry)) != NULL) {
        struct waitlist *list = MN_CONTAINER(entry, struct waitlist, in_map);
        mn_list_remove(&list->in_dirty);
        mn_list_push_back(&calls->dirty, &list->in_dirty);
    }
}

static void calls_on_link_up(struct calls *calls, const mn_id *node, mn_time rtt)
{
    struct calls_peer *peer = calls_peer_get(calls, node);

    peer->is_linked = true;
    peer->is_forgotten = false;
    if (rtt != 0) peer->rtt = rtt;
    calls_recheck(calls);
}

static void calls_on_link_down(struct calls *calls, const mn_id *node)
{
    struct calls_peer *peer = calls_peer(calls, node);

    if (peer == NULL || calls_peer_is_self(calls, peer)) return;
    peer->is_linked = false;
    peer->lost_at = calls->now.mono;
    while (!mn_list_is_empty(&peer->attempts)) {
        struct call *call = MN_CONTAINER(peer->attempts.next, struct call, in_peer);
        const char *text = mn_arena_format(
            calls->outbox->arena,
            "the link to node %s was lost while it had the call: it may have been executed",
            call->node_name);
        calls_on_failed(calls, call, CALL_OUTCOME_UNKNOWN, false, mn_span_str(text));
    }
    calls_serve_lost(calls, peer);
    calls_recheck(calls);
    if (peer->is_forgotten) calls_peer_remove(calls, peer);
}

static void calls_on_routable(struct calls *calls, const mn_id *node, bool is_routable)
{
    struct calls_peer *peer = calls_peer_get(calls, node);

    if (peer->is_routable != is_routable) calls_recheck(calls);
    peer->is_routable = is_routable;
    peer->is_forgotten = false;
}

static void calls_on_forget(struct calls *calls, const mn_id *node)
{
    struct calls_peer *peer = calls_peer(calls, node);

    if (peer == NULL || calls_peer_is_self(calls, peer)) return;
    if (peer->is_linked)
        peer->is_forgotten = true;
    else
        calls_peer_remove(calls, peer);
}

/* ---- time ---- */

static void calls_on_timeout(struct calls *calls, struct call *call)
{
    struct refusal refusal;

    bool is_total = call->total_at <= calls->now.mono;

    if (call->state == CALL_WAITING) {
        calls_wait_timeout(calls, call);
        return;
    }
    refusal = CALLS_REFUSE(calls, CALL_TIMED_OUT,
                           "node %s %s: the call was cancelled there, it may have been executed",
                           call->node_name,
                           is_total ? "did not finish in time" : "gave no sign for too long");
    refusal.node = call->peer->node;
    calls_attempt_abort(calls, call);
    calls_attempt_end(calls, call, BALANCE_FAILED);
    calls_fail(calls, call, &refusal);
}

static void calls_timers(struct calls *calls)
{
    struct mn_heap_entry *first;

    while ((first = mn_heap_peek(&calls->timers)) != NULL && first->at <= calls->now.mono)
        calls_on_timeout(calls, MN_CONTAINER(first, struct call, timer));
}

/* Something ended at these services: those that wait may go. Most wait for the same place, so a few
 * in vain are enough to know. */
static void calls_wake(struct calls *calls)
{
    struct mn_list *dirty;

    while ((dirty = mn_list_take(&calls->dirty)) != NULL) {
        struct waitlist *list = MN_CONTAINER(dirty, struct waitlist, in_dirty);
        struct mn_list *link = list->calls.next, *next;
        uint32_t blocked = 0;
        for (uint32_t left = list->count; left > 0 && blocked < WAKE_BLOCKED_MAX; left--) {
            next = link->next; /* the list itself goes with its last call */
            if (calls_dispatch(calls, MN_CONTAINER(link, struct call, in_wait), NULL) ==
                CALLS_WAITS)
                blocked++;
            link = next;
        }
    }
}

/* ---- the core ---- */

static void calls_on_load(struct calls *calls, const struct calls_input *input)
{
    struct calls_peer *peer = calls_peer(calls, &input->node);

    if (peer == NULL) return;
    peer->load = input->link.load;
    if (input->link.rtt != 0) peer->rtt = input->link.rtt;
}

static void calls_handle(struct calls *calls, const struct calls_input *input)
{
    switch (input->type) {
    case CALLS_IN_TICK: return;
    case CALLS_IN_START: calls_on_start(calls, input->epoch); return;
    case CALLS_IN_GATEWAY: calls_on_gateway(calls, input->gateway); return;
    case CALLS_IN_MESSAGE:
        calls_on_message(calls, &input->node, input->message.bytes, input->message.whole);
        return;
    case CALLS_IN_UNSENT: calls_on_unsent(calls, &input->node, input->tag); return;
    case CALLS_IN_LINK_UP: calls_on_link_up(calls, &input->node, input->link.rtt); return;
    case CALLS_IN_LINK_DOWN: calls_on_link_down(calls, &input->node); return;
    case CALLS_IN_ROUTABLE: calls_on_routable(calls, &input->node, input->flag); return;
    case CALLS_IN_LOAD: calls_on_load(calls, input); return;
    case CALLS_IN_FORGET: calls_on_forget(calls, &input->node); return;
    }
    MN_ASSERT(false && "an input of the list");
}

void calls_step(struct calls *calls, struct mn_now now, const struct calls_input *input,
                struct calls_outbox *outbox)
{
    MN_ASSERT(now.mono >= calls->now.mono);
    calls->now = now;
    calls->outbox = outbox;
    calls_handle(calls, input);
    calls_timers(calls);
    calls_serve_timers(calls);
    calls_wake(calls);
    calls->outbox = NULL;
}

mn_time calls_deadline(const struct calls *calls)
{
    return mn_time_min(mn_heap_deadline(&calls->timers), mn_heap_deadline(&calls->served_timers));
}

uint32_t calls_load(const struct calls *calls)
{
    return calls->executions.count;
}

struct calls_stats calls_stats(const struct calls *calls)
{
    struct calls_stats stats = calls->stats;

    stats.open = calls->open.count;
    stats.queued = calls->queued_count;
    stats.served = calls->executions.count;
    return stats;
}
