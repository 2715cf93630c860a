/* node_state.c: what the mesh agrees on (node/state), joined with core, log, store and admin. */
#include "crypto/digest.h"
#include "node/node_inside.h"
#include "proto/base/check.h"

#define STORE_KEY "state/group" /* this node was a member of the metadata group */

struct state *node_make_state(struct node *node, const struct node_config *config)
{
    struct state_config state = {.self = core_self(node->core).node_id,
                                 .election_timeout = config->election_timeout,
                                 .writes_count = &node->log_writes_count,
                                 .trace = &node->inner};

    digest_kdf(config->core.seed, 2, "mn-state", state.seed);
    return state_new(&state);
}

bool node_state_recover(struct node *node, struct mn_span key)
{
    if (!mn_span_is(key, STORE_KEY)) return false;
    node->is_state_old = true;
    return true;
}

/* ---- outputs ---- */

static void carry(struct node *node, struct mn_now now, const struct state_output *output,
                  struct edge_outbox *outbox)
{
    struct core_input input = {.type = CORE_IN_CARRY};

    input.carry.to = output->send.to;
    input.carry.what = output->type == STATE_OUT_PACKET ? CORE_CARRIED_GROUPS : CORE_CARRIED_STATE;
    input.carry.buf = output->send.buf; /* its ref moves on */
    node_step_core(node, now, &input, outbox);
}

static void remember(struct node *node, struct edge_outbox *outbox)
{
    struct edge_output *write = edge_emit(outbox, EDGE_OUT_WRITE, ++node->writes_count);

    node->is_state_old = true;
    write->key = mn_span_str(STORE_KEY);
    write->bytes = mn_span_str("1");
}

/* Whoever signed it has to be an issuer. */
static void judge_order(struct node *node, struct mn_now now, struct mn_span order,
                        struct edge_outbox *outbox)
{
    if (core_recovery_check(node->core, order) != MN_OK) return;
    node_step_state(node, now, &(struct state_input){.type = STATE_IN_ORDER, .order = order},
                    outbox);
}

static void on_output(struct node *node, struct mn_now now, const struct state_output *output,
                      struct edge_outbox *outbox)
{
    switch (output->type) {
    case STATE_OUT_PACKET:
    case STATE_OUT_MESSAGE: carry(node, now, output, outbox); return;
    case STATE_OUT_ANSWER:
        if (node_curation_on_answer(node, now, &output->answer, outbox)) return;
        if (node_owners_on_answer(node, now, &output->answer)) return;
        node_step_admin(node, now,
                        &(struct admin_input){.type = ADMIN_IN_STATE, .state = &output->answer},
                        outbox);
        return;
    case STATE_OUT_ORDER: judge_order(node, now, output->order, outbox); return;
    case STATE_OUT_OLD: remember(node, outbox); return;
    case STATE_OUT_FATAL: node_fatal(node, 70, mn_span_str(output->fatal), outbox); return;
    }
}

void node_step_state(struct node *node, struct mn_now now, const struct state_input *input,
                     struct edge_outbox *outbox)
{
    struct state_outbox state_outbox = {.arena = &node->arena, .edge = outbox};

    state_step(node->state, now, input, &state_outbox);
    for (uint32_t i = 0; i < state_outbox.count; i++)
        on_output(node, now, &state_outbox.items[i], outbox);
}

/* ---- inputs ---- */

/* Once the node is a member: the mesh's founder begins the group, if that never happened. Only the
 * first authority document has the founder alone. */
static void maybe_start(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    struct state_input start = {.type = STATE_IN_START};
    struct core_self self;
    const struct authority *authority;

    if (node->is_state_started) return;
    self = core_self(node->core);
    authority = admission_authority(core_admission(node->core));
    if (self.state != CORE_MEMBER || authority == NULL) return;
    node->is_state_started = true;
    start.start.is_founder = self.is_issuer && authority->version == 1;
    start.start.is_old = node->is_state_old;
    node_step_state(node, now, &start, outbox);
}

static enum metadata_role role_of(grant_role role)
{
    switch (role) {
    case MESHNODE__TRUST__ROLE__ROLE_EDGE: return METADATA_EDGE;
    case MESHNODE__TRUST__ROLE__ROLE_LEARNER: return METADATA_LEARNER;
    case MESHNODE__TRUST__ROLE__ROLE_VOTER: return METADATA_VOTER;
    case MESHNODE__TRUST__ROLE__ROLE_AUTO:
    case _MESHNODE__TRUST__ROLE_IS_INT_SIZE: break;
    }
    return METADATA_AUTO;
}

_Static_assert(RECORD_WEIGHT_MAX == METADATA_WEIGHT_MAX, "a weight that is said can be wanted");

static void node_of(const struct member *member, struct metadata_node *ret)
{
    struct mn_span region = member->record->said.region;
    size_t size = region.size < METADATA_REGION_SIZE ? region.size : METADATA_REGION_SIZE - 1;

    *ret = (struct metadata_node){
        .id = member->node_id,
        .role = role_of(member->record->said.role),
        .weight = member->record->said.weight,
        .is_alive = member->status == MEMBER_ALIVE || member->status == MEMBER_SUSPECT,
        .since = member->since,
        .is_gone = member->status == MEMBER_LEFT,
    };
    if (size > 0) memcpy(ret->region, region.data, size);
}

static void tell_nodes(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    const struct membership *membership = core_membership(node->core);
    struct state_input input = {.type = STATE_IN_NODES};
    const struct member *member = NULL;
    struct metadata_node *nodes;

    if (membership == NULL) return;
    nodes = mn_arena_alloc(&node->arena, STATE_NODES_MAX * sizeof *nodes);
    while ((member = membership_next(membership, member)) != NULL &&
           input.nodes.count < STATE_NODES_MAX)
        node_of(member, &nodes[input.nodes.count++]);
    input.nodes.items = nodes;
    node_step_state(node, now, &input, outbox);
}

/* The group gets its ticks at the end of a turn only: what came in one turn goes out together. */
void node_tick_state(struct node *node, struct mn_now now, bool is_turn_end,
                     struct edge_outbox *outbox)
{
    maybe_start(node, now, outbox);
    if (state_wants_nodes(node->state, now)) tell_nodes(node, now, outbox);
    if (is_turn_end && state_deadline(node->state) <= now.mono)
        node_step_state(node, now, &(struct state_input){.type = STATE_IN_TICK}, outbox);
}

void node_state_on_carried(struct node *node, struct mn_now now, const struct core_output *output,
                           struct edge_outbox *outbox)
{
    struct state_input input = {
        .type = output->carried.what == CORE_CARRIED_GROUPS ? STATE_IN_PACKET : STATE_IN_MESSAGE};

    input.message.from = output->carried.from;
    input.message.bytes = output->carried.bytes;
    node_step_state(node, now, &input, outbox);
}

/* Whoever leads and is told to stop lets somebody else lead at once, not after a timeout. */
void node_state_stop(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    struct state_request request = {.type = STATE_TRANSFER, .timeout = MN_SEC};
    struct raft_view view;

    if (!state_view(node->state, &view) || view.role != RAFT_LEADER) return;
    node_step_state(node, now, &(struct state_input){.type = STATE_IN_REQUEST, .request = &request},
                    outbox);
}
