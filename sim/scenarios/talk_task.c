/* Clients that listen to what becomes of their tasks, while they ask about them as all do.
 *
 *   never  a client is told of a task that is not its own, or of another end than it has
 *   in a world that is whole, who listened before a task was over is told so */
#include <stdio.h>

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
    if (!slot->client->is_modern || slot->is_listening || rng_below(&sim->rng_work, 2) == 0) return;
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

void talk_task_found_over(const struct slot *slot)
{
    const struct talk *talk = slot->talk;
    struct sim *sim = slot_sim(slot);

    if (!talk->is_strict || !slot->is_listening || slot->listen_since == 0 || slot->is_told) return;
    if (talk->task_over == 0 || talk->task_over < slot->listen_since + WISH_TIME) return;
    if (sim->time < talk->task_over + TOLD_TIME) return;
    sim_fail(sim, "%s: its task is over since %.3f, and who listens since %.3f was not told",
             talk->key, (double)talk->task_over / 1e6, (double)slot->listen_since / 1e6);
}
