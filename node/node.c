#include "node/node.h"

#include <sodium.h>

#include "crypto/digest.h"
#include "node/node_inside.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

#define INNER_STEPS_MAX 1024 /* per outer step; the rest waits for the next one */
#define NODES_TOLD_EVERY (250 * MN_MS)
#define NODES_TOLD_SOON (10 * MN_MS)
#define GATHERING_MAX (30 * MN_SEC) /* after its start a node may not know all servers yet */
#define DRAIN_TIME (10 * MN_SEC)    /* running calls may take so long to end after STOP */

void node_config_default(struct node_config *config)
{
    *config = (struct node_config){.core = {.role = MESHNODE__TRUST__ROLE__ROLE_AUTO}};
}

static struct core *node_make_core(struct node *node, const struct node_config *config)
{
    struct core_config core = config->core;

    core.writes_count = &node->writes_count;
    core.trace = &node->inner;
    return core_new(&core);
}

static struct mcp *node_make_mcp(struct node *node, const struct node_config *config)
{
    struct mcp_config mcp = config->mcp;
    uint8_t seed[RNG_SEED_SIZE]; /* of its own: not one bit of the core's stream */

    digest_kdf(config->core.seed, 1, "mn-gatew", seed);
    mcp.self = core_self(node->core).node_id;
    mcp.seed = seed;
    mcp.guard = node->guard;
    mcp.writes_count = &node->writes_count;
    mcp.is_gathering = &node->is_gathering;
    mcp.trace = &node->inner;
    return mcp_new(&mcp);
}

static struct admin *node_make_admin(struct node *node, const struct node_config *config,
                                     struct admin_config admin)
{
    uint8_t seed[RNG_SEED_SIZE]; /* of its own, too */
    struct admin *ret;

    digest_kdf(config->core.seed, 2, "mn-admin", seed);
    admin.seed = seed;
    admin.guard = node->guard;
    admin.writes_count = &node->writes_count;
    ret = admin_new(&admin);
    sodium_memzero(seed, sizeof seed);
    return ret;
}

mn_status node_new(const struct node_config *config, struct mn_arena *arena, struct node **ret,
                   struct mn_span *why)
{
    struct node *node = mn_alloc(sizeof *node);
    struct admin_config admin = config->admin;
    mn_status status;

    mn_trace_init(&node->inner, node->ring, NODE_TRACE_SIZE);
    node->trace = config->trace;
    node->to_core.arena = node->to_mcp.arena = node->carries.arena = &node->arena;
    node->core_outbox.arena = node->admin_outbox.arena = &node->arena;
    node->core_outbox.calls = &node->to_mcp;
    mn_list_init(&node->servers);
    node->guard = guard_new(config->mcp.hosts, config->mcp.hosts_count, config->mcp.bearers,
                            config->mcp.bearers_count);
    guard_set_proxied(node->guard, config->is_proxied);
    node->core = node_make_core(node, config);
    node->is_gathering = true;
    node->mcp = node_make_mcp(node, config);
    node->mesh = node_mesh_new(config->mesh_writes);
    node->state = node_make_state(node, config);
    node->curation = node_curation_new();
    node->owners = node_owners_new();
    node->gather = node_gather_new();
    node->feeds = node_feeds_new();
    admin.core = node->core;
    admin.state = node->state;
    admin.hosts = config->mcp.hosts;
    admin.hosts_count = config->mcp.hosts_count;
    admin.needs_bearer = config->mcp.bearers_count > 0;
    node->admin = node_make_admin(node, config, admin);
    status = node_servers_plan(node, config, arena, why);
    if (status != MN_OK) {
        node_free(node);
        return status;
    }
    *ret = node;
    return MN_OK;
}

void node_free(struct node *node)
{
    if (node == NULL) return;
    call_outbox_reset(&node->to_core);
    call_outbox_reset(&node->to_mcp);
    node_mesh_free(node->mesh);
    node_curation_free(node->curation);
    node_owners_free(node->owners);
    node_gather_free(node->gather);
    node_feeds_free(node->feeds);
    state_free(node->state);
    admin_free(node->admin);
    mcp_free(node->mcp);
    core_free(node->core);
    guard_free(node->guard);
    node_servers_done(node);
    mn_arena_done(&node->arena);
    mn_free(node);
}

struct mcp_outbox node_mcp_outbox(struct node *node, struct edge_outbox *edge)
{
    return (struct mcp_outbox){.edge = edge, .calls = &node->to_core, .carries = &node->carries};
}

/* ---- the core's outputs become the node's ---- */

static void node_on_carried(struct node *node, struct mn_now now, const struct core_output *output,
                            struct edge_outbox *outbox)
{
    struct mcp_input input = {.type = MCP_IN_CARRIED};

    if (output->carried.what == CORE_CARRIED_FINDINGS) {
        node_gather_on_carried(node, now, &output->carried.from, output->carried.bytes, outbox);
        return;
    }
    if (output->carried.what != CORE_CARRIED_RECORDS) {
        node_state_on_carried(node, now, output, outbox);
        return;
    }
    input.carried.from = output->carried.from;
    input.carried.bytes = output->carried.bytes;
    node_step_mcp(node, now, &input, outbox);
}

static void node_emit_net(const struct core_output *output, enum edge_output_type type,
                          struct edge_outbox *outbox)
{
    struct edge_output *edge = edge_emit(outbox, type, output->net.conn);

    edge->flag = output->net.flag;
    edge->text = mn_arena_copy(outbox->arena, output->net.text);
    edge->buf = output->net.buf; /* its ref moves on */
}

static void node_emit_secret(const struct core_output *output, struct edge_outbox *outbox)
{
    struct edge_output *edge = edge_emit(outbox, EDGE_OUT_SECRET, 0);

    edge->text =
        mn_span_str(output->secret.what == ADMISSION_SECRET_ROOT_KEY ? "root.key" : "join-token");
    edge->bytes = mn_arena_copy(outbox->arena, output->secret.bytes);
}

static void node_emit_write(const struct core_output *output, struct edge_outbox *outbox)
{
    struct edge_output *edge = edge_emit(outbox, EDGE_OUT_WRITE, output->write.number);

    edge->key = mn_arena_copy(outbox->arena, output->write.key);
    if (output->write.value.data != NULL)
        edge->bytes = mn_arena_copy(outbox->arena, output->write.value);
}

static void node_emit_end(struct node *node, enum edge_output_type type, uint32_t code,
                          struct mn_span text, struct edge_outbox *outbox)
{
    struct edge_output *edge = edge_emit(outbox, type, 0);

    edge->code = code;
    edge->text = mn_arena_copy(outbox->arena, text);
    node->is_stopped = true;
}

static void node_on_core_output(struct node *node, struct mn_now now,
                                const struct core_output *output, struct edge_outbox *outbox)
{
    switch (output->type) {
    case CORE_OUT_NET_DIAL: node_emit_net(output, EDGE_OUT_NET_DIAL, outbox); break;
    case CORE_OUT_NET_SEND: node_emit_net(output, EDGE_OUT_NET_SEND, outbox); break;
    case CORE_OUT_NET_PAUSE: node_emit_net(output, EDGE_OUT_NET_PAUSE, outbox); break;
    case CORE_OUT_NET_CLOSE: node_emit_net(output, EDGE_OUT_NET_CLOSE, outbox); break;
    case CORE_OUT_WRITE: node_emit_write(output, outbox); break;
    case CORE_OUT_SECRET: node_emit_secret(output, outbox); break;
    case CORE_OUT_REPLY:
        node_step_admin(node, now,
                        &(struct admin_input){.type = ADMIN_IN_REPLY, .reply = &output->reply},
                        outbox);
        break;
    case CORE_OUT_KEYS:
        node_step_mcp(node, now,
                      &(struct mcp_input){.type = MCP_IN_KEYS,
                                          .keys = trustset_keyring(core_trustset(node->core))},
                      outbox);
        break;
    case CORE_OUT_CARRIED: node_on_carried(node, now, output, outbox); break;
    case CORE_OUT_DOWN:
        node->nodes_told_at = 0;
        node_gather_on_down(node, &output->down);
        node_step_state(node, now,
                        &(struct state_input){.type = STATE_IN_DOWN, .down = output->down}, outbox);
        break;
    case CORE_OUT_STOPPED:
        node_emit_end(node, EDGE_OUT_STOPPED, 0, mn_span(NULL, 0), outbox);
        break;
    case CORE_OUT_FATAL:
        node_emit_end(node, EDGE_OUT_FATAL, (uint32_t)output->fatal.code, output->fatal.text,
                      outbox);
        break;
    }
}

void node_fatal(struct node *node, uint32_t code, struct mn_span text, struct edge_outbox *outbox)
{
    node_emit_end(node, EDGE_OUT_FATAL, code, text, outbox);
}

void node_step_core(struct node *node, struct mn_now now, const struct core_input *input,
                    struct edge_outbox *outbox)
{
    uint32_t begin = node->core_outbox.count, end;

    core_step(node->core, now, input, &node->core_outbox);
    end = node->core_outbox.count; /* what comes after it belongs to steps within this one */
    for (uint32_t i = begin; i < end; i++) {
        struct core_output output = node->core_outbox.items[i]; /* the array may move */
        node_on_core_output(node, now, &output, outbox);
    }
}

/* ---- admin ---- */

void node_step_admin(struct node *node, struct mn_now now, const struct admin_input *input,
                     struct edge_outbox *outbox)
{
    uint32_t begin = node->admin_outbox.count, end, edge_begin = outbox->count;

    node->admin_outbox.edge = outbox;
    admin_step(node->admin, now, input, &node->admin_outbox);
    node_mesh_collect(node, outbox, edge_begin);
    end = node->admin_outbox.count; /* as in node_step_core() */
    for (uint32_t i = begin; i < end; i++) {
        struct admin_output output = node->admin_outbox.items[i];
        if (output.type == ADMIN_OUT_GATEWAY)
            node_gateway_do(node, now, &output.gateway, outbox);
        else if (output.type == ADMIN_OUT_STATE)
            node_step_state(
                node, now,
                &(struct state_input){.type = STATE_IN_REQUEST, .request = &output.state}, outbox);
        else
            node_step_core(
                node, now,
                &(struct core_input){.type = CORE_IN_COMMAND, .command = &output.command}, outbox);
    }
}

/* ---- the gateway ---- */

void node_step_mcp(struct node *node, struct mn_now now, const struct mcp_input *input,
                   struct edge_outbox *outbox)
{
    struct mcp_outbox mcp_outbox = node_mcp_outbox(node, outbox);
    uint32_t key_id;

    mcp_step(node->mcp, now, input, &mcp_outbox);
    while (node->carries_done < node->carries.count) {
        struct mcp_carry carry = node->carries.items[node->carries_done++]; /* the array may move */
        struct core_input core_input = {.type = CORE_IN_CARRY};
        core_input.carry.to = carry.to;
        core_input.carry.what = CORE_CARRIED_RECORDS;
        core_input.carry.buf = carry.buf; /* its ref moves on */
        node_step_core(node, now, &core_input, outbox);
    }
    while (mcp_keys_take_wanted(mcp_keys(node->mcp), &key_id))
        node_step_core(node, now,
                       &(struct core_input){.type = CORE_IN_KEY_WANTED, .key_id = key_id}, outbox);
}

static inline bool node_has_messages(const struct node *node)
{
    return node->to_core_done < node->to_core.count || node->to_mcp_done < node->to_mcp.count;
}

/* Carries messages between gateway and core until none is left, or it is enough for one step. */
static void node_pump(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    uint32_t steps = 0;

    if (!node_has_messages(node)) return; /* three times in a step, and as a rule one has some */
    while (steps < INNER_STEPS_MAX && node_has_messages(node)) {
        if (node->to_core_done < node->to_core.count) {
            struct call_message message = node->to_core.items[node->to_core_done++];
            if (!node_mesh_takes(node, now, &message, outbox))
                node_step_core(node, now,
                               &(struct core_input){.type = CORE_IN_CALL, .call = &message},
                               outbox);
            steps++;
        }
        if (node->to_mcp_done < node->to_mcp.count) {
            struct call_message message = node->to_mcp.items[node->to_mcp_done++];
            if (message.type == CALL_MESSAGE_SERVICE) node_feeds_touch(node, now, NODE_MESH_TOOLS);
            if (!node_mesh_hides(node, &message))
                node_step_mcp(node, now, &(struct mcp_input){.type = MCP_IN_CALL, .call = &message},
                              outbox);
            steps++;
        }
    }
    node->has_more = node_has_messages(node);
}

/* ---- one input ---- */

static void node_on_net(struct node *node, struct mn_now now, const struct edge_input *input,
                        enum core_input_type type, struct edge_outbox *outbox)
{
    struct core_input core_input = {.type = type};

    core_input.net.conn = input->id;
    core_input.net.status = input->status;
    core_input.net.bytes = input->bytes;
    core_input.net.text = input->text;
    node_step_core(node, now, &core_input, outbox);
}

static void node_on_recover(struct node *node, struct mn_now now, const struct edge_input *input,
                            struct edge_outbox *outbox)
{
    struct core_input core_input = {.type = CORE_IN_RECOVER};
    struct admin_input admin_input = {.type = ADMIN_IN_RECOVER};
    struct mcp_input mcp_input = {.type = MCP_IN_RECOVER};

    if (node_servers_recover(node, now, input->key, input->bytes, outbox)) return;
    if (node_state_recover(node, input->key)) return;
    if (node_curation_recover(node, input->key, input->bytes)) return;
    if (mcp_is_key(input->key)) {
        mcp_input.recover.key = input->key;
        mcp_input.recover.value = input->bytes;
        node_step_mcp(node, now, &mcp_input, outbox);
        return;
    }
    if (admin_is_key(input->key)) {
        admin_input.recover.key = input->key;
        admin_input.recover.value = input->bytes;
        node_step_admin(node, now, &admin_input, outbox);
        return;
    }
    core_input.recover.key = input->key;
    core_input.recover.value = input->bytes;
    node_step_core(node, now, &core_input, outbox);
}

static bool path_is_mcp(struct mn_span target)
{
    return target.size >= 4 && memcmp(target.data, "/mcp", 4) == 0 &&
           (target.size == 4 || target.data[4] == '/' || target.data[4] == '?');
}

/* An exchange belongs to whoever took its OPEN; the other one does not know its id. */
static void node_on_http(struct node *node, struct mn_now now, const struct edge_input *input,
                         struct edge_outbox *outbox)
{
    bool is_open = input->type == EDGE_IN_HTTP_OPEN;

    if (!is_open || path_is_mcp(input->http->target))
        node_step_mcp(node, now, &(struct mcp_input){.type = MCP_IN_EDGE, .edge = input}, outbox);
    if (!is_open || !path_is_mcp(input->http->target))
        node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_EDGE, .edge = input},
                        outbox);
}

static void node_on_stop(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    if (node->is_stopping) return;
    node->is_stopping = true;
    node->leave_at = mn_time_after(now.mono, DRAIN_TIME);
    node_step_mcp(node, now, &(struct mcp_input){.type = MCP_IN_STOP}, outbox);
    node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_STOP}, outbox);
    node_state_stop(node, now, outbox);
}

static void node_on_input(struct node *node, struct mn_now now, const struct edge_input *input,
                          struct edge_outbox *outbox)
{
    switch (input->type) {
    case EDGE_IN_TICK: break; /* whatever is due is done after every input */
    case EDGE_IN_NET_ACCEPTED: node_on_net(node, now, input, CORE_IN_NET_ACCEPTED, outbox); break;
    case EDGE_IN_NET_CONNECTED: node_on_net(node, now, input, CORE_IN_NET_CONNECTED, outbox); break;
    case EDGE_IN_NET_BYTES: node_on_net(node, now, input, CORE_IN_NET_BYTES, outbox); break;
    case EDGE_IN_NET_SENT: node_on_net(node, now, input, CORE_IN_NET_SENT, outbox); break;
    case EDGE_IN_NET_CLOSED: node_on_net(node, now, input, CORE_IN_NET_CLOSED, outbox); break;
    case EDGE_IN_HTTP_OPEN:
    case EDGE_IN_HTTP_BODY:
    case EDGE_IN_HTTP_WRITABLE:
    case EDGE_IN_HTTP_GONE: node_on_http(node, now, input, outbox); break;
    case EDGE_IN_FETCH_HEAD:
    case EDGE_IN_FETCH_BODY:
    case EDGE_IN_FETCH_DONE:
    case EDGE_IN_CHILD_OUT:
    case EDGE_IN_CHILD_WRITABLE:
    case EDGE_IN_CHILD_EXIT:
        node_step_mcp(node, now, &(struct mcp_input){.type = MCP_IN_EDGE, .edge = input}, outbox);
        break;
    case EDGE_IN_RECOVER: node_on_recover(node, now, input, outbox); break;
    case EDGE_IN_RECOVERED:
        node_step_core(node, now, &(struct core_input){.type = CORE_IN_RECOVERED}, outbox);
        break;
    case EDGE_IN_DURABLE:
        node_step_core(node, now,
                       &(struct core_input){.type = CORE_IN_DURABLE, .durable = input->id}, outbox);
        node_step_admin(node, now,
                        &(struct admin_input){.type = ADMIN_IN_DURABLE, .durable = input->id},
                        outbox);
        break;
    case EDGE_IN_LOG_RECOVER:
    case EDGE_IN_LOG_DURABLE:
    case EDGE_IN_LOG_ROOM:
        node_step_state(node, now, &(struct state_input){.type = STATE_IN_LOG, .edge = input},
                        outbox);
        break;
    case EDGE_IN_ROOT_KEY:
        node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_EDGE, .edge = input},
                        outbox);
        break;
    case EDGE_IN_STOP: node_on_stop(node, now, outbox); break;
    }
}

/* Which members the gateway can reach: those that are well and linked. Looked at when a link came
 * or went, and else a few times in a second, if anything happens at all. */
static void node_tell_nodes(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    const struct membership *membership = core_membership(node->core);
    const struct peers *peers = core_peers(node->core);
    struct mcp_input input = {.type = MCP_IN_NODES};
    uint32_t count = peers_counts(peers).members;
    const struct peers_link *link = NULL;
    mn_time every = NODES_TOLD_EVERY;
    mn_id *nodes;

    /* While somebody who is linked is not counted yet, that may change any moment. */
    if (node->nodes_told_items < count) every = NODES_TOLD_SOON;
    if (membership == NULL || (count == node->nodes_told_count && node->nodes_told_at != 0 &&
                               now.mono - node->nodes_told_at < every))
        return;
    node->nodes_told_count = count;
    node->nodes_told_at = now.mono;
    nodes = mn_arena_alloc(&node->arena, (count + 1) * sizeof *nodes);
    while ((link = peers_next(peers, link)) != NULL && input.nodes.count < count) {
        const struct member *member =
            link->kind == PEERS_MEMBER ? membership_find(membership, &link->node_id) : NULL;
        if (member != NULL && member->status == MEMBER_ALIVE)
            nodes[input.nodes.count++] = link->node_id;
    }
    input.nodes.items = nodes;
    node->nodes_told_items = input.nodes.count;
    node_step_mcp(node, now, &input, outbox);
}

/* The inbox first, then whatever timers are due: a node that was stalled hears its peers before it
 * suspects them. */
static void node_tick(struct node *node, struct mn_now now, bool is_turn_end,
                      struct edge_outbox *outbox)
{
    if (core_deadline(node->core) <= now.mono)
        node_step_core(node, now, &(struct core_input){.type = CORE_IN_TICK}, outbox);
    node_tick_state(node, now, is_turn_end, outbox);
    node_tell_nodes(node, now, outbox);
    node_curation_tick(node, now, outbox);
    node_owners_tick(node, now, outbox);
    node_gather_tick(node, now, outbox);
    node_feeds_tick(node, now);
    if (mcp_deadline(node->mcp) <= now.mono)
        node_step_mcp(node, now, &(struct mcp_input){.type = MCP_IN_TICK}, outbox);
    if (admin_deadline(node->admin) <= now.mono)
        node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_TICK}, outbox);
}

static void node_maybe_leave(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    if (!node->is_stopping || node->is_leaving) return;
    if (!mcp_is_idle(node->mcp) && now.mono < node->leave_at) return;
    node->is_leaving = true;
    node_step_core(node, now, &(struct core_input){.type = CORE_IN_LEAVE}, outbox);
}

/* Hands what the cores reported to the operator's side and to the driver. */
static void node_drain_trace(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    const struct mn_trace_event *next;

    while ((next = mn_trace_take(&node->inner)) != NULL) {
        struct mn_trace_event event = *next;
        node_feeds_on_event(node, now, event.event);
        node_step_admin(node, now, &(struct admin_input){.type = ADMIN_IN_EVENT, .event = &event},
                        outbox);
        mn_trace(node->trace, event.mono, event.event, &event.id, event.a, event.b, event.text);
    }
}

static void node_end_turn(struct node *node)
{
    if (node->has_more) return; /* the queues still point into the arena */
    call_outbox_reset(&node->to_core);
    call_outbox_reset(&node->to_mcp);
    node->to_core_done = node->to_mcp_done = 0;
    node->carries.items = NULL;
    node->carries.count = node->carries.capacity = node->carries_done = 0;
    node->core_outbox.items = NULL;
    node->core_outbox.count = node->core_outbox.capacity = 0;
    node->admin_outbox.items = NULL;
    node->admin_outbox.count = node->admin_outbox.capacity = 0;
    mn_arena_reset(&node->arena);
}

/* More of the same exchange follows, most often at once. Timers that are due wait for it, or for
 * the turn's end: looking for them takes as long as such an input itself. */
static bool node_is_part(const struct edge_input *input)
{
    return input->type == EDGE_IN_HTTP_OPEN || input->type == EDGE_IN_FETCH_HEAD ||
           input->type == EDGE_IN_FETCH_BODY;
}

/* Over once the catalogs of others are here, or there are no others; and in any case some time. */
static void node_watch_gathering(struct node *node, struct mn_now now)
{
    node->is_gathering =
        node->is_gathering && now.mono < node->gathering_until && !core_self(node->core).is_ready;
}

void node_step(struct node *node, struct mn_now now, const struct edge_input *input,
               struct edge_outbox *outbox)
{
    if (node->is_stopped) return;
    if (!node->is_started) {
        node->gathering_until = mn_time_after(now.mono, GATHERING_MAX);
        node_mesh_start(node);
        node_servers_start(node, now, outbox);
    }
    node_watch_gathering(node, now);
    node_on_input(node, now, input, outbox);
    node_pump(node, now, outbox);
    if (!node_is_part(input)) node_tick(node, now, input->type == EDGE_IN_TICK, outbox);
    node_pump(node, now, outbox);
    node_maybe_leave(node, now, outbox);
    node_pump(node, now, outbox);
    node_drain_trace(node, now, outbox);
    node_end_turn(node);
}

mn_time node_deadline(const struct node *node)
{
    mn_time deadline;

    if (node->is_stopped) return MN_TIME_NEVER;
    if (node->has_more) return 0;
    deadline = mn_time_min(core_deadline(node->core), mcp_deadline(node->mcp));
    deadline = mn_time_min(deadline, admin_deadline(node->admin));
    deadline = mn_time_min(deadline, state_deadline(node->state));
    deadline = mn_time_min(deadline, node_curation_deadline(node));
    deadline = mn_time_min(deadline, node_owners_deadline(node));
    deadline = mn_time_min(deadline, node_gather_deadline(node));
    deadline = mn_time_min(deadline, node_feeds_deadline(node));
    if (node->is_stopping && !node->is_leaving) deadline = mn_time_min(deadline, node->leave_at);
    return deadline;
}

void node_check(const struct node *node)
{
    core_check(node->core);
    mcp_check(node->mcp);
    admin_check(node->admin);
    state_check(node->state);
    node_gather_check(node);
    MN_ASSERT(node->to_core_done <= node->to_core.count);
    MN_ASSERT(node->to_mcp_done <= node->to_mcp.count);
    MN_ASSERT(node->inner.read == node->inner.written);
}

const struct core *node_core(const struct node *node)
{
    return node->core;
}

const struct mcp *node_mcp(const struct node *node)
{
    return node->mcp;
}

const struct state *node_state(const struct node *node)
{
    return node->state;
}
