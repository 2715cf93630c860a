/* A host of groupsim: its groups, its log, and what becomes of both when it ends. */
#include <stdio.h>

#include "node/raftlog.h"
#include "proto/base/check.h"
#include "sim/groups/groups_world.h"

mn_id host_id(uint32_t host)
{
    mn_id id = {{0}};
    id.bytes[15] = (uint8_t)(host + 1);
    return id;
}

/* ---- what it does ---- */

static void send(struct world *world, struct host *host, const struct groups_output *output)
{
    uint32_t to = output->send.to.bytes[15] - 1u;
    struct packet *packet;

    world->stats->packets++;
    world->hash = world_mix(world->hash, world->time ^ output->send.packet->size);
    if (world->cut[host->index][to] || rng_below(&world->net, 1000) < world->loss_permille) return;
    packet = mn_alloc(sizeof *packet);
    packet->at = world->time + 300 + rng_below(&world->net, 3000);
    if (rng_below(&world->net, 30) == 0 && !world->is_quiet)
        packet->at += rng_below(&world->net, 200000);
    packet->from = host->index;
    packet->to = to;
    packet->buf = mn_buf_ref(output->send.packet);
    mn_list_push_back(&world->packets, &packet->list);
}

static void apply(struct world *world, struct host *host, uint32_t g,
                  const struct raft_entry *entry)
{
    struct machine *machine = &host->machines[g];
    struct chain *chain = &world->chains[g][entry->index % INDEX_MAX];

    if (entry->index != machine->index + 1)
        world_fail(world, "n%u group %u applies %llu after %llu", host->index, g + 1,
                   (unsigned long long)entry->index, (unsigned long long)machine->index);
    machine->index = entry->index;
    machine->chain = world_mix(world_mix(machine->chain, entry->term), entry->data.size);
    for (size_t i = 0; i < entry->data.size; i++)
        machine->chain = world_mix(machine->chain, entry->data.data[i]);
    world->stats->applied++;
    if (entry->index > world->committed[g]) {
        world->committed[g] = entry->index;
        *chain = (struct chain){entry->term, machine->chain};
        if (entry->index >= INDEX_MAX) world_fail(world, "more entries than this world can judge");
    } else if (chain->hash != machine->chain) {
        world_fail(world, "n%u group %u applies something else at %llu than was committed there",
                   host->index, g + 1, (unsigned long long)entry->index);
    }
}

static void restore(struct world *world, struct host *host, uint32_t g,
                    const struct raft_snapshot *snapshot)
{
    struct machine *machine = &host->machines[g];
    struct mn_span data = mn_buf_span(snapshot->data);

    machine->index = snapshot->index;
    machine->chain = data.size >= 8 ? mn_load_u64(data.data) : 0;
    if (snapshot->index > 0 && world->chains[g][snapshot->index % INDEX_MAX].hash != machine->chain)
        world_fail(world, "n%u group %u restores a state that was never committed", host->index,
                   g + 1);
}

static void on_role(struct world *world, struct host *host, uint32_t g,
                    const struct raft_output *out)
{
    uint32_t *leader = &world->leaders[g][out->role.term % 512];

    if (out->role.role != RAFT_LEADER) return;
    if (*leader != 0 && *leader != host->index + 1)
        world_fail(world, "group %u term %llu has two leaders, n%u and n%u", g + 1,
                   (unsigned long long)out->role.term, *leader - 1, host->index);
    *leader = host->index + 1;
}

void host_give(struct world *world, struct host *host, uint64_t group,
               const struct raft_input *input)
{
    struct groups_input groups_input = {.type = GROUPS_IN_RAFT};
    groups_input.raft.group = group;
    groups_input.raft.input = input;
    host_step(world, host, &groups_input);
}

static void on_raft(struct world *world, struct host *host, const struct groups_output *output,
                    uint64_t *wants_snapshot)
{
    uint32_t g = (uint32_t)output->group - 1;
    const struct raft_output *out = output->raft;

    if (out->type == RAFT_OUT_APPLY)
        for (uint32_t i = 0; i < out->apply.entries_count; i++)
            apply(world, host, g, &out->apply.entries[i]);
    if (out->type == RAFT_OUT_RESTORE) restore(world, host, g, out->restore);
    if (out->type == RAFT_OUT_ROLE) on_role(world, host, g, out);
    if (out->type == RAFT_OUT_SNAPSHOT_WANTED) *wants_snapshot |= UINT64_C(1) << g;
}

static void write_log(struct world *world, struct host *host)
{
    if (host->synced_at != MN_TIME_NEVER || !vlog_write(&host->log)) return;
    host->synced_at = world->time + 100 + rng_below(&world->disk, 2000);
    if (!world->is_quiet && rng_below(&world->disk, 40) == 0) host->synced_at += 300 * MN_MS;
}

static void carry_out(struct world *world, struct host *host, struct groups_outbox *outbox,
                      uint64_t *wants_snapshot)
{
    struct edge_outbox edge = {.arena = outbox->arena};

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct groups_output *output = &outbox->items[i];
        switch (output->type) {
        case GROUPS_OUT_LOG:
            raftlog_emit(&edge, output->log.write, output->group, output->log.persist);
            vlog_append(&host->log, output->log.write, edge.items[edge.count - 1].log);
            break;
        case GROUPS_OUT_LOG_END: break;
        case GROUPS_OUT_SEND: send(world, host, output); break;
        case GROUPS_OUT_RAFT: on_raft(world, host, output, wants_snapshot); break;
        }
    }
}

static void snapshot(struct world *world, struct host *host, uint32_t g)
{
    struct raft_input input = {.type = RAFT_IN_SNAPSHOT};

    input.snapshot.index = host->machines[g].index;
    input.snapshot.data = mn_buf_new(8 + rng_below(&world->work, 3000));
    memset(input.snapshot.data->bytes, 0, input.snapshot.data->size);
    mn_store_u64(input.snapshot.data->bytes, host->machines[g].chain);
    host_give(world, host, g + 1, &input);
    mn_buf_unref(input.snapshot.data);
}

void host_step(struct world *world, struct host *host, const struct groups_input *input)
{
    struct mn_arena arena = {0};
    struct groups_outbox outbox = {.arena = &arena};
    uint64_t wants_snapshot = 0;

    world->stats->steps++;
    groups_step(host->groups, world_now(world), input, &outbox);
    carry_out(world, host, &outbox, &wants_snapshot);
    groups_outbox_reset(&outbox);
    mn_arena_done(&arena);
    for (uint32_t g = 0; g < world->groups_count; g++)
        if ((wants_snapshot >> g & 1) != 0) snapshot(world, host, g);
}

/* ---- life of a host ---- */

struct reading {
    struct raftlog_recovery recovery;
    uint32_t damaged_count;
};

static void on_recover(void *context, const struct edge_log *log, enum edge_log_damage damage)
{
    struct reading *reading = context;
    const struct edge_input input = {.type = EDGE_IN_LOG_RECOVER, .code = damage, .log = log};
    mn_status status = raftlog_recover(&reading->recovery, &input);

    reading->damaged_count += damage != EDGE_LOG_SOUND;
    MN_ASSERT(status == MN_OK);
}

static void open_group(struct world *world, struct host *host, uint32_t g,
                       const struct raftlog_recovery *recovery, bool is_new)
{
    const struct raft_recovered *found = raftlog_find(recovery, g + 1);
    struct raft_recovered first = {.snapshot.config.members_count = world->hosts_count};
    mn_status status;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        first.snapshot.config.members[i].id = host_id(i);
        first.snapshot.config.members[i].weight = 1;
    }
    if (found != NULL) {
        bool has_config = found->snapshot.config.members_count > 0;
        struct quorum_config config = first.snapshot.config;
        first = *found;
        if (!has_config) first.snapshot.config = config;
    } else if (!is_new && (recovery->has_lost_groups || host->was_wiped)) {
        first.damage = RAFT_DAMAGE_CORRUPT; /* it may have been there */
    }
    host->machines[g] = (struct machine){0};
    if (first.snapshot.index > 0) restore(world, host, g, &first.snapshot);
    status = groups_open(host->groups, world_now(world), g + 1, &first);
    if (status != MN_OK)
        world_fail(world, "n%u group %u does not open: %s", host->index, g + 1,
                   mn_status_text(status));
}

void host_start(struct world *world, struct host *host, bool is_new)
{
    struct groups_config config = groups_config_default();
    struct reading reading = {0};
    mn_status status;

    config.raft.self = host_id(host->index);
    config.raft.election_timeout = 100 * MN_MS;
    config.raft.heartbeat_interval = 30 * MN_MS;
    config.raft.compact_entries = 20;
    config.raft.keep_entries = 5;
    config.writes_count = &host->writes;
    rng_bytes(&world->work, config.raft.seed, sizeof config.raft.seed);
    host->writes = 0;
    host->synced_at = MN_TIME_NEVER;
    if (host->must_rot && vlog_rot(&host->log)) world->stats->rots++;
    if (host->must_wipe) {
        vlog_wipe(&host->log);
        host->was_wiped = true;
        world->stats->wipes++;
    }
    host->must_rot = host->must_wipe = false;
    vlog_start(&host->log, on_recover, &reading);
    status = groups_new(&config, world_now(world), &host->groups);
    MN_ASSERT(status == MN_OK);
    for (uint32_t g = 0; g < world->groups_count; g++)
        open_group(world, host, g, &reading.recovery, is_new);
    raftlog_done(&reading.recovery);
    host_step(world, host, &(struct groups_input){.type = GROUPS_IN_TICK});
}

void host_crash(struct world *world, struct host *host)
{
    if (host->groups == NULL) return;
    groups_free(host->groups);
    host->groups = NULL;
    vlog_crash(&host->log);
    world->stats->crashes++;
    host->up_at = world->time + rng_below(&world->strike, 3 * MN_SEC);
}

void host_turn(struct world *world, struct host *host)
{
    struct groups_input durable = {.type = GROUPS_IN_DURABLE};

    if (host->groups == NULL) {
        if (host->up_at <= world->time) host_start(world, host, false);
        return;
    }
    if (host->paused_until > world->time) return;
    if (host->synced_at <= world->time) {
        host->synced_at = MN_TIME_NEVER;
        durable.durable.write = vlog_synced(&host->log);
        if (durable.durable.write > 0) host_step(world, host, &durable);
        vlog_clean(&host->log);
    }
    write_log(world, host);
    if (groups_deadline(host->groups) <= world_now(world).mono)
        host_step(world, host, &(struct groups_input){.type = GROUPS_IN_TICK});
    write_log(world, host);
}
