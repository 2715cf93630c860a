/* Tasks that clients make of what talkers ask them (2025-11-25): a talker asks how one is until it
 * is over, and then what came of it. All clients call their tasks the same, so that whoever is
 * asked about another's has a wrong answer. */
#include <stdio.h>

#include "sim/mesh/talker_line.h"

#define POLL_TIME (300 * MN_MS)

static void theirs_ask(struct work *work, enum theirs_step step)
{
    struct mn_writer message = {0};

    work->theirs = step;
    work->asked[0] = ++work->line->question_last;
    mn_writer_format(&message,
                     "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"tasks/%s\",\"params\":{"
                     "\"taskId\":\"%s\"}}",
                     (unsigned long long)work->asked[0], step == THEIRS_GET ? "get" : "result",
                     work->theirs_id);
    talker_line_say(work->line, work->exchange, &message, false);
}

static void theirs_poll(struct sim *sim, void *context)
{
    (void)sim;
    theirs_ask(context, THEIRS_GET);
}

static bool theirs_began(struct work *work, const struct json *task)
{
    struct mn_span id = json_text(json_find_str(task, "taskId"));
    struct sim *sim = talker_sim(work->line);

    if (task == NULL) return false;
    snprintf(work->theirs_id, sizeof work->theirs_id, "%.*s", (int)id.size,
             id.size == 0 ? "" : (const char *)id.data);
    sim_at(sim, &work->next, sim->time + POLL_TIME, theirs_poll, work);
    return true;
}

bool talker_theirs_answered(struct work *work, const struct json *result)
{
    struct sim *sim = talker_sim(work->line);
    struct mn_span status = json_text(json_find_str(result, "status"));

    if (work->theirs == THEIRS_NONE) return theirs_began(work, json_find_str(result, "task"));
    if (work->theirs == THEIRS_RESULT || status.size == 0) return false;
    if (mn_span_is(status, "completed"))
        theirs_ask(work, THEIRS_RESULT);
    else
        sim_at(sim, &work->next, sim->time + POLL_TIME, theirs_poll, work);
    return true;
}
