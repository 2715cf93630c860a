/* calls_attempt.c: the caller: where a call goes, and how its attempts end. */
#include "node/core/calls_internal.h"

#include "proto/base/check.h"

#define BUDGET_RETRY 100 /* hundredths that one retry costs */
#define NAMES_IN_TEXT_MAX 8

static void calls_tell(struct calls *calls, const struct call *call, const struct call_event *what)
{
    struct call_message *message = call_emit(calls->outbox->gateway, CALL_MESSAGE_EVENT);

    message->event = *what;
    message->event.ticket = call->ticket;
    message->event.payload = mn_buf_ref(what->payload);
    message->event.text = mn_arena_copy(calls->outbox->gateway->arena, what->text);
}

/* ---- the end of attempts and calls ---- */

static struct waitlist *calls_waitlist(const struct calls *calls, struct mn_span offer)
{
    struct mn_map_entry *found = mn_map_find(&calls->waitlists, offer);
    return found == NULL ? NULL : MN_CONTAINER(found, struct waitlist, in_map);
}

void calls_waitlist_remove(struct calls *calls, struct waitlist *list)
{
    mn_list_remove(&list->in_dirty);
    mn_map_remove(&calls->waitlists, &list->in_map);
    mn_free(list);
}

void calls_wait_end(struct calls *calls, struct call *call)
{
    struct waitlist *list = calls_waitlist(calls, calls_offer(call));

    MN_ASSERT(call->state == CALL_WAITING && list != NULL);
    mn_list_remove(&call->in_wait);
    calls->queued_count--;
    if (--list->count == 0) calls_waitlist_remove(calls, list);
}

/* The attempt in flight is over; those that wait for its place get their turn at the end of the
 * step. */
void calls_attempt_end(struct calls *calls, struct call *call, enum balance_outcome outcome)
{
    struct waitlist *list = calls_waitlist(calls, calls_offer(call));
    mn_time took = call->took != 0 ? call->took : calls->now.mono - call->sent_at;

    balance_finished(calls->balance, calls->now, calls_offer(call), &call->peer->node, outcome,
                     took);
    mn_list_remove(&call->in_peer);
    if (call->state == CALL_LOCAL)
        calls_execution_remove(calls, &call->local);
    else
        mn_map_remove(&calls->remote, &call->in_remote);
    call->peer = NULL;
    if (list == NULL) return;
    mn_list_remove(&list->in_dirty);
    mn_list_push_back(&calls->dirty, &list->in_dirty);
}

/* Whoever executes the attempt shall stop. */
void calls_attempt_abort(struct calls *calls, struct call *call)
{
    struct callwire cancel = {.kind = MESHNODE__CALLWIRE__KIND__KIND_CANCEL, .boot = calls->epoch};

    if (call->state == CALL_LOCAL) {
        call_emit(calls->outbox->gateway, CALL_MESSAGE_CANCEL)->ticket = call->local.ticket;
        return;
    }
    cancel.seq = mn_load_u64(call->key + sizeof(mn_id));
    calls_send(calls, call->peer, &cancel, NULL, CALLS_TAG_NONE);
}

void calls_attempt_input(struct calls *calls, struct call *call, struct mn_buf *payload)
{
    struct callwire input = {.kind = MESHNODE__CALLWIRE__KIND__KIND_INPUT, .boot = calls->epoch};

    if (call->state == CALL_LOCAL) {
        call_emit(calls->outbox->gateway, CALL_MESSAGE_INPUT)->more =
            (struct call_more){call->local.ticket, mn_buf_ref(payload)};
        return;
    }
    input.seq = mn_load_u64(call->key + sizeof(mn_id));
    calls_send(calls, call->peer, &input, payload, CALLS_TAG_NONE);
}

/* Forgets a call that is nowhere in flight. */
void calls_call_free(struct call *call)
{
    mn_buf_unref(call->payload);
    mn_buf_unref(call->trace);
    mn_free(call);
}

void calls_end(struct calls *calls, struct call *call)
{
    MN_ASSERT(call->peer == NULL);
    mn_heap_remove(&calls->timers, &call->timer);
    mn_map_remove(&calls->open, &call->in_map);
    calls_call_free(call);
}

void calls_fail(struct calls *calls, struct call *call, const struct refusal *refusal)
{
    struct call_event event = {.kind = CALL_EVENT_FAILED,
                               .failure = refusal->failure,
                               .text = refusal->text,
                               .node = refusal->node};

    if (refusal->failure == CALL_OUTCOME_UNKNOWN) {
        calls->stats.unknown++;
        mn_trace_span(calls->config.trace, calls->now.mono, MN_EV_CALL_UNKNOWN, &refusal->node, 0,
                      0, calls_service(call));
    }
    if (refusal->failure == CALL_TIMED_OUT) calls->stats.timed_out++;
    calls->stats.failed++;
    calls_tell(calls, call, &event);
    calls_end(calls, call);
}

/* ---- choosing where ---- */

static bool calls_was_tried(const struct call *call, const mn_id *node)
{
    for (uint32_t i = 0; i < call->tried_count; i++)
        if (mn_id_equal(&call->tried[i], node)) return true;
    return false;
}

static enum calls_reason calls_reason(const struct calls *calls, const struct calls_peer *peer)
{
    if (peer == NULL || !peer->is_linked) return CALLS_REASON_NO_LINK;
    if (!calls_peer_is_self(calls, peer) && calls->epoch == 0) return CALLS_REASON_NO_LINK;
    return peer->is_routable ? CALLS_REASON_OK : CALLS_REASON_SUSPECT;
}

static struct balance_candidate calls_candidate(const struct calls_peer *peer)
{
    return (struct balance_candidate){peer->node, peer->rtt, peer->load};
}

static bool calls_was_just_lost(const struct calls *calls, const struct calls_peer *peer)
{
    return peer != NULL && !peer->is_linked && peer->lost_at != 0 &&
           calls->now.mono - peer->lost_at < calls->config.verdict_max;
}

/* Those providers that could take the call now, with their index in the view. */
struct candidates {
    struct balance_candidate *items;
    uint32_t *index;
    uint32_t count;
    bool has_suspect; /* another could, should it turn out to be alive */
    bool has_lost; /* the link to one was just lost, and others will have its name if it is dead */
};

static struct candidates calls_candidates(struct calls *calls, const struct call *call,
                                          const struct services_view *view)
{
    struct mn_arena *arena = calls->outbox->arena;
    struct candidates found = {mn_arena_alloc(arena, view->count * sizeof *found.items),
                               mn_arena_alloc(arena, view->count * sizeof *found.index), 0, false,
                               false};

    for (uint32_t i = 0; i < view->count; i++) {
        const mn_id *node = &view->providers[i].node;
        const struct calls_peer *peer = calls_peer(calls, node);
        enum calls_reason reason = calls_reason(calls, peer);
        if (view->may_move && mn_id_is_zero(&call->only) && calls_was_just_lost(calls, peer))
            found.has_lost = true;
        if (calls_was_tried(call, node)) continue;
        if (!mn_id_is_zero(&call->only) && !mn_id_equal(&call->only, node)) continue;
        if (reason == CALLS_REASON_SUSPECT) found.has_suspect = true;
        if (reason != CALLS_REASON_OK) continue;
        found.items[found.count] = calls_candidate(peer);
        found.index[found.count++] = i;
    }
    return found;
}

/* Of a node that was not chosen: if it can be reached, it refused, or its breaker is open. */
static const char *calls_reason_text(enum calls_reason reason)
{
    return reason == CALLS_REASON_OK ? "failing" : calls_reason_name(reason);
}

/* "n1 (no_link), n2 (suspect)" */
static const char *calls_names(struct calls *calls, const struct services_view *view,
                               bool with_reasons)
{
    struct mn_arena *arena = calls->outbox->arena;
    const char *text = "";

    for (uint32_t i = 0; i < view->count && i < NAMES_IN_TEXT_MAX; i++) {
        const struct services_provider *provider = &view->providers[i];
        enum calls_reason reason = calls_reason(calls, calls_peer(calls, &provider->node));
        const char *comma = i == 0 ? "" : ", ";
        if (with_reasons)
            text =
                mn_arena_format(arena, "%s%s%.*s (%s)", text, comma, (int)provider->node_name.size,
                                (const char *)provider->node_name.data, calls_reason_text(reason));
        else
            text = mn_arena_format(arena, "%s%s%.*s.%.*s", text, comma, (int)view->name.size,
                                   (const char *)view->name.data, (int)provider->node_name.size,
                                   (const char *)provider->node_name.data);
    }
    return view->count <= NAMES_IN_TEXT_MAX ? text : mn_arena_format(arena, "%s, ...", text);
}

/* Why the one node that it is bound to does not take it; those beside it are not asked. */
static struct refusal calls_refuse_bound(struct calls *calls, const struct call *call,
                                         const struct services_view *view)
{
    for (uint32_t i = 0; i < view->count; i++) {
        const struct services_provider *provider = &view->providers[i];
        if (!mn_id_equal(&provider->node, &call->only)) continue;
        return CALLS_REFUSE(
            calls, CALL_UNAVAILABLE,
            "only node %.*s can take this call of %.*s, and cannot now (%s); nothing was sent",
            (int)provider->node_name.size, (const char *)provider->node_name.data,
            (int)call->service_size, call->service,
            calls_reason_text(calls_reason(calls, calls_peer(calls, &provider->node))));
    }
    return CALLS_REFUSE(calls, CALL_UNAVAILABLE,
                        "the one node that can take this call of %.*s does not offer it now; "
                        "nothing was sent",
                        (int)call->service_size, call->service);
}

static struct refusal calls_refuse_view(struct calls *calls, const struct call *call,
                                        const struct services_view *view)
{
    const char *name =
        mn_arena_format(calls->outbox->arena, "%.*s", (int)call->service_size, call->service);

    switch (view->kind) {
    case SERVICES_NONE:
        return CALLS_REFUSE(calls, CALL_NOT_FOUND, "no node of the mesh offers the server %s",
                            name);
    case SERVICES_CONFLICT:
        if (view->is_kept)
            return CALLS_REFUSE(calls, CALL_CONFLICT,
                                "the name %s is that of a server which is away; another one is %s "
                                "(meshctl servers names)",
                                name, calls_names(calls, view, false));
        return CALLS_REFUSE(calls, CALL_CONFLICT,
                            "several servers that are no replicas are named %s: call one of %s",
                            name, calls_names(calls, view, false));
    case SERVICES_FOUND: break;
    }
    if (!mn_id_is_zero(&call->only)) return calls_refuse_bound(calls, call, view);
    return CALLS_REFUSE(calls, CALL_UNAVAILABLE,
                        "no node that offers the server %s can take a call now: %s; nothing was "
                        "executed",
                        name, calls_names(calls, view, true));
}

/* Why nobody takes it, after what came of it before. */
static struct refusal calls_refuse_now(struct calls *calls, const struct call *call,
                                       const struct services_view *view)
{
    if (!call->was_lost) return calls_refuse_view(calls, call, view);
    return CALLS_REFUSE(calls, CALL_OUTCOME_UNKNOWN,
                        "the link to node %s was lost while it had the call: it may have been "
                        "executed",
                        call->node_name);
}

/* ---- attempts ---- */

void calls_arm(struct calls *calls, struct call *call)
{
    mn_heap_set(&calls->timers, &call->timer, mn_time_min(call->idle_at, call->total_at));
}

static void calls_execute_here(struct calls *calls, struct call *call)
{
    struct call_message *message = call_emit(calls->outbox->gateway, CALL_MESSAGE_REQUEST);
    struct mn_arena *arena = calls->outbox->gateway->arena;

    call->state = CALL_LOCAL;
    calls_execution_add(calls, &call->local);
    message->request = (struct call_request){
        .ticket = call->local.ticket,
        .service = mn_arena_copy(arena, calls_offer(call)),
        .payload = mn_buf_ref(call->payload),
        .timeout = call->timeout,
        .timeout_total = call->total_at - calls->now.mono,
        .is_idempotent = call->is_idempotent,
        .trace = mn_arena_copy(arena, mn_buf_span(call->trace)),
    };
}

static void calls_execute_there(struct calls *calls, struct call *call)
{
    uint64_t seq = ++call->peer->seq_last;
    struct callwire request = {
        .kind = MESHNODE__CALLWIRE__KIND__KIND_REQUEST,
        .boot = calls->epoch,
        .seq = seq,
        .service = calls_offer(call),
        .timeout = call->timeout,
        .timeout_total = call->total_at - calls->now.mono,
        .is_idempotent = call->is_idempotent,
        .trace = mn_buf_span(call->trace),
    };

    call->state = CALL_REMOTE;
    call->boot = calls->epoch;
    mn_map_insert(&calls->remote, &call->in_remote, calls_key(&call->peer->node, seq, call->key));
    calls_send(calls, call->peer, &request, call->payload, calls_tag(CALLS_TAG_REQUEST, seq));
}

static void calls_attempt(struct calls *calls, struct call *call,
                          const struct services_provider *provider)
{
    struct calls_peer *peer = calls_peer(calls, &provider->node);

    if (call->tried_count > 0) { /* only now is there a replica that takes it over */
        calls->stats.failed_over++;
        mn_trace_span(calls->config.trace, calls->now.mono, MN_EV_CALL_FAILED_OVER,
                      &call->tried[call->tried_count - 1], call->tried_count, 0,
                      calls_service(call));
    }
    call->peer = peer;
    memcpy(call->node_name, provider->node_name.data, provider->node_name.size);
    call->node_name[provider->node_name.size] = '\0';
    call->sent_at = calls->now.mono;
    call->took = 0;
    call->waits_verdict = false;
    call->idle_at = mn_time_after(calls->now.mono, call->timeout);
    calls_arm(calls, call);
    mn_list_push_back(&peer->attempts, &call->in_peer);
    peer->budget += calls->config.retry_percent;
    if (peer->budget > CALLS_BUDGET_MAX) peer->budget = CALLS_BUDGET_MAX;
    balance_started(calls->balance, calls->now, calls_offer(call), &peer->node);
    if (calls_peer_is_self(calls, peer))
        calls_execute_here(calls, call);
    else
        calls_execute_there(calls, call);
    if (call->wants_place)
        calls_tell(calls, call,
                   &(struct call_event){.kind = CALL_EVENT_PROGRESS, .node = peer->node});
}

/* True when the call waits now; false when there is no place to wait. */
static bool calls_wait(struct calls *calls, struct call *call)
{
    struct waitlist *list = calls_waitlist(calls, calls_offer(call));

    if (call->state == CALL_WAITING) return true;
    if (list == NULL) {
        list = mn_alloc(sizeof *list);
        mn_list_init(&list->calls);
        mn_list_init(&list->in_dirty);
        memcpy(list->name, call->offer, call->offer_size);
        mn_map_insert(&calls->waitlists, &list->in_map, mn_span(list->name, call->offer_size));
    }
    if (list->count >= calls->config.queued_max) return false;
    call->state = CALL_WAITING;
    MN_PROBE("calls: a call waits for room");
    mn_list_push_back(&list->calls, &call->in_wait);
    list->count++;
    calls->queued_count++;
    return true;
}

/* What a call without a provider may wait for. */
enum hope { HOPE_NONE, HOPE_ROOM, HOPE_VERDICT, HOPE_HEIR };

/* Chooses a provider; NULL: none, and *ret_hope says why there may be one soon. */
static const struct services_provider *calls_choose(struct calls *calls, struct call *call,
                                                    const struct services_view *view,
                                                    enum hope *ret_hope)
{
    struct candidates candidates = calls_candidates(calls, call, view);
    int32_t chosen =
        balance_pick(calls->balance, calls->now, view->name, candidates.items, candidates.count);

    if (chosen >= 0) return &view->providers[candidates.index[chosen]];
    if (balance_is_full(calls->balance, calls->now, view->name, candidates.items, candidates.count))
        *ret_hope = HOPE_ROOM;
    else if (candidates.has_suspect)
        *ret_hope = HOPE_VERDICT;
    else if (candidates.has_lost)
        *ret_hope = HOPE_HEIR;
    return NULL;
}

/* The only node that could serve the call is under suspicion, most often because of a bad moment on
 * its path; or its link was just lost, and if it is dead another node has its name: the call waits
 * until that is refuted or true, but not longer than verdict_max. */
static bool calls_wait_verdict(struct calls *calls, struct call *call)
{
    if (!calls_wait(calls, call)) return false;
    if (call->waits_verdict) return true;
    MN_PROBE("calls: a call waits for a verdict");
    call->waits_verdict = true;
    call->idle_at =
        mn_time_min(call->idle_at, mn_time_after(calls->now.mono, calls->config.verdict_max));
    calls_arm(calls, call);
    return true;
}

void calls_wait_timeout(struct calls *calls, struct call *call)
{
    struct services_view view = services_find(calls->config.services, calls_service(call));
    struct refusal refusal;

    calls_wait_end(calls, call);
    if (call->waits_verdict)
        refusal = calls_refuse_now(calls, call, &view);
    else
        refusal = CALLS_REFUSE(
            calls, CALL_BUSY, "no node had room for the call of %.*s in time; nothing was executed",
            (int)call->service_size, call->service);
    calls_fail(calls, call, &refusal);
}

enum calls_dispatched calls_dispatch(struct calls *calls, struct call *call,
                                     const struct refusal *last)
{
    struct services_view view = services_find(calls->config.services, calls_service(call));
    const struct services_provider *provider = NULL;
    struct refusal refusal;
    enum hope hope = HOPE_NONE;

    if (view.kind == SERVICES_FOUND) {
        if (call->state != CALL_WAITING) { /* its list goes by this name */
            memcpy(call->offer, view.name.data, view.name.size);
            call->offer_size = (uint8_t)view.name.size;
        }
        provider = calls_choose(calls, call, &view, &hope);
        if (hope == HOPE_ROOM && calls_wait(calls, call)) return CALLS_WAITS;
        if (hope == HOPE_VERDICT && last == NULL && calls_wait_verdict(calls, call))
            return CALLS_WAITS;
        if (hope == HOPE_HEIR && calls_wait_verdict(calls, call)) return CALLS_WAITS;
    }
    if (call->state == CALL_WAITING) calls_wait_end(calls, call);
    if (provider != NULL) {
        calls_attempt(calls, call, provider);
        return CALLS_SETTLED;
    }
    if (hope == HOPE_ROOM)
        refusal = CALLS_REFUSE(calls, CALL_BUSY, "too many calls of %.*s wait already",
                               (int)call->service_size, call->service);
    else
        refusal = last != NULL ? *last : calls_refuse_now(calls, call, &view);
    calls_fail(calls, call, &refusal);
    return CALLS_SETTLED;
}

static bool calls_may_retry(struct calls *calls, const struct call *call, struct calls_peer *peer,
                            bool not_started)
{
    if (!not_started && !call->is_idempotent) return false;
    if (call->tried_count + 1 >= calls->config.attempts_max) return false;
    if (peer->budget < BUDGET_RETRY) {
        calls->stats.retries_refused++;
        MN_PROBE("calls: the retry budget is used up");
        return false;
    }
    peer->budget -= BUDGET_RETRY;
    return true;
}

/* ---- events of the attempt in flight ---- */

static void calls_heard(struct calls *calls, struct call *call)
{
    if (call->took == 0) call->took = calls->now.mono - call->sent_at + 1;
}

void calls_on_progress(struct calls *calls, struct call *call, struct mn_buf *payload)
{
    struct call_event event = {
        .kind = CALL_EVENT_PROGRESS, .payload = payload, .node = call->peer->node};

    if (call->took == 0)
        balance_heard(calls->balance, calls->now, calls_offer(call), &call->peer->node);
    calls_heard(calls, call);
    call->idle_at = mn_time_after(calls->now.mono, call->timeout);
    calls_arm(calls, call);
    calls_tell(calls, call, &event);
}

void calls_on_result(struct calls *calls, struct call *call, struct mn_buf *payload)
{
    struct call_event event = {
        .kind = CALL_EVENT_RESULT, .payload = payload, .node = call->peer->node};

    calls_heard(calls, call);
    calls_attempt_end(calls, call, BALANCE_OK);
    calls->stats.finished++;
    calls_tell(calls, call, &event);
    calls_end(calls, call);
}

/* What was asked for is to blame, and a client must not close a server for the others. */
static bool calls_is_of_client(enum call_failure failure)
{
    return failure == CALL_TOO_BIG || failure == CALL_TAKEN || failure == CALL_GONE;
}

static enum balance_outcome calls_outcome(enum call_failure failure)
{
    bool is_refusal = failure == CALL_BUSY || failure == CALL_NOT_FOUND || failure == CALL_CONFLICT;

    if (calls_is_of_client(failure)) return BALANCE_UNKNOWN;
    return is_refusal ? BALANCE_REFUSED : BALANCE_FAILED;
}

void calls_on_failed(struct calls *calls, struct call *call, enum call_failure failure,
                     bool not_started, struct mn_span text)
{
    struct calls_peer *peer = call->peer;
    struct refusal refusal = {failure, mn_arena_copy(calls->outbox->arena, text), peer->node};

    calls_attempt_end(calls, call, calls_outcome(failure));
    if (calls_is_of_client(failure) || !calls_may_retry(calls, call, peer, not_started)) {
        calls_fail(calls, call, &refusal);
        return;
    }
    call->tried[call->tried_count++] = peer->node;
    call->was_lost = call->was_lost || !not_started;
    (void)calls_dispatch(calls, call, &refusal);
}
