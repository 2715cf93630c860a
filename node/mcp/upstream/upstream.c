#include "node/mcp/upstream/upstream.h"

#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_asked.h"
#include "node/mcp/upstream/upstream_call.h"
#include "node/mcp/upstream/upstream_handshake.h"
#include "node/mcp/upstream/upstream_lease.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_reply.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_survey.h"
#include "node/mcp/upstream/upstream_token.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "proto/base/check.h"

struct upstream *upstream_new(struct upstream_host *host, const struct upstream_config *config)
{
    struct upstream *server = mn_alloc(sizeof *server);

    server->host = host;
    server->config = upstream_config_copy(config);
    server->is_http = config->url.size > 0;
    server->era = config->era;
    server->since = host->now.mono;
    server->ready_at = server->handshake_at = MN_TIME_NEVER;
    server->start_timer.kind = UPSTREAM_TIMER_START;
    server->withdraw_timer.kind = UPSTREAM_TIMER_WITHDRAW;
    server->relist_timer.kind = UPSTREAM_TIMER_RELIST;
    server->stream_timer.kind = UPSTREAM_TIMER_STREAM;
    mn_list_init(&server->sent);
    mn_list_init(&server->queue);
    mn_list_init(&server->asking);
    mn_list_init(&server->tokens);
    mn_list_init(&server->leases);
    mn_list_init(&server->lease.link);
    mn_list_init(&server->hearers);
    mn_list_init(&server->aside.held);
    mn_list_init(&server->aside.questions);
    server->aside.timer.kind = UPSTREAM_TIMER_ASIDE;
    server->lease.timer.kind = UPSTREAM_TIMER_LEASE;
    server->watch_timer.kind = UPSTREAM_TIMER_WATCH;
    server->survey.timer.kind = UPSTREAM_TIMER_SURVEY;
    server->survey.hold.kind = UPSTREAM_TIMER_HOLD;
    mn_list_init(&server->watches);
    mn_map_init(&server->topics, rng_u64(&host->rng));
    mn_map_init(&server->aside.own, rng_u64(&host->rng));
    line_init(&server->stdio.out, UPSTREAM_MESSAGE_MAX);
    upstream_http_init(server);
    upstream_log_init(&server->log, UPSTREAM_LOG_SIZE);
    mn_list_push_back(&host->servers, &server->link);
    return server;
}

static void upstream_forget_session(struct upstream *server)
{
    server->version[0] = 0;
    server->server_info = mn_buf_unref(server->server_info);
    server->capabilities = mn_buf_unref(server->capabilities);
    server->instructions = mn_buf_unref(server->instructions);
    server->has_tools = server->has_prompts = server->has_resources = false;
    server->has_logging = server->has_list_changed = false;
    server->log_level = LOGLEVEL_NONE;
    upstream_token_forget_all(server);
}

static void upstream_free_requests(struct mn_list *requests)
{
    while (!mn_list_is_empty(requests))
        upstream_request_free(MN_CONTAINER(requests->next, struct upstream_request, link));
}

static void upstream_clear_timers(struct upstream *server)
{
    upstream_timer_clear(server->host, &server->start_timer);
    upstream_timer_clear(server->host, &server->withdraw_timer);
    upstream_timer_clear(server->host, &server->relist_timer);
    upstream_timer_clear(server->host, &server->stream_timer);
}

void upstream_free(struct upstream *server)
{
    if (server == NULL) return;
    upstream_free_requests(&server->sent);
    upstream_free_requests(&server->queue);
    upstream_free_requests(&server->asking);
    MN_LIST_FOR_EACH_SAFE (link, &server->leases) { /* they outlive it, as long as their child */
        struct upstream *lease = MN_CONTAINER(link, struct upstream, lease.link);
        upstream_aside_done(lease);
        mn_list_remove(link);
    }
    MN_LIST_FOR_EACH (link, &server->host->servers) { /* and so do those that have ended before */
        struct upstream *lease = MN_CONTAINER(link, struct upstream, link);
        if (lease->lease.origin != server) continue;
        upstream_timer_clear(lease->host, &lease->lease.timer);
        lease->lease.origin = NULL;
    }
    if (server->is_probe) upstream_survey_probe_done(server);
    upstream_survey_done(server);
    upstream_lease_done(server);
    mn_map_done(&server->aside.own);
    upstream_watch_done(server);
    upstream_reply_forget(server);
    upstream_clear_timers(server);
    upstream_http_done(server);
    upstream_stdio_done(server);
    upstream_list_drop(&server->list);
    upstream_tools_done(&server->tools);
    upstream_said_done(&server->said);
    upstream_log_done(&server->log);
    upstream_forget_session(server);
    mn_buf_unref(server->plain);
    mn_buf_unref(server->offer);
    mn_list_remove(&server->link);
    mn_free(server->config);
    mn_free(server);
}

void upstream_timer_set(struct upstream_host *host, struct upstream_timer *timer, mn_time delay)
{
    mn_heap_set(&host->timers, &timer->heap, mn_time_after(host->now.mono, delay));
}

void upstream_timer_clear(struct upstream_host *host, struct upstream_timer *timer)
{
    mn_heap_remove(&host->timers, &timer->heap);
}

void upstream_set_state(struct upstream *server, enum upstream_state state)
{
    if (server->state == state) return;
    server->state = state;
    server->since = server->host->now.mono;
}

void upstream_note(struct upstream *server, const char *text)
{
    size_t size = strlen(text);

    if (size >= sizeof server->error) size = sizeof server->error - 1;
    while (size > 0 && size < strlen(text) && ((uint8_t)text[size] & 0xc0) == 0x80)
        size--; /* not within a character */
    memcpy(server->error, text, size);
    server->error[size] = 0;
    server->has_list_error = false;
    upstream_log_line(&server->log, server->host->now.wall, "meshnode", mn_span_str(text));
}

/* Offers. */

static void upstream_emit_offer(struct upstream *server, struct mn_buf *body)
{
    struct call_outbox *calls = server->host->outbox->calls;
    struct call_offer *offer = &call_emit(calls, CALL_MESSAGE_OFFER)->offer;

    offer->name = mn_arena_copy(calls->arena, server->config->name);
    offer->body = mn_buf_ref(body);
    upstream_config_replica_key(server->config, offer->replica_key);
    server->is_offered = body != NULL;
    upstream_timer_clear(server->host, &server->withdraw_timer);
}

void upstream_offer(struct upstream *server, struct mn_buf *offer)
{
    bool is_same =
        server->offer != NULL && mn_span_equal(mn_buf_span(server->offer), mn_buf_span(offer));

    if (is_same) {
        mn_buf_unref(offer);
    } else {
        mn_buf_unref(server->offer);
        server->offer = offer;
    }
    if (server->host->is_stopping) return;
    if (!is_same || !server->is_offered) upstream_emit_offer(server, server->offer);
    upstream_timer_clear(server->host, &server->withdraw_timer);
}

void upstream_withdraw(struct upstream *server)
{
    if (server->is_offered) upstream_emit_offer(server, NULL);
}

static void upstream_withdraw_later(struct upstream *server)
{
    if (server->is_offered && !upstream_timer_is_set(&server->withdraw_timer))
        upstream_timer_set(server->host, &server->withdraw_timer, UPSTREAM_GRACE);
}

/* Life. */

void upstream_start(struct upstream *server)
{
    struct upstream_host *host = server->host;

    upstream_timer_clear(host, &server->start_timer);
    server->after_exit = UPSTREAM_AFTER_BREAK;
    server->starts_count++;
    server->noise_run = 0;
    if (!server->is_probe)
        mn_trace_span(host->trace, host->now.mono, MN_EV_SERVER_STARTING, NULL,
                      server->starts_count, 0, server->config->name);
    upstream_set_state(server, server->is_http ? UPSTREAM_PROBING : UPSTREAM_STARTING);
    if (!server->is_http) upstream_stdio_start(server);
    if (server->is_http && server->http.session_id != NULL)
        upstream_handshake_resume(server);
    else
        upstream_begin(server);
}

void upstream_begin(struct upstream *server)
{
    server->handshake_at = server->host->now.mono;
    server->strays_until = 0;
    upstream_asked_forget(server);
    upstream_forget_session(server);
    upstream_handshake_begin(server);
}

void upstream_poll(struct upstream *server)
{
    bool is_told =
        upstream_is_modern(server) ? server->has_list_changed : server->http.stream != NULL;

    if (server->is_lease) return;
    if (server->is_http && !is_told && !upstream_timer_is_set(&server->relist_timer))
        upstream_timer_set(server->host, &server->relist_timer, UPSTREAM_RELIST_EVERY);
}

void upstream_listen(struct upstream *server)
{
    bool has_reason = server->has_list_changed || upstream_watch_has_topics(server) ||
                      upstream_watch_has_tasks(server);

    if (upstream_is_modern(server) && has_reason) {
        struct upstream_request *listen =
            upstream_request_new(server, UPSTREAM_REQUEST_LISTEN, MN_TIME_NEVER);
        upstream_request_carry(listen, upstream_message_listen(server, listen->id),
                               "subscriptions/listen");
    } else if (server->is_http && !upstream_is_modern(server)) {
        upstream_http_open_stream(server);
    }
    upstream_poll(server); /* and looks for them where it does not */
}

void upstream_ready(struct upstream *server)
{
    struct upstream_host *host = server->host;
    bool is_new = server->state != UPSTREAM_READY; /* lists that are read again need nothing more */

    if (is_new) {
        server->ready_at = host->now.mono;
        server->stream_failures_count = 0;
        upstream_set_state(server, UPSTREAM_READY);
        mn_trace_span(host->trace, host->now.mono, MN_EV_SERVER_READY, NULL, server->tools.count,
                      upstream_is_modern(server) ? UPSTREAM_ERA_MODERN : UPSTREAM_ERA_LEGACY,
                      server->config->name);
    }
    server->is_era_guessed = false;
    if (!upstream_timer_is_set(&server->stream_timer) &&
        upstream_request_of_kind(server, UPSTREAM_REQUEST_LISTEN) == NULL)
        upstream_listen(server);
    if (is_new) upstream_watch_renew(server);
    upstream_call_flush_ready(server);
}

/* The wait before the next start: doubling, with up to a quarter of it taken off at random so that
 * many nodes do not come back to one server at the same moment. */
static mn_time upstream_backoff(struct upstream *server)
{
    mn_time delay = UPSTREAM_BACKOFF_MIN;

    for (uint32_t i = 1; i < server->failures_count && delay < UPSTREAM_BACKOFF_MAX; i++)
        delay *= 2;
    delay = mn_time_min(delay, UPSTREAM_BACKOFF_MAX);
    return delay - rng_below_u64(&server->host->rng, delay / 4 + 1);
}

/* A session that was opened, and that nothing speaks against but the connection. */
static bool upstream_may_resume(const struct upstream *server)
{
    return server->http.session_id != NULL && server->version[0] != 0 &&
           server->era == UPSTREAM_ERA_LEGACY;
}

static void upstream_end_session(struct upstream *server, const char *why, bool is_kept)
{
    upstream_timer_clear(server->host, &server->relist_timer);
    upstream_timer_clear(server->host, &server->stream_timer);
    upstream_survey_end(server, true);
    upstream_request_drop_own(server);
    upstream_list_drop(&server->list);
    if (server->is_http) {
        if (is_kept)
            upstream_http_suspend(server);
        else
            upstream_http_close(server, false);
    } else {
        upstream_call_fail_sent(server, CALL_OUTCOME_UNKNOWN, why);
        if (server->stdio.child != 0) {
            server->after_exit = UPSTREAM_AFTER_WAIT;
            upstream_stdio_stop(server);
        }
    }
}

static void upstream_break_as(struct upstream *server, enum upstream_state state, const char *text,
                              bool is_kept)
{
    struct upstream_host *host = server->host;
    bool was_ready = server->ready_at != MN_TIME_NEVER;

    if (server->state != UPSTREAM_STARTING && server->state != UPSTREAM_PROBING &&
        server->state != UPSTREAM_READY)
        return; /* it is down already */
    if (server->is_lease && (!is_kept || server->is_probe)) {
        upstream_lease_broke(server, text);
        return;
    }
    upstream_note(server, text);
    upstream_end_session(server, text, is_kept);
    if (was_ready && host->now.mono - server->ready_at >= UPSTREAM_HEALTHY)
        server->failures_count = 0;
    if (!is_kept && (!was_ready || server->is_era_guessed)) server->era = server->config->era;
    server->is_era_guessed = false;
    server->modern_until = 0;
    server->ready_at = MN_TIME_NEVER;
    server->failures_count++;

    mn_time delay = upstream_backoff(server);
    if (state == UPSTREAM_BACKOFF && server->failures_count >= UPSTREAM_FAILURES_SHOWN)
        state = UPSTREAM_FAILED;
    upstream_set_state(server, state);
    upstream_timer_set(host, &server->start_timer, delay);
    upstream_withdraw_later(server);
    if (delay > UPSTREAM_GRACE) upstream_call_fail_queue(server, text);
    mn_trace_span(host->trace, host->now.mono, MN_EV_SERVER_FAILED, NULL, server->exit_code,
                  delay / MN_MS, server->config->name);
}

void upstream_break(struct upstream *server, const char *text)
{
    upstream_break_as(server, UPSTREAM_BACKOFF, text, false);
}

void upstream_break_off(struct upstream *server, const char *text)
{
    bool is_kept = upstream_may_resume(server);

    if (is_kept) MN_PROBE("upstream: a connection breaks, its session does not");
    upstream_break_as(server, UPSTREAM_BACKOFF, text, is_kept);
}

void upstream_break_auth(struct upstream *server, uint32_t code)
{
    const char *text = mn_arena_format(
        &server->host->scratch,
        "refuses our credentials (HTTP %u): set or correct its \"headers\", such as Authorization",
        code);
    upstream_break_as(server, UPSTREAM_AUTH, text, false);
}

bool upstream_rehandshake(struct upstream *server, bool forget_era)
{
    mn_time now = server->host->now.mono;

    if (server->state == UPSTREAM_PROBING) return true; /* under way */
    if (server->state != UPSTREAM_READY || now - server->handshake_at < MN_SEC) return false;
    MN_PROBE("upstream: new handshake without a break");
    upstream_note(server, forget_era ? "it speaks another era of MCP now: asking again"
                                     : "it has forgotten our session: opening a new one");
    upstream_timer_clear(server->host, &server->relist_timer);
    upstream_timer_clear(server->host, &server->stream_timer);
    upstream_survey_end(server, false);
    upstream_request_drop_own(server);
    upstream_list_drop(&server->list);
    if (server->is_http) upstream_http_close(server, false);
    if (forget_era) {
        server->era = server->config->era;
        server->modern_until = 0;
    }
    server->ready_at = MN_TIME_NEVER;
    upstream_set_state(server, UPSTREAM_PROBING);
    upstream_withdraw_later(server);
    upstream_begin(server);
    return true;
}

void upstream_stop(struct upstream *server, enum upstream_after_exit after)
{
    struct upstream_host *host = server->host;
    const char *why = after == UPSTREAM_AFTER_START ? "the server is being restarted"
                                                    : "the server was removed from its node";

    MN_ASSERT(after == UPSTREAM_AFTER_START || after == UPSTREAM_AFTER_NOTHING);
    upstream_lease_end_all(server, why);
    upstream_survey_reset(server);
    if (server->is_http) upstream_http_close(server, true);
    upstream_end_session(server, why, false);
    upstream_call_fail_sent(server, CALL_OUTCOME_UNKNOWN, why);
    upstream_call_fail_asking(server, why);
    if (after == UPSTREAM_AFTER_NOTHING) upstream_watch_fail_all(server, why);
    upstream_timer_clear(host, &server->start_timer);
    server->era = server->config->era;
    server->is_era_guessed = false;
    server->modern_until = 0;
    server->ready_at = MN_TIME_NEVER;
    server->failures_count = 0;
    server->after_exit = after;
    upstream_set_state(server, UPSTREAM_STOPPED);
    if (!server->is_probe)
        mn_trace_span(host->trace, host->now.mono, MN_EV_SERVER_STOPPED, NULL, 0, 0,
                      server->config->name);
    if (after == UPSTREAM_AFTER_NOTHING) {
        upstream_call_fail_queue(server, why);
        upstream_withdraw(server);
    } else {
        upstream_withdraw_later(server);
        if (server->stdio.child == 0) upstream_start(server);
    }
}

/* An exit that nobody asked for. */
static void upstream_on_crash(struct upstream *server, uint32_t code, mn_status status,
                              struct mn_span text)
{
    struct mn_arena *scratch = &server->host->scratch;

    if (status != MN_OK) {
        upstream_break(server, mn_arena_format(scratch, "could not be started: %.*s",
                                               (int)text.size, (const char *)text.data));
    } else if (server->era == UPSTREAM_ERA_AUTO && code <= 128) {
        MN_PROBE("upstream: exit during the probe"); /* a way of being legacy */
        upstream_request_drop_own(server);
        server->era = UPSTREAM_ERA_LEGACY;
        server->is_era_guessed = true;
        upstream_start(server);
    } else if (code > 128) {
        upstream_break(server, mn_arena_format(scratch, "was killed by signal %u", code - 128));
    } else {
        upstream_break(server, mn_arena_format(scratch, "exited with status %u", code));
    }
}

void upstream_on_stderr(struct upstream *server, struct mn_span bytes, bool is_last)
{
    uint64_t before = server->log.sequence;

    upstream_log_bytes(&server->log, server->host->now.wall, bytes);
    if (is_last) upstream_log_flush(&server->log);
    if (server->lease.origin != NULL && !server->is_probe)
        upstream_log_repeat(&server->log, before, &server->lease.origin->log, "a client's session");
}

void upstream_on_exit(struct upstream *server, uint32_t code, mn_status status, struct mn_span text)
{
    server->exit_code = code;
    upstream_on_stderr(server, mn_span(NULL, 0), true);
    switch (server->after_exit) {
    case UPSTREAM_AFTER_BREAK: upstream_on_crash(server, code, status, text); break;
    case UPSTREAM_AFTER_START: upstream_start(server); break;
    case UPSTREAM_AFTER_WAIT: break;
    case UPSTREAM_AFTER_NOTHING:
        if (server->is_removed) upstream_free(server);
        break;
    }
}

void upstream_relist_soon(struct upstream *server)
{
    mn_time at = mn_time_after(server->host->now.mono, UPSTREAM_RELIST_DELAY);

    if (server->is_probe) { /* its own lists: that it registers tools says nothing of others */
        server->list.is_stale = server->list.is_active;
        return;
    }
    if (server->is_lease) {
        if (server->lease.origin != NULL) upstream_relist_soon(server->lease.origin);
        return;
    }
    if (server->list.is_active) server->list.is_stale = true;
    if (server->state != UPSTREAM_READY || server->list.is_active) return;
    if (!upstream_timer_is_set(&server->relist_timer) || server->relist_timer.heap.at > at)
        upstream_timer_set(server->host, &server->relist_timer, UPSTREAM_RELIST_DELAY);
}

void upstream_stream_ended(struct upstream *server, bool was_useful)
{
    mn_time delay = MN_SEC;

    if (server->state != UPSTREAM_READY) return;
    server->stream_failures_count = was_useful ? 0 : server->stream_failures_count + 1;
    for (uint32_t i = 0; i < server->stream_failures_count && delay < UPSTREAM_BACKOFF_MAX; i++)
        delay *= 2;
    upstream_timer_set(server->host, &server->stream_timer,
                       mn_time_min(delay, UPSTREAM_BACKOFF_MAX));
}

void upstream_on_timer(struct upstream *server, enum upstream_timer_kind kind)
{
    switch (kind) {
    case UPSTREAM_TIMER_START:
        if (server->stdio.child != 0)
            server->after_exit = UPSTREAM_AFTER_START; /* it is slow to go */
        else
            upstream_start(server);
        break;
    case UPSTREAM_TIMER_WITHDRAW:
        MN_PROBE("upstream: offer withdrawn, it did not come back in time");
        upstream_withdraw(server);
        break;
    case UPSTREAM_TIMER_RELIST:
        if (server->state == UPSTREAM_READY) upstream_list_start(server);
        break;
    case UPSTREAM_TIMER_STREAM:
        if (server->state != UPSTREAM_READY) break;
        if (upstream_request_of_kind(server, UPSTREAM_REQUEST_LISTEN) == NULL)
            upstream_listen(server);
        if (upstream_is_modern(server)) upstream_watch_renew(server);
        upstream_relist_soon(server); /* what happened while nobody listened */
        break;
    case UPSTREAM_TIMER_WATCH: upstream_watch_on_timer(server); break;
    case UPSTREAM_TIMER_SURVEY: upstream_survey_on_timer(server); break;
    case UPSTREAM_TIMER_HOLD: upstream_survey_on_hold(server); break;
    case UPSTREAM_TIMER_ASIDE: upstream_asked_on_timer(server); break;
    case UPSTREAM_TIMER_LEASE: upstream_lease_on_timer(server); break;
    case UPSTREAM_TIMER_REQUEST:
    case UPSTREAM_TIMER_EXCHANGE:
    case UPSTREAM_TIMER_GIVEN: MN_ASSERT(!"a timer of a server");
    }
}
