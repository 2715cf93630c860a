/* Packets to and from other nodes. */
#include "consensus/groups_internal.h"

#include "proto/base/check.h"

struct groups_peer *groups_peer_get(struct groups *groups, const mn_id *id)
{
    struct mn_map_entry *entry = mn_map_find(&groups->peers, mn_span(id->bytes, sizeof *id));
    struct groups_peer *peer;

    if (entry != NULL) return MN_CONTAINER(entry, struct groups_peer, entry);
    if (groups->peers.count >= GROUPS_PEERS_MAX) return NULL;
    peer = mn_alloc(sizeof *peer);
    peer->id = *id;
    mn_list_init(&peer->in_dirty);
    mn_list_init(&peer->resting);
    mn_map_insert(&groups->peers, &peer->entry, mn_span(peer->id.bytes, sizeof peer->id));
    return peer;
}

void groups_peer_free(struct groups *groups, struct groups_peer *peer)
{
    mn_heap_remove(&groups->suspects, &peer->suspect);
    mn_map_remove(&groups->peers, &peer->entry);
    mn_writer_drop(&peer->packet);
    mn_free(peer);
}

bool groups_peer_is_alive(const struct groups *groups, const struct groups_peer *peer)
{
    return peer->heard != 0 &&
           mn_time_after(peer->heard, groups->config.raft.election_timeout) > groups->now.mono;
}

/* ---- out ---- */

static void groups_peer_emit(struct groups *groups, struct groups_peer *peer)
{
    struct groups_output *output = groups_emit(groups, GROUPS_OUT_SEND, 0);

    output->send.to = peer->id;
    output->send.packet = mn_writer_done(&peer->packet);
    peer->beaten = groups->now.mono;
    groups->stats.packets_sent++;
}

void groups_peer_touch(struct groups *groups, struct groups_peer *peer)
{
    struct mn_buf *begin;

    if (mn_writer_size(&peer->packet) > 0) return;
    begin = raft_packet_begin(groups->boot);
    mn_writer_add(&peer->packet, mn_buf_span(begin));
    mn_buf_unref(begin);
    if (mn_list_is_empty(&peer->in_dirty)) mn_list_push_back(&groups->dirty, &peer->in_dirty);
}

void groups_peer_send(struct groups *groups, struct groups_peer *peer, struct mn_buf *part)
{
    size_t size = mn_writer_size(&peer->packet);

    if (size > 0 && size + part->size > GROUPS_PACKET_SIZE) groups_peer_emit(groups, peer);
    groups_peer_touch(groups, peer);
    mn_writer_add(&peer->packet, mn_buf_span(part));
}

void groups_peer_flush(struct groups *groups)
{
    struct mn_list *item;

    while ((item = mn_list_take(&groups->dirty)) != NULL)
        groups_peer_emit(groups, MN_CONTAINER(item, struct groups_peer, in_dirty));
}

/* ---- in ---- */

static void groups_peer_on_item(struct groups *groups, struct groups_peer *peer,
                                struct raft_packet_item *item)
{
    struct groups_group *group = groups_find(groups, item->group);
    struct raft_input input = {.type = RAFT_IN_MESSAGE, .msg = &item->msg};
    bool is_rest_ack;

    if (group == NULL) {
        groups->stats.dropped++;
        return;
    }
    item->msg.from = peer->id;
    item->msg.to = groups->config.raft.self;
    is_rest_ack = item->msg.type == RAFT_MSG_HEARTBEAT_ACK && item->msg.heal == 0 &&
                  item->msg.term == raft_view(group->raft).term;
    if (group->is_resting && is_rest_ack) return; /* the answer to what laid it to rest */
    groups_rest_wake(groups, group);
    groups_step_raft(groups, group, &input);
    if (item->is_rest) groups_rest_follow(groups, group, peer);
}

void groups_peer_on_packet(struct groups *groups, const mn_id *from, struct mn_span bytes)
{
    struct groups_peer *peer = groups_peer_get(groups, from);
    struct mn_arena arena = {0};
    struct raft_packet packet;

    if (peer == NULL || mn_id_equal(from, &groups->config.raft.self) ||
        raft_packet_decode(bytes, &arena, &packet) != MN_OK || packet.boot == 0) {
        groups->stats.dropped++;
        mn_arena_done(&arena);
        return;
    }
    groups->stats.packets_received++;
    groups->stats.messages_received += packet.count;
    if (peer->boot != packet.boot) groups_rest_wake_all(groups, peer); /* it leads nothing now */
    peer->boot = packet.boot;
    peer->heard = groups->now.mono;
    groups_rest_arm(groups, peer);
    for (uint32_t i = 0; i < packet.count; i++)
        groups_peer_on_item(groups, peer, &packet.items[i]);
    for (uint32_t i = 0; i < packet.unled_count; i++)
        groups_rest_on_unled(groups, peer, packet.unled[i]);
    groups_rest_ask(groups, peer);
    mn_arena_done(&arena);
}

void groups_peer_on_unreachable(struct groups *groups, const mn_id *node)
{
    struct mn_map_entry *entry = mn_map_find(&groups->peers, mn_span(node->bytes, sizeof *node));
    struct raft_input input = {.type = RAFT_IN_UNREACHABLE};

    if (entry == NULL) return;
    MN_CONTAINER(entry, struct groups_peer, entry)->heard = 0;
    groups_rest_wake_all(groups, MN_CONTAINER(entry, struct groups_peer, entry));
    input.unreachable.node = *node;
    for (entry = mn_map_next(&groups->groups, NULL); entry != NULL;
         entry = mn_map_next(&groups->groups, entry)) {
        struct groups_group *group = MN_CONTAINER(entry, struct groups_group, entry);
        if (group->role == RAFT_FOLLOWER && !group->is_resting)
            groups_step_raft(groups, group, &input);
    }
}
