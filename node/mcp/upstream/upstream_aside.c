#include "node/mcp/upstream/upstream_aside.h"

#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_own.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "node/mcp/wire/aside.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define SESSION_MAX 64 /* bytes that stand for a client's session */

struct upstream_hearers {
    struct mn_list in_server; /* server->hearers */
    struct upstream *server;
    uint64_t ticket;
    struct mn_map sessions; /* hearer.by_session */
};

/* A client that hears. */
struct upstream_hearer {
    struct mn_map_entry by_session;
    struct upstream_hearers *of;
    struct mn_span session; /* behind this struct */
    enum loglevel level;    /* NONE: no logs */
    struct mn_buf *own;     /* resources it has subscribed to: see upstream_own.h */
    uint64_t moves;         /* of the session, before its stream there was opened, */
    uint64_t opened_ms;     /* and when it was, as that node's clock says */
    uint64_t number;        /* the later the higher */
    bool is_new;            /* scratch: of the newest set */
};

/* What nobody hears yet. */
struct held {
    struct mn_list link; /* in lease->aside.held */
    mn_time at;
    struct mn_span method, params; /* behind this struct */
};

static struct upstream *aside_lease_at(const struct mn_list *link)
{
    return MN_CONTAINER((uintptr_t)link, struct upstream, lease.link);
}

static struct mn_span aside_session(const struct upstream *lease)
{
    return mn_buf_span(lease->lease.session);
}

/* ---- to the client ---- */

static bool aside_is_too_low(const struct upstream_hearer *hearer, struct mn_span method,
                             const struct json *params)
{
    enum loglevel level;

    if (!mn_span_is(method, ASIDE_LOG)) return false;
    level = loglevel_parse(json_text(json_find_str(params, "level")));
    return hearer->level == LOGLEVEL_NONE || level < hearer->level;
}

void upstream_aside_emit(struct upstream *lease, Meshnode__Gateway__Aside *aside)
{
    const struct upstream_hearer *hearer = lease->aside.hearer;
    Meshnode__Gateway__Event event = MESHNODE__GATEWAY__EVENT__INIT;

    MN_ASSERT(hearer != NULL);
    aside->session = pb_bytes(hearer->session);
    event.kind_case = MESHNODE__GATEWAY__EVENT__KIND_ASIDE;
    event.aside = aside;
    upstream_watch_emit(hearer->of->server, hearer->of->ticket, &event);
}

static void aside_tell(struct upstream *lease, struct mn_span method, struct mn_span params)
{
    Meshnode__Gateway__Aside aside = MESHNODE__GATEWAY__ASIDE__INIT;

    aside.method = (char *)(uintptr_t)mn_arena_copy(&lease->host->scratch, method).data;
    aside.params = pb_bytes(params);
    upstream_aside_emit(lease, &aside);
}

/* ---- what is kept for a moment ---- */

static void aside_drop(struct upstream *lease, struct held *held)
{
    mn_list_remove(&held->link);
    lease->aside.held_count--;
    lease->aside.held_size -= held->method.size + held->params.size;
    mn_free(held);
}

static struct held *aside_oldest(const struct upstream *lease)
{
    return MN_CONTAINER(lease->aside.held.next, struct held, link);
}

static void aside_hold(struct upstream *lease, struct mn_span method, struct mn_span params)
{
    struct upstream_aside *aside = &lease->aside;
    size_t size = method.size + params.size;
    struct held *held;

    if (size > UPSTREAM_ASIDE_SIZE_MAX) return;
    while (aside->held_count > 0 && (aside->held_count >= UPSTREAM_ASIDE_HELD_MAX ||
                                     aside->held_size + size > UPSTREAM_ASIDE_SIZE_MAX)) {
        MN_PROBE("upstream: what nobody hears makes room for newer words");
        aside_drop(lease, aside_oldest(lease));
    }
    held = mn_alloc(sizeof *held + size);
    held->at = lease->host->now.mono;
    held->method = mn_span(held + 1, method.size);
    memcpy(held + 1, method.data, method.size);
    held->params = mn_span(held->method.data + method.size, params.size);
    if (params.size > 0) memcpy((uint8_t *)(held + 1) + method.size, params.data, params.size);
    mn_list_push_back(&aside->held, &held->link);
    aside->held_count++;
    aside->held_size += size;
}

static void aside_tell_held(struct upstream *lease)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    struct upstream_host *host = lease->host;

    while (!mn_list_is_empty(&lease->aside.held)) {
        struct held *held = aside_oldest(lease);
        const struct json *params = NULL;
        bool is_old = host->now.mono - held->at > UPSTREAM_ASIDE_KEEP;
        if (held->params.size > 0 &&
            json_parse_copy(host->parser, held->params, limits, &host->scratch, &params) != MN_OK)
            params = NULL;
        if (!is_old && !aside_is_too_low(lease->aside.hearer, held->method, params)) {
            MN_PROBE("upstream: a client hears what was said before it listened");
            aside_tell(lease, held->method, held->params);
        }
        aside_drop(lease, held);
    }
}

/* ---- who hears ---- */

void upstream_aside_set_level(struct upstream *server, enum loglevel level)
{
    bool is_own = server->is_lease && !server->lease.is_exclusive;
    bool is_mute = !server->is_lease && !server->is_http; /* nobody hears what it logs */
    struct upstream_request *request;

    if (upstream_is_modern(server) || !server->has_logging || level == LOGLEVEL_NONE || is_mute)
        return;
    if (server->log_level == level) return;
    if (!is_own && server->log_level != LOGLEVEL_NONE && server->log_level < level) return;
    server->log_level = level;
    request = upstream_request_new(server, UPSTREAM_REQUEST_SIDE, MN_MINUTE);
    upstream_request_carry(request, upstream_message_set_level(server, request->id, level),
                           "logging/setLevel");
}

static void aside_heard(struct upstream *lease, struct upstream_hearer *hearer, bool is_new)
{
    bool is_other = is_new && lease->aside.hearer != NULL;

    lease->aside.hearer = hearer;
    if (lease->state == UPSTREAM_READY) upstream_aside_set_level(lease, hearer->level);
    if (is_other)
        upstream_own_heard(lease);
    else
        upstream_own_caught_up(lease);
    upstream_own_wish(lease, mn_buf_span(hearer->own));
    aside_tell_held(lease);
    if (is_new) upstream_asked_again(lease);
}

/* Where a stream was opened before, it may not be known to be gone, and be wished for anew. */
static bool aside_is_later(const struct upstream_hearer *a, const struct upstream_hearer *b)
{
    if (b == NULL) return true;
    if (a->moves != b->moves) return a->moves > b->moves;
    return a->opened_ms != b->opened_ms ? a->opened_ms > b->opened_ms : a->number > b->number;
}

/* The newest of those that hear for that session; NULL: none. */
static struct upstream_hearer *aside_find(const struct upstream *server, struct mn_span session)
{
    struct upstream_hearer *newest = NULL;

    MN_LIST_FOR_EACH (link, &server->hearers) {
        const struct upstream_hearers *hearers =
            MN_CONTAINER(link, struct upstream_hearers, in_server);
        struct mn_map_entry *entry = mn_map_find(&hearers->sessions, session);
        struct upstream_hearer *hearer =
            entry == NULL ? NULL : MN_CONTAINER(entry, struct upstream_hearer, by_session);
        if (hearer != NULL && aside_is_later(hearer, newest)) newest = hearer;
    }
    return newest;
}

static void aside_free_hearer(struct upstream_hearer *hearer)
{
    struct upstream *server = hearer->of->server;

    mn_map_remove(&hearer->of->sessions, &hearer->by_session);
    MN_LIST_FOR_EACH (link, &server->leases) {
        struct upstream *lease = aside_lease_at(link);
        if (lease->aside.hearer != hearer) continue;
        lease->aside.hearer = aside_find(server, aside_session(lease));
        upstream_own_heard(lease);
        upstream_asked_again(lease);
        if (lease->aside.hearer == NULL) upstream_lease_unheard(lease);
    }
    mn_buf_unref(hearer->own);
    mn_free(hearer);
}

static struct upstream_hearer *aside_new_hearer(struct upstream_hearers *of, struct mn_span session)
{
    struct upstream_hearer *hearer = mn_alloc(sizeof *hearer + session.size);

    hearer->of = of;
    hearer->number = ++of->server->host->hearer_last;
    hearer->session = mn_span(hearer + 1, session.size);
    memcpy(hearer + 1, session.data, session.size);
    mn_map_insert(&of->sessions, &hearer->by_session, hearer->session);
    return hearer;
}

static void aside_wish(struct upstream_hearers *hearers, const Meshnode__Gateway__SessionWish *wish)
{
    struct mn_span session = pb_span(wish->session);
    enum loglevel level = loglevel_parse(pb_text(wish->log_level));
    struct mn_span own =
        upstream_own_pack(&hearers->server->host->scratch, wish->uris, wish->n_uris);
    struct mn_map_entry *entry;
    struct upstream_hearer *hearer, *newest;
    bool is_changed;

    if (session.size == 0 || session.size > SESSION_MAX) return;
    entry = mn_map_find(&hearers->sessions, session);
    hearer = entry == NULL ? aside_new_hearer(hearers, session)
                           : MN_CONTAINER(entry, struct upstream_hearer, by_session);
    is_changed = entry == NULL || hearer->moves != wish->moves ||
                 hearer->opened_ms != wish->opened_ms || hearer->level != level ||
                 !mn_span_equal(mn_buf_span(hearer->own), own);
    hearer->is_new = true;
    if (!is_changed) return;
    hearer->level = level;
    hearer->moves = wish->moves;
    hearer->opened_ms = wish->opened_ms;
    mn_buf_unref(hearer->own);
    hearer->own = mn_buf_copy(own);
    MN_LIST_FOR_EACH (link, &hearers->server->leases) {
        struct upstream *lease = aside_lease_at(link);
        if (!mn_span_equal(aside_session(lease), session)) continue;
        newest = aside_find(hearers->server, session);
        if (newest == hearer || newest != lease->aside.hearer)
            aside_heard(lease, newest, newest != lease->aside.hearer);
    }
}

static struct upstream_hearers *aside_new(struct upstream *server, uint64_t ticket)
{
    struct upstream_hearers *hearers = mn_alloc(sizeof *hearers);

    hearers->server = server;
    hearers->ticket = ticket;
    mn_map_init(&hearers->sessions, rng_u64(&server->host->rng));
    mn_list_push_back(&server->hearers, &hearers->in_server);
    return hearers;
}

void upstream_aside_on_wishes(struct upstream *server, uint64_t ticket,
                              struct upstream_hearers **hearers,
                              const Meshnode__Gateway__Wishes *wishes)
{
    struct mn_map_entry *next;

    if (*hearers == NULL && wishes->n_sessions == 0) return;
    if (*hearers == NULL) *hearers = aside_new(server, ticket);
    for (size_t i = 0; i < wishes->n_sessions && i < UPSTREAM_HEARERS_MAX; i++)
        aside_wish(*hearers, wishes->sessions[i]);
    for (struct mn_map_entry *entry = mn_map_next(&(*hearers)->sessions, NULL); entry != NULL;
         entry = next) {
        struct upstream_hearer *hearer = MN_CONTAINER(entry, struct upstream_hearer, by_session);
        next = mn_map_next(&(*hearers)->sessions, entry);
        if (!hearer->is_new)
            aside_free_hearer(hearer);
        else
            hearer->is_new = false;
    }
}

void upstream_aside_leave(struct upstream_hearers *hearers)
{
    struct mn_map_entry *entry;

    if (hearers == NULL) return;
    while ((entry = mn_map_next(&hearers->sessions, NULL)) != NULL)
        aside_free_hearer(MN_CONTAINER(entry, struct upstream_hearer, by_session));
    mn_map_done(&hearers->sessions);
    mn_list_remove(&hearers->in_server);
    mn_free(hearers);
}

/* ---- leases ---- */

void upstream_aside_begin(struct upstream *lease, struct mn_span own)
{
    if (lease->lease.is_exclusive) return;
    lease->aside.hearer = aside_find(lease->lease.origin, aside_session(lease));
    if (lease->aside.hearer != NULL) own = mn_buf_span(lease->aside.hearer->own);
    upstream_own_wish(lease, own);
}

void upstream_aside_done(struct upstream *lease)
{
    upstream_asked_forget(lease);
    upstream_own_end(lease);
    lease->aside.hearer = NULL;
    while (!mn_list_is_empty(&lease->aside.held))
        aside_drop(lease, aside_oldest(lease));
}

void upstream_aside_on_notification(struct upstream *server, struct mn_span method,
                                    const struct json *params)
{
    struct mn_span text = params == NULL ? mn_span(NULL, 0) : params->raw;

    if (!upstream_lease_is_apart(server) || mn_list_is_empty(&server->lease.link) ||
        server->lease.is_exclusive || !aside_is_carried(method) || text.size > ASIDE_PARAMS_MAX)
        return;
    if (server->aside.hearer == NULL)
        aside_hold(server, method, text);
    else if (!aside_is_too_low(server->aside.hearer, method, params))
        aside_tell(server, method, text);
}
