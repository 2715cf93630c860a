/* Anything, in any order, into a membership core: packets from members and strangers, links that
 * come and go, time. The input is a list of operations: kind, node, size (2 bytes), bytes. After
 * each step the core checks its invariants. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "mesh/membership.h"
#include "proto/base/check.h"

#define NODES 4 /* ourselves, two members, a stranger */
#define WALL_MS ((uint64_t)1700000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sign_key issuer;
static struct authority authority;
static struct identity identities[NODES];
static struct mn_buf *grants[NODES];

static void make_keys(void)
{
    struct authority_genesis genesis = {.root = &issuer,
                                        .founder = issuer.pk,
                                        .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
                                        .created_ms = WALL_MS};
    uint8_t seed[32] = {1};
    struct mn_buf *document;

    sign_key_init(&issuer, seed);
    document = authority_genesis_make(&genesis);
    if (authority_decode(mn_buf_span(document), &authority) != MN_OK) abort();
    mn_buf_unref(document);
    for (int i = 0; i < NODES; i++) {
        struct grant grant = {.mesh_id = authority.mesh_id,
                              .name = "n",
                              .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                              .not_after_ms = WALL_MS + 86400000,
                              .authority_version = 1,
                              .via = MESHNODE__TRUST__VIA__VIA_TOKEN};
        seed[0]++;
        identity_init(&identities[i], seed);
        memcpy(grant.sign_pk, identities[i].key.pk, SIGN_PK_SIZE);
        grants[i] = grant_sign(&grant, &issuer);
    }
}

static struct record_self self_of(int i)
{
    return (struct record_self){.addrs = {mn_span_str("a:1")},
                                .addrs_count = 1,
                                .protocol_min = 1,
                                .protocol_max = 1,
                                .grant = mn_buf_span(grants[i])};
}

static struct mn_span record_of(int i, uint64_t incarnation, struct mn_arena *arena)
{
    struct record_numbers numbers = {.incarnation = incarnation, .boot_id = {{(uint8_t)i}}};
    struct record_self self = self_of(i);
    struct mn_span bytes;

    if (record_sign(&self, &numbers, &identities[i], &authority.mesh_id, arena, &bytes) != MN_OK)
        abort();
    return bytes;
}

static struct membership *make_core(bool expects_peers)
{
    struct membership_config config = {.identity = &identities[0],
                                       .mesh_id = authority.mesh_id,
                                       .boot_id = {{7}},
                                       .expects_peers = expects_peers,
                                       .self = self_of(0),
                                       .authority = &authority,
                                       .members_max = 16,
                                       .memory_max = 65536,
                                       .timing = membership_timing_default()};
    struct membership *core;

    if (membership_new(&config, &core) != MN_OK) abort();
    return core;
}

struct run {
    struct membership *core;
    struct mn_now now;
    struct mn_arena arena;
};

/* Steps, and answers what an owner always answers. */
static void step(struct run *run, const struct membership_input *input)
{
    struct membership_outbox outbox = {.arena = &run->arena};
    uint64_t persist = 0;

    membership_step(run->core, run->now, input, &outbox);
    membership_check(run->core);
    for (uint32_t i = 0; i < outbox.count; i++) {
        if (outbox.items[i].type == MEMBERSHIP_OUT_PERSIST)
            persist = outbox.items[i].persist.incarnation;
        if (outbox.items[i].type == MEMBERSHIP_OUT_SEND)
            MN_ASSERT(outbox.items[i].send.packet.size <= MEMBERSHIP_PACKET_MAX);
    }
    mn_arena_reset(&run->arena);
    if (persist != 0)
        step(run, &(struct membership_input){.type = MEMBERSHIP_IN_PERSISTED,
                                             .persisted = {.incarnation = persist}});
}

static void operate(struct run *run, uint8_t kind, int node, struct mn_span bytes)
{
    mn_id id = identities[node].node_id;
    struct membership_input input = {.type = MEMBERSHIP_IN_TICK};

    switch (kind % 8) {
    case 0:
    case 1:
        input.type = MEMBERSHIP_IN_PACKET;
        input.packet.from = id;
        input.packet.bytes = bytes;
        break;
    case 2:
        input.type = MEMBERSHIP_IN_LINK_UP;
        input.link_up.node = id;
        input.link_up.record = bytes;
        break;
    case 3:
        input.type = MEMBERSHIP_IN_LINK_DOWN;
        input.link_down.node = id;
        input.link_down.was_reset = bytes.size % 2 == 0;
        break;
    case 4:
        input.type = MEMBERSHIP_IN_UNREACHABLE;
        input.unreachable.node = id;
        break;
    case 5: run->now.mono += bytes.size * 10 * MN_MS; break;
    case 6:
        if (membership_deadline(run->core) != MN_TIME_NEVER &&
            membership_deadline(run->core) > run->now.mono)
            run->now.mono = membership_deadline(run->core);
        break;
    default:
        if (bytes.size == 77) input.type = MEMBERSHIP_IN_LEAVE;
        break;
    }
    step(run, &input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.now = {MN_SEC, WALL_MS * MN_MS}};
    struct mn_span empty = {0};

    if (sodium_init() < 0) abort();
    if (grants[0] == NULL) make_keys();
    if (size == 0) return 0;
    run.core = make_core(data[0] % 2 == 1);
    operate(&run, 6, 0, empty);
    for (int i = 1; i <= 2; i++) {
        struct mn_arena arena = {0};
        operate(&run, 2, i, record_of(i, 1, &arena));
        mn_arena_done(&arena);
    }
    for (size_t at = 1; at + 4 <= size;) {
        size_t length = mn_load_u16(data + at + 2);
        if (length > size - at - 4) length = size - at - 4;
        operate(&run, data[at], data[at + 1] % NODES, mn_span(data + at + 4, length));
        at += 4 + length;
    }
    membership_free(run.core);
    mn_arena_done(&run.arena);
    return 0;
}
