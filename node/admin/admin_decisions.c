/* Decisions: proposing one, voting for this node, looking. */
#include "node/admin/admin_internal.h"
#include "proto/base/text.h"

#define ADVICE "meshctl consensus log"
#define TIMEOUT_DEFAULT 2000 /* ms */
#define QUORUM_DEN 1000000u

/* The core by the mesh; NULL: it is not a member yet, which is told. */
static const struct decision *decisions_of(struct admin_request *request)
{
    const struct decision *decision = core_decision(request->admin->config.core);

    if (decision == NULL) admin_fail_not_ready(request);
    return decision;
}

static const char *name_of(struct admin_request *request, const mn_id *node)
{
    const struct membership *membership = core_membership(request->admin->config.core);
    const struct member *member = membership == NULL ? NULL : membership_find(membership, node);

    return member == NULL ? NULL : member->record->grant.name;
}

static void write_node(struct reply *reply, struct admin_request *request, const char *key,
                       const mn_id *node)
{
    const char *name = name_of(request, node);

    reply_object(reply, key);
    reply_id(reply, "id", node);
    if (name != NULL)
        reply_text(reply, "name", name);
    else
        reply_null(reply, "name");
    reply_object_end(reply);
}

static void write_decision(struct reply *reply, struct admin_request *request,
                           const struct decision_view *view)
{
    reply_id(reply, "id", &view->id);
    reply_str(reply, "topic", view->topic);
    reply_str(reply, "value", view->value);
    reply_text(reply, "outcome", decision_outcome_name(view->outcome));
    reply_bool(reply, "byzantine", view->is_byzantine);
    reply_bool(reply, "certified", view->is_certified);
    write_node(reply, request, "proposer", &view->proposer);
    reply_u64(reply, "quorum_num", view->quorum_num);
    reply_u64(reply, "quorum_den", view->quorum_den);
    reply_text(reply, "weights", view->basis == DECISION_EQUAL ? "equal" : "metric");
    reply_u64(reply, "total", view->total);
    reply_u64(reply, "yes", view->yes);
    reply_u64(reply, "no", view->no);
    reply_u64(reply, "abstain", view->abstain);
    reply_text(reply, "own", decision_choice_name(view->own));
    reply_bool(reply, "voter", view->is_voter);
    reply_time(reply, "created", view->created_ms * MN_MS);
    reply_time(reply, "deadline", view->deadline_ms * MN_MS);
}

static void write_votes(struct reply *reply, struct admin_request *request,
                        const struct decision_view *view)
{
    reply_array(reply, "votes");
    for (uint32_t i = 0; i < view->ballots_count; i++) {
        const struct decision_ballot *ballot = &view->ballots[i];
        reply_object(reply, NULL);
        write_node(reply, request, "node", &ballot->node_id);
        reply_u64(reply, "weight", ballot->weight);
        reply_text(reply, "choice", decision_choice_name(ballot->choice));
        if (ballot->cause != 0) /* of no vote too: why it has none yet */
            reply_text(reply, "cause", decision_cause_name(ballot->cause));
        else
            reply_null(reply, "cause");
        reply_object_end(reply);
    }
    reply_array_end(reply);
}

/* All of it, with the bytes that prove it. */
static void answer_one(struct admin_request *request, const struct decision *decision,
                       const mn_id *id)
{
    const mn_id mesh_id = core_self(request->admin->config.core).mesh_id;
    struct decision_view view;
    struct reply reply;
    struct mn_buf *proof;
    char *hex;

    if (decision_find(decision, id, &view) != MN_OK) {
        admin_fail_text(request, 404, "not_found", "this node knows no decision of that id",
                        ADVICE);
        return;
    }
    proof = decision_certificate(decision, id);
    hex = mn_arena_alloc(request->outbox->arena, 2 * (size_t)proof->size + 1);
    mn_hex_encode(mn_buf_span(proof), hex);
    mn_buf_unref(proof);
    reply_begin(&reply, "Decision");
    write_decision(&reply, request, &view);
    write_votes(&reply, request, &view);
    reply_id(&reply, "mesh", &mesh_id);
    reply_text(&reply, "certificate", hex);
    admin_answer(request, 200, &reply);
}

#define MATCHES_SHOWN 10 /* of an ambiguous id */

/* The decision whose id begins so; false: refused. */
static bool find_id(struct admin_request *request, const struct decision *decision,
                    struct mn_span prefix, mn_id *ret)
{
    struct mn_arena *arena = request->outbox->edge->arena;
    struct decision_view view;
    const char *all = "";
    char id[MN_ID_TEXT_SIZE];
    uint32_t count = 0;

    for (uint32_t i = 0; decision_at(decision, i, &view); i++) {
        if (!admin_id_begins(&view.id, prefix)) continue;
        if (++count <= MATCHES_SHOWN)
            all = mn_arena_format(arena, "%s%s%s", all, count == 1 ? "" : ", ",
                                  mn_id_format(&view.id, id));
        *ret = view.id;
    }
    if (count == 1) return true;
    if (count == 0)
        admin_fail_text(request, 404, "not_found",
                        mn_arena_format(arena,
                                        "this node knows no decision whose id begins so (%u digits "
                                        "at least)",
                                        ADMIN_PREFIX_MIN),
                        ADVICE);
    else
        admin_fail_text(request, 409, "ambiguous",
                        mn_arena_format(arena, "%.*s may be %u decisions: %s", (int)prefix.size,
                                        (const char *)prefix.data, count, all),
                        ADVICE);
    return false;
}

static bool read_id(struct admin_request *request, const struct decision *decision, mn_id *ret)
{
    struct mn_span rest = request->exchange->rest;

    return mn_id_parse(rest, ret) == MN_OK || find_id(request, decision, rest, ret);
}

static void log_handle(struct admin_request *request)
{
    const struct decision *decision = decisions_of(request);
    struct decision_view view;
    struct reply reply;

    if (decision == NULL) return;
    reply_list_begin(&reply, "DecisionList");
    for (uint32_t i = 0; decision_at(decision, i, &view); i++) {
        reply_object(&reply, NULL);
        write_decision(&reply, request, &view);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

static void show_handle(struct admin_request *request)
{
    const struct decision *decision = decisions_of(request);
    mn_id id;

    if (decision != NULL && read_id(request, decision, &id)) answer_one(request, decision, &id);
}

/* A number such as 0.75 in millionths, above a half and at most one; false: it is not that. */
static bool read_quorum(const struct json *body, uint32_t *ret)
{
    const struct json *value = json_find_str(body, "quorum");
    struct mn_span text = value == NULL ? mn_span_str("0.75") : value->raw;
    uint32_t number = 0, unit = QUORUM_DEN;
    bool is_behind = false;

    if (text.size == 0 || text.size > 16) return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '.' && !is_behind && i > 0) {
            is_behind = true;
        } else if (c < '0' || c > '9' || (!is_behind && i > 0)) {
            return false;
        } else {
            if (is_behind) unit /= 10;
            number += (uint32_t)(c - '0') * unit;
        }
    }
    *ret = number;
    return 2 * number > QUORUM_DEN && number <= QUORUM_DEN;
}

static bool read_weights(const struct json *body, enum decision_basis *ret)
{
    const struct json *value = json_find_str(body, "weights");

    *ret = DECISION_EQUAL;
    if (value == NULL || mn_span_is(json_text(value), "equal")) return true;
    *ret = DECISION_METRIC;
    return mn_span_is(json_text(value), "metric");
}

static void propose_handle(struct admin_request *request)
{
    const struct json *body = admin_body(request), *timeout;
    struct core_command command = {.type = CORE_DECISION_PROPOSE};
    int64_t timeout_ms = TIMEOUT_DEFAULT;

    if (body == NULL || decisions_of(request) == NULL) return;
    timeout = json_find_str(body, "timeout_ms");
    command.decision.topic = json_text(json_find_str(body, "topic"));
    command.decision.value = json_text(json_find_str(body, "value"));
    command.decision.quorum_den = QUORUM_DEN;
    if (command.decision.topic.size == 0 || command.decision.value.size == 0) {
        admin_fail_text(request, 400, "bad_request", "topic and value must be given",
                        "meshctl consensus propose deploy v2");
    } else if (!read_quorum(body, &command.decision.quorum_num)) {
        admin_fail_text(request, 400, "bad_request", "quorum: above 0.5, at most 1",
                        "meshctl consensus propose deploy v2 --quorum 0.75");
    } else if (timeout != NULL && (json_i64(timeout, &timeout_ms) != MN_OK || timeout_ms < 10 ||
                                   timeout_ms > (int64_t)(DECISION_TIMEOUT_MAX / MN_MS))) {
        admin_fail_text(request, 400, "bad_request", "timeout_ms: 10 to 3600000",
                        "meshctl consensus propose deploy v2 --timeout 2s");
    } else if (!read_weights(body, &command.decision.basis)) {
        admin_fail_text(request, 400, "bad_request", "weights: equal or metric",
                        "meshctl consensus propose deploy v2 --weights equal");
    } else {
        command.decision.timeout = (mn_time)timeout_ms * MN_MS;
        command.decision.is_byzantine = json_is_true(json_find_str(body, "byzantine"));
        admin_ask_core(request, command);
    }
}

static const char *why_not(mn_status status)
{
    switch ((int)status) {
    case MN_CONFIG:
        return "topic: 1 to 128 printable characters without blanks; value: 1 to 65536 bytes";
    case MN_DENIED: return "fewer than four members have a vote, or this node has none here";
    case MN_BUSY:
        return "256 decisions, or 16 byzantine ones, are open or bind this node; wait for some to "
               "end";
    case MN_EXISTS: return "this node has voted already, and votes once";
    case MN_EXPIRED: return "the deadline has passed";
    case MN_STATE:
        return "this node said yes to another value of the topic: it abstains until that one's "
               "deadline and 5 s more";
    case MN_NOT_FOUND: return "this node knows no decision of that id";
    case MN_NOT_YET:
        return "what this node knows of the members is not what the proposal says, so it says yes "
               "to "
               "nothing now: that passes within seconds after a node joined, died or came back";
    default: return mn_status_text(status);
    }
}

static void on_reply(struct admin_request *request, const struct core_reply *answer)
{
    const struct decision *decision = core_decision(request->admin->config.core);
    struct mn_span why = answer->text;

    if (answer->status == MN_OK) {
        answer_one(request, decision, &answer->id);
        return;
    }
    if (why.size == 0) why = mn_span_str(why_not(answer->status));
    admin_fail_status(request, answer->status, why,
                      answer->status == MN_DENIED ? "meshctl nodes" : ADVICE);
}

static void vote_handle(struct admin_request *request)
{
    struct core_command command = {.type = CORE_DECISION_VOTE};
    const struct json *body = admin_body(request);
    const struct decision *decision = body == NULL ? NULL : decisions_of(request);
    struct mn_span vote;

    if (decision == NULL || !read_id(request, decision, &command.node)) return;
    vote = json_text(json_find_str(body, "vote"));
    if (mn_span_is(vote, "yes"))
        command.decision.choice = DECISION_YES;
    else if (mn_span_is(vote, "no"))
        command.decision.choice = DECISION_NO;
    else if (mn_span_is(vote, "abstain"))
        command.decision.choice = DECISION_ABSTAIN;
    if (command.decision.choice == DECISION_NONE)
        admin_fail_text(request, 400, "bad_request", "vote: yes, no or abstain",
                        "meshctl consensus vote ID yes");
    else
        admin_ask_core(request, command);
}

/* Whom this node holds evidence against. */
static void evidence_handle(struct admin_request *request)
{
    const mn_id mesh_id = core_self(request->admin->config.core).mesh_id;
    const struct decision *decision = decisions_of(request);
    struct decision_conviction held;
    struct reply reply;

    if (decision == NULL) return;
    reply_list_begin(&reply, "EvidenceList");
    for (uint32_t i = 0; decision_conviction_at(decision, i, &held); i++) {
        char *hex = mn_arena_alloc(request->outbox->arena, 2 * held.proof.size + 1);
        mn_hex_encode(held.proof, hex);
        reply_object(&reply, NULL);
        write_node(&reply, request, "node", &held.node);
        reply_text(&reply, "lie", decision_lie_name(held.lie));
        reply_id(&reply, "decision", &held.about);
        reply_time(&reply, "seen", held.seen_ms * MN_MS);
        reply_id(&reply, "mesh", &mesh_id);
        reply_text(&reply, "proof", hex);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

static void write_number(struct reply *reply, const char *key, double number)
{
    struct mn_writer writer = {0};
    struct mn_buf *text;

    if (number != number) { /* not known */
        reply_null(reply, key);
        return;
    }
    mn_writer_format(&writer, "%.6g", number);
    text = mn_writer_done(&writer);
    reply_raw(reply, key, mn_buf_span(text));
    mn_buf_unref(text);
}

/* How this node votes by itself: its rules, and the numbers that they look at. */
static void policy_handle(struct admin_request *request)
{
    const struct core *core = request->admin->config.core;
    const struct policy_rule *rules;
    struct metrics metrics;
    struct reply reply;
    uint32_t count;

    core_measure(core, &metrics);
    rules = core_rules(core, &count);
    reply_begin(&reply, "VotingPolicy");
    reply_array(&reply, "rules");
    for (uint32_t i = 0; i < count; i++) {
        bool is_known, holds = policy_holds(&rules[i], mn_span(NULL, 0), &metrics, &is_known);
        reply_object(&reply, NULL);
        reply_str(&reply, "rule", rules[i].text);
        if (is_known)
            reply_bool(&reply, "holds", holds);
        else
            reply_null(&reply, "holds");
        reply_object_end(&reply);
    }
    reply_array_end(&reply);
    reply_array(&reply, "metrics");
    for (uint32_t i = 0; i < METRIC_COUNT; i++) {
        reply_object(&reply, NULL);
        reply_text(&reply, "name", metric_name((enum metric)i));
        write_number(&reply, "value", metrics.values[i]);
        reply_text(&reply, "about", metric_about((enum metric)i));
        reply_object_end(&reply);
    }
    reply_array_end(&reply);
    write_number(&reply, "score", metrics_weight(&metrics) / 1000.0);
    admin_answer(request, 200, &reply);
}

const struct admin_route admin_decision_routes[] = {
    {"GET", "/v1/policy/voting", NULL, policy_handle, NULL, NULL, NULL},
    {"GET", "/v1/evidence", NULL, evidence_handle, NULL, NULL, NULL},
    {"GET", "/v1/decisions", NULL, log_handle, NULL, NULL, NULL},
    {"POST", "/v1/decisions", NULL, propose_handle, NULL, on_reply, NULL},
    {"GET", "/v1/decisions/*", NULL, show_handle, NULL, NULL, NULL},
    {"POST", "/v1/decisions/*/vote", NULL, vote_handle, NULL, on_reply, NULL},
    {0},
};
