/* Clients that listen to what becomes of their tasks, while they ask about them as all do: modern
 * ones to one task each, legacy ones on the stream of their session, where they are told of the
 * progress, too.
 *
 *   never  a client is told of a task that is not its own, or of another end than it has, or lists
 *          another's
 *   in a world that is whole, who listened before a task was over is told so, and, legacy, of its
 *   progress up to the last */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/scenarios/talk_slot.h"

#define WISH_TIME (2 * MN_SEC) /* until a server knows who listens, */
#define TOLD_TIME (1 * MN_SEC) /* and until they have heard of it */

static void task_told(struct slot *slot, const struct json *params, struct mn_span message)
{
    struct sim *sim = slot_sim(slot);
    struct talk *talk = slot->talk;
    const struct json *content =
        talk_first(json_find_str(json_find_str(params, "result"), "content"));
    struct mn_span status = json_text(json_find_str(params, "status"));
    char want[48];

    snprintf(want, sizeof want, "did %s", talk->key);
    if (!mn_span_is(json_text(json_find_str(params, "taskId")), slot->task) ||
        (mn_span_is(status, "completed") &&
         !mn_span_is(json_text(json_find_str(content, "text")), want)))
        sim_fail(sim, "%s: it listens to its task, and hears %.*s", talk->key, (int)message.size,
                 (const char *)message.data);
    if (!mn_span_is(status, "working") && !talk->is_task_over)
        sim_fail(sim, "%s: its task is not over, and it hears that it is", talk->key);
    if (!mn_span_is(status, "working")) slot->is_told = true;
}

static void task_heard(struct sim *sim, void *context, struct mn_span message)
{
    struct slot *slot = context;
    struct mn_arena arena = {0};
    const struct json *root, *params, *ids;
    struct mn_span method;

    if (slot->talk != NULL && json_parse_copy(slot->client->talks->parser, message, TALK_LIMITS,
                                              &arena, &root) == MN_OK) {
        method = json_text(json_find_str(root, "method"));
        params = json_find_str(root, "params");
        ids = json_find_str(json_find_str(params, "notifications"), "taskIds");
        if (mn_span_is(method, "notifications/tasks"))
            task_told(slot, params, message);
        else if (mn_span_is(method, "notifications/subscriptions/acknowledged") &&
                 talk_first(ids) != NULL)
            slot->listen_since = sim->time;
    }
    mn_arena_done(&arena);
}

static void task_listen_over(struct sim *sim, void *context, const struct sim_response *response)
{
    struct slot *slot = context;

    (void)sim;
    (void)response;
    slot->is_listening = false;
    slot->listen_since = 0;
}

void talk_task_listen(struct slot *slot)
{
    struct sim *sim = slot_sim(slot);
    struct sim_request request = {.method = "subscriptions/listen",
                                  .patience = MN_TIME_NEVER,
                                  .is_steadfast = true,
                                  .on_message = task_heard,
                                  .on_end = task_listen_over,
                                  .context = slot};
    struct mn_writer body = {0};
    struct mn_buf *text;
    uint64_t exchange;

    slot->is_told = false;
    slot->told_reports = 0;
    slot->task_since = sim->time;
    if (slot->is_listening || rng_below(&sim->rng_work, 2) == 0) return;
    if (!slot->client->is_modern) {
        talk_stream_open(slot->client);
        return;
    }
    slot->listen_host = sim_pick_ready_host(sim);
    if (slot->listen_host == NULL) return;
    mn_writer_format(
        &body,
        "{\"jsonrpc\":\"2.0\",\"id\":\"t\",\"method\":\"subscriptions/listen\",\"params\":{"
        "\"notifications\":{\"taskIds\":[\"%s\"]},",
        slot->task);
    talk_write_meta(&body, false, NULL, NULL);
    mn_writer_str(&body, "}}");
    text = mn_writer_done(&body);
    request.body = mn_buf_span(text);
    slot->is_listening = true;
    slot->listen_since = 0;
    exchange = sim_http_ask(slot->listen_host, &request);
    if (slot->is_listening) slot->listen = exchange;
    mn_buf_unref(text);
}

void talk_task_leave(struct slot *slot)
{
    if (slot->is_listening) sim_http_drop(slot->listen_host, slot->listen);
}

/* The slot's own task in a page of the list of its session's; NULL: it is not there. All in it must
 * be its client's. */
static const struct json *task_in_list(const struct slot *slot, const struct json *result,
                                       struct mn_span message)
{
    const struct json *tasks = json_find_str(result, "tasks"), *own = NULL;

    if (!json_is(tasks, JSON_ARRAY))
        sim_fail(slot_sim(slot), "%s: no list of tasks: %.*s", slot->talk->key, (int)message.size,
                 (const char *)message.data);
    for (const struct json *task = json_first(tasks); task != NULL; task = json_next(tasks, task)) {
        struct mn_span key = json_text(json_find_str(task, "statusMessage"));
        const struct talk *talk = talk_find(slot_sim(slot), key);
        if (talk == NULL || talk->client != slot->client->index || talk->is_modern)
            sim_fail(slot_sim(slot), "client %u lists a task of %.*s", slot->client->index,
                     (int)key.size, (const char *)key.data);
        if (talk == slot->talk) own = task;
    }
    if (own != NULL) MN_PROBE("sim: a client finds its task in a list");
    return own;
}

/* 0: it does not. */
static mn_time listens_since(const struct slot *slot)
{
    mn_time since = slot->client->streams_since;

    if (slot->client->is_modern) return slot->is_listening ? slot->listen_since : 0;
    if (since == 0 || slot->client->stream_host != slot->host) return 0;
    return since > slot->task_since ? since : slot->task_since;
}

static bool had_to_be_told(const struct sim *sim, mn_time since, mn_time at)
{
    return at >= since + WISH_TIME && sim->time >= at + TOLD_TIME;
}

void talk_task_found_over(const struct slot *slot)
{
    const struct talk *talk = slot->talk;
    struct sim *sim = slot_sim(slot);
    mn_time since = listens_since(slot);

    if (!talk->is_strict || since == 0 || slot->is_task_cancelled) return;
    if (had_to_be_told(sim, since, talk->task_over) && !slot->is_told)
        sim_fail(sim, "%s: its task is over since %.3f, and who listens since %.3f was not told",
                 talk->key, (double)talk->task_over / 1e6, (double)since / 1e6);
    if (!slot->client->is_modern && had_to_be_told(sim, since, talk->task_reported) &&
        slot->told_reports != talk->task_reports)
        sim_fail(sim, "%s: its task said %u times how far it is, and who listens has heard of %u",
                 talk->key, talk->task_reports, slot->told_reports);
}

void talk_task_shown(struct slot *slot, const struct json *result, struct mn_span message)
{
    struct mn_span status = json_text(json_find_str(result, "status"));

    if (slot->act == ACT_TASK_CANCEL) {
        slot->is_task_cancelled = true;
        slot->act = ACT_TASK_GET;
        talk_slot_later(slot, MN_SEC);
    } else if (!mn_span_is(json_text(json_find_str(result, "taskId")), slot->task)) {
        sim_fail(slot_sim(slot), "%s: a task of another id: %.*s", slot->talk->key,
                 (int)message.size, (const char *)message.data);
    } else if (mn_span_is(status, "working")) {
        if (slot->is_task_cancelled)
            sim_fail(slot_sim(slot), "%s: its task was cancelled, and goes on", slot->talk->key);
        talk_slot_later(slot, MN_SEC);
    } else if (mn_span_is(status, "cancelled")) {
        talk_task_found_over(slot);
        if (!slot->is_task_cancelled && slot->tries == 0)
            sim_fail(slot_sim(slot), "%s: nobody cancelled its task", slot->talk->key);
        slot->talk->cancelled = slot_sim(slot)->time;
        talk_slot_end(slot, TALK_CANCELLED, mn_span(NULL, 0));
    } else if (slot->client->is_modern) {
        talk_task_found_over(slot);
        talk_slot_answered(slot, json_find_str(result, "result"), message);
    } else {
        talk_task_found_over(slot);
        slot->act = ACT_TASK_RESULT;
        talk_slot_later(slot, MN_SEC);
    }
}

/* Its task is on one of the pages, unless its server did not say. */
void talk_task_listed(struct slot *slot, const struct json *result, struct mn_span message)
{
    const struct json *own = task_in_list(slot, result, message);
    const struct json *cursor = json_find_str(result, "nextCursor");

    mn_buf_unref(slot->cursor);
    slot->cursor = own == NULL && cursor != NULL ? mn_buf_copy(cursor->raw) : NULL;
    if (slot->cursor != NULL) {
        talk_slot_later(slot, 100 * MN_MS);
        return;
    }
    slot->act = ACT_TASK_GET;
    if (own != NULL)
        talk_task_shown(slot, own, message);
    else if (json_find_str(result, "_meta") != NULL)
        talk_slot_refused(slot, TALK_FAILED, mn_span_str("not listed now"), false);
    else
        talk_slot_refused(slot, TALK_FAILED, mn_span_str("not listed"), slot->talk->is_strict);
}
