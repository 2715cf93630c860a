/* A call of a client, from its request to what came of it; what is heard on the way, and
 * cancelling. Of a call that was streamed when its node died a legacy client asks for the stream at
 * the next node.
 *
 *   never  a client hears a question, progress or log line of a call that is not its own, or an
 *          answer with another id; a call that was cancelled goes on at its server; who comes for a
 *          stream whose node died hears nothing, or that the outcome is unknown though the server
 *          has it and nothing else went wrong
 *   in a world that is whole, every call is answered, and every question in it; who asks a legacy
 *   server for log messages hears all those of its call */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/scenarios/talk_slot.h"

#define PATIENCE (120 * MN_SEC) /* up to three questions, each with a fault around it */
#define TRIES_MAX 60u
#define TRIES_STRICT 3u
#define STREAM_TIME (1500 * MN_MS) /* a call that was streamed so long is known at other nodes */
#define CANCEL_TIME (2 * MN_SEC)   /* until the server has heard of it */

static void slot_cancel(struct sim *sim, void *context);

/* ---- what came of it ---- */

void talk_slot_end(struct slot *slot, enum talk_state state, struct mn_span reason)
{
    struct sim *sim = slot_sim(slot);
    struct talk *talk = slot->talk;
    static const char *const certain[] = {"not_found", "conflict", "unavailable", "busy"};

    talk->state = talk->cancelled != 0 ? TALK_CANCELLED : state;
    snprintf(talk->reason, sizeof talk->reason, "%.*s", (int)reason.size,
             reason.size == 0 ? "" : (const char *)reason.data);
    for (size_t i = 0; i < sizeof certain / sizeof *certain && state == TALK_FAILED; i++)
        if (strcmp(talk->reason, certain[i]) == 0 && talk->runs > 0 &&
            (talk->script == TALK_PLAIN || talk->script == TALK_STEPS))
            sim_fail(sim, "%s failed as %s, but was executed", talk->key, talk->reason);
    if (talk->is_strict && talk->state != TALK_ANSWERED && talk->state != TALK_CANCELLED)
        sim_fail(sim,
                 "%s (client %u, script %u) of %s at %s, in a whole world, ended as %s: %s (%s)",
                 talk->key, talk->client, talk->script, talk->server->name, slot->host->name,
                 talk->state == TALK_GONE ? "cut off" : "failed", talk->reason, slot->text);
    if (talk->script == TALK_ASK && slot->client->is_modern && talk->state != TALK_ANSWERED)
        slot->client->talks->has_left = true;
    if (sim->options.is_verbose)
        printf("%9.3f %-3s %s (script %u, client %u, of %s, since %.3f): state %u %s %s\n",
               (double)sim->time / 1e6, slot->host->name, talk->key, talk->script,
               slot->client->index, talk->server->name, (double)talk->started / 1e6, talk->state,
               talk->reason, slot->text);
    slot->text[0] = slot->event[0] = '\0';
    slot->streams_since = 0;
    slot->is_resuming = false;
    talk_task_leave(slot);
    slot->talk = NULL;
    slot->is_waiting = slot->is_dropped = false;
    slot->state = mn_buf_unref(slot->state);
    slot->responses = mn_buf_unref(slot->responses);
    slot->cursor = mn_buf_unref(slot->cursor);
    sim_cancel(sim, &slot->next);
    sim_cancel(sim, &slot->cancel);
    talk_client_again(slot->client);
}

void talk_slot_answered(struct slot *slot, const struct json *result, struct mn_span message)
{
    struct sim *sim = slot_sim(slot);
    struct talk *talk = slot->talk;
    const struct json *content = json_find_str(result, "content");
    char want[48];

    snprintf(want, sizeof want, "did %s", talk->key);
    if (!json_is(content, JSON_ARRAY) || content->count != 1 ||
        !mn_span_is(json_text(json_find_str(json_first(content), "text")), want))
        sim_fail(sim, "%s: wrong answer %.*s", talk->key, (int)message.size,
                 (const char *)message.data);
    if (talk->runs == 0) sim_fail(sim, "%s was answered but not executed", talk->key);
    if (talk->answers + talk->refusals > talk->questions)
        sim_fail(sim, "%s: more answers than questions", talk->key);
    if (talk->is_strict && talk->script == TALK_ASK && talk->can_be_asked &&
        talk->answers != talk->questions)
        sim_fail(sim, "%s: %u of %u questions were answered, in a whole world", talk->key,
                 talk->answers, talk->questions);
    /* It asks for them with each call. */
    if (talk->is_strict && talk->script == TALK_STEPS && talk->is_modern &&
        !talk->server->is_modern && talk->logs != TALK_STEPS_COUNT)
        sim_fail(sim, "%s: its client has heard %u of %u log lines, in a whole world", talk->key,
                 talk->logs, TALK_STEPS_COUNT);
    slot->client->talks->answered[talk->script]++;
    if (slot->is_resuming) slot->client->talks->resumed++;
    talk_slot_end(slot, TALK_ANSWERED, mn_span(NULL, 0));
}

/* ---- writing ---- */

void talk_write_meta(struct mn_writer *writer, bool can_be_asked, const char *token,
                     const char *level)
{
    mn_writer_format(writer,
                     "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                     "\"io.modelcontextprotocol/clientCapabilities\":{%s\"extensions\":{"
                     "\"" TALK_TASKS "\":{}}}",
                     can_be_asked ? "\"elicitation\":{},\"sampling\":{},\"roots\":{}," : "");
    if (token != NULL) mn_writer_format(writer, ",\"progressToken\":\"%s\"", token);
    if (level != NULL)
        mn_writer_format(writer, ",\"io.modelcontextprotocol/logLevel\":\"%s\"", level);
    mn_writer_str(writer, "}");
}

static const char *slot_id(const struct slot *slot, char text[24])
{
    if (slot->client->is_modern)
        snprintf(text, 24, "%llu", (unsigned long long)slot->number);
    else
        snprintf(text, 24, slot->index == 0 ? "1" : "\"1\"");
    return text;
}

static const char *slot_tool(const struct slot *slot, char text[64])
{
    snprintf(text, 64, "%s__work", slot->talk->server->name);
    return text;
}

static const char *act_method(enum act act)
{
    return act == ACT_CALL          ? "tools/call"
           : act == ACT_TASK_GET    ? "tasks/get"
           : act == ACT_TASK_RESULT ? "tasks/result"
           : act == ACT_TASK_LIST   ? "tasks/list"
                                    : "tasks/cancel";
}

static struct mn_buf *slot_body(const struct slot *slot)
{
    struct mn_writer writer = {0};
    const struct talk_client *client = slot->client;
    bool is_call = slot->act == ACT_CALL;
    char id[24], tool[64];

    mn_writer_format(&writer, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"%s\",\"params\":{",
                     slot_id(slot, id), act_method(slot->act));
    if (is_call)
        mn_writer_format(&writer, "\"name\":\"%s\",\"arguments\":{\"key\":\"%s\"},",
                         slot_tool(slot, tool), slot->talk->key);
    else if (slot->act != ACT_TASK_LIST)
        mn_writer_format(&writer, "\"taskId\":\"%s\",", slot->task);
    if (slot->act == ACT_TASK_LIST && slot->cursor != NULL) {
        mn_writer_str(&writer, "\"cursor\":");
        mn_writer_add(&writer, mn_buf_span(slot->cursor));
        mn_writer_str(&writer, ",");
    }
    if (slot->responses != NULL && is_call) {
        mn_writer_str(&writer, "\"inputResponses\":");
        mn_writer_add(&writer, mn_buf_span(slot->responses));
        mn_writer_str(&writer, ",");
    }
    if (slot->state != NULL && is_call) {
        mn_writer_str(&writer, "\"requestState\":");
        mn_writer_add(&writer, mn_buf_span(slot->state));
        mn_writer_str(&writer, ",");
    }
    if (is_call && !client->is_modern && slot->talk->script == TALK_TASK &&
        !slot->talk->server->is_modern)
        mn_writer_str(&writer, "\"task\":{\"ttl\":60000},");
    if (client->is_modern)
        talk_write_meta(&writer, client->can_be_asked, slot->talk->key, "debug");
    else
        mn_writer_format(&writer, "\"_meta\":{\"progressToken\":%s}", id);
    mn_writer_str(&writer, "}}");
    return mn_writer_done(&writer);
}

/* ---- what is heard on the way ---- */

static void slot_progress(struct slot *slot, const struct json *params)
{
    struct talk *talk = slot->talk;
    const struct json *token = json_find_str(params, "progressToken");
    struct mn_span text = json_text(json_find_str(params, "message"));
    char want[TALK_KEY_SIZE + 2];

    if (slot->client->is_modern)
        snprintf(want, sizeof want, "\"%s\"", talk->key);
    else
        slot_id(slot, want);
    if (token == NULL || !mn_span_is(token->raw, want) || !mn_span_is(text, talk->key))
        sim_fail(slot_sim(slot), "%s is told of the progress of %.*s", talk->key, (int)text.size,
                 (const char *)text.data);
    talk->steps++;
}

static void slot_logged(struct slot *slot, const struct json *params)
{
    struct mn_span key = json_text(json_find_str(params, "data"));
    struct talk *talk = talk_find(slot_sim(slot), key);

    if (talk_aside_heard(slot->client, params)) return;
    if (talk == NULL || talk->client != slot->client->index)
        sim_fail(slot_sim(slot), "client %u hears a log line of %.*s", slot->client->index,
                 (int)key.size, (const char *)key.data);
    if (talk != NULL) talk->logs++;
}

static void slot_hears(struct sim *sim, void *context, struct mn_span message)
{
    struct slot *slot = context;
    struct json_parser *parser = slot->client->talks->parser;
    struct mn_arena arena = {0};
    const struct json *root = NULL, *params;
    struct mn_span method;

    if (slot->talk == NULL) return;
    if (slot->streams_since == 0) slot->streams_since = sim->time;
    if (json_parse_copy(parser, message, TALK_LIMITS, &arena, &root) != MN_OK)
        root = NULL; /* an event that only says where the stream is */
    method = json_text(json_find_str(root, "method"));
    params = json_find_str(root, "params");
    if (mn_span_is(method, "notifications/progress"))
        slot_progress(slot, params);
    else if (mn_span_is(method, "notifications/message"))
        slot_logged(slot, params);
    else if (method.size > 0 && json_find_str(root, "id") != NULL &&
             !talk_aside_asked(slot->client, slot->host, root))
        talk_asked(slot, root, method);
    mn_arena_done(&arena);
}

/* ---- answers ---- */

void talk_slot_later(struct slot *slot, mn_time most)
{
    struct sim *sim = slot_sim(slot);

    sim_at(sim, &slot->next, sim->time + 10 * MN_MS + rng_below_u64(&sim->rng_work, most),
           talk_slot_go_on, slot);
}

/* A modern client is asked by a result: it answers by calling once more. */
static void slot_round(struct slot *slot, const struct json *result)
{
    struct talks *talks = slot->client->talks;
    const struct json *requests = json_find_str(result, "inputRequests");
    const struct json *state = json_find_str(result, "requestState");
    struct mn_writer responses = {0};
    const char *comma = "";

    mn_buf_unref(slot->state);
    mn_buf_unref(slot->responses);
    slot->state = state == NULL ? NULL : mn_buf_copy(state->raw);
    mn_writer_str(&responses, "{");
    if (json_is(requests, JSON_OBJECT))
        for (const struct json *key = json_first(requests); key != NULL;
             key = json_next(requests, key)) {
            mn_writer_str(&responses, comma);
            mn_writer_add(&responses, key->raw);
            mn_writer_str(&responses, ":");
            talk_answer(slot, &responses, json_text(json_find_str(json_value(key), "method")),
                        json_find_str(json_value(key), "params"));
            comma = ",";
        }
    mn_writer_str(&responses, "}");
    slot->responses = mn_writer_done(&responses);
    if (talks->may_abandon && !slot->talk->is_strict && rng_below(&talks->sim->rng_work, 10) == 0) {
        MN_PROBE("sim: a client does not come back with its answer");
        talk_slot_end(slot, TALK_GONE, mn_span_str("abandoned"));
        return;
    }
    talk_slot_later(slot, 3 * MN_SEC);
}

/* A task was begun: it is asked about, wherever. */
static void slot_task_begun(struct slot *slot, const struct json *task)
{
    struct mn_span id = json_text(json_find_str(task, "taskId"));

    if (id.size == 0 || id.size >= sizeof slot->task) {
        sim_fail(slot_sim(slot), "%s: a task with no usable id", slot->talk->key);
        return;
    }
    memcpy(slot->task, id.data, id.size);
    slot->task[id.size] = '\0';
    slot->tries = 0;
    slot->is_task_cancelled = false;
    slot->act = ACT_TASK_GET;
    talk_task_listen(slot);
    talk_slot_later(slot,
                    slot->is_listening || slot->client->streams_since != 0 ? 4 * MN_SEC : MN_SEC);
}

static void slot_result(struct slot *slot, const struct json *result, struct mn_span message)
{
    struct mn_span type = json_text(json_find_str(result, "resultType"));
    const struct json *task = json_find_str(result, "task");

    if (slot->act == ACT_TASK_LIST)
        talk_task_listed(slot, result, message);
    else if (slot->act == ACT_TASK_GET || slot->act == ACT_TASK_CANCEL)
        talk_task_shown(slot, result, message);
    else if (mn_span_is(type, "input_required") && slot->client->is_modern)
        slot_round(slot, result);
    else if (mn_span_is(type, "task"))
        slot_task_begun(slot, result);
    else if (slot->act == ACT_CALL && task != NULL)
        slot_task_begun(slot, task);
    else
        talk_slot_answered(slot, result, message);
}

/* Asking about a task can be done again; nothing else can. */
void talk_slot_refused(struct slot *slot, enum talk_state state, struct mn_span reason,
                       bool is_unknown)
{
    struct sim *sim = slot_sim(slot);
    bool may_be_gone = slot->talk->was_cut || (slot->is_task_cancelled && !is_unknown);

    if (slot->act != ACT_CALL && !may_be_gone) {
        if (slot->act == ACT_TASK_CANCEL) slot->is_task_cancelled = false;
        if (slot->tries++ < (slot->talk->is_strict ? TRIES_STRICT : TRIES_MAX) && !is_unknown) {
            slot->act = ACT_TASK_GET;
            talk_slot_later(slot, 2 * MN_SEC);
            return;
        }
        if (is_unknown)
            sim_fail(sim, "%s: its task is unknown, and its server has it", slot->talk->key);
    }
    talk_slot_end(slot, state, reason);
}

/* Its node died, and nothing else: whoever serves it had the answer, or would have had it. */
static bool could_be_had(const struct slot *slot)
{
    const struct talk *talk = slot->talk;
    const struct sim_host *host = talk->server->host;

    return talk->is_calm && slot->client->talks->is_calm && !talk->was_cut &&
           talk->server->kind == SIM_SERVER_CHILD && host->boots == talk->server_boots &&
           slot->streamed > STREAM_TIME;
}

static void slot_read(struct slot *slot, const struct json *root, struct mn_span message)
{
    const struct json *id = json_find_str(root, "id"), *error = json_find_str(root, "error");
    struct mn_span reason, text;
    char want[24];

    if (error == NULL && (id == NULL || !mn_span_is(id->raw, slot_id(slot, want))))
        sim_fail(slot_sim(slot), "%s, asked as %s, is answered as %.*s", slot->talk->key,
                 slot_id(slot, want), (int)message.size, (const char *)message.data);
    if (error == NULL) {
        slot_result(slot, json_find_str(root, "result"), message);
        return;
    }
    text = json_text(json_find_str(error, "message"));
    snprintf(slot->text, sizeof slot->text, "%.*s", (int)text.size, (const char *)text.data);
    reason = json_text(json_find_str(json_find_str(error, "data"), "reason"));
    if (reason.size == 0) reason = text;
    if (slot->is_resuming && (id == NULL || !mn_span_is(id->raw, slot_id(slot, want))))
        sim_fail(slot_sim(slot), "%s, taken up again as %s, ends as %.*s", slot->talk->key,
                 slot_id(slot, want), (int)message.size, (const char *)message.data);
    if (slot->is_resuming && mn_span_is(reason, "outcome_unknown") && could_be_had(slot))
        sim_fail(slot_sim(slot), "%s of %s is lost with its node, which nothing else was (%s)",
                 slot->talk->key, slot->talk->server->name, slot->text);
    talk_slot_refused(slot, TALK_FAILED, reason, mn_span_is(reason, "no such task"));
}

/* Of two requests that say so the later one may be of a client that has a new session by now. */
static void slot_lost_session(struct slot *slot)
{
    struct talk_client *client = slot->client;

    if (slot->session == client->sessions) {
        talk_judge_unknown(client->talks->sim, slot->host, client->session);
        client->session[0] = '\0';
        for (uint32_t i = 0; i < TALK_SLOTS; i++) /* its tasks and calls are another session's */
            if (client->slots[i].talk != NULL) client->slots[i].talk->was_cut = true;
    }
    talk_slot_end(slot, TALK_GONE, mn_span_str("its session is gone"));
}

/* Its node died: its client comes for the stream at the next one. */
static void slot_come_back(struct slot *slot)
{
    struct sim *sim = slot_sim(slot);

    if (!slot->is_resuming) slot->streamed = sim->time - slot->streams_since;
    slot->is_resuming = true;
    talk_slot_later(slot, 3 * MN_SEC);
    if (slot->talk->script != TALK_ENDLESS) return;
    sim_cancel(sim, &slot->cancel); /* it ends no other way, whatever was planned */
    sim_at(sim, &slot->cancel, sim->time + 5 * MN_SEC + rng_below_u64(&sim->rng_work, 5 * MN_SEC),
           slot_cancel, slot);
}

/* What a stream says last is an answer, unless it ended before. */
static bool is_answer(const struct slot *slot, struct mn_span message)
{
    struct mn_arena arena = {0};
    const struct json *root = NULL;
    bool is = json_parse_copy(slot->client->talks->parser, message, TALK_LIMITS, &arena, &root) ==
                  MN_OK &&
              json_find_str(root, "method") == NULL;

    mn_arena_done(&arena);
    return is;
}

static void slot_over(struct sim *sim, void *context, const struct sim_response *response)
{
    struct slot *slot = context;
    struct talk_client *client = slot->client;
    struct mn_arena arena = {0};
    const struct json *root;

    (void)sim;
    slot->is_waiting = false;
    if (slot->talk == NULL) return; /* it was dropped */
    if (response->event[0] != '\0')
        snprintf(slot->event, sizeof slot->event, "%s", response->event);
    if (response->code == 404 && !client->is_modern) {
        slot_lost_session(slot);
    } else if (response->is_lost && !client->is_modern && slot->act == ACT_CALL &&
               slot->host->node != NULL && slot->talk->cancelled == 0) {
        slot->is_dropped = true; /* its stream broke: the call goes on until it is cancelled */
        sim_at(sim, &slot->cancel, sim->time + MN_SEC, slot_cancel, slot);
    } else if (response->is_lost && !client->is_modern && slot->act == ACT_CALL &&
               slot->event[0] != '\0' && slot->talk->cancelled == 0) {
        slot_come_back(slot);
    } else if (!response->is_lost && !client->is_modern && slot->event[0] != '\0' &&
               slot->talk->cancelled == 0 && !is_answer(slot, response->message)) {
        MN_PROBE("sim: the stream of a call that another node has taken ends without a word");
        slot_come_back(slot);
    } else if (response->is_lost || slot->talk->cancelled != 0) {
        if (slot->talk->cancelled != 0 || slot->act == ACT_CALL)
            talk_slot_end(slot, TALK_GONE, mn_span_str("cut off"));
        else
            talk_slot_refused(slot, TALK_GONE, mn_span_str("cut off"), false);
    } else if (json_parse_copy(client->talks->parser, response->message, TALK_LIMITS, &arena,
                               &root) == MN_OK) {
        slot_read(slot, root, response->message);
    } else {
        sim_fail(sim, "%s: the answer is no JSON (status %u): %.*s", slot->talk->key,
                 response->code, (int)response->message.size,
                 response->message.size == 0 ? "" : (const char *)response->message.data);
    }
    mn_arena_done(&arena);
}

/* ---- cancelling ---- */

/* A node that dies may take along what a legacy client has just told it; the call then runs on, as
 * one whose client may come back for it. */
static bool may_be_unheard(const struct talk *talk)
{
    const struct sim_host *host = talk->cancelled_at;

    return !talk->is_modern && (host->node == NULL || host->boots != talk->cancelled_boots);
}

/* The slot may be in use again: all that its client cancelled are looked at. */
static void judge_cancelled(struct sim *sim, void *context)
{
    const struct slot *slot = context;

    for (struct mn_map_entry *e = mn_map_next(&slot->client->talks->by_key, NULL); e != NULL;
         e = mn_map_next(&slot->client->talks->by_key, e)) {
        const struct talk *each = MN_CONTAINER(e, struct talk, by_key);
        if (each->is_strict && each->cancelled != 0 && each->client == slot->client->index &&
            each->cancelled + CANCEL_TIME <= sim->time && each->open > 0 && !may_be_unheard(each))
            sim_fail(sim, "%s was cancelled, and goes on at %s", each->key, each->server->name);
    }
}

static void cancel_told(struct sim *sim, void *context, const struct sim_response *response)
{
    (void)sim;
    (void)context;
    (void)response;
}

static void slot_cancel(struct sim *sim, void *context)
{
    struct slot *slot = context;
    struct talk_client *client = slot->client;
    char body[128], id[24];

    if (slot->talk == NULL || slot->act != ACT_CALL) return;
    if (!slot->is_waiting && !slot->is_dropped) {
        if (slot->is_resuming) /* between two nodes */
            sim_at(sim, &slot->cancel, sim->time + MN_SEC, slot_cancel, slot);
        return;
    }
    slot->talk->cancelled = sim->time;
    slot->talk->cancelled_at = slot->host;
    slot->talk->cancelled_boots = slot->host->boots;
    if (slot->talk->is_strict)
        sim_at(sim, &slot->judge, sim->time + CANCEL_TIME, judge_cancelled, slot);
    if (client->is_modern) {
        sim_http_drop(slot->host, slot->exchange);
        return;
    }
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
             "\"requestId\":%s}}",
             slot_id(slot, id));
    if (slot->host->node != NULL)
        sim_http_ask(slot->host, &(struct sim_request){.body = mn_span_str(body),
                                                       .session = client->session,
                                                       .patience = TALK_PATIENCE_SMALL,
                                                       .is_steadfast = true,
                                                       .on_end = cancel_told,
                                                       .context = slot});
    if (slot->is_dropped && slot->talk != NULL)
        talk_slot_end(slot, TALK_CANCELLED, mn_span(NULL, 0));
}

/* A legacy call lives on when its stream is dropped. */
static void slot_drop(struct sim *sim, void *context)
{
    struct slot *slot = context;
    struct talk *talk = slot->talk;

    if (talk == NULL || !slot->is_waiting) return;
    if (talk->is_strict && talk->open == 0)
        sim_fail(sim, "%s runs, and its server does not know of it", talk->key);
    slot->is_waiting = false;
    slot->talk = NULL; /* what the end of its exchange says is known */
    sim_http_drop(slot->host, slot->exchange);
    slot->talk = talk;
    slot->is_dropped = true;
    MN_PROBE("sim: a legacy client drops the stream of a call, and cancels later");
    sim_at(sim, &slot->cancel, sim->time + 2 * MN_SEC, slot_cancel, slot);
}

void talk_slot_plan_cancel(struct slot *slot)
{
    struct sim *sim = slot_sim(slot);
    mn_time at = sim->time + 200 * MN_MS + rng_below_u64(&sim->rng_work, 9 * MN_SEC);
    bool is_dropped = !slot->client->is_modern && rng_below(&sim->rng_work, 3) == 0;

    if (slot->talk->script == TALK_ENDLESS || rng_below(&sim->rng_work, 12) == 0)
        sim_at(sim, &slot->cancel, at,
               is_dropped && slot->talk->script == TALK_ENDLESS ? slot_drop : slot_cancel, slot);
}

/* ---- asking ---- */

void talk_slot_ask(struct slot *slot, struct sim_host *host)
{
    struct sim *sim = slot_sim(slot);
    struct talk_client *client = slot->client;
    struct mn_buf *body;
    char tool[64], name[TALK_TASK_ID_SIZE], session[SIM_SESSION_SIZE], event[SIM_EVENT_SIZE];
    struct sim_request request = {
        .patience = PATIENCE, .on_message = slot_hears, .on_end = slot_over, .context = slot};
    uint64_t exchange;

    if (slot->is_resuming && slot->act == ACT_CALL && slot->session != client->sessions) {
        talk_slot_end(slot, TALK_GONE, mn_span_str("its session is gone")); /* and so its stream */
        return;
    }
    slot->number = client->is_modern ? rng_u64(&sim->rng_work) >> 12 : 0;
    if (slot->host != NULL && slot->host != host) client->talks->elsewhere++;
    slot->host = host;
    body = slot_body(slot);
    memcpy(event, slot->event, sizeof event);
    if (slot->is_resuming && slot->act == ACT_CALL) {
        request.verb = "GET";
        request.event = event;
    } else {
        request.body = mn_buf_span(body);
    }
    memcpy(session, client->session, sizeof session);
    memcpy(name, slot->task, sizeof name);
    if (client->is_modern) {
        request.method = act_method(slot->act);
        request.name = slot->act == ACT_CALL ? slot_tool(slot, tool) : name;
    } else {
        request.session = session;
    }
    slot->session = client->sessions;
    slot->is_waiting = true;
    exchange = sim_http_ask(host, &request);
    if (slot->is_waiting) slot->exchange = exchange;
    mn_buf_unref(body);
}
