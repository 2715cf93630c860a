/* Clients of revision 2025-03-26 that post batches: several calls in one request, whose answers
 * come one by one on its stream, or all at once. When their node dies in the middle they come for
 * the stream at the next one, with the last event's id.
 *
 *   never  a request of a batch has no outcome when its stream is over, or two; it is answered for
 *          another; it is said to be lost though nothing but its client's node went wrong
 *   in a world that is whole, every call of a batch is answered */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/scenarios/talks.h"

#define BATCH_CALLS 3u
#define PATIENCE (120 * MN_SEC)
#define PATIENCE_SMALL (40 * MN_SEC)
#define STREAM_TIME (1500 * MN_MS) /* a batch that was streamed so long is known at other nodes */
#define TRIES_MAX 40u              /* to take a stream up again that ends too early */

struct talk_batcher {
    struct talks *talks;
    uint32_t index;        /* as a client, behind all others */
    struct sim_host *home; /* where its session is now */
    char session[SIM_SESSION_SIZE];
    char event[SIM_EVENT_SIZE]; /* the last one of the stream; empty: it has none */
    bool is_waiting, is_resuming;
    uint32_t tries;
    struct talk *calls[BATCH_CALLS]; /* NULL: it has its outcome, or there is no batch */
    uint64_t exchange;
    mn_time streams_since, streamed;
    struct sim_event next;
};

static void batcher_act(struct sim *sim, void *context);

static void batcher_later(struct talk_batcher *batcher, mn_time most)
{
    struct sim *sim = batcher->talks->sim;

    sim_at(sim, &batcher->next, sim->time + 20 * MN_MS + rng_below_u64(&sim->rng_work, most),
           batcher_act, batcher);
}

static uint32_t batcher_open_count(const struct talk_batcher *batcher)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < BATCH_CALLS; i++)
        count += batcher->calls[i] != NULL;
    return count;
}

/* ---- outcomes ---- */

static void call_end(struct talk_batcher *batcher, uint32_t index, enum talk_state state,
                     struct mn_span reason)
{
    struct talk *talk = batcher->calls[index];

    talk->state = state;
    snprintf(talk->reason, sizeof talk->reason, "%.*s", (int)reason.size,
             reason.size == 0 ? "" : (const char *)reason.data);
    if (talk->is_strict && state != TALK_ANSWERED)
        sim_fail(batcher->talks->sim, "%s of a batch of client %u, in a whole world, ended as: %s",
                 talk->key, batcher->index, talk->reason);
    if (batcher->talks->sim->options.is_verbose)
        printf("%9.3f %-3s %s (script %u, batch of client %u): state %u %s\n",
               (double)batcher->talks->sim->time / 1e6, batcher->home->name, talk->key,
               talk->script, batcher->index, state, talk->reason);
    batcher->calls[index] = NULL;
}

static void batch_end(struct talk_batcher *batcher, const char *why)
{
    for (uint32_t i = 0; i < BATCH_CALLS; i++)
        if (batcher->calls[i] != NULL) call_end(batcher, i, TALK_GONE, mn_span_str(why));
    batcher->event[0] = '\0';
    batcher->is_resuming = false;
    if (!batcher->talks->is_load_over) batcher_later(batcher, 2 * MN_SEC);
}

/* Its client's node died, and nothing else: whoever serves it had the answer, or would have it. */
static bool could_be_had(const struct talk_batcher *batcher, const struct talk *talk)
{
    return talk->is_calm && batcher->talks->is_calm && !talk->was_cut &&
           talk->server->kind == SIM_SERVER_CHILD &&
           talk->server->host->boots == talk->server_boots && batcher->streamed > STREAM_TIME;
}

static void call_failed(struct talk_batcher *batcher, uint32_t index, const struct json *error)
{
    struct mn_span reason = json_text(json_find_str(json_find_str(error, "data"), "reason"));
    const struct talk *talk = batcher->calls[index];

    if (reason.size == 0) reason = json_text(json_find_str(error, "message"));
    if (mn_span_is(reason, "outcome_unknown") && batcher->is_resuming) {
        MN_PROBE("sim: of a batch one is said to be lost");
        if (could_be_had(batcher, talk))
            sim_fail(batcher->talks->sim,
                     "%s of %s, of a batch, is lost with its node, which nothing else was",
                     talk->key, talk->server->name);
    }
    call_end(batcher, index, TALK_FAILED, reason);
}

static void call_answered(struct talk_batcher *batcher, uint32_t index, const struct json *result)
{
    struct talk *talk = batcher->calls[index];
    const struct json *content = talk_first(json_find_str(result, "content"));
    char want[48];

    snprintf(want, sizeof want, "did %s", talk->key);
    if (content == NULL || !mn_span_is(json_text(json_find_str(content, "text")), want) ||
        talk->runs == 0)
        sim_fail(batcher->talks->sim, "%s of a batch: a wrong answer", talk->key);
    batcher->talks->answered[talk->script]++;
    if (batcher->is_resuming) MN_PROBE("sim: of a batch one is answered at another node");
    call_end(batcher, index, TALK_ANSWERED, mn_span(NULL, 0));
}

/* Requests are called 0, 1, ...; so are their progress tokens. */
static uint32_t index_of(const struct json *number)
{
    int64_t index;

    return json_i64(number, &index) == MN_OK && index >= 0 && index < BATCH_CALLS ? (uint32_t)index
                                                                                  : BATCH_CALLS;
}

static void batcher_told(struct talk_batcher *batcher, const struct json *message)
{
    const struct json *error = json_find_str(message, "error");
    uint32_t index = index_of(json_find_str(message, "id"));

    if (index == BATCH_CALLS || batcher->calls[index] == NULL)
        sim_fail(batcher->talks->sim, "client %u is given an answer that it does not wait for",
                 batcher->index);
    else if (error != NULL)
        call_failed(batcher, index, error);
    else
        call_answered(batcher, index, json_find_str(message, "result"));
}

static void batcher_notified(struct talk_batcher *batcher, struct mn_span method,
                             const struct json *params)
{
    struct talk *talk;
    uint32_t index;

    if (!mn_span_is(method, "notifications/progress")) return;
    index = index_of(json_find_str(params, "progressToken"));
    talk = index == BATCH_CALLS ? NULL : batcher->calls[index];
    if (talk == NULL || !mn_span_is(json_text(json_find_str(params, "message")), talk->key))
        sim_fail(batcher->talks->sim, "client %u hears of progress that is not its batch's",
                 batcher->index);
    else
        talk->steps++;
}

/* A message, or several answers in one. */
static void batcher_hears(struct sim *sim, void *context, struct mn_span message)
{
    struct talk_batcher *batcher = context;
    struct mn_arena arena = {0};
    const struct json *root = NULL;

    if (batcher->streams_since == 0) batcher->streams_since = sim->time;
    if (json_parse_copy(batcher->talks->parser, message, TALK_LIMITS, &arena, &root) != MN_OK) {
        /* an event that only says where the stream is, or the page of an error */
    } else if (root->type == JSON_ARRAY) {
        for (const struct json *item = json_first(root); item != NULL && !sim->has_failed;
             item = json_next(root, item))
            batcher_told(batcher, item);
    } else if (json_find_str(root, "method") != NULL) {
        batcher_notified(batcher, json_text(json_find_str(root, "method")),
                         json_find_str(root, "params"));
    } else if (json_find_str(root, "id") != NULL &&
               json_find_str(root, "id")->type == JSON_NUMBER) {
        batcher_told(batcher, root);
    }
    mn_arena_done(&arena);
}

static void batcher_over(struct sim *sim, void *context, const struct sim_response *response)
{
    struct talk_batcher *batcher = context;

    batcher->is_waiting = false;
    if (response->event[0] != '\0')
        snprintf(batcher->event, sizeof batcher->event, "%s", response->event);
    if (response->code == 404) {
        talk_judge_unknown(sim, batcher->home, batcher->session);
        batcher->session[0] = '\0';
        batch_end(batcher, "its session is gone");
    } else if (batcher_open_count(batcher) == 0) {
        batch_end(batcher, "");
    } else if (batcher->event[0] != '\0' && batcher->tries++ < TRIES_MAX) {
        if (!batcher->is_resuming) batcher->streamed = sim->time - batcher->streams_since;
        batcher->is_resuming = true;
        batcher_later(batcher, 3 * MN_SEC);
    } else if (response->is_lost || response->code != 200) {
        batch_end(batcher, "cut off");
    } else {
        sim_fail(sim, "client %u: of a batch %u requests have no outcome, and its stream is over",
                 batcher->index, batcher_open_count(batcher));
    }
}

/* ---- asking ---- */

static struct sim_host *batcher_host(struct talk_batcher *batcher)
{
    struct sim *sim = batcher->talks->sim;
    struct sim_host *home = batcher->home;

    if (home != NULL && home->node != NULL)
        return home->is_stopping || home->is_frozen ? NULL : home;
    batcher->home = sim_pick_ready_host(sim);
    return batcher->home;
}

static bool batcher_fill(struct talk_batcher *batcher)
{
    struct talks *talks = batcher->talks;
    struct sim *sim = talks->sim;

    for (uint32_t i = 0; i < BATCH_CALLS; i++) {
        struct sim_server *server = talk_pick_server(sim);
        struct talk *talk;
        if (server == NULL) return i > 0;
        talk = talk_begin(talks, server, batcher->index);
        talk->script = rng_below(&sim->rng_work, 3) == 0 ? TALK_PLAIN : TALK_STEPS;
        batcher->calls[i] = talk;
    }
    return true;
}

static struct mn_buf *batcher_body(const struct talk_batcher *batcher)
{
    struct mn_writer writer = {0};

    for (uint32_t i = 0; i < BATCH_CALLS; i++) {
        if (batcher->calls[i] == NULL) continue;
        mn_writer_format(&writer,
                         "%s{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":{"
                         "\"name\":\"%s__work\",\"arguments\":{\"key\":\"%s\"},\"_meta\":{"
                         "\"progressToken\":%u}}}",
                         i == 0 ? "[" : ",", i, batcher->calls[i]->server->name,
                         batcher->calls[i]->key, i);
    }
    mn_writer_str(&writer, "]");
    return mn_writer_done(&writer);
}

static void batcher_ask(struct talk_batcher *batcher, struct sim_host *host)
{
    char event[SIM_EVENT_SIZE], session[SIM_SESSION_SIZE];
    struct sim_request request = {.patience = PATIENCE,
                                  .session = session,
                                  .on_message = batcher_hears,
                                  .on_end = batcher_over,
                                  .context = batcher};
    struct mn_buf *body = NULL;

    memcpy(event, batcher->event, sizeof event);
    memcpy(session, batcher->session, sizeof session);
    if (batcher->is_resuming) {
        request.verb = "GET";
        request.event = event;
    } else {
        body = batcher_body(batcher);
        request.body = mn_buf_span(body);
        batcher->streams_since = 0;
        batcher->tries = 0;
    }
    batcher->is_waiting = true;
    sim_http_ask(host, &request);
    mn_buf_unref(body);
}

static void batcher_initialized(struct sim *sim, void *context, const struct sim_response *response)
{
    struct talk_batcher *batcher = context;

    (void)sim;
    batcher->is_waiting = false;
    snprintf(batcher->session, sizeof batcher->session, "%s", response->session);
    batcher_later(batcher, MN_SEC);
}

static void batcher_initialize(struct talk_batcher *batcher, struct sim_host *host)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
        "\"2025-03-26\",\"capabilities\":{},\"clientInfo\":{\"name\":\"sim\",\"version\":\"1\"}}}";

    batcher->is_waiting = true;
    sim_http_ask(host, &(struct sim_request){.body = mn_span_str(body),
                                             .patience = PATIENCE_SMALL,
                                             .is_steadfast = true,
                                             .on_end = batcher_initialized,
                                             .context = batcher});
}

static void batcher_act(struct sim *sim, void *context)
{
    struct talk_batcher *batcher = context;
    struct sim_host *host = batcher_host(batcher);
    bool is_open = batcher_open_count(batcher) > 0;

    (void)sim;
    if (batcher->is_waiting || (batcher->talks->is_load_over && !is_open)) return;
    if (host == NULL)
        batcher_later(batcher, MN_SEC);
    else if (batcher->session[0] == '\0')
        batcher_initialize(batcher, host);
    else if (is_open || batcher_fill(batcher))
        batcher_ask(batcher, host);
    else
        batcher_later(batcher, MN_SEC);
}

/* ---- all of them ---- */

void talk_batchers_start(struct talks *talks)
{
    talks->batchers_count = talks->sim->hosts_count / 2;
    talks->batchers = mn_alloc((talks->batchers_count + 1) * sizeof *talks->batchers);
    for (uint32_t i = 0; i < talks->batchers_count; i++) {
        talks->batchers[i] =
            (struct talk_batcher){.talks = talks, .index = talks->clients_count + i};
        batcher_later(&talks->batchers[i], MN_SEC);
    }
}

void talk_batchers_leave(struct talks *talks)
{
    for (uint32_t i = 0; i < talks->batchers_count; i++)
        talk_delete_session(talks->batchers[i].home, talks->batchers[i].session);
}

bool talk_batchers_are_idle(const struct talks *talks)
{
    for (uint32_t i = 0; i < talks->batchers_count; i++)
        if (batcher_open_count(&talks->batchers[i]) > 0) return false;
    return true;
}

void talk_batchers_done(struct talks *talks)
{
    mn_free(talks->batchers);
}
