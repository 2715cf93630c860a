#include "mesh/membership_internal.h"

#include "proto/pb.h"

/* Push-pull. The asker lists what it has in a range of ids; the other side answers with what it has
 * newer, names what it wants, and says how far it came. One question is under way at a time and an
 * answer is bounded, so a table of 10,000 members arrives in portions that never stall a loop; the
 * answering side keeps no state. */

#define MEMBERSHIP_SYNC_TIMEOUT (5 * MN_SEC)
#define MEMBERSHIP_SYNC_ANSWER_MAX 61440 /* bytes */

/* ---- digests ---- */

struct membership_sync_digest {
    mn_id node;
    uint64_t incarnation;
    uint32_t seq;
    uint32_t status;
};

void membership_sync_write_digest(const struct membership_row *row,
                                  uint8_t digest[MEMBERSHIP_DIGEST_SIZE])
{
    memset(digest, 0, MEMBERSHIP_DIGEST_SIZE);
    memcpy(digest, row->view.node_id.bytes, sizeof row->view.node_id.bytes);
    mn_store_u64(digest + 16, row->view.incarnation);
    mn_store_u32(digest + 24, row->kept->seq);
    digest[28] = (uint8_t)row->view.status;
}

static struct membership_sync_digest membership_sync_read_digest(const uint8_t *digest)
{
    struct membership_sync_digest ret;

    memcpy(ret.node.bytes, digest, sizeof ret.node.bytes);
    ret.incarnation = mn_load_u64(digest + 16);
    ret.seq = mn_load_u32(digest + 24);
    ret.status = digest[28];
    return ret;
}

enum membership_sync_order {
    MEMBERSHIP_SYNC_EQUAL = 0,
    MEMBERSHIP_SYNC_OURS = 1,   /* we have something newer */
    MEMBERSHIP_SYNC_THEIRS = 2, /* they have */
};

/* Bits: a newer record and a weightier accusation may stand on different sides. */
static unsigned membership_sync_compare(const struct membership_row *row,
                                        const struct membership_sync_digest *digest)
{
    unsigned order = MEMBERSHIP_SYNC_EQUAL;

    if (row->view.incarnation != digest->incarnation)
        return row->view.incarnation > digest->incarnation ? MEMBERSHIP_SYNC_OURS
                                                           : MEMBERSHIP_SYNC_THEIRS;
    if (row->kept->seq != digest->seq)
        order |= row->kept->seq > digest->seq ? MEMBERSHIP_SYNC_OURS : MEMBERSHIP_SYNC_THEIRS;
    if ((uint32_t)row->view.status != digest->status)
        order |= (uint32_t)row->view.status > digest->status ? MEMBERSHIP_SYNC_OURS
                                                             : MEMBERSHIP_SYNC_THEIRS;
    return order;
}

/* ---- asking ---- */

static void membership_sync_end(struct membership *core)
{
    core->sync.is_active = false;
    membership_arm(core, &core->sync_timeout, MN_TIME_NEVER);
}

/* The digests of the rows from [place] on, at most as many as one question may have. */
static struct mn_span membership_sync_list(struct membership *core, uint32_t place)
{
    uint32_t count = core->rows_count - place;
    uint8_t *bytes;

    if (count > core->sync.width) count = core->sync.width;
    bytes = mn_arena_alloc(membership_arena(core), (size_t)count * MEMBERSHIP_DIGEST_SIZE);
    for (uint32_t i = 0; i < count; i++)
        membership_sync_write_digest(core->rows[place + i], bytes + i * MEMBERSHIP_DIGEST_SIZE);
    return mn_span(bytes, (size_t)count * MEMBERSHIP_DIGEST_SIZE);
}

static void membership_sync_ask(struct membership *core)
{
    uint32_t place = membership_table_after(core, core->sync.has_after ? &core->sync.after : NULL);
    struct mn_span digests = membership_sync_list(core, place);
    uint32_t end = place + (uint32_t)(digests.size / MEMBERSHIP_DIGEST_SIZE);
    struct membership_draft draft;

    core->sync.number = ++core->number_last;
    membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__SYNC,
                          MEMBERSHIP_GOSSIP_PACKET_MAX +
                              MEMBERSHIP_DIGEST_SIZE * MEMBERSHIP_DIGESTS_MAX);
    draft.left = 0; /* a question carries no news */
    draft.message.number = core->sync.number;
    draft.message.digests = pb_bytes(digests);
    if (core->sync.has_after) draft.message.after = pb_id_bytes(&core->sync.after);
    if (end < core->rows_count)
        draft.message.upto = pb_id_bytes(&core->rows[end - 1]->view.node_id);
    membership_draft_send(core, &draft, &core->sync.peer);
    membership_arm(core, &core->sync_timeout,
                   mn_time_after(core->now.mono, MEMBERSHIP_SYNC_TIMEOUT));
}

static void membership_sync_start(struct membership *core, const mn_id *peer)
{
    core->sync.is_active = true;
    core->sync.has_after = false;
    core->sync.peer = *peer;
    core->sync.width = MEMBERSHIP_DIGESTS_MAX;
    membership_sync_ask(core);
}

void membership_sync_next(struct membership *core)
{
    for (uint32_t i = 0; i < core->links_count && !core->sync.is_active; i++) {
        struct membership_link *link = &core->links[i];
        if (!link->sync_wanted) continue;
        link->sync_wanted = false;
        membership_sync_start(core, &link->node);
    }
}

void membership_sync_timeout(struct membership *core)
{
    membership_sync_end(core);
    membership_sync_next(core);
}

/* Every sync_interval, less often in big meshes so that the load per node grows with log n only. */
void membership_sync_round(struct membership *core)
{
    mn_time interval = core->timing.sync_interval, wait;
    mn_id peer;

    for (uint32_t n = membership_live_count(core); n > 32; n /= 2)
        interval += core->timing.sync_interval;
    wait = interval / 2 + rng_below_u64(&core->rng, interval);
    membership_arm(core, &core->sync_next, mn_time_after(core->now.mono, wait));
    if (core->sync.is_active || membership_link_draw(core, NULL, true, 1, &peer) == 0) return;
    membership_sync_start(core, &peer);
}

void membership_sync_on_link_down(struct membership *core, const mn_id *node)
{
    if (!core->sync.is_active || !mn_id_equal(&core->sync.peer, node)) return;
    membership_sync_end(core);
    membership_sync_next(core);
}

/* An answer that came only part of the way made us list the rest for nothing. */
static void membership_sync_adapt(struct membership *core, const mn_id *upto)
{
    uint32_t place = membership_table_after(core, core->sync.has_after ? &core->sync.after : NULL);
    uint32_t settled = membership_table_after(core, upto) - place;

    if (settled < core->sync.width)
        core->sync.width = 2 * MEMBERSHIP_ITEMS_MAX;
    else if (core->sync.width < MEMBERSHIP_DIGESTS_MAX)
        core->sync.width *= 2;
}

void membership_sync_on_answer(struct membership *core, const mn_id *from,
                               const Meshnode__Member__Packet *packet)
{
    mn_id upto;

    if (!core->sync.is_active || packet->number != core->sync.number ||
        !mn_id_equal(&core->sync.peer, from))
        return;
    if (packet->upto.len > 0) {
        bool is_ahead = pb_id(packet->upto, &upto) == MN_OK &&
                        (!core->sync.has_after || mn_id_compare(&upto, &core->sync.after) > 0);
        if (is_ahead) {
            membership_sync_adapt(core, &upto);
            core->sync.has_after = true;
            core->sync.after = upto;
            membership_sync_ask(core);
            return;
        }
        core->stats.packets_refused++;
    }
    membership_sync_end(core);
    membership_sync_next(core);
}

/* ---- answering ---- */

/* A walk over two lists in order of id: our rows, and the digests of the asker. */
struct membership_sync_walk {
    struct membership_draft draft;
    struct mn_span digests;
    size_t digests_at; /* of the next one */
    uint32_t place;
    mn_id upto;
    bool has_upto;
    uint8_t wanted[MEMBERSHIP_ITEMS_MAX * sizeof(mn_id)];
    size_t wanted_size;
};

static bool membership_sync_want(struct membership_sync_walk *walk, const mn_id *node)
{
    if (walk->wanted_size == sizeof walk->wanted) return false;
    memcpy(walk->wanted + walk->wanted_size, node->bytes, sizeof node->bytes);
    walk->wanted_size += sizeof node->bytes;
    return true;
}

/* Handles one id that either side has; false when the answer is full before it. */
static bool membership_sync_settle(struct membership_sync_walk *walk,
                                   const struct membership_row *row,
                                   const struct membership_sync_digest *digest)
{
    unsigned order = MEMBERSHIP_SYNC_EQUAL;

    if (row == NULL) return membership_sync_want(walk, &digest->node);
    order = digest == NULL ? MEMBERSHIP_SYNC_OURS : membership_sync_compare(row, digest);
    if ((order & MEMBERSHIP_SYNC_OURS) != 0 && !membership_draft_add_row(&walk->draft, row))
        return false;
    if ((order & MEMBERSHIP_SYNC_THEIRS) != 0) return membership_sync_want(walk, &digest->node);
    return true;
}

/* The next row in range, or NULL. */
static const struct membership_row *membership_sync_row(const struct membership *core,
                                                        const struct membership_sync_walk *walk)
{
    const struct membership_row *row;

    if (walk->place == core->rows_count) return NULL;
    row = core->rows[walk->place];
    if (walk->has_upto && mn_id_compare(&row->view.node_id, &walk->upto) > 0) return NULL;
    return row;
}

/* Walks to the end of the range, or until the answer is full; *ret_last is the last id settled.
 * False when it is full. */
static bool membership_sync_walk(const struct membership *core, struct membership_sync_walk *walk,
                                 mn_id *ret_last, bool *ret_any)
{
    for (;;) {
        const struct membership_row *row = membership_sync_row(core, walk);
        const struct membership_sync_digest *theirs = NULL;
        struct membership_sync_digest digest;
        int order;

        if (walk->digests_at < walk->digests.size) {
            digest = membership_sync_read_digest(walk->digests.data + walk->digests_at);
            theirs = &digest;
        }
        if (row == NULL && theirs == NULL) return true;
        order = row == NULL      ? 1
                : theirs == NULL ? -1
                                 : mn_id_compare(&row->view.node_id, &theirs->node);
        if (order > 0) row = NULL;
        if (order < 0) theirs = NULL;
        if (!membership_sync_settle(walk, row, theirs)) return false;
        *ret_last = row != NULL ? row->view.node_id : digest.node;
        *ret_any = true;
        if (row != NULL) walk->place++;
        if (theirs != NULL) walk->digests_at += MEMBERSHIP_DIGEST_SIZE;
    }
}

/* In order, without doubles, within (after, upto]. */
static bool membership_sync_is_sorted(struct mn_span digests, const mn_id *after, const mn_id *upto)
{
    const uint8_t *last = after == NULL ? NULL : after->bytes;

    for (size_t at = 0; at < digests.size; at += MEMBERSHIP_DIGEST_SIZE) {
        if (last != NULL && memcmp(last, digests.data + at, sizeof after->bytes) >= 0) return false;
        last = digests.data + at;
    }
    return upto == NULL || last == NULL || memcmp(last, upto->bytes, sizeof upto->bytes) <= 0;
}

static mn_status membership_sync_read_ask(const struct membership *core,
                                          const Meshnode__Member__Packet *packet,
                                          struct membership_sync_walk *walk)
{
    struct mn_span digests = pb_span(packet->digests);
    mn_id after;

    walk->has_upto = packet->upto.len > 0;
    if (packet->after.len > 0 && pb_id(packet->after, &after) != MN_OK) return MN_MALFORMED;
    if (walk->has_upto && pb_id(packet->upto, &walk->upto) != MN_OK) return MN_MALFORMED;
    if (!membership_sync_is_sorted(digests, packet->after.len > 0 ? &after : NULL,
                                   walk->has_upto ? &walk->upto : NULL))
        return MN_MALFORMED;
    walk->digests = digests;
    walk->place = membership_table_after(core, packet->after.len > 0 ? &after : NULL);
    return MN_OK;
}

void membership_sync_on_ask(struct membership *core, const mn_id *from,
                            const Meshnode__Member__Packet *packet)
{
    struct membership_sync_walk walk = {.wanted_size = 0};
    bool is_complete, has_any = false;
    mn_id last;

    if (membership_sync_read_ask(core, packet, &walk) != MN_OK) {
        core->stats.packets_refused++;
        return;
    }
    membership_draft_init(&walk.draft, MESHNODE__MEMBER__PACKET__TYPE__SYNC_ANSWER,
                          MEMBERSHIP_SYNC_ANSWER_MAX);
    walk.draft.left -= sizeof walk.wanted;
    is_complete = membership_sync_walk(core, &walk, &last, &has_any);
    MN_ASSERT(is_complete || has_any); /* an empty answer has room for one row */
    walk.draft.message.number = packet->number;
    walk.draft.message.wanted = pb_bytes(mn_span(walk.wanted, walk.wanted_size));
    if (!is_complete)
        walk.draft.message.upto = pb_id_bytes(&last);
    else if (walk.has_upto)
        walk.draft.message.upto = pb_id_bytes(&walk.upto);
    membership_draft_send(core, &walk.draft, from);
}
