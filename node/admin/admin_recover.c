/* Replicas compared, and a metadata group that has lost its quorum: what can be done, and doing it.
 * Both ask nodes how far they are; the group itself may answer nobody. */
#include "crypto/digest.h"
#include "crypto/recovery.h"
#include "node/admin/admin_internal.h"
#include "node/state/rescue.h"
#include "proto/base/text.h"

#define SURVEY_TIME (3 * MN_SEC)
#define VERIFY_TIME (5 * MN_SEC)
#define ORDER_TIME (15 * MN_SEC)
#define PLAN_SIZE 8 /* bytes of the hash that names a plan */
#define ADVICE_PLAN "meshctl consensus recover"

/* ---- whom to ask ---- */

void admin_survey_nodes(struct admin_request *request, struct state_survey_ask *ask, bool is_group)
{
    const struct membership *membership = core_membership(request->admin->config.core);
    const struct member *member = NULL;
    struct raft_view view = {0};
    mn_id *nodes = mn_arena_alloc(request->outbox->edge->arena, STATE_SURVEY_MAX * sizeof *nodes);

    ask->nodes = nodes;
    is_group = state_view(request->admin->config.state, &view) && is_group;
    while (membership != NULL && ask->count < STATE_SURVEY_MAX &&
           (member = membership_next(membership, member)) != NULL) {
        if (member->status != MEMBER_ALIVE && member->status != MEMBER_SUSPECT) continue;
        if (is_group && quorum_find(view.config, &member->node_id) < 0) continue;
        nodes[ask->count++] = member->node_id;
    }
    if (ask->count == 0) nodes[ask->count++] = core_self(request->admin->config.core).node_id;
}

static void survey(struct admin_request *request)
{
    struct state_request state = {.type = STATE_SURVEY, .timeout = SURVEY_TIME};

    admin_survey_nodes(request, &state.survey, false);
    admin_ask_state(request, state);
}

/* ---- the plan ---- */

/* Whom membership has forgotten was not there since this node began, or longer. */
static void write_dead(struct admin_request *request, const struct state_answer *answer,
                       struct rescue_input *input)
{
    struct rescue_lost *dead = mn_arena_alloc(
        request->outbox->arena, answer->positions_count * QUORUM_MEMBERS_MAX * sizeof *dead);

    input->dead = dead;
    for (uint32_t i = 0; i < answer->positions_count; i++)
        for (uint32_t k = 0; k < answer->positions[i].config.members_count; k++) {
            const mn_id *id = &answer->positions[i].config.members[k].id;
            const struct member *member = admin_member(request, id);
            mn_time since = core_self(request->admin->config.core).started;
            if (member != NULL &&
                (member->status == MEMBER_ALIVE || member->status == MEMBER_SUSPECT))
                continue;
            if (member != NULL) since = member->since;
            dead[input->dead_count++] = (struct rescue_lost){*id, since};
        }
}

static struct rescue_plan judge(struct admin_request *request, const struct state_answer *answer)
{
    struct rescue_input input = {.now = request->now.mono,
                                 .positions = answer->positions,
                                 .positions_count = answer->positions_count};

    write_dead(request, answer, &input);
    return rescue_judge(&input);
}

/* Names exactly what would be done: whoever applies it has seen it. */
static const char *plan_name(struct admin_request *request, const struct rescue_plan *plan)
{
    uint8_t hash[PLAN_SIZE];
    struct mn_writer text = {0};
    char *hex = mn_arena_alloc(request->outbox->edge->arena, 2 * sizeof hash + 1);

    mn_writer_add(&text, mn_span(plan->best->node.bytes, sizeof plan->best->node));
    for (uint32_t i = 0; i < plan->lost_count; i++)
        mn_writer_add(&text, mn_span(plan->lost[i].node.bytes, sizeof plan->lost[i].node));
    mn_writer_format(&text, "%llu %llu %llu", (unsigned long long)plan->epoch,
                     (unsigned long long)plan->best->last_index,
                     (unsigned long long)plan->best->last_term);
    digest_one(DIGEST_RESCUE, mn_buf_span(text.buf), hash, sizeof hash);
    mn_writer_drop(&text);
    mn_hex_encode(mn_span(hash, sizeof hash), hex);
    return hex;
}

static const char *lost_names(struct admin_request *request, const struct rescue_plan *plan)
{
    const char *names = "";

    for (uint32_t i = 0; i < plan->lost_count; i++)
        names = mn_arena_format(request->outbox->edge->arena, "%s%s%s", names, i == 0 ? "" : ", ",
                                admin_member_name(request, &plan->lost[i].node));
    return names;
}

/* What would be lost, as exactly as those who are left can know it. */
static const char *explain_loss(struct admin_request *request, const struct rescue_plan *plan)
{
    struct mn_arena *arena = request->outbox->edge->arena;
    unsigned long long last = plan->best->last_index, commit = plan->known_commit;

    if (plan->is_lossless)
        return "nothing that was acknowledged is lost: the lost voters were no majority by "
               "themselves";
    if (commit > last)
        return mn_arena_format(
            arena,
            "entries %llu to %llu are lost, which a node that answers knows were "
            "acknowledged; and whatever the lost voters acknowledged after that",
            last + 1, commit);
    return mn_arena_format(
        arena,
        "the lost voters were a majority: whatever they acknowledged after entry "
        "%llu is lost. Nobody who answers knows of any",
        last);
}

static const char *explain(struct admin_request *request, const struct rescue_plan *plan)
{
    struct mn_arena *arena = request->outbox->edge->arena;

    switch (plan->verdict) {
    case RESCUE_POSSIBLE:
        return mn_arena_format(arena,
                               "%s begins the group anew with its log up to entry %llu (%u keys); "
                               "given up: %s. %s",
                               admin_member_name(request, &plan->best->node),
                               (unsigned long long)plan->best->last_index, plan->best->keys_count,
                               lost_names(request, plan), explain_loss(request, plan));
    case RESCUE_NOT_NEEDED:
        return "nothing to recover: the group has a leader, or a quorum that elects one";
    case RESCUE_TOO_SOON:
        return mn_arena_format(arena,
                               "wait, or start them: %s; a voter is given up when it was dead for "
                               "30 s",
                               lost_names(request, plan));
    case RESCUE_NOBODY: break;
    }
    return "no node that answers has a whole log of the group: start a voter, or restore its data";
}

static const char *verdict_name(enum rescue_verdict verdict)
{
    static const char *const names[] = {"", "possible", "not_needed", "too_soon", "nobody"};
    return names[verdict];
}

static void write_plan(struct reply *reply, struct admin_request *request,
                       const struct rescue_plan *plan, const struct state_answer *answer)
{
    bool is_possible = plan->verdict == RESCUE_POSSIBLE;

    reply_text(reply, "verdict", verdict_name(plan->verdict));
    reply_text(reply, "message", explain(request, plan));
    if (is_possible)
        reply_text(reply, "plan", plan_name(request, plan));
    else
        reply_null(reply, "plan");
    if (plan->best != NULL)
        reply_text(reply, "begins", admin_member_name(request, &plan->best->node));
    else
        reply_null(reply, "begins");
    reply_u64(reply, "epoch", plan->epoch);
    reply_bool(reply, "lossless", plan->best != NULL && plan->is_lossless);
    reply_array(reply, "lost");
    for (uint32_t i = 0; i < plan->lost_count; i++)
        reply_text(reply, NULL, admin_member_name(request, &plan->lost[i].node));
    reply_array_end(reply);
    reply_array(reply, "items");
    for (uint32_t i = 0; i < answer->positions_count; i++) {
        const struct state_position *position = &answer->positions[i];
        reply_object(reply, NULL);
        reply_text(reply, "node", admin_member_name(request, &position->node));
        reply_id(reply, "id", &position->node);
        reply_bool(reply, "votes", quorum_is_voter(&position->config, &position->node));
        reply_u64(reply, "epoch", position->epoch);
        reply_u64(reply, "term", position->last_term);
        reply_u64(reply, "last", position->last_index);
        reply_u64(reply, "commit", position->commit);
        reply_text(reply, "log", position->is_wounded ? "lost" : "whole");
        reply_object_end(reply);
    }
    reply_list_end(reply);
}

static void on_plan(struct admin_request *request, const struct state_answer *answer)
{
    struct rescue_plan plan;
    struct reply reply;

    if (admin_state_told(request, answer)) return;
    plan = judge(request, answer);
    reply_begin(&reply, "ConsensusRecovery");
    write_plan(&reply, request, &plan, answer);
    admin_answer(request, 200, &reply);
}

/* ---- applying it ---- */

static void apply_handle(struct admin_request *request)
{
    const struct json *body = admin_body(request);

    if (body == NULL) return;
    if (!request->exchange->is_admin)
        admin_fail_text(request, 403, "not_allowed",
                        "a group is begun anew only over the admin socket of an issuer",
                        ADVICE_PLAN);
    else if (json_text(json_find_str(body, "plan")).size == 0)
        admin_fail_text(request, 400, "bad_request", "plan: the name of the plan you have seen",
                        ADVICE_PLAN);
    else if (!core_self(request->admin->config.core).is_issuer)
        admin_fail_text(request, 403, "not_allowed",
                        "this node is no issuer, and an issuer must sign it: do it there. If none "
                        "is left, meshnode authority recover makes one",
                        "meshctl keys");
    else
        survey(request);
}

/* Whoever begins is told; the others hear it from there, once it has. */
static void order(struct admin_request *request, const struct rescue_plan *plan)
{
    struct recovery recovery = {.epoch = plan->epoch,
                                .node = plan->best->node,
                                .last_index = plan->best->last_index,
                                .last_term = plan->best->last_term};
    struct state_request state = {.type = STATE_ORDER, .timeout = ORDER_TIME};
    struct mn_arena *arena = request->outbox->edge->arena;
    struct mn_buf *bytes;
    mn_id *node = mn_arena_alloc(arena, sizeof *node);

    for (uint32_t i = 0; i < plan->lost_count && i < RECOVERY_LOST_MAX; i++)
        recovery.lost[recovery.lost_count++] = plan->lost[i].node;
    bytes = core_recovery_sign(request->admin->config.core, &recovery);
    *node = recovery.node;
    state.survey.nodes = node;
    state.survey.count = 1;
    state.survey.order = mn_arena_copy(arena, mn_buf_span(bytes));
    state.survey.epoch = recovery.epoch;
    mn_buf_unref(bytes);
    request->exchange->is_chosen = true;
    admin_ask_state(request, state);
}

static void on_ordered(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    if (answer->status != MN_OK) {
        admin_fail_text(request, 504, "unknown",
                        "the node that shall begin has not said that it did: look again",
                        ADVICE_PLAN);
        return;
    }
    reply_begin(&reply, "ConsensusDone");
    reply_u64(&reply, "rev", answer->positions[0].commit);
    admin_answer(request, 200, &reply);
}

static void on_apply(struct admin_request *request, const struct state_answer *answer)
{
    const struct json *body;
    struct rescue_plan plan;

    if (request->exchange->is_chosen) {
        on_ordered(request, answer);
        return;
    }
    if (admin_state_told(request, answer)) return;
    plan = judge(request, answer);
    body = admin_body(request);
    if (body == NULL) return;
    if (plan.verdict != RESCUE_POSSIBLE)
        admin_fail_text(request, 409, "conflict", explain(request, &plan), ADVICE_PLAN);
    else if (!mn_span_is(json_text(json_find_str(body, "plan")), plan_name(request, &plan)))
        admin_fail_text(request, 409, "conflict", "things have changed since that plan: look again",
                        ADVICE_PLAN);
    else
        order(request, &plan);
}

/* ---- replicas compared ---- */

static void verify_handle(struct admin_request *request)
{
    admin_ask_state(request, (struct state_request){.type = STATE_COMMAND,
                                                    .command.verb = STRONG_VERIFY,
                                                    .timeout = VERIFY_TIME});
}

/* What most of them are; NULL: none has said. */
static const uint8_t *common_digest(const struct state_answer *answer)
{
    const uint8_t *best = NULL;
    uint32_t best_count = 0;

    for (uint32_t i = 0; i < answer->positions_count; i++) {
        uint32_t count = 0;
        if (!answer->positions[i].has_digest) continue;
        for (uint32_t k = 0; k < answer->positions_count; k++)
            count += answer->positions[k].has_digest &&
                     memcmp(answer->positions[i].digest, answer->positions[k].digest,
                            STRONG_DIGEST_SIZE) == 0;
        if (count > best_count) best = answer->positions[i].digest;
        if (count > best_count) best_count = count;
    }
    return best;
}

static const struct state_position *position_of(const struct state_answer *answer, const mn_id *id)
{
    for (uint32_t i = 0; i < answer->positions_count; i++)
        if (mn_id_equal(&answer->positions[i].node, id)) return &answer->positions[i];
    return NULL;
}

/* What is known of a replica at revision [rev]. */
static const char *replica_is(const struct state_position *position, const uint8_t *common,
                              uint64_t rev)
{
    if (position == NULL) return "no answer";
    if (position->has_digest)
        return memcmp(position->digest, common, STRONG_DIGEST_SIZE) == 0 ? "equal" : "differs";
    /* No member by its own log, or given a snapshot in place of what it was then. */
    if (!position->is_member || position->applied > rev) return "being made";
    return "behind";
}

static void write_replica(struct reply *reply, struct admin_request *request, const mn_id *id,
                          const struct state_position *position, const char *what)
{
    reply_object(reply, NULL);
    reply_text(reply, "node", admin_member_name(request, id));
    reply_id(reply, "id", id);
    reply_text(reply, "replica", what);
    if (position != NULL)
        reply_u64(reply, "applied", position->applied);
    else
        reply_null(reply, "applied");
    reply_object_end(reply);
}

static void on_compared(struct admin_request *request, const struct state_answer *answer)
{
    const uint8_t *common = common_digest(answer);
    struct raft_view view = {0};
    static const struct quorum_config nobody;
    bool is_equal = common != NULL;
    struct reply reply;

    if (!state_view(request->admin->config.state, &view)) view.config = &nobody;
    for (uint32_t i = 0; i < answer->positions_count; i++)
        if (answer->positions[i].has_digest &&
            memcmp(answer->positions[i].digest, common, STRONG_DIGEST_SIZE) != 0)
            is_equal = false;
    reply_begin(&reply, "ConsensusVerify");
    reply_u64(&reply, "rev", request->exchange->after);
    reply_bool(&reply, "equal", is_equal);
    reply_array(&reply, "items");
    for (uint32_t i = 0; i < view.config->members_count; i++) {
        const mn_id *id = &view.config->members[i].id;
        const struct state_position *position = position_of(answer, id);
        write_replica(&reply, request, id, position,
                      replica_is(position, common, request->exchange->after));
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

static void on_verify(struct admin_request *request, const struct state_answer *answer)
{
    struct state_request state = {.type = STATE_SURVEY, .timeout = VERIFY_TIME};

    if (request->exchange->is_chosen) {
        on_compared(request, answer);
        return;
    }
    if (admin_state_told(request, answer)) return;
    request->exchange->is_chosen = true;
    request->exchange->after = answer->reply.rev;
    state.survey.digest_at = answer->reply.rev;
    admin_survey_nodes(request, &state.survey, true);
    admin_ask_state(request, state);
}

const struct admin_route admin_recover_routes[] = {
    {"GET", "/v1/consensus/recovery", NULL, survey, NULL, NULL, on_plan},
    {"POST", "/v1/consensus/recovery", NULL, apply_handle, NULL, NULL, on_apply},
    {"POST", "/v1/consensus/verify", NULL, verify_handle, NULL, NULL, on_verify},
    {0},
};
