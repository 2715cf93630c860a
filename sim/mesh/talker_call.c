/* Calls of talkers: they work, report, and ask their clients, by requests of their own or, modern,
 * by results that ask for input.
 *
 *   never  a question is answered twice, by another client, or for another call
 *          a call is begun twice, or goes on in a later round with a state that is not its own */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/talker_line.h"

#define STEP_ENDLESS (5 * MN_SEC)
#define ASIDE_MOST (50 * MN_MS) /* between a question and the end of the call it is asked in */

/* ---- works ---- */

void talker_work_free(struct work *work)
{
    MN_ASSERT(work->talk->open > 0);
    work->talk->open--;
    sim_cancel(talker_sim(work->line), &work->next);
    mn_list_remove(&work->list);
    mn_buf_unref(work->id);
    mn_buf_unref(work->token);
    mn_free(work);
}

struct work *talker_work_new(struct talker_line *line, uint64_t exchange, struct mn_span id,
                             struct talk *talk)
{
    struct work *work = mn_alloc(sizeof *work);

    work->line = line;
    work->talk = talk;
    work->exchange = exchange;
    work->id = mn_buf_copy(id);
    talk->open++;
    mn_list_push_back(&line->works, &work->list);
    return work;
}

void talker_work_answer(struct work *work)
{
    struct talk *talk = work->talk;
    bool is_modern = work->line->server->is_modern;
    struct mn_writer body = {0};

    if (talk->ends++ > 0) sim_fail(talker_sim(work->line), "%s is answered twice", talk->key);
    mn_writer_format(&body, "%s\"content\":[{\"type\":\"text\",\"text\":\"did %s\"}]",
                     is_modern ? "\"resultType\":\"complete\"," : "", talk->key);
    if (work->task != NULL)
        mn_writer_format(&body, ",\"_meta\":{\"" NS "related-task\":{\"taskId\":\"%s\"}}",
                         work->task->id);
    talker_line_answer(work->line, work->exchange, mn_buf_span(work->id), "result", &body);
    talker_aside_plan(work->line, talk);
    talker_work_free(work);
}

static void work_tell(struct work *work, const char *method, struct mn_writer *params)
{
    struct mn_buf *inside = mn_writer_done(params);
    struct mn_writer message = {0};

    mn_writer_format(&message, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":{", method);
    mn_writer_add(&message, mn_buf_span(inside));
    mn_writer_str(&message, "}}");
    mn_buf_unref(inside);
    talker_line_say(work->line, work->exchange, &message, false);
}

/* One more step is done: whoever wants to know is told. */
static void work_report(struct work *work)
{
    struct mn_writer params = {0};

    work->done++;
    if (work->token != NULL) {
        mn_writer_str(&params, "\"progressToken\":");
        mn_writer_add(&params, mn_buf_span(work->token));
        mn_writer_format(&params, ",\"progress\":%u,\"message\":\"%s\"", work->done,
                         work->talk->key);
        work_tell(work, "notifications/progress", &params);
    }
    if (work->is_logged) {
        mn_writer_format(&params, "\"level\":\"warning\",\"data\":\"%s\"", work->talk->key);
        work_tell(work, "notifications/message", &params);
    }
}

static void work_act(struct sim *sim, void *context)
{
    struct work *work = context;
    bool is_endless = work->talk->script == TALK_ENDLESS;

    if (is_endless || (work->talk->script == TALK_STEPS && work->done < TALK_STEPS_COUNT)) {
        work_report(work);
        sim_at(sim, &work->next,
               sim->time +
                   (is_endless ? STEP_ENDLESS : 10 * MN_MS + rng_below_u64(&sim->rng_work, MN_SEC)),
               work_act, work);
        return;
    }
    if (!work->is_hastened && talker_aside_hasten(work->line)) {
        work->is_hastened = true;
        sim_at(sim, &work->next, sim->time + work->talk->started % ASIDE_MOST, work_act, work);
        return;
    }
    talker_work_answer(work);
}

static void work_later(struct work *work)
{
    struct sim *sim = talker_sim(work->line);

    sim_at(sim, &work->next, sim->time + work->line->server->work, work_act, work);
}

/* ---- questions ---- */

static const char *const question_methods[TALK_QUESTIONS_MAX] = {
    "elicitation/create", "sampling/createMessage", "roots/list"};

/* Question [n] about a call; roots have no params. */
static void question_write(struct mn_writer *writer, const struct talk *talk, uint32_t n,
                           bool as_task)
{
    mn_writer_format(writer, "\"method\":\"%s\"", question_methods[n]);
    if (n == 0)
        mn_writer_format(writer,
                         ",\"params\":{\"message\":\"%s/%u\",\"requestedSchema\":{\"type\":"
                         "\"object\",\"properties\":{\"answer\":{\"type\":\"string\"}}}%s}",
                         talk->key, n, as_task ? ",\"task\":{\"ttl\":60000}" : "");
    else if (n == 1)
        mn_writer_format(writer,
                         ",\"params\":{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":"
                         "\"text\",\"text\":\"%s/%u\"}}],\"maxTokens\":10}",
                         talk->key, n);
}

/* What a client answered: itself, and the question. */
static void question_judge(struct talker_line *line, struct talk *talk, uint32_t n,
                           const struct json *result)
{
    struct mn_span text = mn_span(NULL, 0);
    char want[64];

    if (n == 0 && mn_span_is(json_text(json_find_str(result, "action")), "accept"))
        text = json_text(json_find_str(json_find_str(result, "content"), "answer"));
    if (n == 1) text = json_text(json_find_str(json_find_str(result, "content"), "text"));
    if (n == 2) text = json_text(json_find_str(talk_first(json_find_str(result, "roots")), "uri"));
    if (text.size == 0) {
        talk->refusals++;
        return;
    }
    if (n == 2)
        snprintf(want, sizeof want, "file:///client-%u", talk->client);
    else
        snprintf(want, sizeof want, "%s/%u/client-%u", talk->key, n, talk->client);
    if (!mn_span_is(text, want))
        sim_fail(talker_sim(line), "question %u about %s wants \"%s\", and is answered \"%.*s\"", n,
                 talk->key, want, (int)text.size, (const char *)text.data);
    talk->answers++;
}

static void work_ask(struct work *work, uint32_t n)
{
    struct mn_writer message = {0};

    work->asked[n] = ++work->line->question_last;
    work->open_questions++;
    talker_sim(work->line)->talks->theirs_wanted += n == 0 && work->line->has_tasks;
    mn_writer_format(&message, "{\"jsonrpc\":\"2.0\",\"id\":%llu,",
                     (unsigned long long)work->asked[n]);
    question_write(&message, work->talk, n, work->line->has_tasks);
    mn_writer_str(&message, "}");
    talker_line_say(work->line, work->exchange, &message, false);
}

/* Legacy: by requests of our own, one after the other or all at once. */
static void work_ask_next(struct work *work)
{
    while (work->done < work->talk->questions) {
        work_ask(work, work->done++);
        if (work->talk->is_one_by_one) return;
    }
}

/* A response to one of our questions; one that nobody waits for is late. */
void talker_answered(struct talker_line *line, const struct json *root)
{
    struct mn_span raw = json_find_str(root, "id")->raw;
    char id[24];

    MN_LIST_FOR_EACH_SAFE (entry, &line->works) {
        struct work *work = MN_CONTAINER(entry, struct work, list);
        for (uint32_t n = 0; n < TALK_QUESTIONS_MAX; n++) {
            snprintf(id, sizeof id, "%llu", (unsigned long long)work->asked[n]);
            if (work->asked[n] == 0 || !mn_span_is(raw, id)) continue;
            work->asked[n] = 0;
            if (n == 0 && talker_theirs_answered(work, json_find_str(root, "result"))) return;
            work->open_questions--;
            question_judge(line, work->talk, n, json_find_str(root, "result"));
            work_ask_next(work);
            if (work->open_questions == 0) work_later(work);
            return;
        }
    }
    talker_aside_answered(line, root);
}

/* Modern: by a result that asks for input, and a state that says how far we are. */
static void round_ask(struct talker_line *line, uint64_t exchange, struct mn_span id,
                      const struct talk *talk, uint32_t from)
{
    uint32_t to = talk->is_one_by_one ? from + 1 : talk->questions;
    struct mn_writer body = {0};

    mn_writer_str(&body, "\"resultType\":\"input_required\",\"inputRequests\":{");
    for (uint32_t n = from; n < to; n++) {
        mn_writer_format(&body, "%s\"q%u\":{", n == from ? "" : ",", n);
        question_write(&body, talk, n, false);
        mn_writer_str(&body, "}");
    }
    mn_writer_format(&body, "},\"requestState\":\"%s/%u\"", talk->key, from);
    talker_line_answer(line, exchange, id, "result", &body);
}

/* True: all is known, and the call can be done. */
static bool round_on_call(struct talker_line *line, uint64_t exchange, struct mn_span id,
                          struct talk *talk, const struct json *params)
{
    struct mn_span state = json_text(json_find_str(params, "requestState"));
    const struct json *responses = json_find_str(params, "inputResponses"), *response;
    char name[16];
    uint32_t n = 0, from;

    if (state.size > 0) {
        size_t size = strlen(talk->key);
        if (state.size != size + 2 || memcmp(state.data, talk->key, size) != 0) {
            sim_fail(talker_sim(line), "%s comes back with the state %.*s", talk->key,
                     (int)state.size, (const char *)state.data);
            return false;
        }
        from = n = (uint32_t)(state.data[size + 1] - '0');
        for (; n < (talk->is_one_by_one ? from + 1 : talk->questions); n++) {
            snprintf(name, sizeof name, "q%u", n);
            response = json_find_str(responses, name);
            if (response == NULL) break;
            question_judge(line, talk, n, response);
        }
    }
    if (n >= talk->questions) return true;
    round_ask(line, exchange, id, talk, n);
    return false;
}

/* ---- calls ---- */

bool talker_may_be_asked(const struct json *capabilities)
{
    return json_is(json_find_str(capabilities, "elicitation"), JSON_OBJECT) &&
           json_is(json_find_str(capabilities, "sampling"), JSON_OBJECT) &&
           json_is(json_find_str(capabilities, "roots"), JSON_OBJECT);
}

/* Whether tasks can be made of a call: both sides know them. */
static bool call_is_task(const struct talker_line *line, const struct talk *talk,
                         const struct json *params)
{
    const struct json *capabilities;

    if (talk->script != TALK_TASK) return false;
    if (!line->server->is_modern) return json_find_str(params, "task") != NULL;
    capabilities = json_find_str(json_find_str(params, "_meta"), NS "clientCapabilities");
    return json_find_str(json_find_str(capabilities, "extensions"), TALK_TASKS) != NULL;
}

static bool call_may_ask(const struct talker_line *line, const struct talk *talk,
                         const struct json *params)
{
    const struct json *meta = json_find_str(params, "_meta");
    bool may = line->server->is_modern
                   ? talker_may_be_asked(json_find_str(meta, NS "clientCapabilities"))
                   : line->can_be_asked;

    if (talk->script != TALK_ASK) return false;
    if (may != talk->can_be_asked)
        sim_fail(talker_sim(line),
                 "the client of %s can%s be asked, its server is told that it can%s", talk->key,
                 talk->can_be_asked ? "" : "not", may ? "" : "not");
    return may;
}

void talker_call(struct talker_line *line, uint64_t exchange, struct mn_span id,
                 const struct json *params)
{
    struct sim *sim = talker_sim(line);
    struct mn_span key = json_text(json_find_str(json_find_str(params, "arguments"), "key"));
    const struct json *meta = json_find_str(params, "_meta");
    const struct json *token = json_find_str(meta, "progressToken");
    struct talk *talk = talk_find(sim, key);
    struct work *work;
    bool may_ask;

    if (talk == NULL || talk->server != line->server) {
        sim_fail(sim, "%s was called with a key of nobody's: %.*s", line->server->name,
                 (int)key.size, (const char *)key.data);
        return;
    }
    if (json_find_str(params, "requestState") == NULL && talk->runs++ > 0)
        sim_fail(sim, "%s was begun twice", talk->key);
    may_ask = call_may_ask(line, talk, params);
    if (call_is_task(line, talk, params)) {
        talker_task_begin(line, exchange, id, talk, token);
        return;
    }
    if (may_ask && line->server->is_modern && !round_on_call(line, exchange, id, talk, params))
        return;
    work = talker_work_new(line, exchange, id, talk);
    if (token != NULL) work->token = mn_buf_copy(token->raw);
    work->is_logged = !line->server->is_modern || json_find_str(meta, NS "logLevel") != NULL;
    if (may_ask && !line->server->is_modern)
        work_ask_next(work);
    else
        work_later(work);
}
