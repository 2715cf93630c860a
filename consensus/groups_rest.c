/* One heartbeat for all groups that a node leads, and rest for those in which nothing happens.
 *
 * A leader whose group was idle for a few beats says so in its last heartbeat, and stops; who has
 * all of the log, as the leader claims, stops its election timer. From then on the packets of the
 * leader's node, empty ones if need be, stand for the group's heartbeats. The group wakes when
 * anything is said to it, when the leader's node is silent for an election timeout, is unreachable,
 * or has started anew. A member that did not hear it, or knows less, keeps its timer; it then asks
 * for votes, which wakes the others, who refuse as long as they hear the leader's node.
 *
 * A member that lost its log may know no other member, and has no vote to ask for. It hears the
 * packets of the leader's node, which say nothing of groups at rest, and answers with those groups
 * of its own that it knows no leader of: whoever leads one of them wakes it. */
#include "consensus/groups_internal.h"

#include "proto/base/check.h"

static void groups_rest_begin(struct groups *groups, struct groups_group *group)
{
    MN_ASSERT(!group->is_resting);
    group->is_resting = true;
    groups->resting_count++;
    mn_heap_remove(&groups->due, &group->due);
}

/* Takes it out of all lists of those that rest. */
void groups_rest_leave(struct groups *groups, struct groups_group *group)
{
    struct groups_peer *leader = NULL;

    if (!group->is_resting) return;
    group->is_resting = false;
    group->idle_beats = 0;
    groups->resting_count--;
    for (uint32_t i = 0; i < group->rest_peers_count; i++) {
        struct groups_peer *peer = group->rest_peers[i];
        MN_ASSERT(peer->led_count > 0);
        if (--peer->led_count == 0) groups->led_peers_count--;
    }
    mn_free(group->rest_peers);
    group->rest_peers = NULL;
    group->rest_peers_count = 0;
    if (mn_list_is_empty(&group->in_resting)) return;
    if (group->in_resting.next == group->in_resting.prev) /* the last one under this leader */
        leader = MN_CONTAINER(group->in_resting.next, struct groups_peer, resting);
    mn_list_remove(&group->in_resting);
    if (leader != NULL) groups_rest_arm(groups, leader);
}

static bool groups_rest_is_led(const struct groups *groups, const struct groups_group *group)
{
    struct raft_view view = raft_view(group->raft);
    struct mn_map_entry *entry =
        mn_map_find(&groups->peers, mn_span(view.leader.bytes, sizeof view.leader));

    return entry != NULL &&
           groups_peer_is_alive(groups, MN_CONTAINER(entry, struct groups_peer, entry));
}

void groups_rest_wake(struct groups *groups, struct groups_group *group)
{
    struct raft_input input = {.type = RAFT_IN_WAKE};

    if (!group->is_resting) return;
    input.wake.is_led = groups_rest_is_led(groups, group);
    groups_rest_leave(groups, group);
    if (group->role == RAFT_LEADER) {
        mn_list_push_back(&groups->leading, &group->in_leading);
        groups_rest_soon(groups);
    }
    groups_step_raft(groups, group, &input);
}

void groups_rest_wake_all(struct groups *groups, struct groups_peer *leader)
{
    mn_heap_remove(&groups->suspects, &leader->suspect);
    if (mn_list_is_empty(&leader->resting)) return;
    MN_PROBE("groups: groups wake because their leader's node is gone");
    leader->heard = 0;
    while (!mn_list_is_empty(&leader->resting))
        groups_rest_wake(groups,
                         MN_CONTAINER(leader->resting.next, struct groups_group, in_resting));
}

void groups_rest_arm(struct groups *groups, struct groups_peer *peer)
{
    if (mn_list_is_empty(&peer->resting))
        mn_heap_remove(&groups->suspects, &peer->suspect);
    else
        mn_heap_set(&groups->suspects, &peer->suspect,
                    mn_time_after(peer->heard, groups->config.raft.election_timeout));
}

/* ---- those who follow ---- */

void groups_rest_follow(struct groups *groups, struct groups_group *group,
                        struct groups_peer *leader)
{
    struct raft_view view = raft_view(group->raft);

    if (!groups->config.has_rest || group->is_resting || view.role != RAFT_FOLLOWER) return;
    if (!mn_id_equal(&view.leader, &leader->id) || !raft_is_idle(group->raft)) return;
    MN_PROBE("groups: a follower rests");
    groups_rest_begin(groups, group);
    mn_list_push_back(&leader->resting, &group->in_resting);
    groups_rest_arm(groups, leader);
}

/* Not more often than heartbeats; those that find no room in a packet are in the next one. */
void groups_rest_ask(struct groups *groups, struct groups_peer *peer)
{
    mn_time next = mn_time_after(peer->asked, groups->config.raft.heartbeat_interval);
    uint64_t numbers[RAFT_PACKET_UNLED_MAX];
    uint32_t count = 0;
    struct mn_buf *part;

    if (mn_list_is_empty(&groups->unled)) return;
    if (peer->asked != 0 && next > groups->now.mono) return;
    peer->asked = groups->now.mono;
    MN_LIST_FOR_EACH (item, &groups->unled) {
        if (count == RAFT_PACKET_UNLED_MAX) break;
        numbers[count++] = MN_CONTAINER(item, struct groups_group, in_unled)->number;
    }
    for (uint32_t i = 0; count == RAFT_PACKET_UNLED_MAX && i < count; i++)
        mn_list_push_back(&groups->unled, mn_list_take(&groups->unled));
    part = raft_packet_unled(numbers, count);
    groups_peer_send(groups, peer, part);
    mn_buf_unref(part);
}

/* ---- those who lead ---- */

/* Who is no member may not keep the group awake. */
void groups_rest_on_unled(struct groups *groups, const struct groups_peer *peer, uint64_t number)
{
    struct groups_group *group = groups_find(groups, number);

    struct raft_view view;

    if (group == NULL || !group->is_resting) return;
    view = raft_view(group->raft);
    if (quorum_find(view.config, &peer->id) < 0) return;
    if (group->role != RAFT_LEADER && !mn_id_equal(&view.leader, &peer->id)) return;
    MN_PROBE("groups: a group wakes because a member knows no leader of it");
    groups_rest_wake(groups, group);
}

void groups_rest_soon(struct groups *groups)
{
    mn_time at = mn_time_after(groups->now.mono, groups->config.raft.heartbeat_interval);

    if (groups->beat_at > at) groups->beat_at = at;
}

/* The members' nodes are told that this one lives for as long as the group rests. */
static void groups_rest_lead(struct groups *groups, struct groups_group *group)
{
    struct raft_view view = raft_view(group->raft);

    MN_PROBE("groups: a leader rests");
    mn_list_remove(&group->in_leading);
    groups_rest_begin(groups, group);
    group->rest_peers = mn_alloc(view.config->members_count * sizeof(struct groups_peer *));
    for (uint32_t i = 0; i < view.config->members_count; i++) {
        const mn_id *id = &view.config->members[i].id;
        struct groups_peer *peer;
        if (mn_id_equal(id, &groups->config.raft.self)) continue;
        peer = groups_peer_get(groups, id);
        MN_ASSERT(peer != NULL); /* its group is idle: it has answered */
        group->rest_peers[group->rest_peers_count++] = peer;
        if (peer->led_count++ == 0) groups->led_peers_count++;
    }
}

/* A member by itself has nobody to tell: its heartbeats would only wake the machine. */
static bool groups_rest_is_wanted(const struct groups *groups, const struct groups_group *group)
{
    return groups->config.has_rest || raft_view(group->raft).config->members_count == 1;
}

static void groups_rest_beat_group(struct groups *groups, struct groups_group *group)
{
    bool is_idle = groups_rest_is_wanted(groups, group) && raft_is_idle(group->raft);
    bool rests;

    group->idle_beats = is_idle ? group->idle_beats + 1 : 0;
    rests = group->idle_beats > GROUPS_IDLE_BEATS;
    groups->is_rest_beat = rests;
    groups_step_raft(groups, group, &(struct raft_input){.type = RAFT_IN_BEAT});
    groups->is_rest_beat = false;
    if (rests) groups_rest_lead(groups, group);
}

static void groups_rest_beat_peers(struct groups *groups)
{
    mn_time half = groups->config.raft.heartbeat_interval / 2;

    for (struct mn_map_entry *entry = mn_map_next(&groups->peers, NULL); entry != NULL;
         entry = mn_map_next(&groups->peers, entry)) {
        struct groups_peer *peer = MN_CONTAINER(entry, struct groups_peer, entry);
        if (peer->led_count == 0 || mn_time_after(peer->beaten, half) > groups->now.mono) continue;
        groups_peer_touch(groups, peer);
    }
}

void groups_rest_beat(struct groups *groups)
{
    groups->beat_at = MN_TIME_NEVER;
    MN_LIST_FOR_EACH_SAFE (item, &groups->leading)
        groups_rest_beat_group(groups, MN_CONTAINER(item, struct groups_group, in_leading));
    if (groups->led_peers_count > 0) groups_rest_beat_peers(groups);
    if (groups->led_peers_count > 0 || !mn_list_is_empty(&groups->leading))
        groups_rest_soon(groups);
}
