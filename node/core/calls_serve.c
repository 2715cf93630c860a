/* calls_serve.c: the callee: executes calls of other nodes through our own gateway. */
#include "node/core/calls_internal.h"

#include "proto/base/check.h"

#define SAID_MAX 262144     /* bytes of events after which a call is a chatty one */
#define SERVED_GRACE MN_SEC /* after the caller's own limit, whose word comes first */

static void calls_serve_end(struct calls *calls, struct served *served)
{
    calls_execution_remove(calls, &served->execution);
    mn_map_remove(&calls->served, &served->in_map);
    mn_heap_remove(&calls->served_timers, &served->timer);
    mn_list_remove(&served->in_peer);
    served->peer->served_count--;
    mn_free(served);
}

static void calls_serve_abort(struct calls *calls, struct served *served, bool is_lost)
{
    struct call_message *cancel = call_emit(calls->outbox->gateway, CALL_MESSAGE_CANCEL);

    cancel->ticket = served->execution.ticket;
    cancel->is_lost = is_lost;
    calls_serve_end(calls, served);
}

static void calls_serve_refuse(struct calls *calls, struct calls_peer *peer, uint64_t seq,
                               enum call_failure failure, bool not_started, const char *text)
{
    struct callwire message = {.kind = MESHNODE__CALLWIRE__KIND__KIND_FAILED,
                               .boot = peer->boot,
                               .seq = seq,
                               .failure = failure,
                               .not_started = not_started,
                               .text = mn_span_str(text)};

    calls_send(calls, peer, &message, NULL, CALLS_TAG_NONE);
}

/* Is this the first we hear of the call? A caller that started anew numbers from the beginning, and
 * what it asked before cannot interest it any more. */
static bool calls_serve_is_new(struct calls *calls, struct calls_peer *peer,
                               const struct callwire *message)
{
    if (message->boot < peer->boot) return false;
    if (message->boot > peer->boot) {
        calls_serve_lost(calls, peer);
        peer->boot = message->boot;
        if (peer->window != NULL) memset(peer->window, 0, sizeof *peer->window);
    }
    if (peer->window == NULL) peer->window = mn_alloc(sizeof *peer->window);
    return call_window_take(peer->window, message->seq);
}

static struct served *calls_serve_add(struct calls *calls, struct calls_peer *peer,
                                      const struct callwire *message)
{
    struct served *served = mn_alloc(sizeof *served);

    served->peer = peer;
    served->boot = message->boot;
    served->seq = message->seq;
    served->execution.is_served = true;
    calls_execution_add(calls, &served->execution);
    mn_map_insert(&calls->served, &served->in_map,
                  calls_key(&peer->node, message->seq, served->key));
    mn_list_push_back(&peer->served, &served->in_peer);
    peer->served_count++;
    mn_heap_set(&calls->served_timers, &served->timer,
                mn_time_after(calls->now.mono, message->timeout_total + SERVED_GRACE));
    return served;
}

void calls_serve_request(struct calls *calls, struct calls_peer *peer,
                         const struct callwire *message, struct mn_buf *whole)
{
    struct mn_arena *arena = calls->outbox->gateway->arena;
    struct served *served;
    struct call_message *request;

    if (!calls_serve_is_new(calls, peer, message)) {
        calls->stats.duplicates++;
        MN_PROBE("calls: a call that came already");
        return;
    }
    if (calls->served.count >= calls->config.served_max ||
        peer->served_count >= calls->config.served_peer_max) {
        calls_serve_refuse(calls, peer, message->seq, CALL_BUSY, true,
                           "the node executes as many calls as it may; nothing was executed");
        return;
    }
    served = calls_serve_add(calls, peer, message);
    request = call_emit(calls->outbox->gateway, CALL_MESSAGE_REQUEST);
    request->request = (struct call_request){
        .ticket = served->execution.ticket,
        .service = mn_arena_copy(arena, message->service),
        .timeout = message->timeout,
        .timeout_total = message->timeout_total,
        .is_idempotent = message->is_idempotent,
        .node = peer->node,
        .trace = mn_arena_copy(arena, message->trace),
    };
    /* Last, because it moves what the message points to. */
    request->request.payload =
        whole == NULL ? mn_buf_copy(message->payload) : mn_buf_cut(whole, message->payload);
}

/* A cancel that is here before its request (on another link) also stops that one. */
void calls_serve_cancel(struct calls *calls, struct calls_peer *peer,
                        const struct callwire *message)
{
    uint8_t key[CALLS_KEY_SIZE];
    struct mn_map_entry *found;

    if (calls_serve_is_new(calls, peer, message)) return;
    if (message->boot != peer->boot) return;
    found = mn_map_find(&calls->served, calls_key(&peer->node, message->seq, key));
    if (found == NULL) return;
    MN_PROBE("calls: cancelled by the caller");
    calls_serve_abort(calls, MN_CONTAINER(found, struct served, in_map), false);
}

/* Only for a call that is being executed: one that came before its request is dropped, as the
 * caller waits for an event before it says more. */
void calls_serve_input(struct calls *calls, struct calls_peer *peer, const struct callwire *message,
                       struct mn_buf *whole)
{
    uint8_t key[CALLS_KEY_SIZE];
    struct mn_map_entry *found;

    if (message->boot != peer->boot) return;
    found = mn_map_find(&calls->served, calls_key(&peer->node, message->seq, key));
    if (found == NULL) return;
    call_emit(calls->outbox->gateway, CALL_MESSAGE_INPUT)->more = (struct call_more){
        MN_CONTAINER(found, struct served, in_map)->execution.ticket,
        whole == NULL ? mn_buf_copy(message->payload) : mn_buf_cut(whole, message->payload)};
}

static void calls_serve_send(struct calls *calls, struct served *served,
                             const struct call_event *event)
{
    struct callwire message = {
        .boot = served->boot, .seq = served->seq, .failure = event->failure, .text = event->text};

    struct mn_buf *payload = event->kind == CALL_EVENT_FAILED ? NULL : event->payload;

    switch (event->kind) {
    case CALL_EVENT_PROGRESS: message.kind = MESHNODE__CALLWIRE__KIND__KIND_PROGRESS; break;
    case CALL_EVENT_RESULT: message.kind = MESHNODE__CALLWIRE__KIND__KIND_RESULT; break;
    case CALL_EVENT_FAILED:
        message.kind = MESHNODE__CALLWIRE__KIND__KIND_FAILED;
        message.not_started = calls_is_not_started(event->failure);
        break;
    }
    /* From then on all of it, the last word too: so it stays in order. */
    served->said += mn_buf_span(payload).size;
    calls_send(calls, served->peer, &message, payload,
               event->kind == CALL_EVENT_PROGRESS ? CALLS_TAG_NONE
                                                  : calls_tag(CALLS_TAG_RESULT, served->seq))
        ->is_chatty = served->said > SAID_MAX;
}

void calls_serve_event(struct calls *calls, struct served *served, const struct call_event *event)
{
    bool is_too_big = event->payload != NULL && event->payload->size > CALLWIRE_PAYLOAD_MAX;

    if (!is_too_big)
        calls_serve_send(calls, served, event);
    else if (event->kind == CALL_EVENT_RESULT)
        calls_serve_refuse(calls, served->peer, served->seq, CALL_TOO_BIG, false,
                           "the server's answer is larger than a call may carry (32 MiB)");
    if (event->kind != CALL_EVENT_PROGRESS) calls_serve_end(calls, served);
}

void calls_serve_unsent(struct calls *calls, struct calls_peer *peer, uint64_t seq)
{
    if (!peer->is_linked || peer->boot == 0) return;
    calls_serve_refuse(calls, peer, seq, CALL_OUTCOME_UNKNOWN, false,
                       "the call was executed, but its answer found no room on the link");
}

void calls_serve_lost(struct calls *calls, struct calls_peer *peer)
{
    while (!mn_list_is_empty(&peer->served))
        calls_serve_abort(calls, MN_CONTAINER(peer->served.next, struct served, in_peer), true);
}

void calls_serve_timers(struct calls *calls)
{
    struct mn_heap_entry *first;

    while ((first = mn_heap_peek(&calls->served_timers)) != NULL && first->at <= calls->now.mono) {
        struct served *served = MN_CONTAINER(first, struct served, timer);
        calls_serve_refuse(calls, served->peer, served->seq, CALL_TIMED_OUT, false,
                           "the call did not finish in time and was cancelled");
        calls_serve_abort(calls, served, false);
    }
}
