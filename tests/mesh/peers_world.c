#include "tests/mesh/peers_world.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/digest.h"

struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof *world);
    uint8_t seed[SIGN_SEED_SIZE];
    struct mn_buf *document;
    mn_status status;

    ck_assert_int_ge(sodium_init(), 0);
    world->now = (struct mn_now){MN_SEC, 1700000000 * MN_SEC};
    world->accepts_next = 1;
    world->timing = peers_timing_default();
    world->limits = peers_limits_default();
    memset(seed, 0xa1, sizeof seed);
    sign_key_init(&world->root, seed);
    memset(seed, 0xa2, sizeof seed);
    sign_key_init(&world->issuer, seed);
    document =
        authority_genesis_make(&(struct authority_genesis){.root = &world->root,
                                                           .founder = world->issuer.pk,
                                                           .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
                                                           .created_ms = mn_wall_ms(world->now)});
    status = authority_decode(mn_buf_span(document), &world->authority);
    ck_assert_int_eq(status, MN_OK);
    world->mesh_id = world->authority.mesh_id;
    mn_buf_unref(document);
    return world;
}

static void node_forget(struct world_node *node)
{
    for (uint32_t i = 0; i < node->log_count; i++)
        mn_buf_unref(node->log[i].bytes);
    node->log_count = 0;
}

static void node_done(struct world_node *node)
{
    peers_outbox_reset(&node->outbox);
    mn_arena_done(&node->arena);
    peers_free(node->peers);
    node->peers = NULL;
    node->grant = mn_buf_unref(node->grant);
    node->is_alive = false;
}

void world_free(struct world *world)
{
    for (int i = 0; i < WORLD_NODES; i++) {
        node_done(&world->nodes[i]);
        node_forget(&world->nodes[i]);
    }
    for (uint32_t i = 0; i < world->wires_count; i++) {
        for (int side = 0; side < 2; side++) {
            mn_writer_drop(&world->wires[i].bytes[side]);
            mn_writer_drop(&world->wires[i].held[side]);
        }
    }
    authority_done(&world->authority);
    free(world);
}

/* ---- what nodes say ---- */

static void node_keep(struct world *world, struct world_node *node,
                      const struct peers_output *output)
{
    struct said *said = &node->log[node->log_count++];

    ck_assert_uint_lt(node->log_count, WORLD_LOG);
    *said = (struct said){.type = output->type,
                          .at = world->now.mono,
                          .status = output->status,
                          .kind = output->kind,
                          .code = output->code,
                          .flag = output->flag,
                          .link = output->link,
                          .tag = output->tag,
                          .node_id = output->node_id};
    switch (output->type) {
    case PEERS_OUT_UP:
        said->link = output->info->link;
        said->kind = output->info->kind;
        said->node_id = output->info->node_id;
        said->refuse = output->info->refuse;
        break;
    case PEERS_OUT_CONTROL: said->bytes = mn_buf_copy(output->bytes); break;
    case PEERS_OUT_ENVELOPE:
        said->bytes = mn_buf_copy(output->envelope->payload);
        said->sequence = output->envelope->sequence;
        break;
    case PEERS_OUT_REFUSED:
    case PEERS_OUT_OWN_ADDRESS:
    case PEERS_OUT_DIAL_FAILED: said->bytes = mn_buf_copy(output->address); break;
    case PEERS_OUT_DIAL:
    case PEERS_OUT_SEND:
    case PEERS_OUT_PAUSE:
    case PEERS_OUT_CLOSE:
    case PEERS_OUT_DOWN:
    case PEERS_OUT_UNSENT:
    case PEERS_OUT_IDLE: break;
    }
}

static struct wire *wire_find(struct world *world, int node, uint64_t conn, int *ret_side)
{
    for (uint32_t i = 0; i < world->wires_count; i++) {
        for (int side = 0; side < 2; side++) {
            struct wire *wire = &world->wires[i];
            if (wire->node[side] == node && wire->conn[side] == conn && !wire->is_closed[side]) {
                *ret_side = side;
                return wire;
            }
        }
    }
    return NULL;
}

static mn_time world_delay(const struct world *world, const struct wire *wire)
{
    bool is_slow = world->has_delay_by_wire && (wire - world->wires) % 2 == 1;
    return WORLD_DELAY * (is_slow ? 3 : 1);
}

static struct wire *wire_new(struct world *world)
{
    struct wire *wire = &world->wires[world->wires_count++];

    ck_assert_uint_le(world->wires_count, WORLD_WIRES);
    *wire = (struct wire){.is_open = true, .node = {-1, -1}};
    wire->due = world->now.mono + world_delay(world, wire);
    return wire;
}

static int world_resolve(const struct world *world, const char *address)
{
    for (int i = 0; i < WORLD_NODES; i++)
        if (strcmp(world->nodes[i].address, address) == 0) return i;
    return -1;
}

static void world_carry_out(struct world *world, int at, const struct peers_output *output)
{
    int side = 0;
    struct wire *wire;

    if (output->type == PEERS_OUT_DIAL) {
        wire = wire_new(world);
        wire->node[0] = at;
        wire->conn[0] = output->conn;
        wire->node[1] = world_resolve(world, (const char *)output->address.data);
        wire->is_closed[1] = true; /* until it is accepted */
        return;
    }
    wire = wire_find(world, at, output->conn, &side);
    if (wire == NULL) return;
    if (output->type == PEERS_OUT_SEND) {
        ck_assert(!wire->is_sending[side]);
        wire->is_sending[side] = true;
        if (!wire->is_blackhole) mn_writer_add(&wire->bytes[1 - side], mn_buf_span(output->buf));
        wire->due = world->now.mono + world_delay(world, wire);
    } else if (output->type == PEERS_OUT_PAUSE) {
        wire->is_paused[side] = output->flag;
        wire->due = world->now.mono;
    } else {
        wire->is_closed[side] = wire->is_closing = true;
        wire->due = world->now.mono + world_delay(world, wire);
    }
}

/* One step and the end of its turn; what comes out of both is carried out. */
void world_input(struct world *world, int at, const struct peers_input *input)
{
    struct world_node *node = &world->nodes[at];

    if (!node->is_alive || node->is_frozen) return;
    node->outbox.arena = &node->arena;
    peers_step(node->peers, world->now, input, &node->outbox);
    peers_step(node->peers, world->now, &(struct peers_input){.type = PEERS_IN_TURN_END},
               &node->outbox);
    peers_check(node->peers);
    for (uint32_t i = 0; i < node->outbox.count; i++) {
        const struct peers_output *output = &node->outbox.items[i];
        if (output->type <= PEERS_OUT_CLOSE) world_carry_out(world, at, output);
        node_keep(world, node, output);
    }
    peers_outbox_reset(&node->outbox);
    mn_arena_reset(&node->arena);
}

/* ---- nodes ---- */

struct mn_buf *world_grant(struct world *world, const struct identity *identity, uint64_t not_after)
{
    struct grant grant = {.mesh_id = world->mesh_id,
                          .serial = identity->node_id,
                          .node_id = identity->node_id,
                          .name = "node",
                          .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                          .not_before_ms = mn_wall_ms(world->now) - 1000,
                          .not_after_ms = not_after,
                          .authority_version = 1,
                          .via = MESHNODE__TRUST__VIA__VIA_TOKEN};

    memcpy(grant.sign_pk, identity->key.pk, SIGN_PK_SIZE);
    return grant_sign(&grant, &world->issuer);
}

void world_set_self(struct world *world, int at, peers_hello hello)
{
    struct world_node *node = &world->nodes[at];
    bool is_member = hello == MESHNODE__WIRE__HELLO_KIND__HELLO_MEMBER;

    node->self = (struct peers_self){.hello = hello};
    if (is_member) {
        if (node->grant == NULL)
            node->grant = world_grant(world, &node->identity,
                                      mn_wall_ms(world->now) + AUTHORITY_TTL_DEFAULT_MS);
        node->self.mesh_id = world->mesh_id;
        node->self.grant = mn_buf_span(node->grant);
        node->self.authority = &world->authority;
    }
    world_input(world, at, &(struct peers_input){.type = PEERS_IN_SELF, .self = &node->self});
}

void world_start(struct world *world, int at, uint8_t seed, peers_hello hello)
{
    struct world_node *node = &world->nodes[at];
    uint8_t bytes[IDENTITY_SEED_SIZE];
    struct peers_config config = {.self = &node->identity,
                                  .name = "node",
                                  .version = "1",
                                  .timing = world->timing,
                                  .limits = world->limits,
                                  .conns_next = &node->conns_next,
                                  .conns_step = 2};

    node_done(node); /* after a kill, or as one that forgot all */
    memset(bytes, seed, sizeof bytes);
    identity_init(&node->identity, bytes);
    snprintf(node->address, sizeof node->address, "10.0.0.%d:7000", at);
    node->boot_id.bytes[0]++; /* another one at each start, and per node */
    node->boot_id.bytes[1] = (uint8_t)at;
    config.boot_id = node->boot_id;
    config.seed[0] = (uint8_t)at;
    config.seed[1] = node->boot_id.bytes[0];
    if (node->conns_next == 0) node->conns_next = 2;
    node->peers = peers_new(&config);
    node->is_alive = true;
    node->is_frozen = false;
    world_set_self(world, at, hello);
}

void world_kill(struct world *world, int at)
{
    for (uint32_t i = 0; i < world->wires_count; i++) {
        struct wire *wire = &world->wires[i];
        if (!wire->is_open || (wire->node[0] != at && wire->node[1] != at)) continue;
        for (int side = 0; side < 2; side++)
            if (wire->node[side] == at) wire->is_closed[side] = true;
        wire->is_closing = true;
        wire->due = world->now.mono + WORLD_DELAY;
    }
    node_done(&world->nodes[at]);
}

void world_dial_address(struct world *world, int from, const char *address, bool is_kept)
{
    struct peers_dial dial = {
        .addrs = {mn_span_str(address)}, .addrs_count = 1, .is_kept = is_kept};
    world_input(world, from, &(struct peers_input){.type = PEERS_IN_DIAL, .dial = &dial});
}

void world_dial(struct world *world, int from, int to, bool is_kept)
{
    struct peers_dial dial = {.node_id = world->nodes[to].identity.node_id,
                              .addrs = {mn_span_str(world->nodes[to].address)},
                              .addrs_count = 1,
                              .is_kept = is_kept};
    world_input(world, from, &(struct peers_input){.type = PEERS_IN_DIAL, .dial = &dial});
}

void world_send(struct world *world, int from, int to, uint64_t sequence, size_t size, uint64_t tag)
{
    struct mn_buf *payload = mn_buf_new(size);
    struct envelope envelope = {
        .type = ENVELOPE_EVENT, .priority = ENVELOPE_NORMAL, .sequence = sequence};
    struct peers_send send = {.node_id = world->nodes[to].identity.node_id,
                              .envelope = &envelope,
                              .payload = payload,
                              .tag = tag};

    memset(payload->bytes, (int)sequence, size);
    envelope.payload = mn_buf_span(payload);
    world_input(world, from, &(struct peers_input){.type = PEERS_IN_SEND, .send = &send});
    mn_buf_unref(payload);
}

/* ---- the network ---- */

static void wire_connect(struct world *world, struct wire *wire)
{
    int to = wire->node[1];
    char from[40] = "";
    struct world_node *node = to < 0 ? NULL : &world->nodes[to];

    wire->is_connected = true;
    if (node == NULL || !node->is_alive) {
        wire->is_closed[1] = true;
        wire->is_closing = true;
        return;
    }
    wire->conn[1] = world->accepts_next;
    world->accepts_next += 2;
    wire->is_closed[1] = false;
    snprintf(from, sizeof from, "10.0.0.%d:40000", wire->node[0]);
    world_input(world, to,
                &(struct peers_input){.type = PEERS_IN_ACCEPTED,
                                      .conn = wire->conn[1],
                                      .address = mn_span_str(from)});
    world_input(world, wire->node[0],
                &(struct peers_input){.type = PEERS_IN_CONNECTED,
                                      .conn = wire->conn[0],
                                      .address = mn_span_str(node->address)});
}

static bool side_can_take(const struct world *world, const struct wire *wire, int side)
{
    int at = wire->node[side];
    return at >= 0 && !wire->is_closed[side] && !wire->is_paused[side] &&
           world->nodes[at].is_alive && !world->nodes[at].is_frozen;
}

static void wire_deliver(struct world *world, struct wire *wire)
{
    for (int side = 0; side < 2; side++) {
        struct mn_buf *bytes;
        if (wire->is_sending[side] && wire->node[side] >= 0 &&
            (wire->is_blackhole || wire->is_closed[1 - side] || wire->node[1 - side] < 0 ||
             side_can_take(world, wire, 1 - side))) {
            wire->is_sending[side] = false;
            world_input(world, wire->node[side],
                        &(struct peers_input){.type = PEERS_IN_SENT, .conn = wire->conn[side]});
        }
        if (mn_writer_size(&wire->bytes[side]) == 0 || !side_can_take(world, wire, side)) continue;
        bytes = mn_writer_done(&wire->bytes[side]);
        world_input(world, wire->node[side],
                    &(struct peers_input){.type = PEERS_IN_BYTES,
                                          .conn = wire->conn[side],
                                          .bytes = mn_buf_span(bytes)});
        mn_buf_unref(bytes);
    }
}

/* The end of a connection reaches the other side behind its last bytes. */
static void wire_close(struct world *world, struct wire *wire)
{
    for (int side = 0; side < 2; side++) {
        int at = wire->node[side];
        if (wire->is_closed[side] || at < 0 || world->nodes[at].is_frozen) continue;
        if (mn_writer_size(&wire->bytes[side]) > 0 && side_can_take(world, wire, side)) continue;
        wire->is_closed[side] = true;
        world_input(world, at,
                    &(struct peers_input){
                        .type = PEERS_IN_CLOSED, .conn = wire->conn[side], .status = MN_IO});
    }
    wire->is_open = !(wire->is_closed[0] && wire->is_closed[1]);
}

static bool wire_is_busy(const struct world *world, const struct wire *wire)
{
    if (!wire->is_open) return false;
    if (!wire->is_connected) return !wire->is_blackhole;
    if (wire->is_closing && !wire->is_blackhole) return true;
    for (int side = 0; side < 2; side++) {
        if (mn_writer_size(&wire->bytes[side]) > 0 && side_can_take(world, wire, side)) return true;
        if (wire->is_sending[side] && (wire->is_blackhole || wire->is_closed[1 - side] ||
                                       side_can_take(world, wire, 1 - side)))
            return true;
    }
    return false;
}

static void wire_run(struct world *world, struct wire *wire)
{
    if (!wire->is_connected) {
        wire_connect(world, wire);
        return;
    }
    wire_deliver(world, wire);
    if (wire->is_closing && !wire->is_blackhole) wire_close(world, wire);
    wire->due = world->now.mono + world_delay(world, wire);
}

static mn_time world_next(const struct world *world)
{
    mn_time at = MN_TIME_NEVER;

    for (int i = 0; i < WORLD_NODES; i++) {
        const struct world_node *node = &world->nodes[i];
        if (node->is_alive && !node->is_frozen) at = mn_time_min(at, peers_deadline(node->peers));
    }
    for (uint32_t i = 0; i < world->wires_count; i++)
        if (wire_is_busy(world, &world->wires[i])) at = mn_time_min(at, world->wires[i].due);
    return at;
}

static void world_set_time(struct world *world, mn_time mono)
{
    if (mono < world->now.mono) return;
    world->now.wall += mono - world->now.mono;
    world->now.mono = mono;
}

void world_run(struct world *world, mn_time duration)
{
    mn_time end = world->now.mono + duration, next;

    while ((next = world_next(world)) <= end) {
        world_set_time(world, next);
        for (uint32_t i = 0; i < world->wires_count; i++)
            if (wire_is_busy(world, &world->wires[i]) && world->wires[i].due <= world->now.mono)
                wire_run(world, &world->wires[i]);
        for (int i = 0; i < WORLD_NODES; i++) {
            struct world_node *node = &world->nodes[i];
            if (node->is_alive && !node->is_frozen &&
                peers_deadline(node->peers) <= world->now.mono)
                world_input(world, i, &(struct peers_input){.type = PEERS_IN_TICK});
        }
    }
    world_set_time(world, end);
}

struct wire *world_knock(struct world *world, int node, const char *address)
{
    struct wire *wire = wire_new(world);

    wire->is_connected = true;
    wire->node[1] = node;
    wire->conn[1] = world->accepts_next;
    world->accepts_next += 2;
    world_input(world, node,
                &(struct peers_input){.type = PEERS_IN_ACCEPTED,
                                      .conn = wire->conn[1],
                                      .address = mn_span_str(address)});
    return wire;
}

void world_say(struct world *world, struct wire *wire, struct mn_span bytes)
{
    world_input(
        world, wire->node[1],
        &(struct peers_input){.type = PEERS_IN_BYTES, .conn = wire->conn[1], .bytes = bytes});
}

/* ---- looking ---- */

uint32_t world_count(const struct world *world, int at, enum peers_output_type type)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->nodes[at].log_count; i++)
        count += world->nodes[at].log[i].type == type;
    return count;
}

const struct said *world_last(const struct world *world, int at, enum peers_output_type type)
{
    const struct world_node *node = &world->nodes[at];

    for (uint32_t i = node->log_count; i > 0; i--)
        if (node->log[i - 1].type == type) return &node->log[i - 1];
    return NULL;
}

void world_forget(struct world *world)
{
    for (int i = 0; i < WORLD_NODES; i++)
        node_forget(&world->nodes[i]);
}

bool world_is_linked(const struct world *world, int a, int b)
{
    return world->nodes[a].is_alive && world->nodes[b].is_alive &&
           peers_find(world->nodes[a].peers, &world->nodes[b].identity.node_id) != NULL &&
           peers_find(world->nodes[b].peers, &world->nodes[a].identity.node_id) != NULL;
}
