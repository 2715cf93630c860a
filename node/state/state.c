#include "node/state/state_internal.h"
#include "proto/base/check.h"

#define GROUPS_MAX_HERE 16u

/* ---- life ---- */

struct state *state_new(const struct state_config *config)
{
    struct state *state = mn_alloc(sizeof *state);

    state->config = *config;
    rng_init(&state->rng, config->seed);
    state->group = STATE_GROUP;
    state->strong = strong_new(rng_u64(&state->rng));
    state->groups_outbox.arena = &state->arena;
    mn_map_init(&state->ops, 0); /* keys are our own numbers */
    mn_map_init(&state->indexes, 0);
    mn_list_init(&state->due);
    mn_list_init(&state->watching);
    state->number_last = rng_u64(&state->rng) >> 1; /* not those of an earlier process */
    state->plan_at = state->transfer_at = MN_TIME_NEVER;
    return state;
}

void state_free(struct state *state)
{
    if (state == NULL) return;
    state_ops_done(state);
    groups_outbox_reset(&state->groups_outbox);
    groups_free(state->groups);
    raftlog_done(&state->recovery);
    strong_free(state->strong);
    mn_buf_unref(state->order);
    mn_arena_done(&state->arena);
    rng_done(&state->rng);
    mn_free(state->nodes);
    mn_free(state);
}

struct state_output *state_emit(struct state *state, enum state_output_type type)
{
    struct state_outbox *outbox = state->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct state_output){.type = type};
    return &outbox->items[outbox->count++];
}

static void state_fail(struct state *state, const char *text)
{
    if (state->is_failed) return;
    state->is_failed = true;
    state_emit(state, STATE_OUT_FATAL)->fatal = text;
}

struct mn_buf *state_key(const char *space, struct mn_span key)
{
    struct mn_writer writer = {0};

    mn_writer_add(&writer, mn_span(space, 1));
    mn_writer_add(&writer, key);
    return mn_writer_done(&writer);
}

/* ---- the group's outputs ---- */

/* A copy: the group may let go of what it wrote before the driver has it. */
static void on_log(struct state *state, const struct groups_output *output)
{
    struct edge_outbox *edge = state->outbox->edge;
    struct edge_output *last;
    struct edge_log log;

    raftlog_emit(edge, output->log.write, output->group, output->log.persist);
    last = &edge->items[edge->count - 1];
    log = *last->log;
    state_save_mark(state, output->log.persist, edge->arena, &log);
    last->log = edge_log_copy(edge->arena, &log);
}

static void on_apply(struct state *state, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->apply.entries_count; i++) {
        const struct raft_entry *entry = &out->apply.entries[i];
        struct strong_reply reply = {.status = MN_MALFORMED};
        if (entry->kind == RAFT_ENTRY_COMMAND)
            reply = strong_apply(state->strong, entry->index, entry->data);
        state->applied = entry->index;
        state_ops_on_applied(state, entry, &reply);
    }
    state_read_on_applied(state);
}

static void on_restore(struct state *state, const struct raft_snapshot *snapshot)
{
    MN_PROBE("state: taken from a snapshot");
    if (strong_restore(state->strong, mn_buf_span(snapshot->data)) != MN_OK)
        state_fail(state, "a snapshot of the metadata group does not decode: was it written by a "
                          "newer version?");
    state->applied = snapshot->index;
    state_read_on_applied(state);
}

static void on_role(struct state *state, const struct raft_output *out)
{
    bool is_leading = out->role.role == RAFT_LEADER;

    if (!mn_id_is_zero(&out->role.leader)) state->hint = out->role.leader;
    if (is_leading != state->is_leading) {
        state->is_leading = is_leading;
        state_members_lead(state);
        mn_trace(state->config.trace, state->now.mono,
                 is_leading ? MN_EV_CONSENSUS_LEADER : MN_EV_CONSENSUS_FOLLOWER, &out->role.leader,
                 out->role.term, state->group, NULL);
    }
    state_ops_on_leader(state);
}

static void on_raft(struct state *state, const struct raft_output *out)
{
    switch (out->type) {
    case RAFT_OUT_APPLY: on_apply(state, out); return;
    case RAFT_OUT_RESTORE: on_restore(state, out->restore); return;
    case RAFT_OUT_SNAPSHOT_WANTED: state->wants_snapshot = true; return;
    case RAFT_OUT_ROLE: on_role(state, out); return;
    case RAFT_OUT_ACCEPTED:
    case RAFT_OUT_REFUSED:
    case RAFT_OUT_READ: state_ops_on_raft(state, out); return;
    case RAFT_OUT_PERSIST:
    case RAFT_OUT_SEND: break;
    }
    MN_ASSERT(false && "an output for the owner");
}

static void on_output(struct state *state, const struct groups_output *output)
{
    struct state_output *send;

    switch (output->type) {
    case GROUPS_OUT_LOG: on_log(state, output); return;
    case GROUPS_OUT_LOG_END:
        raftlog_emit_end(state->outbox->edge, output->log.write, output->group);
        return;
    case GROUPS_OUT_SEND:
        send = state_emit(state, STATE_OUT_PACKET);
        send->send.to = output->send.to;
        send->send.buf = mn_buf_ref(output->send.packet);
        return;
    case GROUPS_OUT_RAFT:
        if (output->group == state->group) on_raft(state, output->raft);
        return;
    }
}

static void do_outputs(struct state *state, uint32_t begin)
{
    for (uint32_t i = begin; i < state->groups_outbox.count; i++) {
        struct groups_output output = state->groups_outbox.items[i];
        on_output(state, &output);
    }
}

static void step_groups(struct state *state, const struct groups_input *input)
{
    uint32_t begin = state->groups_outbox.count;

    groups_step(state->groups, state->now, input, &state->groups_outbox);
    do_outputs(state, begin);
    if (state->is_leading) state_weights_measure(state);
}

void state_step_group(struct state *state, const struct raft_input *input)
{
    struct groups_input step = {.type = GROUPS_IN_RAFT};

    step.raft.group = state->group;
    step.raft.input = input;
    step_groups(state, &step);
}

/* ---- looking ---- */

bool state_view(const struct state *state, struct raft_view *ret)
{
    const struct raft *raft =
        state->groups == NULL ? NULL : groups_raft(state->groups, state->group);

    if (raft != NULL) *ret = raft_view(raft);
    return raft != NULL;
}

bool state_leads(const struct state *state)
{
    struct raft_view view;
    return state_view(state, &view) && view.role == RAFT_LEADER;
}

mn_id state_leader(const struct state *state)
{
    struct raft_view view;

    if (state_view(state, &view) && !mn_id_is_zero(&view.leader)) return view.leader;
    return state->hint;
}

bool state_is_member(const struct state *state)
{
    struct raft_view view;
    return state_view(state, &view) && quorum_find(view.config, &state->config.self) >= 0;
}

const struct strong *state_strong(const struct state *state)
{
    return state->strong;
}

uint64_t state_epoch(const struct state *state)
{
    return state->group;
}

uint64_t state_applied(const struct state *state)
{
    return state->applied;
}

bool state_is_full(const struct state *state)
{
    return state->is_full;
}

bool state_wants_nodes(const struct state *state, struct mn_now now)
{
    return now.mono >= state->nodes_at && (state->is_leading || state->ops.count > 0);
}

/* ---- the start ---- */

/* Written before anybody else can hear of it. */
void state_write_group(struct state *state, uint64_t group, const struct raft_persist *persist)
{
    struct edge_outbox *edge = state->outbox->edge;
    struct edge_output *last;

    state->founded = ++*state->config.writes_count;
    raftlog_emit(edge, state->founded, group, persist);
    last = &edge->items[edge->count - 1];
    last->log = edge_log_copy(edge->arena, last->log);
}

static void found_group(struct state *state, struct raft_recovered *recovered)
{
    struct raft_persist persist = {.snapshot = &recovered->snapshot};

    recovered->snapshot.config.members_count = 1;
    recovered->snapshot.config.members[0] =
        (struct quorum_member){.id = state->config.self, .weight = 1};
    state_write_group(state, state->group, &persist);
}

void state_change_group(struct state *state, uint64_t old, uint64_t group,
                        const struct raft_recovered *recovered)
{
    uint32_t begin = state->groups_outbox.count;

    strong_save_drop(state->strong);
    state->save = (struct state_save){0};
    groups_close(state->groups, old, true, &state->groups_outbox);
    do_outputs(state, begin);
    state->group = group;
    if (state->is_leading) {
        state->is_leading = false;
        state_members_lead(state);
    }
    state->hint = (mn_id){0};
    if (groups_open(state->groups, state->now, group, recovered) != MN_OK) {
        state_fail(state, "the metadata group could not be begun anew");
        return;
    }
    step_groups(state, &(struct groups_input){.type = GROUPS_IN_TICK});
}

static mn_status make_groups(struct state *state)
{
    struct groups_config config = groups_config_default();

    config.groups_max = GROUPS_MAX_HERE;
    config.has_rest = false; /* the only one: its leader's node beats anyhow */
    config.writes_count = state->config.writes_count;
    config.raft.self = state->config.self;
    if (state->config.election_timeout != 0) {
        config.raft.election_timeout = state->config.election_timeout;
        config.raft.heartbeat_interval = state->config.election_timeout / 3;
    }
    rng_bytes(&state->rng, config.raft.seed, sizeof config.raft.seed);
    return groups_new(&config, state->now, &state->groups);
}

/* The newest one that stands in the log: an older one only if a crash came before its end. */
static const struct raft_recovered *find_group(struct state *state)
{
    const struct raft_recovered *newest = NULL;

    for (struct raftlog_group *group = state->recovery.first; group != NULL; group = group->next) {
        if (group->group >= STATE_GROUPS_END) continue;
        if (newest != NULL)
            raftlog_emit_end(state->outbox->edge, ++*state->config.writes_count, state->group);
        newest = &group->recovered;
        state->group = group->group;
    }
    return newest;
}

/* What a node that has just joined lacks is no damage. */
static void tell_damage(struct state *state, const struct raft_recovered *recovered, bool is_found)
{
    struct raft_view view;

    if (!state_view(state, &view) || !view.is_wounded) return;
    state->is_damaged = true;
    mn_trace(state->config.trace, state->now.mono, MN_EV_CONSENSUS_DAMAGED, NULL, view.last_index,
             0,
             !is_found ? "log lost: no vote until refetched (meshctl consensus status); check log/"
             : recovered->damage == RAFT_DAMAGE_CORRUPT
                 ? "log unreadable: no vote until refetched (meshctl consensus status); check disk"
                 : "log was unreadable before: still no vote (meshctl consensus status)");
}

static void tell_healed(struct state *state)
{
    struct raft_view view;

    if (!state->is_damaged || !state_view(state, &view) || view.is_wounded) return;
    state->is_damaged = false;
    mn_trace(state->config.trace, state->now.mono, MN_EV_CONSENSUS_HEALED, NULL, view.last_index, 0,
             NULL);
}

/* A node that is not the founder and knows nothing has no vote until a leader has healed it: its
 * log may be lost, and with it what it promised. */
static void on_start(struct state *state, bool is_founder, bool is_old)
{
    const struct raft_recovered *found = find_group(state);
    struct raft_recovered recovered = {0};

    if (state->groups != NULL) return;
    if (found != NULL)
        recovered = *found;
    else if (is_founder && !is_old && !state->recovery.has_lost_groups)
        found_group(state, &recovered);
    else
        recovered.damage = RAFT_DAMAGE_CORRUPT;
    if (found != NULL && recovered.snapshot.data != NULL &&
        strong_restore(state->strong, mn_buf_span(recovered.snapshot.data)) != MN_OK)
        state_fail(state, "the snapshot of the metadata group does not decode: was it written by a "
                          "newer version?");
    state->applied = recovered.snapshot.index;
    if (make_groups(state) != MN_OK ||
        groups_open(state->groups, state->now, state->group, &recovered) != MN_OK) {
        state_fail(state, "the log of the metadata group does not fit together");
        return;
    }
    if (found != NULL || is_old) tell_damage(state, &recovered, found != NULL);
    if (found != NULL && !is_old) state_emit(state, STATE_OUT_OLD);
    raftlog_done(&state->recovery);
}

/* ---- inputs ---- */

static void on_durable(struct state *state, uint64_t write)
{
    struct groups_input durable = {.type = GROUPS_IN_DURABLE};

    if (write > state->durable) state->durable = write;
    if (state->groups == NULL) return;
    durable.durable.write = write;
    step_groups(state, &durable);
    if (state->founded == 0 || state->founded > write) return;
    state->founded = 0;
    state_emit(state, STATE_OUT_OLD);
}

static void on_edge(struct state *state, const struct edge_input *input)
{
    if (input->type == EDGE_IN_LOG_DURABLE) {
        on_durable(state, input->id);
    } else if (input->type == EDGE_IN_LOG_ROOM) {
        state->is_full = input->code == 0;
        if (state->is_full) state->transfer_at = state->now.mono;
    } else if (input->type == EDGE_IN_LOG_RECOVER && state->groups == NULL) {
        if (raftlog_recover(&state->recovery, input) != MN_OK)
            MN_PROBE("state: a group whose configuration does not decode");
    }
}

static void on_packet(struct state *state, const struct state_input *input)
{
    struct groups_input packet = {.type = GROUPS_IN_PACKET};

    if (mn_id_equal(&state->lost, &input->message.from)) state->lost = (mn_id){0};
    if (state->groups == NULL) return;
    packet.packet.from = input->message.from;
    packet.packet.bytes = input->message.bytes;
    step_groups(state, &packet);
}

static void on_down(struct state *state, const mn_id *node)
{
    struct groups_input down = {.type = GROUPS_IN_UNREACHABLE};

    if (mn_id_equal(&state->hint, node)) state->hint = (mn_id){0};
    state->lost = *node;
    state_ops_on_down(state, node);
    if (state->groups == NULL) return;
    down.unreachable.node = *node;
    step_groups(state, &down);
}

static void on_input(struct state *state, const struct state_input *input)
{
    switch (input->type) {
    case STATE_IN_TICK: return; /* whatever is due is done after every input */
    case STATE_IN_LOG: on_edge(state, input->edge); return;
    case STATE_IN_START: on_start(state, input->start.is_founder, input->start.is_old); return;
    case STATE_IN_PACKET: on_packet(state, input); return;
    case STATE_IN_MESSAGE:
        state_wire_on_message(state, &input->message.from, input->message.bytes);
        return;
    case STATE_IN_DOWN: on_down(state, &input->down); return;
    case STATE_IN_NODES: state_members_set(state, input->nodes.items, input->nodes.count); return;
    case STATE_IN_REQUEST: state_ops_on_request(state, input->request); return;
    case STATE_IN_ORDER: state_recover_on_order(state, input); return;
    case STATE_IN_CANCEL: state_ops_cancel(state, input->cancel); return;
    }
}

void state_step(struct state *state, struct mn_now now, const struct state_input *input,
                struct state_outbox *outbox)
{
    bool is_due;

    MN_ASSERT(now.mono >= state->now.mono);
    state->now = now;
    state->outbox = outbox;
    on_input(state, input);
    state_ops_run(state);
    /* What the group has to say goes out at ticks, for all that came since the last one. */
    is_due = input->type == STATE_IN_TICK || input->type == STATE_IN_START;
    if (is_due && state->groups != NULL && groups_deadline(state->groups) <= now.mono)
        step_groups(state, &(struct groups_input){.type = GROUPS_IN_TICK});
    if (state->plan_at <= now.mono) state_members_plan(state);
    state_ops_run(state);
    state_save_run(state);
    if (is_due && strong_is_verifying(state->strong))
        strong_verify_next(state->strong, STATE_SAVE_PIECE);
    tell_healed(state);
    groups_outbox_reset(&state->groups_outbox);
    mn_arena_reset(&state->arena);
    state->outbox = NULL;
}

mn_time state_deadline(const struct state *state)
{
    mn_time at = mn_time_min(mn_heap_deadline(&state->wakes), state->plan_at);

    if (strong_is_verifying(state->strong)) return state->now.mono; /* a piece each turn */
    return state->groups == NULL ? at : mn_time_min(at, groups_deadline(state->groups));
}

void state_check(const struct state *state)
{
    struct raft_view view;

    strong_check(state->strong);
    if (state->groups == NULL) return;
    groups_check(state->groups);
    MN_ASSERT(state->ops.count <= STATE_OPS_MAX);
    MN_ASSERT(mn_list_is_empty(&state->due));
    if (!state_view(state, &view)) return;
    MN_ASSERT(state->is_leading == (view.role == RAFT_LEADER));
    MN_ASSERT(state->applied <= view.commit && strong_stats(state->strong).rev <= state->applied);
}

bool state_holds(const struct state *state)
{
    return state->groups != NULL && state_is_member(state);
}
