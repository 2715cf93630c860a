/* The metadata group: who votes, who leads, how far everybody is, and what to do when it stands. */
#include "node/admin/admin_internal.h"

#define ADVICE "meshctl consensus status"
#define STATUS_TIMEOUT MN_SEC
#define SURVEY_TIMEOUT (2 * MN_SEC)
#define CHANGE_TIMEOUT (5 * MN_SEC)

/* A number, or null for 0: nobody has said or measured one. */
static void write_some(struct reply *reply, const char *name, uint64_t value)
{
    if (value > 0)
        reply_u64(reply, name, value);
    else
        reply_null(reply, name);
}

const struct member *admin_member(struct admin_request *request, const mn_id *node)
{
    const struct membership *membership = core_membership(request->admin->config.core);
    return membership == NULL ? NULL : membership_find(membership, node);
}

static bool is_away(const struct member *member)
{
    return member == NULL || member->status != MEMBER_ALIVE;
}

const char *admin_member_name(struct admin_request *request, const mn_id *node)
{
    const struct member *member = admin_member(request, node);
    char text[MN_ID_TEXT_SIZE];

    if (member != NULL) return member->record->grant.name;
    return mn_arena_format(request->outbox->edge->arena, "%.8s", mn_id_format(node, text));
}

/* ---- status ---- */

static bool match_of(const struct state_answer *answer, const mn_id *node, uint64_t *ret)
{
    for (uint32_t i = 0; answer->status == MN_OK && i < answer->progress_count; i++) {
        if (!mn_id_equal(&answer->progress[i].node, node)) continue;
        *ret = answer->progress[i].match;
        return true;
    }
    return false;
}

static void write_row(struct reply *reply, struct admin_request *request,
                      const struct raft_view *view, const struct quorum_member *member,
                      const struct state_answer *answer)
{
    const struct member *known = admin_member(request, &member->id);
    bool is_leader = answer->status == MN_OK && mn_id_equal(&view->leader, &member->id);
    uint64_t match = 0, commit = answer->status == MN_OK ? answer->commit : view->commit;

    reply_object(reply, NULL);
    reply_text(reply, "node", admin_member_name(request, &member->id));
    reply_id(reply, "id", &member->id);
    reply_text(reply, "role", is_leader ? "leader" : (member->is_learner ? "learner" : "voter"));
    reply_u64(reply, "weight", member->weight);
    reply_u64(reply, "term", answer->status == MN_OK ? answer->term : view->term);
    if (match_of(answer, &member->id, &match)) {
        reply_u64(reply, "commit", match < commit ? match : commit);
        reply_u64(reply, "lag", match < commit ? commit - match : 0);
    } else {
        reply_null(reply, "commit");
        reply_null(reply, "lag");
    }
    reply_text(reply, "status", known == NULL ? "unknown" : member_status_name(known->status));
    if (known == NULL || (!known->is_self && known->last_seen == 0))
        reply_null(reply, "last_seen_ms");
    else
        reply_ms(reply, "last_seen_ms", known->is_self ? 0 : request->now.mono - known->last_seen);
    admin_write_version(reply, request, &member->id);
    reply_object_end(reply);
}

/* The configuration in the newest whole log that somebody has, else in any. */
static const struct quorum_config *newest_config(const struct state_answer *answer)
{
    const struct state_position *best = NULL;

    for (uint32_t i = 0; i < answer->positions_count; i++) {
        const struct state_position *position = &answer->positions[i];
        if (position->config.members_count == 0) continue;
        if (best == NULL || (best->is_wounded && !position->is_wounded) ||
            (best->is_wounded == position->is_wounded &&
             (position->last_term > best->last_term ||
              (position->last_term == best->last_term && position->last_index > best->last_index))))
            best = position;
    }
    return best == NULL ? NULL : &best->config;
}

static const struct state_position *position_of(const struct state_answer *answer,
                                                const mn_id *node)
{
    for (uint32_t i = 0; i < answer->positions_count; i++)
        if (mn_id_equal(&answer->positions[i].node, node)) return &answer->positions[i];
    return NULL;
}

static const char *add_name(struct admin_request *request, const char *names, const mn_id *node)
{
    return mn_arena_format(request->outbox->edge->arena, "%s%s%s", names,
                           *names == '\0' ? "" : ", ", admin_member_name(request, node));
}

/* Enough may be here, and yet nobody can be elected: who has lost its log has no vote until a
 * leader has sent it all again. NULL: that is not what is wrong. */
static const char *diagnose_lost(struct admin_request *request, const struct state_answer *answer)
{
    const struct quorum_config *config = newest_config(answer);
    const char *names = "", *missing = "";
    uint64_t lost = 0, whole = 0, total;

    if (config == NULL) return NULL;
    total = quorum_total(config, QUORUM_NEW);
    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct quorum_member *voter = &config->members[i];
        const struct state_position *position = position_of(answer, &voter->id);
        if (voter->weight == 0) continue;
        if (position == NULL) {
            missing = add_name(request, missing, &voter->id);
        } else if (position->is_wounded) {
            names = add_name(request, names, &voter->id);
            lost += voter->weight;
        } else {
            whole += voter->weight;
        }
    }
    if (lost == 0 || 2 * whole > total) return NULL;
    return mn_arena_format(request->outbox->edge->arena,
                           "no quorum: weight %llu of %llu has lost its log, and its vote with it: "
                           "%s%s%s%s. If no more come back: meshctl consensus recover --plan",
                           (unsigned long long)lost, (unsigned long long)total, names,
                           *missing == '\0' ? "" : "; missing: ", missing,
                           *missing == '\0' ? "" : ", start these nodes");
}

struct admin_quorum admin_quorum_of(struct admin_request *request,
                                    const struct quorum_config *config,
                                    bool (*away)(const struct member *))
{
    struct admin_quorum quorum = {.missing = ""};
    enum quorum_half half;
    uint32_t here = 0;

    for (uint32_t i = 0; i < config->members_count; i++)
        if (!away(admin_member(request, &config->members[i].id))) here |= 1u << i;
    quorum.is_lacking = quorum_lacks(config, here, &half);
    if (!quorum.is_lacking) half = QUORUM_NEW;
    quorum.is_old = half == QUORUM_OLD;
    quorum.here = quorum_sum(config, here, half);
    quorum.total = quorum_total(config, half);
    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct member *member = admin_member(request, &config->members[i].id);
        if ((here >> i & 1) != 0 || quorum_weight(config, i, half) == 0) continue;
        quorum.missing = add_name(request, quorum.missing, &config->members[i].id);
        if (member != NULL && member->since > quorum.since) quorum.since = member->since;
    }
    return quorum;
}

/* One line: well; or who is missing, since when, what to do. */
static const char *diagnose(struct admin_request *request, const struct raft_view *view,
                            const struct state_answer *answer)
{
    struct mn_arena *arena = request->outbox->edge->arena;
    const char *lost = answer->status == MN_OK ? NULL : diagnose_lost(request, answer);
    struct admin_quorum quorum;

    if (lost != NULL) return lost;
    if (view->config->members_count == 0)
        return "this node is no member of the group and has not heard of it yet";
    quorum = admin_quorum_of(request, view->config, is_away);
    if (quorum.is_lacking)
        return mn_arena_format(
            arena,
            "no quorum: weight %llu of %llu%s is here; missing: %s%s. Start these nodes; if they "
            "are lost for good: meshctl consensus recover",
            (unsigned long long)quorum.here, (unsigned long long)quorum.total,
            quorum.is_old ? " of those who voted before a change that is under way" : "",
            quorum.missing,
            quorum.since == 0
                ? ""
                : mn_arena_format(
                      arena, ", for %llu s",
                      (unsigned long long)((request->now.mono - quorum.since) / MN_SEC)));
    if (answer->status != MN_OK)
        return "a majority is here, but nobody answers as leader: an election is under way, or "
               "links between voters are cut (meshctl nodes)";
    if (state_is_full(request->admin->config.state))
        return "this node's disk has no room for the log: free some, it resumes by itself";
    if (*quorum.missing != '\0')
        return mn_arena_format(arena,
                               "has a quorum; missing: %s; replaced after 30 s, if another "
                               "node may vote",
                               quorum.missing);
    if (view->is_wounded) return "has a quorum; this node's log was lost and is being refetched";
    return "well";
}

static void status_handle(struct admin_request *request)
{
    admin_ask_state(request,
                    (struct state_request){.type = STATE_PROGRESS, .timeout = STATUS_TIMEOUT});
}

/* Nobody leads: each member says what it has. */
static void ask_why(struct admin_request *request)
{
    struct state_request state = {.type = STATE_SURVEY, .timeout = SURVEY_TIMEOUT};

    request->exchange->is_chosen = true;
    admin_survey_nodes(request, &state.survey, false);
    admin_ask_state(request, state);
}

static void on_status(struct admin_request *request, const struct state_answer *answer)
{
    const struct state *state = request->admin->config.state;
    struct raft_view view = {0};
    static const struct quorum_config nobody;
    struct state_answer silent = {.status = MN_UNREACHABLE};
    struct reply reply;

    if (answer->status != MN_OK && !request->exchange->is_chosen) {
        ask_why(request);
        return;
    }
    if (request->exchange->is_chosen) { /* the group answers nobody; its members do */
        silent.positions = answer->positions;
        silent.positions_count = answer->positions_count;
        answer = &silent;
    }
    if (!state_view(state, &view)) view.config = &nobody;
    reply_begin(&reply, "ConsensusStatus");
    reply_text(&reply, "group", "metadata");
    reply_u64(&reply, "epoch", state_epoch(state));
    if (mn_id_is_zero(&view.leader) || answer->status != MN_OK)
        reply_null(&reply, "leader"); /* nobody answers as one */
    else
        reply_id(&reply, "leader", &view.leader);
    reply_u64(&reply, "term", view.term);
    reply_u64(&reply, "commit", view.commit);
    reply_u64(&reply, "applied", state_applied(state));
    reply_bool(&reply, "quorum", answer->status == MN_OK);
    reply_bool(&reply, "joint", view.config->is_joint);
    reply_text(&reply, "diagnosis", diagnose(request, &view, answer));
    reply_array(&reply, "items");
    for (uint32_t i = 0; i < view.config->members_count; i++)
        write_row(&reply, request, &view, &view.config->members[i], answer);
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

/* ---- who votes, with what weight, and who wants it so ---- */

/* What is there of a node, as far as is known; zeros otherwise. */
struct votes {
    mn_id id;
    const struct member *known;
    const struct quorum_member *member;
    const struct state_progress *progress;
};

static const char *votes_role(const struct raft_view *view, const struct votes *votes)
{
    if (votes->member == NULL) return "none";
    if (votes->member->weight == 0) return "learner";
    return mn_id_equal(&view->leader, &votes->id) ? "leader" : "voter";
}

static void write_votes(struct reply *reply, struct admin_request *request,
                        const struct raft_view *view, const struct votes *votes)
{
    static const struct state_progress nothing;
    const struct state_progress *progress = votes->progress != NULL ? votes->progress : &nothing;
    const struct record_self *said = votes->known == NULL ? NULL : &votes->known->record->said;
    uint64_t total = quorum_total(view->config, QUORUM_NEW);
    uint32_t weight = votes->member == NULL ? 0 : votes->member->weight;

    reply_object(reply, NULL);
    reply_text(reply, "node", admin_member_name(request, &votes->id));
    reply_id(reply, "id", &votes->id);
    reply_text(reply, "role", votes_role(view, votes));
    reply_u64(reply, "weight", weight);
    reply_u64(reply, "share_percent", total == 0 ? 0 : 100 * (uint64_t)weight / total);
    write_some(reply, "wanted_weight", progress->wish.weight);
    write_some(reply, "said_weight", said == NULL ? 0 : said->weight);
    write_some(reply, "advised_weight", progress->advised);
    if (progress->ack > 0)
        reply_ms(reply, "ack_ms", progress->ack);
    else
        reply_null(reply, "ack_ms");
    if (progress->wish.role != 0)
        reply_text(reply, "wanted_role", metadata_role_name(progress->wish.role));
    else
        reply_null(reply, "wanted_role");
    reply_text(reply, "said_role", said == NULL ? "unknown" : grant_role_name(said->role));
    reply_str(reply, "region", said == NULL ? mn_span_str("") : said->region);
    reply_text(reply, "status",
               votes->known == NULL ? "unknown" : member_status_name(votes->known->status));
    reply_object_end(reply);
}

/* What the leader said, or this node knows. */
static const struct state_progress *progress_of(struct admin_request *request,
                                                const struct state_answer *answer, const mn_id *id)
{
    struct state_progress *local;

    for (uint32_t i = 0; answer->status == MN_OK && i < answer->progress_count; i++)
        if (mn_id_equal(&answer->progress[i].node, id)) return &answer->progress[i];
    if (answer->status == MN_OK) return NULL;
    local = mn_arena_alloc(request->outbox->arena, sizeof *local);
    local->wish = state_wish_of(request->admin->config.state, id);
    return local;
}

/* Members of the group first, then the other nodes of the mesh. */
static void write_all_votes(struct reply *reply, struct admin_request *request,
                            const struct raft_view *view, const struct state_answer *answer)
{
    const struct membership *membership = core_membership(request->admin->config.core);
    const struct member *member = NULL;

    for (uint32_t i = 0; i < view->config->members_count; i++) {
        struct votes votes = {.id = view->config->members[i].id,
                              .member = &view->config->members[i]};
        votes.known = admin_member(request, &votes.id);
        votes.progress = progress_of(request, answer, &votes.id);
        write_votes(reply, request, view, &votes);
    }
    while (membership != NULL && (member = membership_next(membership, member)) != NULL) {
        struct votes votes = {.id = member->node_id, .known = member};
        if (quorum_find(view->config, &votes.id) >= 0) continue;
        votes.progress = progress_of(request, answer, &votes.id);
        write_votes(reply, request, view, &votes);
    }
}

static void on_nodes(struct admin_request *request, const struct state_answer *answer)
{
    struct raft_view view = {0};
    static const struct quorum_config nobody;
    struct reply reply;

    if (!state_view(request->admin->config.state, &view)) view.config = &nobody;
    reply_begin(&reply, "ConsensusNodes");
    reply_bool(&reply, "quorum", answer->status == MN_OK);
    reply_bool(&reply, "advisor", answer->is_advised);
    reply_u64(&reply, "gain_percent", answer->gain_permille / 10);
    reply_array(&reply, "items");
    write_all_votes(&reply, request, &view, answer);
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

/* ---- changes ---- */

/* A member by name or the beginning of its id, or any whole id; false: refused. */
static bool find_node(struct admin_request *request, struct mn_span text, mn_id *ret)
{
    const struct member *member;

    if (mn_id_parse(text, ret) == MN_OK) return true;
    member = admin_find_node(request, text);
    if (member != NULL) *ret = member->node_id;
    return member != NULL;
}

/* One of role and weight, as what the node is to be; false: refused. */
static bool read_wish(struct admin_request *request, const struct json *body,
                      struct state_request *state)
{
    const struct json *role = json_find_str(body, "role"), *weight = json_find_str(body, "weight");
    int64_t number = 0;

    if ((role == NULL) == (weight == NULL)) {
        admin_fail_text(request, 400, "bad_request", "one of role and weight is needed",
                        "see docs/API.md");
        return false;
    }
    state->wish_of = role != NULL ? STATE_WISH_ROLE : STATE_WISH_WEIGHT;
    for (enum metadata_role r = METADATA_EDGE; role != NULL && r <= METADATA_VOTER; r++)
        if (mn_span_is(json_text(role), metadata_role_name(r))) state->wish.role = r;
    if (role != NULL && !json_is(role, JSON_NULL) && state->wish.role == 0) {
        admin_fail_text(request, 400, "bad_request",
                        "role: edge, learner, auto or voter; null: what the node says",
                        "meshctl consensus voters");
        return false;
    }
    if (weight != NULL &&
        (json_i64(weight, &number) != MN_OK || number < 0 || number > METADATA_WEIGHT_MAX)) {
        admin_fail_text(request, 400, "bad_request", "weight: 1 to 1000; 0: what the node says",
                        "meshctl consensus weights");
        return false;
    }
    state->wish.weight = (uint32_t)number;
    return true;
}

static void wish_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_WISH, .timeout = CHANGE_TIMEOUT};
    const struct json *body = admin_body(request);

    if (body != NULL && find_node(request, request->exchange->rest, &state.node) &&
        read_wish(request, body, &state))
        admin_ask_state(request, state);
}

static void advisor_handle(struct admin_request *request)
{
    struct state_request state = {
        .type = STATE_WISH, .wish_of = STATE_WISH_ADVISED, .timeout = CHANGE_TIMEOUT};
    const struct json *body = admin_body(request), *is_on;

    if (body == NULL) return;
    is_on = json_find_str(body, "on");
    if (!json_is(is_on, JSON_TRUE) && !json_is(is_on, JSON_FALSE)) {
        admin_fail_text(request, 400, "bad_request", "on: true or false",
                        "meshctl consensus weights auto on");
        return;
    }
    state.wish.is_advised = json_is(is_on, JSON_TRUE);
    admin_ask_state(request, state);
}

static void transfer_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_TRANSFER, .timeout = CHANGE_TIMEOUT};

    if (find_node(request, request->exchange->rest, &state.node)) admin_ask_state(request, state);
}

static void on_change(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    switch ((int)answer->status) {
    case MN_OK: break;
    case MN_UNREACHABLE:
        admin_fail_text(request, 504, "no_quorum", "no leader answers: nothing was done", ADVICE);
        return;
    case MN_TIMEOUT:
        admin_fail_text(request, 504, "unknown", "no answer in time: it may yet happen", ADVICE);
        return;
    case MN_CONFIG:
        admin_fail_text(request, 409, "conflict",
                        "one voter would hold half of the weight or more, or the loss of one would "
                        "stop the group",
                        ADVICE);
        return;
    case MN_NOT_FOUND:
        admin_fail_text(request, 409, "conflict", "that node does not vote", ADVICE);
        return;
    default: admin_fail_status(request, answer->status, mn_span(NULL, 0), ADVICE); return;
    }
    reply_begin(&reply, "ConsensusDone");
    reply_u64(&reply, "rev", answer->reply.rev);
    admin_answer(request, 200, &reply);
}

/* Who leads already need not be asked to. */
static void on_transfer(struct admin_request *request, const struct state_answer *answer)
{
    struct state_answer done = {.status = MN_OK};
    struct raft_view view;
    mn_id node;

    if (answer->status != MN_NOT_FOUND) {
        on_change(request, answer);
        return;
    }
    if (!find_node(request, request->exchange->rest, &node)) return;
    if (state_view(request->admin->config.state, &view) && mn_id_equal(&view.leader, &node))
        answer = &done;
    on_change(request, answer);
}

const struct admin_route admin_consensus_routes[] = {
    {"GET", "/v1/consensus", NULL, status_handle, NULL, NULL, on_status},
    {"GET", "/v1/consensus/nodes", NULL, status_handle, NULL, NULL, on_nodes},
    {"PUT", "/v1/consensus/advisor", NULL, advisor_handle, NULL, NULL, on_change},
    {"PUT", "/v1/consensus/nodes/*", NULL, wish_handle, NULL, NULL, on_change},
    {"POST", "/v1/consensus/transfer/*", NULL, transfer_handle, NULL, NULL, on_transfer},
    {0},
};
