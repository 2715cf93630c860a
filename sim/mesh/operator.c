/* An operator at a node's admin socket, who waits for each answer. */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"

#define PATIENCE (30 * MN_SEC)
#define STEP (20 * MN_MS)

const char *sim_host_node_id(const struct sim_host *host, char text[MN_ID_TEXT_SIZE])
{
    struct identity identity;

    identity_init(&identity, host->identity_seed);
    mn_id_format(&identity.node_id, text);
    identity_done(&identity);
    return text;
}

/* Outlives the question when the run fails before the answer. */
struct question {
    struct sim_answer *answer; /* NULL: nobody waits any more */
    bool is_over;
};

static void answered(struct sim *sim, void *context, const struct sim_response *response)
{
    struct question *question = context;
    struct sim_answer *answer = question->answer;

    (void)sim;
    if (answer == NULL) {
        mn_free(question);
        return;
    }
    question->is_over = true;
    answer->code = response->is_lost ? 0 : response->code;
    snprintf(answer->text, sizeof answer->text, "%.*s", (int)response->message.size,
             response->message.size == 0 ? "" : (const char *)response->message.data);
}

void sim_operator_ask(struct sim_host *host, const char *verb, const char *path, const char *body,
                      struct sim_answer *ret)
{
    struct sim *sim = host->sim;
    struct question *question = mn_alloc(sizeof *question);

    *ret = (struct sim_answer){0};
    *question = (struct question){.answer = ret};
    if (host->node != NULL)
        sim_http_ask(host, &(struct sim_request){.verb = verb,
                                                 .path = path,
                                                 .is_admin = true,
                                                 .body = mn_span_str(body),
                                                 .patience = PATIENCE,
                                                 .is_steadfast = true,
                                                 .on_end = answered,
                                                 .context = question});
    else
        question->is_over = true;
    while (!sim->has_failed && !question->is_over)
        sim_run_until(sim, sim->time + STEP);
    if (question->is_over)
        mn_free(question);
    else
        question->answer = NULL;
}

/* ---- a group without a quorum ---- */

#define RECOVER_TRIES 60

static bool group_answers(struct sim_host *host)
{
    struct sim_answer answer;

    sim_operator_ask(host, "GET", "/v1/consensus", "", &answer);
    return answer.code == 200 && strstr(answer.text, "\"quorum\":true") != NULL;
}

static bool group_waits(struct sim *sim, struct sim_host *host, uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds && !sim->has_failed; i++) {
        if (group_answers(host)) return true;
        sim_run_until(sim, sim->time + MN_SEC);
    }
    return group_answers(host);
}

bool sim_group_recover(struct sim *sim, struct sim_host *host)
{
    struct sim_answer answer = {0};
    char body[64];
    const char *plan;

    if (group_waits(sim, host, 30)) return false;
    for (uint32_t i = 0; i < RECOVER_TRIES && !sim->has_failed; i++) {
        sim_operator_ask(host, "GET", "/v1/consensus/recovery", "", &answer);
        plan = strstr(answer.text, "\"plan\":\"");
        if (plan != NULL) {
            snprintf(body, sizeof body, "{%.25s}", plan);
            sim_operator_ask(host, "POST", "/v1/consensus/recovery", body, &answer);
            if (answer.code == 200) break;
        }
        sim_run_until(sim, sim->time + MN_SEC);
    }
    MN_PROBE("sim: an operator begins the group anew");
    if (!sim->has_failed && !group_waits(sim, host, 60))
        sim_fail(sim, "the group has no quorum, and cannot be begun anew: %u %.300s", answer.code,
                 answer.text);
    return true;
}
