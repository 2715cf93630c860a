/* The stream of a legacy client's session, on which it hears of its tasks: how far they are, and
 * that they are over; and what is said to it between calls. talk_task.c and talk_aside.c judge
 * whether it heard all.
 *
 *   never  what it hears is of another's task, or has another token */
#include "proto/base/check.h"
#include "sim/scenarios/talk_slot.h"

/* Whose task that is; NULL: it is over for its client. */
static struct slot *stream_slot(struct talk_client *client, const struct talk *talk,
                                struct mn_span task)
{
    for (uint32_t i = 0; i < TALK_SLOTS; i++) {
        struct slot *slot = &client->slots[i];
        if (slot->talk == NULL || slot->act == ACT_CALL) continue;
        if (slot->talk == talk || (talk == NULL && mn_span_is(task, slot->task))) return slot;
    }
    return NULL;
}

static void stream_progress(struct talk_client *client, const struct json *params)
{
    struct sim *sim = client->talks->sim;
    struct mn_span key = json_text(json_find_str(params, "message"));
    const struct json *token = json_find_str(params, "progressToken");
    const struct talk *talk = talk_find(sim, key);
    struct slot *slot;
    int64_t progress;

    if (talk == NULL || talk->client != client->index) {
        sim_fail(sim, "client %u hears of the progress of %.*s on its session's stream",
                 client->index, (int)key.size, (const char *)key.data);
        return;
    }
    slot = stream_slot(client, talk, mn_span(NULL, 0));
    if (slot == NULL) return;
    if (token == NULL || !mn_span_is(token->raw, slot->index == 0 ? "1" : "\"1\"") ||
        json_i64(json_find_str(params, "progress"), &progress) != MN_OK)
        sim_fail(sim, "%s: the progress of its task has another token", talk->key);
    else
        slot->told_reports = (uint32_t)progress;
    MN_PROBE("sim: a legacy client hears of the progress of its task");
}

static void stream_status(struct talk_client *client, const struct json *params)
{
    struct slot *slot = stream_slot(client, NULL, json_text(json_find_str(params, "taskId")));

    if (slot == NULL || mn_span_is(json_text(json_find_str(params, "status")), "working")) return;
    if (!slot->talk->is_task_over)
        sim_fail(client->talks->sim, "%s: its task is not over, and it hears that it is",
                 slot->talk->key);
    slot->is_told = true;
}

static void stream_heard(struct sim *sim, void *context, struct mn_span message)
{
    struct talk_client *client = context;
    struct mn_arena arena = {0};
    const struct json *root = NULL;
    struct mn_span method;

    (void)sim;
    if (json_parse_copy(client->talks->parser, message, TALK_LIMITS, &arena, &root) == MN_OK) {
        method = json_text(json_find_str(root, "method"));
        if (mn_span_is(method, "notifications/progress"))
            stream_progress(client, json_find_str(root, "params"));
        else if (mn_span_is(method, "notifications/tasks/status"))
            stream_status(client, json_find_str(root, "params"));
        else if (mn_span_is(method, "notifications/message"))
            (void)talk_aside_heard(client, json_find_str(root, "params"));
        else if (method.size > 0 && json_find_str(root, "id") != NULL)
            (void)(talk_theirs_asked(client, client->stream_host, root) ||
                   talk_aside_asked(client, client->stream_host, root));
    }
    mn_arena_done(&arena);
}

static void stream_over(struct sim *sim, void *context, const struct sim_response *response)
{
    struct talk_client *client = context;

    (void)sim;
    (void)response;
    client->streams_since = 0;
}

void talk_stream_open(struct talk_client *client)
{
    struct sim_host *host = client->home;

    if (client->streams_since != 0 || host == NULL || host->node == NULL || host->is_stopping)
        return;
    client->stream_host = host;
    client->streams_since = client->talks->sim->time;
    if (client->left_host == NULL) client->is_astray = false;
    client->is_astray |= sim_host_is_astray(host);
    client->stream = sim_http_ask(host, &(struct sim_request){.verb = "GET",
                                                              .session = client->session,
                                                              .patience = MN_TIME_NEVER,
                                                              .is_steadfast = true,
                                                              .on_message = stream_heard,
                                                              .on_end = stream_over,
                                                              .context = client});
}

void talk_stream_close(struct talk_client *client)
{
    if (client->left_host != NULL) sim_http_drop(client->left_host, client->left);
    client->left_host = NULL;
    if (client->streams_since != 0) sim_http_drop(client->stream_host, client->stream);
}

void talk_stream_leave(struct talk_client *client)
{
    if (client->left_host != NULL) sim_http_drop(client->left_host, client->left);
    client->left_host = client->stream_host;
    client->left = client->stream;
    client->streams_since = 0;
    sim_http_forget(client->left_host, client->left);
}
