/* state_ops.c: requests from their arrival to their answer. */
#include "node/state/state_internal.h"
#include "proto/base/check.h"

/* ---- the table ---- */

static struct mn_span number_key(const uint64_t *number)
{
    return mn_span(number, sizeof *number);
}

static struct state_op *op_find(const struct state *state, uint64_t number)
{
    struct mn_map_entry *entry = mn_map_find(&state->ops, number_key(&number));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct state_op, by_number);
}

static void op_number(struct state *state, struct state_op *op)
{
    if (op->number != 0) mn_map_remove(&state->ops, &op->by_number);
    op->number = ++state->number_last;
    mn_map_insert(&state->ops, &op->by_number, number_key(&op->number));
}

static struct state_op *op_new(struct state *state, enum state_request_type type)
{
    struct state_op *op = mn_alloc(sizeof *op);

    op->type = type;
    mn_list_init(&op->due);
    mn_list_init(&op->watching);
    op_number(state, op);
    return op;
}

static void op_unindex(struct state *state, struct state_op *op)
{
    if (op->index != 0) mn_map_remove(&state->indexes, &op->by_index);
    op->index = op->term = 0;
}

static void session_release(struct state *state, struct state_session *session)
{
    uint32_t index = (uint32_t)(session - state->sessions);

    session->is_used = false;
    if (index < state->sessions_used) state->sessions_used = index;
}

static void op_free(struct state *state, struct state_op *op)
{
    op_unindex(state, op);
    mn_map_remove(&state->ops, &op->by_number);
    mn_heap_remove(&state->wakes, &op->wake);
    mn_list_remove(&op->due);
    mn_list_remove(&op->watching);
    if (op->session != NULL) session_release(state, op->session);
    mn_buf_unref(op->command);
    mn_buf_unref(op->key);
    mn_buf_unref(op->after);
    state_recover_free(op);
    mn_free(op);
}

void state_ops_done(struct state *state)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&state->ops, NULL)) != NULL)
        op_free(state, MN_CONTAINER(entry, struct state_op, by_number));
    mn_map_done(&state->ops);
    mn_map_done(&state->indexes);
    mn_heap_done(&state->wakes);
}

static void op_wake_in(struct state *state, struct state_op *op, mn_time delay)
{
    mn_time at = mn_time_min(op->deadline, mn_time_after(state->now.mono, delay));
    mn_heap_set(&state->wakes, &op->wake, at);
}

void state_ops_due(struct state *state, struct state_op *op)
{
    mn_list_remove(&op->due);
    mn_list_push_back(&state->due, &op->due);
}

static bool is_command(const struct state_op *op)
{
    return op->type == STATE_COMMAND || op->type == STATE_WISH;
}

/* ---- answers ---- */

static void emit_answer(struct state *state, uint64_t ticket, const struct state_answer *answer)
{
    struct state_output *output = state_emit(state, STATE_OUT_ANSWER);

    output->answer = *answer;
    output->answer.ticket = ticket;
}

void state_ops_answer(struct state *state, struct state_op *op, const struct state_answer *answer)
{
    struct state_output *output;

    if (!op->is_remote) {
        emit_answer(state, op->ticket, answer);
    } else {
        struct mn_buf *buf = state_answer_encode(state, op->ask, answer);
        output = state_emit(state, STATE_OUT_MESSAGE);
        output->send.to = op->from;
        output->send.buf = buf;
    }
    op_free(state, op);
}

static void op_answer_status(struct state *state, struct state_op *op, mn_status status)
{
    state_ops_answer(state, op, &(struct state_answer){.status = status});
}

/* This node cannot do it now: a remote asker is told so, our own request is tried again. Once a
 * command was in our log, MN_STATE would be a lie: it may yet come true. */
static void op_not_here(struct state *state, struct state_op *op, mn_time delay)
{
    if (op->is_remote)
        op_answer_status(state, op, op->attempts > 0 ? MN_CLOSED : MN_STATE);
    else
        op_wake_in(state, op, delay);
}

static void op_give_up(struct state *state, struct state_op *op)
{
    bool is_unknown = is_command(op) && op->attempts > 0;

    MN_PROBE("state: a request ended without an answer");
    if (op->is_remote)
        op_free(state, op);
    else
        op_answer_status(state, op, is_unknown ? MN_TIMEOUT : MN_UNREACHABLE);
}

/* ---- sessions of this node ---- */

static struct state_session *session_take(struct state *state)
{
    while (state->sessions_used < STATE_SESSIONS && state->sessions[state->sessions_used].is_used)
        state->sessions_used++;
    return state->sessions_used == STATE_SESSIONS ? NULL : &state->sessions[state->sessions_used];
}

static void session_name(struct state *state, struct state_session *session,
                         struct strong_command *command)
{
    if (mn_id_is_zero(&session->client)) session->client = rng_id(&state->rng);
    session->is_used = true;
    command->client = session->client;
    command->seq = ++session->seq;
}

/* The group has forgotten the session, so this command certainly did nothing if it was tried once:
 * it gets a new session. */
static bool op_rename(struct state *state, struct state_op *op)
{
    struct strong_command command;

    if (op->session == NULL || op->attempts != 1) return false;
    if (strong_command_decode(mn_buf_span(op->command), &state->arena, &command) != MN_OK)
        return false;
    MN_PROBE("state: a session gave way, and its command gets a new one");
    *op->session = (struct state_session){0};
    session_name(state, op->session, &command);
    mn_buf_unref(op->command);
    op->command = strong_command_encode(&command);
    op->attempts = 0;
    return true;
}

static void op_on_reply(struct state *state, struct state_op *op, struct state_answer *answer)
{
    if (!op->is_remote && answer->status == MN_OK && answer->reply.status == MN_EXPIRED) {
        if (op_rename(state, op)) {
            op_unindex(state, op);
            state_ops_due(state, op);
            return;
        }
        answer->status = MN_TIMEOUT;
    }
    if (op->type == STATE_WISH && answer->reply.status == MN_NOT_FOUND)
        answer->reply.status = MN_OK; /* nothing was wished, as is wanted */
    state_ops_answer(state, op, answer);
}

/* ---- trying ---- */

static void op_progress(struct state *state, struct state_op *op)
{
    struct raft_view view = raft_view(groups_raft(state->groups, state->group));
    struct state_answer answer = {.status = MN_OK, .term = view.term, .commit = view.commit};

    state_weights_report(state, &answer);
    state_ops_answer(state, op, &answer);
}

static void op_transfer(struct state *state, struct state_op *op)
{
    struct raft_input input = {.type = RAFT_IN_TRANSFER};
    uint64_t number = op->number;

    input.transfer.request = number;
    input.transfer.target = op->node;
    state_step_group(state, &input);
    op = op_find(state, number);
    if (op != NULL) op_answer_status(state, op, MN_OK); /* it was not refused */
}

/* A read has a number of its own each time it is asked of the group. */
static void op_read_index(struct state *state, struct state_op *op)
{
    struct raft_input input = {.type = RAFT_IN_READ};

    op_number(state, op);
    op->is_late = true; /* from the next try on */
    input.read.request = op->number;
    op_wake_in(state, op, STATE_RETRY_ASK);
    state_step_group(state, &input);
}

static void op_propose(struct state *state, struct state_op *op)
{
    struct raft_input input = {.type = RAFT_IN_PROPOSE};

    if (state->is_full && op->attempts == 0) {
        op_answer_status(state, op, MN_BUSY);
        return;
    }
    input.propose.request = op->number;
    input.propose.data = op->command;
    op_wake_in(state, op, STATE_RETRY_ASK);
    state_step_group(state, &input);
}

static void op_lead(struct state *state, struct state_op *op)
{
    switch (op->type) {
    case STATE_COMMAND:
    case STATE_WISH: op_propose(state, op); return;
    case STATE_READ: op_read_index(state, op); return;
    case STATE_WATCH: state_read_watch(state, op); return;
    case STATE_PROGRESS: op_progress(state, op); return;
    case STATE_TRANSFER: op_transfer(state, op); return;
    case STATE_SURVEY:
    case STATE_ORDER: return; /* nobody in particular is asked */
    }
}

static void op_forward(struct state *state, struct state_op *op)
{
    mn_id to = state_leader(state);
    struct state_output *output;

    if (mn_id_is_zero(&to) || mn_id_equal(&to, &state->config.self) ||
        mn_id_equal(&to, &state->lost))
        to = state_members_any(state);
    if (mn_id_is_zero(&to)) {
        op_wake_in(state, op, STATE_RETRY_SOON);
        return;
    }
    op->asked = to;
    if (is_command(op)) op->attempts++;
    output = state_emit(state, STATE_OUT_MESSAGE);
    output->send.to = to;
    output->send.buf = state_ask_encode(op);
    op_wake_in(state, op, op->type == STATE_WATCH ? STATE_RETRY_WATCH : STATE_RETRY_ASK);
}

static void op_try(struct state *state, struct state_op *op)
{
    struct raft_view view;

    op->asked = (mn_id){0};
    if (op->survey != NULL) {
        state_recover_try(state, op);
        return;
    }
    if (state->now.mono >= op->deadline) {
        if (op->type == STATE_WATCH)
            state_read_end_watch(state, op);
        else
            op_give_up(state, op);
        return;
    }
    if (op->type == STATE_WATCH && state_is_member(state)) {
        state_read_watch(state, op);
        return;
    }
    if (op->index != 0 && state_view(state, &view) && view.role == RAFT_LEADER &&
        view.term == op->term) {
        op_wake_in(state, op, STATE_RETRY_ASK); /* it is in our log, and stays there */
        return;
    }
    op_unindex(state, op);
    if (state_leads(state))
        op_lead(state, op);
    else if (op->is_remote)
        op_not_here(state, op, 0);
    else if (op->type == STATE_READ && state_is_member(state) && !state->is_full && !op->is_late &&
             !op->is_leases) /* only their leader knows how long they live */
        op_read_index(state, op);
    else
        op_forward(state, op);
}

void state_ops_run(struct state *state)
{
    struct mn_heap_entry *first;
    struct mn_list *item;

    while ((first = mn_heap_peek(&state->wakes)) != NULL && first->at <= state->now.mono) {
        mn_heap_remove(&state->wakes, first);
        state_ops_due(state, MN_CONTAINER(first, struct state_op, wake));
    }
    while ((item = mn_list_take(&state->due)) != NULL)
        op_try(state, MN_CONTAINER(item, struct state_op, due));
}

/* ---- what the group says ---- */

static void op_on_refused(struct state *state, struct state_op *op, mn_status status)
{
    if (op->type == STATE_TRANSFER && status != MN_STATE)
        op_answer_status(state, op, status);
    else if (status == MN_BUSY && is_command(op))
        op_wake_in(state, op, STATE_RETRY_SOON);
    else if (status == MN_STATE || status == MN_NOT_YET || op->attempts > 0)
        op_not_here(state, op, STATE_RETRY_SOON);
    else
        op_answer_status(state, op, MN_BUSY);
}

static void op_on_accepted(struct state *state, struct state_op *op, uint64_t index, uint64_t term)
{
    op_unindex(state, op);
    op->index = index;
    op->term = term;
    op->attempts++;
    mn_map_insert(&state->indexes, &op->by_index, number_key(&op->index));
}

void state_ops_on_raft(struct state *state, const struct raft_output *out)
{
    struct state_op *op;

    if (out->type == RAFT_OUT_ACCEPTED) {
        op = op_find(state, out->accepted.request);
        if (op != NULL) op_on_accepted(state, op, out->accepted.index, out->accepted.term);
    } else if (out->type == RAFT_OUT_REFUSED) {
        op = op_find(state, out->refused.request);
        if (op != NULL) op_on_refused(state, op, out->refused.status);
    } else {
        op = op_find(state, out->read.request);
        if (op == NULL) return;
        if (out->read.status == MN_OK)
            state_read_pairs(state, op);
        else
            op_not_here(state, op, STATE_RETRY_SOON);
    }
}

void state_ops_on_applied(struct state *state, const struct raft_entry *entry,
                          const struct strong_reply *reply)
{
    struct mn_map_entry *found = mn_map_find(&state->indexes, number_key(&entry->index));
    struct state_answer answer = {.status = MN_OK, .reply = *reply};
    struct state_op *op;

    if (found == NULL) return;
    op = MN_CONTAINER(found, struct state_op, by_index);
    if (op->term == entry->term) {
        op_on_reply(state, op, &answer);
        return;
    }
    MN_PROBE("state: another leader's entry stands where ours was");
    op_unindex(state, op);
    state_ops_due(state, op);
}

/* Whoever was asked before may be cut off: sessions make it safe to ask again. */
void state_ops_on_leader(struct state *state)
{
    struct mn_map_entry *entry = NULL;
    mn_id leader = state_leader(state);

    while ((entry = mn_map_next(&state->ops, entry)) != NULL) {
        struct state_op *op = MN_CONTAINER(entry, struct state_op, by_number);
        if (op->index == 0 && !mn_id_equal(&op->asked, &leader)) state_ops_due(state, op);
    }
}

void state_ops_on_group(struct state *state)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&state->ops, entry)) != NULL) {
        struct state_op *op = MN_CONTAINER(entry, struct state_op, by_number);
        if (op->survey != NULL || !mn_list_is_empty(&op->watching)) continue;
        op_unindex(state, op);
        state_ops_due(state, op);
    }
}

void state_ops_on_down(struct state *state, const mn_id *node)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&state->ops, entry)) != NULL) {
        struct state_op *op = MN_CONTAINER(entry, struct state_op, by_number);
        if (mn_id_equal(&op->asked, node)) state_ops_due(state, op);
    }
}

/* ---- arrivals ---- */

static mn_status op_set_command(struct state *state, struct state_op *op,
                                struct strong_command command)
{
    mn_status status = MN_OK;

    if (mn_id_is_zero(&command.client)) {
        op->session = session_take(state);
        if (op->session == NULL) return MN_BUSY;
        session_name(state, op->session, &command);
    }
    status = strong_command_check(&command);
    if (status == MN_OK) op->command = strong_command_encode(&command);
    return status;
}

static mn_status op_set(struct state *state, struct state_op *op,
                        const struct state_request *request)
{
    const char *space = request->space == NULL ? STATE_SPACE_USER : request->space;
    struct strong_command command = request->command;
    struct mn_buf *key;
    mn_status status = MN_OK;

    switch (request->type) {
    case STATE_COMMAND:
        key = state_key(space, command.key);
        if (command.key.size > 0) command.key = mn_buf_span(key);
        status = op_set_command(state, op, command);
        mn_buf_unref(key);
        return status;
    case STATE_WISH:
        status = state_weights_wish(state, request, &command);
        return status == MN_OK ? op_set_command(state, op, command) : status;
    case STATE_READ:
        if (request->read.key.size >= STRONG_KEY_MAX) return MN_TOO_BIG;
        op->key = state_key(space, request->read.key);
        if (request->read.after.size > 0) op->after = state_key(space, request->read.after);
        op->is_list = request->read.is_list;
        op->is_leases = request->read.is_leases;
        op->after_lease = request->read.after_lease;
        op->limit = request->read.limit;
        return MN_OK;
    case STATE_WATCH:
        if (request->watch.prefix.size >= STRONG_KEY_MAX) return MN_TOO_BIG;
        op->key = state_key(STATE_SPACE_USER, request->watch.prefix);
        op->place = request->watch.after;
        op->is_now = request->watch.is_now;
        return MN_OK;
    case STATE_TRANSFER: op->node = request->node; return MN_OK;
    case STATE_SURVEY:
    case STATE_ORDER: return state_recover_set(op, request);
    case STATE_PROGRESS: return MN_OK;
    }
    return MN_MALFORMED;
}

void state_ops_on_request(struct state *state, const struct state_request *request)
{
    struct state_op *op;
    mn_status status;

    MN_ASSERT(request->timeout >= STATE_TIMEOUT_MIN && request->timeout <= STATE_TIMEOUT_MAX);
    if (state->ops.count >= STATE_OPS_MAX) {
        emit_answer(state, request->ticket, &(struct state_answer){.status = MN_BUSY});
        return;
    }
    op = op_new(state, request->type);
    op->ticket = request->ticket;
    op->deadline = mn_time_after(state->now.mono, request->timeout);
    status = op_set(state, op, request);
    if (status == MN_OK)
        state_ops_due(state, op);
    else
        op_answer_status(state, op, status);
}

/* [from] has decoded it into [asked], whose buffers move on. */
void state_ops_on_ask(struct state *state, const struct state_op *asked)
{
    struct state_op *op;

    bool can = state_leads(state) || (asked->type == STATE_WATCH && state_is_member(state));

    if (state->ops.count >= STATE_OPS_MAX || !can) {
        struct state_answer answer = {.status = MN_STATE};
        struct mn_buf *buf = state_answer_encode(state, asked->ask, &answer);
        struct state_output *output = state_emit(state, STATE_OUT_MESSAGE);
        output->send.to = asked->from;
        output->send.buf = buf;
        mn_buf_unref(asked->command);
        mn_buf_unref(asked->key);
        mn_buf_unref(asked->after);
        return;
    }
    op = op_new(state, asked->type);
    op->is_remote = true;
    op->from = asked->from;
    op->ask = asked->ask;
    op->command = asked->command;
    op->key = asked->key;
    op->after = asked->after;
    op->is_list = asked->is_list;
    op->is_leases = asked->is_leases;
    op->after_lease = asked->after_lease;
    op->limit = asked->limit;
    op->node = asked->node;
    op->place = asked->place;
    op->is_now = asked->is_now;
    op->deadline = mn_time_after(state->now.mono,
                                 asked->type == STATE_WATCH ? STATE_WATCH_TIME : STATE_REMOTE_TIME);
    state_ops_due(state, op);
}

void state_ops_on_answer(struct state *state, const mn_id *from, const mn_id *leader,
                         struct state_answer *answer)
{
    struct state_op *op = op_find(state, answer->ticket);

    if (op == NULL || op->is_remote) return; /* late */
    if (op->survey != NULL) {
        if (answer->positions_count == 1)
            state_recover_on_position(state, op, from, answer->positions);
        return;
    }
    if (answer->status != MN_STATE && answer->status != MN_BUSY && answer->status != MN_CLOSED) {
        op_on_reply(state, op, answer);
        return;
    }
    if (!mn_id_equal(&op->asked, from)) return;
    op->asked = (mn_id){0};
    if (answer->status != MN_CLOSED && is_command(op) && op->attempts > 0)
        op->attempts--; /* nothing was done */
    state->hint = mn_id_equal(leader, &state->config.self) ? (mn_id){0} : *leader;
    op_wake_in(state, op, STATE_RETRY_SOON);
}

void state_ops_cancel(struct state *state, uint64_t ticket)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&state->ops, entry)) != NULL) {
        struct state_op *op = MN_CONTAINER(entry, struct state_op, by_number);
        if (op->is_remote || op->ticket != ticket) continue;
        op_free(state, op);
        return;
    }
}
