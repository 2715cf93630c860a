/* calls_explain.c: why a call goes where it goes, and the invariants. */
#include "node/core/calls_internal.h"

#include "proto/base/check.h"

const char *calls_reason_name(enum calls_reason reason)
{
    switch (reason) {
    case CALLS_REASON_OK: return "ok";
    case CALLS_REASON_NO_LINK: return "no_link";
    case CALLS_REASON_SUSPECT: return "suspect";
    case CALLS_REASON_BREAKER: return "breaker_open";
    case CALLS_REASON_FULL: return "busy";
    }
    MN_ASSERT(false && "a reason of the list");
    return NULL;
}

static enum calls_reason calls_explain_reason(const struct calls *calls,
                                              const struct calls_peer *peer,
                                              const struct balance_explain *score)
{
    if (peer == NULL || !peer->is_linked) return CALLS_REASON_NO_LINK;
    if (peer != calls->self && calls->epoch == 0) return CALLS_REASON_NO_LINK;
    if (!peer->is_routable) return CALLS_REASON_SUSPECT;
    if (score->is_eligible) return CALLS_REASON_OK;
    return score->is_full ? CALLS_REASON_FULL : CALLS_REASON_BREAKER;
}

/* The one that a choice among all would take: a local one, else the best score of those that are
 * not hot. */
static void calls_explain_winner(struct calls_route *routes, uint32_t count)
{
    struct calls_route *winner = NULL;

    for (uint32_t i = 0; i < count; i++) {
        struct calls_route *route = &routes[i];
        if (route->reason != CALLS_REASON_OK) continue;
        if (route->is_local) {
            winner = route;
            break;
        }
        if (winner == NULL || (winner->score.is_hot && !route->score.is_hot) ||
            (winner->score.is_hot == route->score.is_hot &&
             route->score.score < winner->score.score))
            winner = route;
    }
    if (winner != NULL) winner->is_winner = true;
}

uint32_t calls_explain(const struct calls *calls, struct mn_now now, struct mn_span service,
                       struct mn_arena *arena, struct calls_route **ret)
{
    struct services_view view = services_find(calls->config.services, service);
    struct balance_candidate *candidates = mn_arena_alloc(arena, view.count * sizeof *candidates);
    struct balance_explain *scores = mn_arena_alloc(arena, view.count * sizeof *scores);
    struct calls_route *routes = mn_arena_alloc(arena, view.count * sizeof *routes);

    for (uint32_t i = 0; i < view.count; i++) {
        const struct calls_peer *peer = calls_peer(calls, &view.providers[i].node);
        candidates[i] = (struct balance_candidate){.node = view.providers[i].node};
        if (peer == NULL) continue;
        candidates[i].rtt = peer->rtt;
        candidates[i].load = peer->load;
    }
    balance_explain(calls->balance, now, view.name, candidates, view.count, scores);
    for (uint32_t i = 0; i < view.count; i++) {
        const struct calls_peer *peer = calls_peer(calls, &view.providers[i].node);
        routes[i] = (struct calls_route){
            .node = view.providers[i].node,
            .node_name = view.providers[i].node_name,
            .is_local = peer == calls->self,
            .reason = calls_explain_reason(calls, peer, &scores[i]),
            .rtt = candidates[i].rtt,
            .score = scores[i],
        };
    }
    if (view.kind == SERVICES_FOUND) calls_explain_winner(routes, view.count);
    *ret = routes;
    return view.count;
}

static void calls_check_open(const struct calls *calls)
{
    struct mn_map_entry *entry = NULL;
    uint32_t waiting = 0, local = 0, remote = 0;

    while ((entry = mn_map_next(&calls->open, entry)) != NULL) {
        const struct call *call = MN_CONTAINER(entry, struct call, in_map);
        MN_ASSERT(call->timer.index_plus_one != 0);
        MN_ASSERT((call->state == CALL_WAITING) == (call->peer == NULL));
        MN_ASSERT(call->state != CALL_LOCAL || call->peer == calls->self);
        MN_ASSERT(call->state != CALL_REMOTE || call->peer->is_linked);
        waiting += call->state == CALL_WAITING;
        local += call->state == CALL_LOCAL;
        remote += call->state == CALL_REMOTE;
    }
    MN_ASSERT(calls->open.count <= calls->config.calls_max);
    MN_ASSERT(calls->queued_count == waiting);
    MN_ASSERT(calls->remote.count == remote);
    MN_ASSERT(calls->executions.count == local + calls->served.count);
}

void calls_check(const struct calls *calls)
{
    struct mn_map_entry *entry = NULL;
    uint32_t served = 0, waiting = 0;

    calls_check_open(calls);
    while ((entry = mn_map_next(&calls->peers, entry)) != NULL) {
        const struct calls_peer *peer = MN_CONTAINER(entry, struct calls_peer, in_map);
        MN_ASSERT(peer->is_linked || peer->served_count == 0);
        MN_ASSERT(peer->served_count <= calls->config.served_peer_max);
        MN_ASSERT(peer->budget <= CALLS_BUDGET_MAX);
        served += peer->served_count;
    }
    while ((entry = mn_map_next(&calls->waitlists, entry)) != NULL) {
        const struct waitlist *list = MN_CONTAINER(entry, struct waitlist, in_map);
        MN_ASSERT(list->count > 0);
        waiting += list->count;
    }
    MN_ASSERT(served == calls->served.count && served <= calls->config.served_max);
    MN_ASSERT(waiting == calls->queued_count);
    MN_ASSERT(mn_list_is_empty(&calls->dirty));
    balance_check(calls->balance);
}
