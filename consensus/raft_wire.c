#include "consensus/raft_wire.h"

#include "proto/base/check.h"
#include "proto/pb.h"
#include "proto/raft.pb-c.h"

#define CONFIG_SIZE_MAX 2048 /* bytes: 32 members of at most 16 + 2 + 2 * 6 + 2 + 2 */

/* The descriptor structs that an encoding needs besides the message itself. */
struct raft_wire_config {
    Meshnode__Raft__Config base;
    Meshnode__Raft__Member members[QUORUM_MEMBERS_MAX];
    Meshnode__Raft__Member *pointers[QUORUM_MEMBERS_MAX];
};

static void raft_wire_config(const struct quorum_config *config, struct raft_wire_config *ret)
{
    Meshnode__Raft__Config base = MESHNODE__RAFT__CONFIG__INIT;
    Meshnode__Raft__Member empty = MESHNODE__RAFT__MEMBER__INIT;

    for (uint32_t i = 0; i < config->members_count; i++) {
        ret->members[i] = empty;
        ret->members[i].id = pb_id_bytes(&config->members[i].id);
        ret->members[i].weight = config->members[i].weight;
        ret->members[i].weight_old = config->members[i].weight_old;
        ret->members[i].is_learner = config->members[i].is_learner;
        ret->pointers[i] = &ret->members[i];
    }
    base.members = ret->pointers;
    base.n_members = config->members_count;
    base.is_joint = config->is_joint;
    ret->base = base;
}

static mn_status raft_wire_read_config(const Meshnode__Raft__Config *from,
                                       struct quorum_config *ret)
{
    struct quorum_config config = {.is_joint = from->is_joint};

    if (from->n_members > QUORUM_MEMBERS_MAX) return MN_MALFORMED;
    for (size_t i = 0; i < from->n_members; i++) {
        struct quorum_member *member = &config.members[i];
        if (pb_id(from->members[i]->id, &member->id) != MN_OK) return MN_MALFORMED;
        member->weight = from->members[i]->weight;
        member->weight_old = from->members[i]->weight_old;
        member->is_learner = from->members[i]->is_learner;
    }
    config.members_count = (uint32_t)from->n_members;
    if (quorum_check(&config) != MN_OK) return MN_MALFORMED;
    *ret = config;
    return MN_OK;
}

struct mn_buf *raft_config_encode(const struct quorum_config *config)
{
    struct raft_wire_config wire;

    raft_wire_config(config, &wire);
    return pb_pack(&wire.base.base);
}

mn_status raft_config_decode(struct mn_span bytes, struct quorum_config *ret)
{
    struct mn_arena arena = {0};
    const Meshnode__Raft__Config *config;
    mn_status status = MN_MALFORMED;

    if (bytes.size > CONFIG_SIZE_MAX) return MN_MALFORMED;
    config = pb_unpack(&meshnode__raft__config__descriptor, &arena, bytes);
    if (config != NULL) status = raft_wire_read_config(config, ret);
    mn_arena_done(&arena);
    return status;
}

static void raft_wire_entries(const struct raft_msg *msg, struct mn_arena *arena,
                              Meshnode__Raft__Message *ret)
{
    Meshnode__Raft__Entry empty = MESHNODE__RAFT__ENTRY__INIT;
    Meshnode__Raft__Entry *entries;

    if (msg->entries_count == 0) return;
    entries = mn_arena_alloc(arena, msg->entries_count * sizeof *entries);
    ret->entries = mn_arena_alloc(arena, msg->entries_count * sizeof *ret->entries);
    ret->n_entries = msg->entries_count;
    for (uint32_t i = 0; i < msg->entries_count; i++) {
        entries[i] = empty;
        entries[i].term = msg->entries[i].term;
        entries[i].kind = (uint32_t)msg->entries[i].kind;
        entries[i].data = pb_bytes(msg->entries[i].data);
        ret->entries[i] = &entries[i];
    }
}

/* All but from and to; what it points to is in [arena], [config] and [msg]. */
static void raft_wire_fill(const struct raft_msg *msg, struct mn_arena *arena,
                           struct raft_wire_config *config, Meshnode__Raft__Message *wire)
{
    wire->type = (uint32_t)msg->type;
    wire->term = msg->term;
    wire->index = msg->index;
    wire->log_term = msg->log_term;
    wire->commit = msg->commit;
    wire->ctx = msg->ctx;
    wire->is_pre = msg->is_pre;
    wire->is_transfer = msg->is_transfer;
    wire->is_granted = msg->is_granted;
    wire->is_reject = msg->is_reject;
    wire->hint_index = msg->hint_index;
    wire->hint_term = msg->hint_term;
    wire->heal = msg->heal;
    wire->heal_index = msg->heal_index;
    raft_wire_entries(msg, arena, wire);
    if (msg->config != NULL) {
        raft_wire_config(msg->config, config);
        wire->config = &config->base;
    }
    wire->offset = msg->offset;
    wire->total = msg->total;
    wire->crc = msg->crc;
    wire->data = pb_bytes(msg->data);
}

struct mn_buf *raft_msg_encode(const struct raft_msg *msg)
{
    Meshnode__Raft__Message wire = MESHNODE__RAFT__MESSAGE__INIT;
    struct raft_wire_config config;
    struct mn_arena arena = {0};
    struct mn_buf *buf;

    raft_wire_fill(msg, &arena, &config, &wire);
    wire.from = pb_id_bytes(&msg->from);
    wire.to = pb_id_bytes(&msg->to);
    buf = pb_pack(&wire.base);
    mn_arena_done(&arena);
    return buf;
}

static mn_status raft_wire_read_entries(const Meshnode__Raft__Message *wire, struct mn_arena *arena,
                                        struct raft_msg *msg)
{
    struct raft_entry *entries;

    if (wire->n_entries > RAFT_ENTRIES_MAX) return MN_TOO_BIG;
    if (wire->n_entries == 0) return MN_OK;
    if (msg->index > UINT64_MAX - wire->n_entries) return MN_MALFORMED;
    entries = mn_arena_alloc(arena, wire->n_entries * sizeof *entries);
    for (size_t i = 0; i < wire->n_entries; i++) {
        const Meshnode__Raft__Entry *from = wire->entries[i];
        if (from->kind < RAFT_ENTRY_COMMAND || from->kind > RAFT_ENTRY_CONFIG) return MN_MALFORMED;
        if (from->data.len > RAFT_ENTRY_MAX) return MN_TOO_BIG;
        entries[i] = (struct raft_entry){.index = msg->index + 1 + i,
                                         .term = from->term,
                                         .kind = (enum raft_entry_kind)from->kind,
                                         .data = pb_span(from->data)};
    }
    msg->entries = entries;
    msg->entries_count = (uint32_t)wire->n_entries;
    return MN_OK;
}

static mn_status raft_wire_read(const Meshnode__Raft__Message *wire, struct mn_arena *arena,
                                struct raft_msg *msg)
{
    if (wire->type < RAFT_MSG_VOTE_ASK || wire->type > RAFT_MSG_READ) return MN_MALFORMED;
    *msg = (struct raft_msg){.type = (enum raft_msg_type)wire->type,
                             .term = wire->term,
                             .index = wire->index,
                             .log_term = wire->log_term,
                             .commit = wire->commit,
                             .ctx = wire->ctx,
                             .is_pre = wire->is_pre,
                             .is_transfer = wire->is_transfer,
                             .is_granted = wire->is_granted,
                             .is_reject = wire->is_reject,
                             .hint_index = wire->hint_index,
                             .hint_term = wire->hint_term,
                             .heal = wire->heal,
                             .heal_index = wire->heal_index,
                             .offset = wire->offset,
                             .total = wire->total,
                             .crc = wire->crc,
                             .data = pb_span(wire->data)};
    if (wire->config != NULL) {
        struct quorum_config *config = mn_arena_alloc(arena, sizeof *config);
        if (raft_wire_read_config(wire->config, config) != MN_OK) return MN_MALFORMED;
        msg->config = config;
    }
    return raft_wire_read_entries(wire, arena, msg);
}

mn_status raft_msg_decode(struct mn_span bytes, struct mn_arena *arena, struct raft_msg *ret)
{
    const Meshnode__Raft__Message *wire;
    struct raft_msg msg;
    mn_status status;

    if (bytes.size > RAFT_MSG_SIZE_MAX) return MN_TOO_BIG;
    wire = pb_view(&meshnode__raft__message__descriptor, arena, bytes);
    if (wire == NULL) return MN_MALFORMED;
    status = raft_wire_read(wire, arena, &msg);
    if (status != MN_OK) return status;
    if (pb_id(wire->from, &msg.from) != MN_OK) return MN_MALFORMED;
    if (pb_id(wire->to, &msg.to) != MN_OK) return MN_MALFORMED;
    *ret = msg;
    return MN_OK;
}

/* ---- packets ---- */

static struct mn_buf *raft_packet_pack(Meshnode__Raft__Item *item, Meshnode__Raft__Beat *beat)
{
    Meshnode__Raft__Packet packet = MESHNODE__RAFT__PACKET__INIT;

    packet.items = &item;
    packet.n_items = item != NULL;
    packet.beats = &beat;
    packet.n_beats = beat != NULL;
    return pb_pack(&packet.base);
}

static struct mn_buf *raft_packet_beat(const struct raft_packet_item *item)
{
    Meshnode__Raft__Beat beat = MESHNODE__RAFT__BEAT__INIT;

    beat.group = item->group;
    beat.term = item->msg.term;
    beat.commit = item->msg.commit;
    beat.ctx = item->msg.ctx;
    beat.is_ack = item->msg.type == RAFT_MSG_HEARTBEAT_ACK;
    beat.heal = item->msg.heal;
    beat.is_rest = item->is_rest;
    return raft_packet_pack(NULL, &beat);
}

struct mn_buf *raft_packet_encode(const struct raft_packet_item *item)
{
    Meshnode__Raft__Item wire = MESHNODE__RAFT__ITEM__INIT;
    Meshnode__Raft__Message message = MESHNODE__RAFT__MESSAGE__INIT;
    struct raft_wire_config config;
    struct mn_arena arena = {0};
    struct mn_buf *buf;

    if (item->msg.type == RAFT_MSG_HEARTBEAT || item->msg.type == RAFT_MSG_HEARTBEAT_ACK)
        return raft_packet_beat(item);
    raft_wire_fill(&item->msg, &arena, &config, &message);
    wire.group = item->group;
    wire.message = &message;
    buf = raft_packet_pack(&wire, NULL);
    mn_arena_done(&arena);
    return buf;
}

struct mn_buf *raft_packet_begin(uint64_t boot)
{
    Meshnode__Raft__Packet packet = MESHNODE__RAFT__PACKET__INIT;

    packet.boot = boot;
    return pb_pack(&packet.base);
}

struct mn_buf *raft_packet_unled(const uint64_t *groups, uint32_t count)
{
    Meshnode__Raft__Packet packet = MESHNODE__RAFT__PACKET__INIT;
    uint64_t copy[RAFT_PACKET_UNLED_MAX]; /* the library's fields are not const */

    MN_ASSERT(count <= RAFT_PACKET_UNLED_MAX);
    memcpy(copy, groups, count * sizeof *copy);
    packet.unled = copy;
    packet.n_unled = count;
    return pb_pack(&packet.base);
}

static mn_status raft_packet_read(const Meshnode__Raft__Packet *wire, struct mn_arena *arena,
                                  struct raft_packet *ret)
{
    struct raft_packet_item *item;

    if (wire->n_unled > RAFT_PACKET_UNLED_MAX) return MN_MALFORMED;
    ret->items = item =
        mn_arena_alloc(arena, (wire->n_items + wire->n_beats + 1) * sizeof *ret->items);
    for (size_t i = 0; i < wire->n_items; i++, item++) {
        *item = (struct raft_packet_item){.group = wire->items[i]->group};
        if (wire->items[i]->message == NULL) return MN_MALFORMED;
        if (raft_wire_read(wire->items[i]->message, arena, &item->msg) != MN_OK)
            return MN_MALFORMED;
    }
    for (size_t i = 0; i < wire->n_beats; i++, item++) {
        const Meshnode__Raft__Beat *beat = wire->beats[i];
        *item = (struct raft_packet_item){.group = beat->group, .is_rest = beat->is_rest};
        item->msg.type = beat->is_ack ? RAFT_MSG_HEARTBEAT_ACK : RAFT_MSG_HEARTBEAT;
        item->msg.term = beat->term;
        item->msg.commit = beat->commit;
        item->msg.ctx = beat->ctx;
        item->msg.heal = beat->heal;
    }
    ret->boot = wire->boot;
    ret->count = (uint32_t)(wire->n_items + wire->n_beats);
    ret->unled = wire->unled;
    ret->unled_count = (uint32_t)wire->n_unled;
    return MN_OK;
}

mn_status raft_packet_decode(struct mn_span bytes, struct mn_arena *arena, struct raft_packet *ret)
{
    const Meshnode__Raft__Packet *wire;
    struct raft_packet packet;
    mn_status status;

    if (bytes.size > RAFT_PACKET_SIZE_MAX) return MN_TOO_BIG;
    wire = pb_unpack(&meshnode__raft__packet__descriptor, arena, bytes);
    if (wire == NULL) return MN_MALFORMED;
    status = raft_packet_read(wire, arena, &packet);
    if (status == MN_OK) *ret = packet;
    return status;
}
