#include "mesh/membership_internal.h"

#include "proto/pb.h"

#define MEMBERSHIP_GOSSIP_FIXED 128         /* bytes of all scalar fields of a packet together */
#define MEMBERSHIP_GOSSIP_ITEM 4            /* bytes around one record or accusation */
#define MEMBERSHIP_GOSSIP_SMALLEST 128      /* bytes; below this nothing more can fit */
#define MEMBERSHIP_GOSSIP_RECORDS_MAX 61440 /* bytes of a packet that brings what was wanted */

/* ---- drafts ---- */

void membership_draft_init(struct membership_draft *draft, Meshnode__Member__Packet__Type type,
                           size_t limit)
{
    MN_ASSERT(limit > MEMBERSHIP_GOSSIP_FIXED && limit <= MEMBERSHIP_PACKET_MAX);
    meshnode__member__packet__init(&draft->message);
    draft->message.type = type;
    draft->message.records = draft->records;
    draft->message.accusations = draft->accusations;
    draft->left = limit - MEMBERSHIP_GOSSIP_FIXED;
}

static bool membership_draft_add(struct membership_draft *draft, ProtobufCBinaryData *items,
                                 size_t *count, struct mn_span item)
{
    for (size_t i = 0; i < *count; i++)
        if (items[i].data == item.data) return true;
    if (*count == MEMBERSHIP_ITEMS_MAX) return false;
    if (item.size + MEMBERSHIP_GOSSIP_ITEM > draft->left) return false;
    draft->left -= item.size + MEMBERSHIP_GOSSIP_ITEM;
    items[(*count)++] = pb_bytes(item);
    return true;
}

bool membership_draft_add_record(struct membership_draft *draft, struct mn_span record)
{
    return membership_draft_add(draft, draft->records, &draft->message.n_records, record);
}

bool membership_draft_add_accusation(struct membership_draft *draft, struct mn_span accusation)
{
    return membership_draft_add(draft, draft->accusations, &draft->message.n_accusations,
                                accusation);
}

bool membership_draft_add_row(struct membership_draft *draft, const struct membership_row *row)
{
    size_t size = row->kept->signed_bytes.size + row->accusation.size;

    if (size + 2 * (size_t)MEMBERSHIP_GOSSIP_ITEM > draft->left) return false;
    if (draft->message.n_accusations == MEMBERSHIP_ITEMS_MAX) return false;
    if (!membership_draft_add_record(draft, row->kept->signed_bytes)) return false;
    return row->accusation.size == 0 ||
           membership_draft_add_accusation(draft, membership_accusation_span(&row->accusation));
}

void membership_draft_add_greeting(struct membership *core, struct membership_draft *draft,
                                   const mn_id *to)
{
    struct membership_link *link = membership_link_find(core, to);
    const struct membership_row *row = membership_table_find(core, to);

    if (row != NULL && row->accusation.size > 0)
        membership_draft_add_accusation(draft, membership_accusation_span(&row->accusation));
    if (link == NULL || core->self == NULL) return;
    if (link->sent_incarnation == core->incarnation && link->sent_seq == core->seq) return;
    if (!membership_draft_add_record(draft, core->self->kept->signed_bytes)) return;
    link->sent_incarnation = core->incarnation;
    link->sent_seq = core->seq;
}

/* ---- news ---- */

/* lambda * ceil(log10(n + 1)); the logarithm is the number of digits of n. */
static uint32_t membership_gossip_sends_max(const struct membership *core)
{
    uint32_t digits = 1;

    for (uint32_t n = membership_live_count(core); n >= 10; n /= 10)
        digits++;
    return 4 * digits;
}

static enum membership_class membership_gossip_class(const struct membership_row *row)
{
    if (row->view.is_self) return MEMBERSHIP_NEWS_SELF;
    switch (row->view.status) {
    case MEMBER_DEAD: return MEMBERSHIP_NEWS_DEAD;
    case MEMBER_SUSPECT: return MEMBERSHIP_NEWS_SUSPECT;
    case MEMBER_LEFT: return MEMBERSHIP_NEWS_LEFT;
    case MEMBER_ALIVE: return MEMBERSHIP_NEWS_ALIVE;
    }
    MN_ASSERT(!"a status of the list");
    return MEMBERSHIP_NEWS_ALIVE;
}

void membership_gossip_news(struct membership *core, struct membership_row *row)
{
    mn_list_remove(&row->news);
    mn_list_push_front(&core->news[membership_gossip_class(row)], &row->news);
    row->news_sent_count = 0;
    if (core->gossip.entry.index_plus_one == 0)
        membership_arm(core, &core->gossip,
                       mn_time_after(core->now.mono, core->timing.gossip_interval));
}

void membership_gossip_drop(struct membership_row *row)
{
    mn_list_remove(&row->news);
}

/* All accusers of a suspect, not only the first: a receiver counts how many there are. */
static bool membership_gossip_add_accusers(struct membership_draft *draft,
                                           const struct membership_row *row)
{
    bool fits =
        membership_draft_add_accusation(draft, membership_accusation_span(&row->accusation));

    for (uint32_t i = 0; i < row->confirmations_count && fits; i++)
        fits = membership_draft_add_accusation(draft,
                                               membership_accusation_span(&row->confirmations[i]));
    return fits;
}

static bool membership_gossip_add(struct membership_draft *draft, const struct membership_row *row,
                                  const mn_id *to)
{
    if (row->accusation.size > 0) return membership_gossip_add_accusers(draft, row);
    if (mn_id_equal(&row->view.node_id, to)) return false; /* it knows itself */
    return membership_draft_add_record(draft, row->kept->signed_bytes);
}

/* Adds news of one class, the least sent first: new items come in at the front, sent ones go to
 * the back, and one that was sent often enough is news no more. */
static void membership_gossip_fill_class(struct membership *core, struct membership_draft *draft,
                                         const mn_id *to, struct mn_list *news)
{
    uint32_t sends_max = membership_gossip_sends_max(core);
    struct mn_list sent;

    mn_list_init(&sent);
    MN_LIST_FOR_EACH_SAFE (entry, news) {
        struct membership_row *row = MN_CONTAINER(entry, struct membership_row, news);
        if (draft->left < MEMBERSHIP_GOSSIP_SMALLEST) break;
        if (!membership_gossip_add(draft, row, to)) continue;
        mn_list_remove(entry);
        if (++row->news_sent_count < sends_max) mn_list_push_back(&sent, entry);
    }
    for (struct mn_list *entry; (entry = mn_list_take(&sent)) != NULL;)
        mn_list_push_back(news, entry);
}

static void membership_gossip_fill(struct membership *core, struct membership_draft *draft,
                                   const mn_id *to)
{
    for (uint32_t i = 0; i < MEMBERSHIP_NEWS_COUNT; i++)
        membership_gossip_fill_class(core, draft, to, &core->news[i]);
}

static bool membership_gossip_has_news(const struct membership *core)
{
    for (uint32_t i = 0; i < MEMBERSHIP_NEWS_COUNT; i++)
        if (!mn_list_is_empty(&core->news[i])) return true;
    return false;
}

void membership_draft_send(struct membership *core, struct membership_draft *draft, const mn_id *to)
{
    struct membership_output *output;
    struct mn_span packet;

    membership_gossip_fill(core, draft, to);
    packet = pb_pack_arena(&draft->message.base, membership_arena(core));
    MN_ASSERT(packet.size <= MEMBERSHIP_PACKET_MAX);
    output = membership_emit(core, MEMBERSHIP_OUT_SEND);
    output->send.to = *to;
    output->send.packet = packet;
    core->stats.packets_out++;
    core->stats.bytes_out += packet.size;
}

void membership_gossip_round(struct membership *core)
{
    mn_id targets[MEMBERSHIP_GOSSIP_FANOUT];
    uint32_t count;

    if (!membership_gossip_has_news(core)) return; /* the next news arms the timer */
    count = membership_link_draw(core, NULL, true, MEMBERSHIP_GOSSIP_FANOUT, targets);
    for (uint32_t i = 0; i < count && membership_gossip_has_news(core); i++) {
        struct membership_draft draft;
        membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__GOSSIP,
                              MEMBERSHIP_GOSSIP_PACKET_MAX);
        membership_draft_send(core, &draft, &targets[i]);
    }
    if (count > 0 && membership_gossip_has_news(core))
        membership_arm(core, &core->gossip,
                       mn_time_after(core->now.mono, core->timing.gossip_interval));
}

/* ---- to one member ---- */

void membership_gossip_tell(struct membership *core, struct membership_row *row)
{
    mn_time pause = core->timing.period / 2;
    struct membership_draft draft;

    if (row->accusation.size == 0 || !row->view.is_linked) return;
    if (row->told_at != 0 && core->now.mono < row->told_at + pause) return;
    row->told_at = core->now.mono;
    membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__GOSSIP,
                          MEMBERSHIP_GOSSIP_PACKET_MAX);
    membership_draft_add_accusation(&draft, membership_accusation_span(&row->accusation));
    membership_draft_send(core, &draft, &row->view.node_id);
}

void membership_gossip_answer_wanted(struct membership *core, const mn_id *to,
                                     struct mn_span wanted)
{
    struct membership_draft draft;
    mn_id node;

    membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__RECORDS,
                          MEMBERSHIP_GOSSIP_RECORDS_MAX);
    for (size_t at = 0; at + sizeof node.bytes <= wanted.size; at += sizeof node.bytes) {
        const struct membership_row *row;
        memcpy(node.bytes, wanted.data + at, sizeof node.bytes);
        row = membership_table_find(core, &node);
        if (row != NULL) membership_draft_add_row(&draft, row);
    }
    if (draft.message.n_records > 0) membership_draft_send(core, &draft, to);
}

void membership_gossip_want(struct membership *core, const mn_id *node)
{
    for (uint32_t i = 0; i < core->asks_count; i++)
        if (mn_id_equal(&core->asks[i], node)) return;
    if (core->asks_count < MEMBERSHIP_ITEMS_MAX) core->asks[core->asks_count++] = *node;
}

void membership_gossip_ask(struct membership *core, const mn_id *from)
{
    struct membership_draft draft;

    if (core->asks_count == 0) return;
    membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__GOSSIP,
                          MEMBERSHIP_GOSSIP_PACKET_MAX + sizeof core->asks);
    draft.message.wanted = pb_bytes(mn_span(core->asks, core->asks_count * sizeof core->asks[0]));
    draft.left -= core->asks_count * sizeof core->asks[0];
    membership_draft_send(core, &draft, from);
    core->asks_count = 0;
}
