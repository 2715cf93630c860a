#include "mesh/membership_internal.h"

#include "proto/pb.h"

#define MEMBERSHIP_SELF_ASK_WAIT                                     \
    (2 * MN_SEC) /* for what others remember, from the first link on \
                  */
#define MEMBERSHIP_SELF_ASK_PEERS 3
#define MEMBERSHIP_SELF_BACKOFF_MIN (500 * MN_MS)
#define MEMBERSHIP_SELF_BACKOFF_MAX (10 * MN_SEC)
#define MEMBERSHIP_SELF_JOIN_ECHOES 2
#define MEMBERSHIP_SELF_LEAVE_ECHOES 3

/* ---- what we say ---- */

/* Signs a record with the biggest numbers there are, and reads it back: if this works, so will
 * every later one of the same fields. */
static mn_status membership_self_try(const struct membership *core, const struct record_self *self)
{
    struct record_numbers numbers = {.incarnation = UINT64_MAX - 1,
                                     .seq = UINT32_MAX,
                                     .has_left = true,
                                     .boot_id = core->boot_id};
    struct mn_arena arena = {0};
    struct record record;
    struct mn_span bytes;
    mn_status status = record_sign(self, &numbers, core->identity, &core->mesh_id, &arena, &bytes);

    if (status == MN_OK) status = record_decode(bytes, &arena, &record);
    mn_arena_done(&arena);
    return status;
}

static struct mn_span membership_self_put(struct mn_buf *texts, size_t *at, struct mn_span text)
{
    struct mn_span put = mn_span(texts->bytes + *at, text.size);

    if (text.size > 0) memcpy(texts->bytes + *at, text.data, text.size);
    *at += text.size;
    return put;
}

mn_status membership_self_set(struct membership *core, const struct record_self *self)
{
    mn_status status = membership_self_try(core, self);
    size_t size = self->region.size + self->zone.size + self->grant.size, at = 0;
    struct record_self said = *self;
    struct mn_buf *texts;

    if (status != MN_OK) return status;
    for (uint32_t i = 0; i < self->addrs_count; i++)
        size += self->addrs[i].size;
    texts = mn_buf_new(size);
    for (uint32_t i = 0; i < self->addrs_count; i++)
        said.addrs[i] = membership_self_put(texts, &at, self->addrs[i]);
    said.region = membership_self_put(texts, &at, self->region);
    said.zone = membership_self_put(texts, &at, self->zone);
    said.grant = membership_self_put(texts, &at, self->grant);
    MN_ASSERT(at == size);
    mn_buf_unref(core->said_texts);
    core->said_texts = texts;
    core->said = said;
    return MN_OK;
}

static void membership_self_send_announce(struct membership *core, const mn_id *to)
{
    struct membership_link *link = membership_link_find(core, to);
    bool is_awaited = !core->has_joined || core->life != MEMBERSHIP_LIVE;
    struct membership_draft draft;

    membership_draft_init(&draft,
                          is_awaited ? MESHNODE__MEMBER__PACKET__TYPE__ANNOUNCE
                                     : MESHNODE__MEMBER__PACKET__TYPE__GOSSIP,
                          MEMBERSHIP_GOSSIP_PACKET_MAX);
    if (core->self != NULL && link != NULL) link->sent_incarnation = 0; /* say it, even again */
    membership_draft_add_greeting(core, &draft, to);
    membership_draft_send(core, &draft, to);
}

/* In a small mesh everybody hears of a change at once; in a bigger one gossip carries it on. */
static void membership_self_tell(struct membership *core, uint32_t count)
{
    mn_id targets[MEMBERSHIP_ANNOUNCE_FANOUT];

    MN_ASSERT(count <= MEMBERSHIP_ANNOUNCE_FANOUT);
    /* Also those we hold for dead: they may hold us for dead, after a partition. */
    count = membership_link_draw(core, NULL, false, count, targets);
    for (uint32_t i = 0; i < count; i++)
        membership_self_send_announce(core, &targets[i]);
}

/* Signs what we say under the present numbers and announces it. */
static void membership_self_publish(struct membership *core)
{
    struct record_numbers numbers = {.incarnation = core->incarnation,
                                     .seq = core->seq,
                                     .has_left = core->life == MEMBERSHIP_LEAVING,
                                     .boot_id = core->boot_id};
    struct mn_span bytes = mn_span(NULL, 0);
    mn_status status = record_sign(&core->said, &numbers, core->identity, &core->mesh_id,
                                   membership_arena(core), &bytes);

    MN_ASSERT(status == MN_OK); /* tried in membership_self_set() */
    MN_ASSERT(core->incarnation <= core->incarnation_persisted);
    membership_gossip_news(core, membership_table_set_self(core, bytes));
    membership_emit_member(core, MEMBERSHIP_OUT_SELF_CHANGED, core->self);
    membership_self_tell(core, MEMBERSHIP_ANNOUNCE_FANOUT);
}

void membership_self_on_change(struct membership *core, const struct record_self *self)
{
    if (membership_self_set(core, self) != MN_OK) {
        core->stats.records_refused++;
        return;
    }
    if (core->life != MEMBERSHIP_LIVE) return; /* it will be in the first record */
    core->seq++;
    membership_self_publish(core);
}

/* ---- echoes ---- */

static uint32_t membership_self_others(const struct membership *core)
{
    uint32_t live = membership_live_count(core);

    return core->self != NULL && membership_row_is_live(core->self) ? live - 1 : live;
}

void membership_self_check_joined(struct membership *core)
{
    uint32_t others = membership_self_others(core);
    uint32_t needed = others < MEMBERSHIP_SELF_JOIN_ECHOES ? others : MEMBERSHIP_SELF_JOIN_ECHOES;

    if (core->has_joined || core->life != MEMBERSHIP_LIVE) return;
    if (needed == 0 && core->expects_peers) needed = 1;
    if (core->echoes_count < needed) return;
    core->has_joined = true;
    membership_arm(core, &core->announce, MN_TIME_NEVER);
    membership_emit(core, MEMBERSHIP_OUT_JOINED);
}

void membership_self_check_left(struct membership *core)
{
    uint32_t others = membership_self_others(core);
    uint32_t needed = others < MEMBERSHIP_SELF_LEAVE_ECHOES ? others : MEMBERSHIP_SELF_LEAVE_ECHOES;

    if (core->life == MEMBERSHIP_LEAVING && core->echoes_count >= needed &&
        core->self->view.status == MEMBER_LEFT)
        membership_self_leave_done(core);
}

/* ---- incarnations ---- */

/* Our next incarnation is at least [incarnation]; it counts once it is on disk. */
static void membership_self_want_incarnation(struct membership *core, uint64_t incarnation,
                                             bool is_reborn)
{
    struct membership_output *output;

    if (incarnation <= core->incarnation_wanted) return;
    core->incarnation_wanted = incarnation;
    output = membership_emit(core, MEMBERSHIP_OUT_PERSIST);
    output->persist.incarnation = incarnation;
    output->persist.is_reborn = is_reborn;
}

static void membership_self_stop_asking(struct membership *core)
{
    MN_ASSERT(core->life == MEMBERSHIP_ASKING);
    membership_arm(core, &core->ask, MN_TIME_NEVER);
    core->life = MEMBERSHIP_SILENT;
    membership_self_want_incarnation(core, core->incarnation_heard + 1, false);
}

void membership_self_start(struct membership *core)
{
    core->life = MEMBERSHIP_ASKING;
    core->announce_backoff = MEMBERSHIP_SELF_BACKOFF_MIN;
    core->incarnation_heard = core->incarnation_persisted;
    if (core->incarnation_persisted > 0 || !core->expects_peers) membership_self_stop_asking(core);
}

void membership_self_on_persisted(struct membership *core, uint64_t incarnation)
{
    if (incarnation > core->incarnation_wanted || incarnation <= core->incarnation_persisted)
        return;
    core->incarnation_persisted = incarnation;
    if (incarnation < core->incarnation_wanted || core->life == MEMBERSHIP_GONE) return;
    core->incarnation = incarnation;
    core->seq = 0;
    if (core->life == MEMBERSHIP_SILENT) {
        core->life = MEMBERSHIP_LIVE;
        membership_arm(core, &core->announce, core->now.mono + core->announce_backoff);
    }
    if (core->life == MEMBERSHIP_LEAVING)
        membership_arm(core, &core->announce, core->now.mono + MEMBERSHIP_SELF_BACKOFF_MIN);
    membership_self_publish(core);
    membership_self_check_joined(core);
    membership_self_check_left(core);
}

static void membership_self_refute(struct membership *core, uint64_t seen, bool is_reborn)
{
    if (core->incarnation_wanted > seen || seen >= UINT64_MAX - 2) return; /* under way */
    core->stats.refutations++;
    membership_probe_add_health(core, 1);
    mn_trace(core->trace, core->now.mono, MN_EV_MEMBER_REFUTED, &core->identity->node_id, seen + 1,
             0, NULL);
    membership_self_want_incarnation(core, seen + 1, is_reborn);
}

/* ---- evidence about ourselves ---- */

/* [from] holds our present record. */
static void membership_self_echoed(struct membership *core, const mn_id *from)
{
    for (uint32_t i = 0; i < core->echoes_count; i++)
        if (mn_id_equal(&core->echoes[i], from)) return;
    if (core->echoes_count == MEMBERSHIP_ECHOES_MAX) return;
    core->echoes[core->echoes_count++] = *from;
    membership_self_check_joined(core);
    membership_self_check_left(core);
}

static bool membership_self_is_ours(const struct membership *core, const struct record *record)
{
    return sign_check(core->identity->key.pk, SIGN_RECORD, &core->mesh_id, record->body,
                      record->signature) == MN_OK;
}

void membership_self_on_record(struct membership *core, const mn_id *from,
                               const struct record *record)
{
    const struct record *ours = core->self == NULL ? NULL : core->self->kept;

    if (ours != NULL && mn_span_equal(ours->signed_bytes, record->signed_bytes)) {
        membership_self_echoed(core, from);
        return;
    }
    if (ours != NULL && record_compare(record, ours) < 0) return;
    if (!membership_self_is_ours(core, record)) {
        core->stats.records_refused++;
        return;
    }
    MN_PROBE("membership: others remember more of us than we do");
    if (core->life == MEMBERSHIP_ASKING) {
        if (record->incarnation > core->incarnation_heard && record->incarnation < UINT64_MAX - 2)
            core->incarnation_heard = record->incarnation;
    } else if (core->life != MEMBERSHIP_GONE) {
        membership_self_refute(core, record->incarnation, true);
    }
}

void membership_self_on_accusation(struct membership *core, const mn_id *from,
                                   const struct accusation *accusation)
{
    if (core->life != MEMBERSHIP_LIVE) return;
    if (accusation->subject_incarnation == core->incarnation)
        membership_self_refute(core, core->incarnation, false);
    else if (accusation->subject_incarnation < core->incarnation)
        membership_self_send_announce(core, from); /* it missed our answer */
}

/* ---- asking and announcing ---- */

void membership_self_on_link_up(struct membership *core, struct membership_link *link)
{
    if (core->life == MEMBERSHIP_SILENT || core->life == MEMBERSHIP_GONE) return;
    if (core->life == MEMBERSHIP_ASKING && core->ask.entry.index_plus_one == 0)
        membership_arm(core, &core->ask, mn_time_after(core->now.mono, MEMBERSHIP_SELF_ASK_WAIT));
    membership_self_send_announce(core, &link->node);
}

/* Tells the sender what we hold of it. */
void membership_self_on_announce(struct membership *core, const mn_id *from,
                                 const Meshnode__Member__Packet *packet)
{
    const struct membership_row *row = membership_table_find(core, from);
    struct membership_draft draft;
    uint8_t digest[MEMBERSHIP_DIGEST_SIZE];
    bool is_same = false;

    membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__HAVE,
                          MEMBERSHIP_GOSSIP_PACKET_MAX + RECORD_SIZE_MAX);
    draft.message.number = packet->number;
    if (row != NULL) {
        membership_sync_write_digest(row, digest);
        draft.message.digests = pb_bytes(mn_span(digest, sizeof digest));
        draft.left -= sizeof digest;
        if (packet->n_records > 0)
            is_same = mn_span_equal(pb_span(packet->records[0]), row->kept->signed_bytes);
        if (!is_same) membership_draft_add_row(&draft, row);
    }
    membership_draft_add_greeting(core, &draft, from);
    membership_draft_send(core, &draft, from);
}

static bool membership_self_is_digest_ours(const struct membership *core, struct mn_span digest)
{
    return core->self != NULL && digest.size == MEMBERSHIP_DIGEST_SIZE &&
           memcmp(digest.data, core->identity->node_id.bytes, sizeof(mn_id)) == 0 &&
           mn_load_u64(digest.data + 16) == core->incarnation &&
           mn_load_u32(digest.data + 24) == core->seq;
}

void membership_self_on_have(struct membership *core, const mn_id *from,
                             const Meshnode__Member__Packet *packet)
{
    struct membership_link *link = membership_link_find(core, from);
    uint32_t answered = 0;

    if (membership_self_is_digest_ours(core, pb_span(packet->digests)))
        membership_self_echoed(core, from);
    if (core->life != MEMBERSHIP_ASKING || link == NULL) return;
    link->has_answered = true;
    for (uint32_t i = 0; i < core->links_count; i++)
        if (core->links[i].has_answered) answered++;
    if (answered >= MEMBERSHIP_SELF_ASK_PEERS || answered == core->links_count)
        membership_self_stop_asking(core);
}

void membership_self_ask_timeout(struct membership *core)
{
    membership_self_stop_asking(core);
}

/* Until enough members have echoed our record; one may have lost the first. */
void membership_self_announce_again(struct membership *core)
{
    bool is_leaving = core->life == MEMBERSHIP_LEAVING;

    if (!is_leaving && (core->has_joined || core->life != MEMBERSHIP_LIVE)) return;
    membership_self_tell(core, MEMBERSHIP_GOSSIP_FANOUT);
    if (!is_leaving) core->announce_backoff *= 2;
    if (core->announce_backoff > MEMBERSHIP_SELF_BACKOFF_MAX)
        core->announce_backoff = MEMBERSHIP_SELF_BACKOFF_MAX;
    membership_arm(core, &core->announce,
                   core->now.mono +
                       (is_leaving ? MEMBERSHIP_SELF_BACKOFF_MIN : core->announce_backoff));
}

/* ---- leaving ---- */

void membership_self_leave(struct membership *core)
{
    if (core->life == MEMBERSHIP_LEAVING || core->life == MEMBERSHIP_GONE) return;
    if (core->life != MEMBERSHIP_LIVE) { /* nobody knows us yet */
        membership_self_leave_done(core);
        return;
    }
    core->life = MEMBERSHIP_LEAVING;
    core->echoes_count = 0;
    membership_probe_forget_all(core);
    membership_arm(core, &core->leave, mn_time_after(core->now.mono, core->timing.leave_timeout));
    membership_self_want_incarnation(core, core->incarnation_wanted + 1, false);
}

void membership_self_leave_done(struct membership *core)
{
    core->life = MEMBERSHIP_GONE;
    membership_arm(core, &core->leave, MN_TIME_NEVER);
    membership_arm(core, &core->announce, MN_TIME_NEVER);
    membership_emit(core, MEMBERSHIP_OUT_LEAVE_DONE);
}
