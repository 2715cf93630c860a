#include "tests/mesh/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/member.pb-c.h"
#include "proto/pb.h"

#define OWNER_INTERVAL (500 * MN_MS) /* how often the owner looks for links to make */
#define KEEPALIVE (8 * MN_SEC)       /* after this a link notices a cut */
#define FROZEN_POLL (20 * MN_MS)

enum world_event_type { EVENT_PACKET = 1, EVENT_UNREACHABLE, EVENT_PERSISTED, EVENT_OWNER };

struct world_event {
    mn_time at;
    uint64_t tie;
    enum world_event_type type;
    int from, to;  /* to: who steps */
    uint32_t boot; /* of [to] when it was made, for what must not outlive a process */
    uint64_t number;
    struct mn_buf *bytes;
};

/* ---- events ---- */

static bool event_is_before(const struct world_event *a, const struct world_event *b)
{
    return a->at != b->at ? a->at < b->at : a->tie < b->tie;
}

static void event_swap(struct world *world, uint32_t a, uint32_t b)
{
    struct world_event event = world->events[a];

    world->events[a] = world->events[b];
    world->events[b] = event;
}

static void event_push(struct world *world, struct world_event event)
{
    uint32_t i = world->events_count++;

    if (i == world->events_capacity) {
        world->events_capacity = i == 0 ? 64 : 2 * i;
        world->events = mn_realloc(world->events, world->events_capacity * sizeof event);
    }
    event.tie = world->events_tie++;
    world->events[i] = event;
    for (; i > 0 && event_is_before(&world->events[i], &world->events[(i - 1) / 2]);
         i = (i - 1) / 2)
        event_swap(world, i, (i - 1) / 2);
}

static struct world_event event_pop(struct world *world)
{
    struct world_event first = world->events[0];
    uint32_t i = 0;

    world->events[0] = world->events[--world->events_count];
    for (;;) {
        uint32_t least = i;
        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < world->events_count; child++)
            if (event_is_before(&world->events[child], &world->events[least])) least = child;
        if (least == i) return first;
        event_swap(world, i, least);
        i = least;
    }
}

/* ---- making nodes ---- */

static void make_grant(struct world *world, struct world_node *node, int i)
{
    struct grant grant = {.mesh_id = world->authority.mesh_id,
                          .serial = rng_id(&world->rng),
                          .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                          .not_before_ms = WORLD_WALL_MS - GRANT_TOLERANCE_MS,
                          .not_after_ms = WORLD_WALL_MS + WORLD_GRANT_MS,
                          .authority_version = 1,
                          .via = MESHNODE__TRUST__VIA__VIA_TOKEN};

    snprintf(grant.name, sizeof grant.name, "n%d", i);
    memcpy(grant.sign_pk, node->identity.key.pk, SIGN_PK_SIZE);
    node->grant = grant_sign(&grant, &world->issuer);
}

static void make_authority(struct world *world)
{
    struct authority_genesis genesis = {.root = &world->root,
                                        .founder = world->issuer.pk,
                                        .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
                                        .created_ms = WORLD_WALL_MS};
    struct mn_buf *document = authority_genesis_make(&genesis);

    ck_assert_int_eq(authority_decode(mn_buf_span(document), &world->authority), MN_OK);
    mn_buf_unref(document);
}

void world_init(struct world *world, int count, uint8_t seed)
{
    uint8_t bytes[RNG_SEED_SIZE] = {seed};

    ck_assert_int_le(count, WORLD_NODES_MAX);
    *world = (struct world){.count = count, .now = MN_SEC, .timing = membership_timing_default()};
    rng_init(&world->rng, bytes);
    rng_bytes(&world->rng, bytes, sizeof bytes);
    sign_key_init(&world->root, bytes);
    rng_bytes(&world->rng, bytes, sizeof bytes);
    sign_key_init(&world->issuer, bytes);
    make_authority(world);
    for (int i = 0; i < count; i++) {
        struct world_node *node = &world->nodes[i];
        rng_bytes(&world->rng, bytes, sizeof bytes);
        identity_init(&node->identity, bytes);
        snprintf(node->addr, sizeof node->addr, "n%d:7000", i);
        make_grant(world, node, i);
        node->keeps_disk = true;
        node->expects_peers = i > 0;
        node->soft_from = -1;
    }
    event_push(world, (struct world_event){.at = world->now, .type = EVENT_OWNER});
}

void world_done(struct world *world)
{
    for (int i = 0; i < world->count; i++) {
        membership_free(world->nodes[i].core);
        mn_buf_unref(world->nodes[i].grant);
        identity_done(&world->nodes[i].identity);
    }
    for (uint32_t i = 0; i < world->events_count; i++)
        mn_buf_unref(world->events[i].bytes);
    mn_free(world->events);
    authority_done(&world->authority);
    mn_arena_done(&world->arena);
    for (int i = 0; i < WORLD_DEPTH_MAX; i++)
        mn_arena_done(&world->turns[i]);
}

struct record_self world_self(const struct world *world, int i)
{
    const struct world_node *node = &world->nodes[i];

    return (struct record_self){.addrs = {mn_span_str(node->addr)},
                                .addrs_count = 1,
                                .region = mn_span_str("eu"),
                                .zone = mn_span_str("a"),
                                .role = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                                .protocol_min = 1,
                                .protocol_max = 1,
                                .grant = mn_buf_span(node->grant)};
}

static mn_id world_boot(const struct world *world, int i)
{
    mn_id boot = {{(uint8_t)(i + 1), (uint8_t)world->nodes[i].boots_count, 1}};

    return boot;
}

void world_start(struct world *world, int i)
{
    struct world_node *node = &world->nodes[i];
    struct mn_span seed = mn_span_str(world->nodes[0].addr);
    struct membership_config config = {.identity = &node->identity,
                                       .mesh_id = world->authority.mesh_id,
                                       .expects_peers = node->expects_peers,
                                       .self = world_self(world, i),
                                       .seeds = &seed,
                                       .seeds_count = i > 0 ? 1 : 0,
                                       .authority = &world->authority,
                                       .members_max = WORLD_NODES_MAX,
                                       .memory_max = WORLD_NODES_MAX * 4096,
                                       .timing = world->timing};

    ck_assert(node->core == NULL);
    node->boots_count++;
    config.boot_id = world_boot(world, i);
    config.incarnation = node->keeps_disk ? node->incarnation_stored : 0;
    rng_bytes(&world->rng, config.seed, sizeof config.seed);
    ck_assert_int_eq(membership_new(&config, &node->core), MN_OK);
    node->started_at = world->now;
    node->joined_at = node->leave_done_at = 0;
    node->incarnation_first = 0;
    node->is_frozen = node->has_left = false;
    memset(node->views, 0, sizeof node->views);
    world_step(world, i, &(struct membership_input){.type = MEMBERSHIP_IN_TICK});
}

void world_start_all(struct world *world)
{
    for (int i = 0; i < world->count; i++)
        world_start(world, i);
}

/* ---- what an owner does with outputs ---- */

static int world_index(const struct world *world, const mn_id *node)
{
    for (int i = 0; i < world->count; i++)
        if (mn_id_equal(&world->nodes[i].identity.node_id, node)) return i;
    ck_abort_msg("a node of this world");
    return -1;
}

static bool world_can_talk(const struct world *world, int i, int j)
{
    return !world->cuts[i][j] && !world->cuts[j][i];
}

static void do_send(struct world *world, int from, const struct membership_output *output)
{
    int to = world_index(world, &output->send.to);
    mn_time delay = 500 * MN_US + rng_below_u64(&world->rng, 3 * MN_MS);
    struct world_event event = {.at = world->now + delay, .from = from, .to = to};

    world->bytes_sent += output->send.packet.size;
    if (!world->links[from][to]) {
        event = (struct world_event){.at = world->now, .type = EVENT_UNREACHABLE, .from = to};
        event.to = from;
        event.boot = world->nodes[from].boots_count;
        event_push(world, event);
        return;
    }
    if (world->cuts[from][to] || rng_below(&world->rng, 100) < world->loss_percent) return;
    event.type = EVENT_PACKET;
    event.boot = world->nodes[to].boots_count;
    event.bytes = mn_buf_copy(output->send.packet);
    event_push(world, event);
}

static void do_dial(struct world *world, int from, const struct membership_output *output)
{
    world->nodes[from].dials_count++;
    if (world->refuses_links) return;
    for (int to = 0; to < world->count; to++)
        if (to != from && mn_span_is(output->dial.addrs[0], world->nodes[to].addr))
            world_link(world, from, to);
}

static void note_member(struct world *world, int i, const struct membership_output *output)
{
    int j = world_index(world, &output->member->node_id);
    struct world_view *view = &world->nodes[i].views[j];

    if (output->type == MEMBERSHIP_OUT_ALIVE) view->alive_at = world->now;
    if (output->type == MEMBERSHIP_OUT_SUSPECT) view->suspect_at = world->now;
    if (output->type == MEMBERSHIP_OUT_KEY_CONFLICT) world->nodes[i].conflicts_count++;
    if (output->type != MEMBERSHIP_OUT_DEAD) return;
    view->dead_at = world->now;
    if (world->nodes[j].core != NULL && !world->nodes[j].is_frozen && world_can_talk(world, i, j))
        world->false_deaths_count++;
}

static void do_output(struct world *world, int i, const struct membership_output *output)
{
    struct world_node *node = &world->nodes[i];

    switch (output->type) {
    case MEMBERSHIP_OUT_SEND: do_send(world, i, output); break;
    case MEMBERSHIP_OUT_DIAL: do_dial(world, i, output); break;
    case MEMBERSHIP_OUT_PERSIST:
        node->reborn_count += output->persist.is_reborn;
        event_push(world, (struct world_event){.at = world->now + 2 * MN_MS,
                                               .type = EVENT_PERSISTED,
                                               .to = i,
                                               .boot = node->boots_count,
                                               .number = output->persist.incarnation});
        break;
    case MEMBERSHIP_OUT_ALIVE:
    case MEMBERSHIP_OUT_SUSPECT:
    case MEMBERSHIP_OUT_DEAD:
    case MEMBERSHIP_OUT_LEFT:
    case MEMBERSHIP_OUT_RECORD_CHANGED:
    case MEMBERSHIP_OUT_KEY_CONFLICT: note_member(world, i, output); break;
    case MEMBERSHIP_OUT_SELF_CHANGED:
        ck_assert_uint_le(output->member->incarnation, node->incarnation_stored);
        if (node->incarnation_first == 0) node->incarnation_first = output->member->incarnation;
        break;
    case MEMBERSHIP_OUT_REMOVED:
        node->removed_count++;
        node->views[world_index(world, &output->node)] = (struct world_view){0};
        break;
    case MEMBERSHIP_OUT_JOINED:
        ck_assert_uint_eq(node->joined_at, 0);
        node->joined_at = world->now;
        break;
    case MEMBERSHIP_OUT_LEAVE_DONE: node->leave_done_at = world->now; break;
    case MEMBERSHIP_OUT_SOFT:
        node->soft_from = world_index(world, &output->soft.node);
        node->soft_size = (uint32_t)output->soft.bytes.size;
        memcpy(node->soft, output->soft.bytes.data, output->soft.bytes.size);
        break;
    case MEMBERSHIP_OUT_TRUST_NEEDED: node->trust_needed_count++; break;
    case MEMBERSHIP_OUT_FAULT: node->faults_count++; break;
    }
}

/* Between steps: numbers only rise, and the dead come back with a higher one only. Here and in
 * world_step() by MN_ASSERT: each ck_assert writes to a file, and there are millions. */
static void check_views(struct world *world, int i)
{
    struct world_node *node = &world->nodes[i];

    for (int j = 0; j < world->count; j++) {
        const struct member *member = world_member(world, i, j);
        struct world_view *view = &node->views[j];
        if (member == NULL) continue;
        MN_ASSERT(member->incarnation >= view->incarnation);
        if (view->status == MEMBER_DEAD || view->status == MEMBER_LEFT)
            MN_ASSERT(member->incarnation > view->incarnation || member->status >= view->status);
        view->status = member->status;
        view->incarnation = member->incarnation;
    }
}

void world_step(struct world *world, int i, const struct membership_input *input)
{
    struct world_node *node = &world->nodes[i];
    struct mn_now now = {world->now,
                         WORLD_WALL_MS * MN_MS + world->now + (mn_time)world->wall_days * MN_DAY};
    struct membership_outbox outbox = {.arena = &world->turns[world->depth]};

    MN_ASSERT(node->core != NULL && world->depth + 1 < WORLD_DEPTH_MAX);
    world->depth++;
    membership_step(node->core, now, input, &outbox);
    membership_check(node->core);
    check_views(world, i);
    for (uint32_t k = 0; k < outbox.count; k++)
        do_output(world, i, &outbox.items[k]);
    mn_arena_reset(outbox.arena);
    world->depth--;
}

/* ---- links and faults ---- */

static void tell_link(struct world *world, int i, int j, bool is_up, bool was_reset)
{
    struct membership_input input = {.type = MEMBERSHIP_IN_LINK_UP};

    if (is_up) {
        input.link_up.node = world->nodes[j].identity.node_id;
    } else {
        input.type = MEMBERSHIP_IN_LINK_DOWN;
        input.link_down.node = world->nodes[j].identity.node_id;
        input.link_down.was_reset = was_reset;
    }
    if (world->nodes[i].core != NULL) world_step(world, i, &input);
}

void world_link(struct world *world, int i, int j)
{
    const struct world_node *a = &world->nodes[i], *b = &world->nodes[j];

    if (world->links[i][j] || a->core == NULL || b->core == NULL) return;
    if (a->is_frozen || b->is_frozen || !world_can_talk(world, i, j)) return;
    if (a->has_left || b->has_left) return;
    world->links[i][j] = world->links[j][i] = true;
    tell_link(world, i, j, true, false);
    tell_link(world, j, i, true, false);
}

void world_unlink(struct world *world, int i, int j, bool was_reset)
{
    if (!world->links[i][j]) return;
    world->links[i][j] = world->links[j][i] = false;
    tell_link(world, i, j, false, was_reset);
    tell_link(world, j, i, false, was_reset);
}

void world_kill(struct world *world, int i)
{
    membership_free(world->nodes[i].core);
    world->nodes[i].core = NULL;
    for (int j = 0; j < world->count; j++)
        world_unlink(world, i, j, true);
}

void world_freeze(struct world *world, int i, bool is_frozen)
{
    world->nodes[i].is_frozen = is_frozen;
}

void world_cut(struct world *world, int from, int to, bool is_cut)
{
    world->cuts[from][to] = is_cut;
    world->cut_since[from][to] = world->now;
}

static bool wants_link(const struct world *world, int i, int j)
{
    enum member_status status;

    if (world->nodes[i].core == NULL) return false;
    if (i > 0 && j == 0 && !membership_has_joined(world->nodes[i].core)) return true; /* its seed */
    status = world_status(world, i, j);
    return status == MEMBER_ALIVE || status == MEMBER_SUSPECT;
}

static void owner_round(struct world *world)
{
    for (int i = 0; i < world->count; i++) {
        for (int j = i + 1; j < world->count; j++) {
            bool is_stale =
                (world->cuts[i][j] && world->now - world->cut_since[i][j] > KEEPALIVE) ||
                (world->cuts[j][i] && world->now - world->cut_since[j][i] > KEEPALIVE);
            if (world->links[i][j] && is_stale) world_unlink(world, i, j, false);
            if (world->links[i][j] || world->refuses_links) continue;
            if (wants_link(world, i, j) || wants_link(world, j, i)) world_link(world, i, j);
        }
    }
    event_push(world, (struct world_event){.at = world->now + OWNER_INTERVAL, .type = EVENT_OWNER});
}

/* ---- time ---- */

static void handle(struct world *world, struct world_event *event)
{
    struct world_node *node = &world->nodes[event->to];
    struct membership_input input = {.type = MEMBERSHIP_IN_TICK};

    if (event->type == EVENT_OWNER) {
        owner_round(world);
        return;
    }
    if (node->core == NULL || event->boot != node->boots_count) return;
    if (node->is_frozen) {
        event->at = world->now + FROZEN_POLL;
        event->bytes = mn_buf_ref(event->bytes);
        event_push(world, *event);
        return;
    }
    if (event->type == EVENT_PACKET) {
        if (!world->links[event->to][event->from]) return;
        input.type = MEMBERSHIP_IN_PACKET;
        input.packet.from = world->nodes[event->from].identity.node_id;
        input.packet.bytes = mn_buf_span(event->bytes);
    } else if (event->type == EVENT_UNREACHABLE) {
        input.type = MEMBERSHIP_IN_UNREACHABLE;
        input.unreachable.node = world->nodes[event->from].identity.node_id;
    } else {
        input.type = MEMBERSHIP_IN_PERSISTED;
        input.persisted.incarnation = event->number;
        node->incarnation_stored = event->number;
    }
    world_step(world, event->to, &input);
}

/* The node whose timer is due first, and when. */
static int next_timer(const struct world *world, mn_time *ret)
{
    int first = -1;

    *ret = MN_TIME_NEVER;
    for (int i = 0; i < world->count; i++) {
        const struct world_node *node = &world->nodes[i];
        if (node->core == NULL || node->is_frozen) continue;
        if (membership_deadline(node->core) >= *ret) continue;
        *ret = membership_deadline(node->core);
        first = i;
    }
    return first;
}

static bool world_advance(struct world *world, mn_time end)
{
    mn_time due;
    int i = next_timer(world, &due);
    struct world_event event;

    /* Packets before timers: a process that wakes up reads its sockets first. */
    if (world->events_count > 0 && world->events[0].at <= due) {
        if (world->events[0].at > end) return false;
        event = event_pop(world);
        if (event.at > world->now) world->now = event.at;
        handle(world, &event);
        mn_buf_unref(event.bytes);
        return true;
    }
    if (due > end) return false;
    if (due > world->now) world->now = due;
    world_step(world, i, &(struct membership_input){.type = MEMBERSHIP_IN_TICK});
    return true;
}

void world_run(struct world *world, mn_time span)
{
    mn_time end = world->now + span;

    while (world_advance(world, end))
        ;
    world->now = end;
}

bool world_run_until(struct world *world, bool (*is_true)(struct world *), mn_time limit)
{
    mn_time end = world->now + limit;

    while (!is_true(world)) {
        if (world->now >= end) return false;
        world_run(world, 50 * MN_MS);
    }
    return true;
}

/* ---- looking ---- */

const struct member *world_member(const struct world *world, int i, int j)
{
    return membership_find(world->nodes[i].core, &world->nodes[j].identity.node_id);
}

enum member_status world_status(const struct world *world, int i, int j)
{
    const struct member *member = world_member(world, i, j);

    return member == NULL ? 0 : member->status;
}

bool world_is_agreed(struct world *world)
{
    for (int i = 0; i < world->count; i++) {
        if (world->nodes[i].core == NULL) continue;
        for (int j = 0; j < world->count; j++) {
            bool is_alive = world_status(world, i, j) == MEMBER_ALIVE;
            if (is_alive != (world->nodes[j].core != NULL)) return false;
        }
    }
    return true;
}

/* ---- forging ---- */

struct mn_span world_record(struct world *world, int i, uint64_t incarnation, uint32_t seq,
                            uint8_t boot)
{
    struct record_numbers numbers = {.incarnation = incarnation, .seq = seq};
    struct record_self self = world_self(world, i);
    struct mn_span record;

    numbers.boot_id.bytes[0] = boot;
    ck_assert_int_eq(record_sign(&self, &numbers, &world->nodes[i].identity,
                                 &world->authority.mesh_id, &world->arena, &record),
                     MN_OK);
    return record;
}

struct mn_span world_accusation(struct world *world, int accuser, int subject, uint64_t incarnation,
                                enum accusation_kind kind)
{
    struct accusation accusation = {.subject = world->nodes[subject].identity.node_id,
                                    .accuser = world->nodes[accuser].identity.node_id,
                                    .subject_incarnation = incarnation,
                                    .accuser_incarnation = 1,
                                    .kind = kind};

    accusation_sign(&accusation, &world->nodes[accuser].identity.key, &world->authority.mesh_id,
                    &world->arena);
    return accusation.signed_bytes;
}

void world_tell(struct world *world, int from, int to, struct mn_span record,
                struct mn_span accusation)
{
    Meshnode__Member__Packet packet = MESHNODE__MEMBER__PACKET__INIT;
    ProtobufCBinaryData records[1] = {pb_bytes(record)}, accusations[1] = {pb_bytes(accusation)};
    struct membership_input input = {.type = MEMBERSHIP_IN_PACKET};

    packet.type = MESHNODE__MEMBER__PACKET__TYPE__GOSSIP;
    packet.records = records;
    packet.n_records = record.size > 0;
    packet.accusations = accusations;
    packet.n_accusations = accusation.size > 0;
    input.packet.from = world->nodes[from].identity.node_id;
    input.packet.bytes = pb_pack_arena(&packet.base, &world->arena);
    world_step(world, to, &input);
}
