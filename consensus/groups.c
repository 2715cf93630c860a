#include "consensus/groups_internal.h"

#include "proto/base/check.h"

#define GROUPS_MAX 100000u

/* ---- life ---- */

struct groups_config groups_config_default(void)
{
    return (struct groups_config){
        .raft = raft_config_default(), .groups_max = 10000, .has_rest = true};
}

mn_status groups_new(const struct groups_config *config, struct mn_now now, struct groups **ret)
{
    struct groups *groups;

    if (config->groups_max == 0 || config->groups_max > GROUPS_MAX) return MN_CONFIG;
    if (config->writes_count == NULL || mn_id_is_zero(&config->raft.self)) return MN_CONFIG;
    groups = mn_alloc(sizeof *groups);
    groups->config = *config;
    groups->now = now;
    groups->beat_at = MN_TIME_NEVER;
    rng_init(&groups->rng, config->raft.seed);
    groups->boot = rng_u64(&groups->rng) | 1;
    mn_map_init(&groups->groups, rng_u64(&groups->rng));
    mn_map_init(&groups->peers, rng_u64(&groups->rng));
    mn_list_init(&groups->leading);
    mn_list_init(&groups->dirty);
    mn_list_init(&groups->unled);
    mn_list_init(&groups->writes);
    mn_list_init(&groups->parked);
    *ret = groups;
    return MN_OK;
}

static void groups_parked_free(struct groups *groups, struct groups_parked *parked)
{
    mn_list_remove(&parked->list);
    mn_buf_unref(parked->part);
    mn_free(parked);
    groups->stats.parked--;
}

static void groups_group_free(struct groups *groups, struct groups_group *group)
{
    groups_rest_leave(groups, group);
    mn_heap_remove(&groups->due, &group->due);
    mn_list_remove(&group->in_leading);
    mn_list_remove(&group->in_unled);
    mn_list_remove(&group->in_persisted);
    mn_map_remove(&groups->groups, &group->entry);
    raft_free(group->raft);
    mn_free(group);
}

/* Forgets what it waits for. */
static void groups_group_cancel(struct groups *groups, const struct groups_group *group)
{
    MN_LIST_FOR_EACH (item, &groups->writes) {
        struct groups_write *write = MN_CONTAINER(item, struct groups_write, list);
        if (write->group == group) write->group = NULL;
    }
    MN_LIST_FOR_EACH_SAFE (item, &groups->parked) {
        struct groups_parked *parked = MN_CONTAINER(item, struct groups_parked, list);
        if (parked->group == group) groups_parked_free(groups, parked);
    }
}

void groups_free(struct groups *groups)
{
    struct mn_map_entry *entry;
    struct mn_list *item;

    if (groups == NULL) return;
    while (!mn_list_is_empty(&groups->parked))
        groups_parked_free(groups, MN_CONTAINER(groups->parked.next, struct groups_parked, list));
    while ((item = mn_list_take(&groups->writes)) != NULL)
        mn_free(MN_CONTAINER(item, struct groups_write, list));
    while ((entry = mn_map_next(&groups->groups, NULL)) != NULL)
        groups_group_free(groups, MN_CONTAINER(entry, struct groups_group, entry));
    while ((entry = mn_map_next(&groups->peers, NULL)) != NULL)
        groups_peer_free(groups, MN_CONTAINER(entry, struct groups_peer, entry));
    mn_map_done(&groups->groups);
    mn_map_done(&groups->peers);
    mn_heap_done(&groups->due);
    mn_heap_done(&groups->suspects);
    rng_done(&groups->rng);
    mn_free(groups);
}

struct groups_group *groups_find(const struct groups *groups, uint64_t number)
{
    struct mn_map_entry *entry;
    uint8_t key[8];

    mn_store_u64(key, number);
    entry = mn_map_find(&groups->groups, mn_span(key, sizeof key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct groups_group, entry);
}

mn_status groups_open(struct groups *groups, struct mn_now now, uint64_t number,
                      const struct raft_recovered *recovered)
{
    struct raft_config config = groups->config.raft;
    struct groups_group *group;
    struct raft *raft;
    mn_status status;

    MN_ASSERT(number != 0);
    if (groups_find(groups, number) != NULL) return MN_EXISTS;
    if (groups->groups.count >= groups->config.groups_max) return MN_FULL;
    rng_bytes(&groups->rng, config.seed, sizeof config.seed);
    status = raft_new(&config, recovered, now, &raft);
    if (status != MN_OK) return status;
    group = mn_alloc(sizeof *group);
    group->number = number;
    group->raft = raft;
    group->role = RAFT_FOLLOWER;
    mn_list_init(&group->in_leading);
    mn_list_init(&group->in_unled);
    mn_list_init(&group->in_resting);
    mn_list_init(&group->in_persisted);
    mn_store_u64(group->key, number);
    mn_map_insert(&groups->groups, &group->entry, mn_span(group->key, sizeof group->key));
    mn_heap_set(&groups->due, &group->due, now.mono); /* what is committed is told at once */
    mn_list_push_back(&groups->unled, &group->in_unled);
    return MN_OK;
}

void groups_close(struct groups *groups, uint64_t number, bool is_end, struct groups_outbox *outbox)
{
    struct groups_group *group = groups_find(groups, number);

    if (group == NULL) return;
    groups_group_cancel(groups, group);
    groups_group_free(groups, group);
    if (!is_end) return;
    groups->outbox = outbox;
    groups_emit(groups, GROUPS_OUT_LOG_END, number)->log.write = ++*groups->config.writes_count;
    groups->outbox = NULL;
}

/* ---- out ---- */

struct groups_output *groups_emit(struct groups *groups, enum groups_output_type type,
                                  uint64_t group)
{
    struct groups_outbox *outbox = groups->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct groups_output){.type = type, .group = group};
    return &outbox->items[outbox->count++];
}

void groups_outbox_reset(struct groups_outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->count; i++)
        if (outbox->items[i].type == GROUPS_OUT_SEND) mn_buf_unref(outbox->items[i].send.packet);
    for (uint32_t i = 0; i < outbox->held_count; i++)
        mn_buf_unref(outbox->held[i]);
    *outbox = (struct groups_outbox){.arena = outbox->arena};
}

/* A later step of the same group may let go of what an output of this one points into. */
static void groups_hold(struct groups_outbox *outbox, struct mn_buf *buf)
{
    if (buf == NULL) return;
    outbox->held = mn_arena_grow(outbox->arena, outbox->held, outbox->held_count,
                                 &outbox->held_capacity, sizeof(struct mn_buf *));
    outbox->held[outbox->held_count++] = mn_buf_ref(buf);
}

static void groups_hold_entries(struct groups_outbox *outbox, const struct raft_entry *entries,
                                uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        groups_hold(outbox, entries[i].buf);
}

static const struct raft_snapshot *groups_hold_snapshot(struct groups_outbox *outbox,
                                                        const struct raft_snapshot *snapshot)
{
    struct raft_snapshot *copy;

    if (snapshot == NULL) return NULL;
    copy = mn_arena_alloc(outbox->arena, sizeof *copy);
    *copy = *snapshot;
    groups_hold(outbox, copy->data);
    return copy;
}

static void groups_persist(struct groups *groups, struct groups_group *group,
                           struct raft_persist *persist)
{
    struct groups_write *write = mn_alloc(sizeof *write);
    struct groups_output *output = groups_emit(groups, GROUPS_OUT_LOG, group->number);

    group->log_write = ++*groups->config.writes_count;
    write->write = group->log_write;
    write->group = group;
    write->raft_write = persist->write;
    write->mark = persist->mark;
    mn_list_push_back(&groups->writes, &write->list);
    persist->snapshot = groups_hold_snapshot(groups->outbox, persist->snapshot);
    groups_hold_entries(groups->outbox, persist->entries, persist->entries_count);
    output->log.write = group->log_write;
    output->log.persist = persist;
}

static void groups_send(struct groups *groups, struct groups_group *group,
                        const struct raft_output *out)
{
    struct raft_packet_item item = {.group = group->number, .msg = out->msg};
    struct groups_peer *peer = groups_peer_get(groups, &out->msg.to);
    struct groups_parked *parked;
    struct mn_buf *part;

    if (peer == NULL) {
        groups->stats.dropped++;
        return;
    }
    item.is_rest = groups->is_rest_beat && out->msg.type == RAFT_MSG_HEARTBEAT;
    part = raft_packet_encode(&item);
    groups->stats.messages_sent++;
    if (out->after_write == 0 || group->log_write <= groups->durable) {
        groups_peer_send(groups, peer, part);
        mn_buf_unref(part);
        return;
    }
    parked = mn_alloc(sizeof *parked);
    parked->write = group->log_write; /* raft waits for its newest write or for none */
    parked->group = group;
    parked->peer = peer;
    parked->part = part;
    mn_list_push_back(&groups->parked, &parked->list);
    groups->stats.parked++;
}

static void groups_on_role(struct groups *groups, struct groups_group *group,
                           const struct raft_output *out)
{
    group->role = out->role.role;
    group->idle_beats = 0;
    mn_list_remove(&group->in_leading);
    mn_list_remove(&group->in_unled);
    if (mn_id_is_zero(&out->role.leader)) mn_list_push_back(&groups->unled, &group->in_unled);
    if (group->role != RAFT_LEADER) return;
    mn_list_push_back(&groups->leading, &group->in_leading);
    groups_rest_soon(groups);
}

static void groups_on_output(struct groups *groups, struct groups_group *group,
                             struct raft_output *out)
{
    switch (out->type) {
    case RAFT_OUT_PERSIST: groups_persist(groups, group, &out->persist); return;
    case RAFT_OUT_SEND: groups_send(groups, group, out); return;
    case RAFT_OUT_APPLY:
        groups_hold_entries(groups->outbox, out->apply.entries, out->apply.entries_count);
        break;
    case RAFT_OUT_RESTORE: out->restore = groups_hold_snapshot(groups->outbox, out->restore); break;
    case RAFT_OUT_ROLE: groups_on_role(groups, group, out); break;
    case RAFT_OUT_ACCEPTED:
    case RAFT_OUT_REFUSED:
    case RAFT_OUT_READ:
    case RAFT_OUT_SNAPSHOT_WANTED: break;
    }
    groups_emit(groups, GROUPS_OUT_RAFT, group->number)->raft = out;
}

void groups_step_raft(struct groups *groups, struct groups_group *group,
                      const struct raft_input *input)
{
    struct raft_outbox outbox = {.arena = groups->outbox->arena};

    raft_step(group->raft, groups->now, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++)
        groups_on_output(groups, group, &outbox.items[i]);
    if (!group->is_resting) mn_heap_set(&groups->due, &group->due, raft_deadline(group->raft));
}

/* ---- in ---- */

static void groups_on_durable(struct groups *groups, uint64_t upto)
{
    struct mn_list persisted, *item;

    mn_list_init(&persisted);
    if (upto > groups->durable) groups->durable = upto;
    while ((item = groups->writes.next) != &groups->writes) {
        struct groups_write *write = MN_CONTAINER(item, struct groups_write, list);
        if (write->write > upto) break;
        mn_list_remove(item);
        if (write->group != NULL) {
            write->group->durable_write = write->raft_write;
            write->group->durable_mark = write->mark;
            mn_list_remove(&write->group->in_persisted);
            mn_list_push_back(&persisted, &write->group->in_persisted);
        }
        mn_free(write);
    }
    while ((item = groups->parked.next) != &groups->parked) {
        struct groups_parked *parked = MN_CONTAINER(item, struct groups_parked, list);
        if (parked->write > upto) break;
        groups_peer_send(groups, parked->peer, parked->part);
        groups_parked_free(groups, parked);
    }
    while ((item = mn_list_take(&persisted)) != NULL) {
        struct groups_group *group = MN_CONTAINER(item, struct groups_group, in_persisted);
        struct raft_input input = {.type = RAFT_IN_PERSISTED};
        input.persisted.write = group->durable_write;
        input.persisted.mark = group->durable_mark;
        groups_step_raft(groups, group, &input);
    }
}

/* As a node that does not lead would answer. */
static void groups_refuse(struct groups *groups, uint64_t number, const struct raft_input *input)
{
    struct raft_output *out;
    bool is_read = input->type == RAFT_IN_READ;

    if (!is_read && input->type != RAFT_IN_PROPOSE && input->type != RAFT_IN_CONFIGURE &&
        input->type != RAFT_IN_TRANSFER)
        return;
    out = mn_arena_alloc(groups->outbox->arena, sizeof *out);
    *out = (struct raft_output){.type = is_read ? RAFT_OUT_READ : RAFT_OUT_REFUSED};
    if (is_read) {
        out->read.request = input->read.request;
        out->read.status = MN_STATE;
    } else {
        out->refused.status = MN_STATE;
        if (input->type == RAFT_IN_PROPOSE)
            out->refused.request = input->propose.request;
        else if (input->type == RAFT_IN_CONFIGURE)
            out->refused.request = input->configure.request;
        else
            out->refused.request = input->transfer.request;
    }
    groups_emit(groups, GROUPS_OUT_RAFT, number)->raft = out;
}

static void groups_on_raft(struct groups *groups, uint64_t number, const struct raft_input *input)
{
    struct groups_group *group = groups_find(groups, number);

    if (group == NULL) {
        groups_refuse(groups, number, input);
        return;
    }
    /* Who follows refuses in its sleep; taking a snapshot disturbs nobody. */
    if (input->type == RAFT_IN_READ ||
        (group->role == RAFT_LEADER && input->type != RAFT_IN_SNAPSHOT))
        groups_rest_wake(groups, group);
    groups_step_raft(groups, group, input);
}

/* Heartbeats first: those that are due now go together, and not one by one below. */
static void groups_on_tick(struct groups *groups)
{
    uint32_t most = groups->due.count;
    struct mn_heap_entry *first;

    if (groups->beat_at <= groups->now.mono) groups_rest_beat(groups);
    while ((first = mn_heap_peek(&groups->suspects)) != NULL && first->at <= groups->now.mono)
        groups_rest_wake_all(groups, MN_CONTAINER(first, struct groups_peer, suspect));
    for (; most > 0; most--) {
        first = mn_heap_peek(&groups->due);
        if (first == NULL || first->at > groups->now.mono) return;
        groups_step_raft(groups, MN_CONTAINER(first, struct groups_group, due),
                         &(struct raft_input){.type = RAFT_IN_TICK});
    }
}

void groups_step(struct groups *groups, struct mn_now now, const struct groups_input *input,
                 struct groups_outbox *outbox)
{
    MN_ASSERT(now.mono >= groups->now.mono);
    groups->now = now;
    groups->outbox = outbox;
    switch (input->type) {
    case GROUPS_IN_TICK: groups_on_tick(groups); break;
    case GROUPS_IN_PACKET:
        groups_peer_on_packet(groups, &input->packet.from, input->packet.bytes);
        break;
    case GROUPS_IN_RAFT: groups_on_raft(groups, input->raft.group, input->raft.input); break;
    case GROUPS_IN_DURABLE: groups_on_durable(groups, input->durable.write); break;
    case GROUPS_IN_UNREACHABLE: groups_peer_on_unreachable(groups, &input->unreachable.node); break;
    }
    groups_peer_flush(groups);
    groups->outbox = NULL;
}

mn_time groups_deadline(const struct groups *groups)
{
    mn_time at = mn_time_min(mn_heap_deadline(&groups->due), mn_heap_deadline(&groups->suspects));

    return mn_time_min(at, groups->beat_at);
}

/* ---- looking ---- */

const struct raft *groups_raft(const struct groups *groups, uint64_t number)
{
    const struct groups_group *group = groups_find(groups, number);

    return group == NULL ? NULL : group->raft;
}

struct groups_stats groups_stats(const struct groups *groups)
{
    struct groups_stats stats = groups->stats;

    stats.groups_count = groups->groups.count;
    stats.resting_count = groups->resting_count;
    for (struct mn_map_entry *entry = mn_map_next(&groups->groups, NULL); entry != NULL;
         entry = mn_map_next(&groups->groups, entry))
        stats.leading_count += MN_CONTAINER(entry, struct groups_group, entry)->role == RAFT_LEADER;
    return stats;
}

static void groups_check_group(const struct groups_group *group)
{
    struct raft_view view = raft_view(group->raft);

    raft_check(group->raft);
    MN_ASSERT(view.role == group->role);
    MN_ASSERT(mn_list_is_empty(&group->in_unled) == !mn_id_is_zero(&view.leader));
    MN_ASSERT(mn_list_is_empty(&group->in_leading) ==
              (group->role != RAFT_LEADER || group->is_resting));
    MN_ASSERT(!group->is_resting || group->due.index_plus_one == 0);
    MN_ASSERT(group->is_resting || mn_list_is_empty(&group->in_resting));
    MN_ASSERT(group->is_resting || group->rest_peers_count == 0);
    MN_ASSERT(!group->is_resting || view.commit == view.last_index);
}

void groups_check(const struct groups *groups)
{
    uint32_t resting = 0, led = 0;
    uint64_t write = groups->durable;

    for (struct mn_map_entry *entry = mn_map_next(&groups->groups, NULL); entry != NULL;
         entry = mn_map_next(&groups->groups, entry)) {
        const struct groups_group *group = MN_CONTAINER(entry, struct groups_group, entry);
        groups_check_group(group);
        resting += group->is_resting;
    }
    for (struct mn_map_entry *entry = mn_map_next(&groups->peers, NULL); entry != NULL;
         entry = mn_map_next(&groups->peers, entry))
        led += MN_CONTAINER(entry, struct groups_peer, entry)->led_count > 0;
    MN_ASSERT(resting == groups->resting_count);
    MN_ASSERT(led == groups->led_peers_count);
    MN_ASSERT(mn_list_is_empty(&groups->dirty));
    MN_LIST_FOR_EACH (item, &groups->writes) {
        MN_ASSERT(MN_CONTAINER(item, struct groups_write, list)->write > write);
        write = MN_CONTAINER(item, struct groups_write, list)->write;
    }
}
