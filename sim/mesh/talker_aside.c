/* What a legacy server says of no call, some time after one has ended. In a session that is one
 * client's alone each third is a question; in others it only logs, and whose that is nobody knows.
 *
 *   never  another client answers */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/talker_line.h"

/* One that is still to be said. */
struct aside {
    struct mn_list list; /* in line->asides */
    struct talker_line *line;
    struct talk *talk;
    bool is_own;    /* said in a session of that client alone */
    uint64_t asked; /* id of the question, once it is open; else 0 */
    struct sim_event say;
};

static void aside_free(struct aside *aside)
{
    sim_cancel(talker_sim(aside->line), &aside->say);
    mn_list_remove(&aside->list);
    mn_free(aside);
}

static bool aside_is_question(const struct aside *aside)
{
    return aside->is_own && aside->talk->started % 3 == 0;
}

/* It stays until it is answered. */
static void aside_ask(struct aside *aside)
{
    struct mn_writer message = {0};

    aside->asked = ++aside->line->question_last;
    aside->talk->is_aside_asked = true;
    mn_writer_format(&message,
                     "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"elicitation/create\","
                     "\"params\":{\"message\":\"" TALK_ASIDE "%s\",\"requestedSchema\":{\"type\":"
                     "\"object\",\"properties\":{\"answer\":{\"type\":\"string\"}}}}}",
                     (unsigned long long)aside->asked, aside->talk->key);
    talker_line_say(aside->line, 0, &message, false);
}

static void aside_say(struct sim *sim, void *context)
{
    struct aside *aside = context;
    struct mn_writer message = {0};

    if (aside_is_question(aside)) {
        if (mn_list_is_empty(&aside->line->works)) aside->talk->aside_said = sim->time;
        aside_ask(aside);
        return;
    }
    mn_writer_format(&message,
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{"
                     "\"level\":\"warning\",\"data\":\"" TALK_ASIDE "%s\"}}",
                     aside->talk->key);
    /* A call may have been dropped by its client. */
    if (aside->is_own && mn_list_is_empty(&aside->line->works)) aside->talk->aside_said = sim->time;
    talker_line_say(aside->line, 0, &message, false);
    aside_free(aside);
}

bool talker_aside_hasten(struct talker_line *line)
{
    MN_LIST_FOR_EACH (entry, &line->asides) {
        struct aside *aside = MN_CONTAINER(entry, struct aside, list);
        if (!aside_is_question(aside) || aside->asked != 0) continue;
        MN_PROBE("sim: a server asks, and ends a call meanwhile");
        sim_cancel(talker_sim(line), &aside->say);
        aside_ask(aside);
        return true;
    }
    return false;
}

void talker_aside_plan(struct talker_line *line, struct talk *talk)
{
    struct sim *sim = talker_sim(line);
    struct aside *aside;

    if (line->server->is_modern) return;
    aside = mn_alloc(sizeof *aside);
    aside->line = line;
    aside->talk = talk;
    aside->is_own = line->can_be_asked && !talk->is_modern;
    mn_list_push_back(&line->asides, &aside->list);
    sim_at(sim, &aside->say, sim->time + 100 * MN_MS + talk->started % (2 * MN_SEC), aside_say,
           aside);
}

/* Declined, or answered by whom it was said to. */
static void aside_judge(const struct aside *aside, const struct json *root)
{
    const struct json *result = json_find_str(root, "result");
    struct talk *talk = aside->talk;
    struct mn_span text = json_text(json_find_str(json_find_str(result, "content"), "answer"));
    char want[64];

    if (!mn_span_is(json_text(json_find_str(result, "action")), "accept")) return;
    snprintf(want, sizeof want, TALK_ASIDE "%s/client-%u", talk->key, talk->client);
    if (!mn_span_is(text, want))
        sim_fail(talker_sim(aside->line), "%s, which it asks aside, is answered \"%.*s\"",
                 talk->key, (int)text.size, text.size == 0 ? "" : (const char *)text.data);
    talk->asides_heard++;
}

void talker_aside_answered(struct talker_line *line, const struct json *root)
{
    struct mn_span raw = json_find_str(root, "id")->raw;
    char id[24];

    MN_LIST_FOR_EACH (entry, &line->asides) {
        struct aside *aside = MN_CONTAINER(entry, struct aside, list);
        snprintf(id, sizeof id, "%llu", (unsigned long long)aside->asked);
        if (aside->asked == 0 || !mn_span_is(raw, id)) continue;
        aside_judge(aside, root);
        aside_free(aside);
        return;
    }
}

void talker_asides_drop(struct talker_line *line)
{
    while (!mn_list_is_empty(&line->asides))
        aside_free(MN_CONTAINER(line->asides.next, struct aside, list));
}
