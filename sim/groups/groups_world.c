#include <stdarg.h>
#include <stdio.h>

#include "consensus/groups.h"
#include "node/raftlog.h"
#include "proto/base/check.h"
#include "proto/base/list.h"
#include "sim/common/trace.h"
#include "sim/common/vlog.h"
#include "sim/groups/groups_sim.h"

#define HOSTS_MAX 5u
#define GROUPS_MAX 64u
#define INDEX_MAX 4096u
#define TICK MN_MS
#define START MN_SEC

struct packet {
    struct mn_list list; /* in order of [at] */
    mn_time at;
    uint32_t from, to;
    struct mn_buf *buf;
};

struct machine { /* of one group on one host: a chain over all that was applied */
    uint64_t index, chain;
};

struct host {
    uint32_t index;
    struct groups *groups; /* NULL while down */
    struct vlog log;
    uint64_t writes;
    mn_time synced_at, paused_until, up_at; /* synced_at: MN_TIME_NEVER: nothing is written */
    bool must_rot, must_wipe, was_wiped;
    struct machine machines[GROUPS_MAX];
};

struct chain {
    uint64_t term, hash;
};

struct world {
    const struct groups_sim_options *options;
    struct groups_sim_stats *stats;
    mn_time time;
    struct rng net, disk, fault, work;
    struct rng strike; /* of the decision that is carried out */
    uint32_t told_count;
    struct host hosts[HOSTS_MAX];
    uint32_t hosts_count, groups_count, loss_permille;
    bool cut[HOSTS_MAX][HOSTS_MAX], is_quiet, has_failed;
    struct mn_list packets;
    struct mn_arena arena;
    struct chain chains[GROUPS_MAX][INDEX_MAX]; /* what was applied first at an index */
    uint64_t committed[GROUPS_MAX];
    uint32_t leaders[GROUPS_MAX][512]; /* by term: host plus one */
    uint64_t hash;
    char *failure;
};

static void fail(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fail(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    trace_fail(&world->has_failed, world->failure, format, args);
    va_end(args);
}

static mn_id id_of(uint32_t host)
{
    mn_id id = {{0}};
    id.bytes[15] = (uint8_t)(host + 1);
    return id;
}

static struct mn_now now(const struct world *world)
{
    return (struct mn_now){START + world->time, START + world->time};
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3U;
}

/* ---- what a host does ---- */

static void send(struct world *world, struct host *host, const struct groups_output *output)
{
    uint32_t to = output->send.to.bytes[15] - 1u;
    struct packet *packet;

    world->stats->packets++;
    world->hash = mix(world->hash, world->time ^ output->send.packet->size);
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
        fail(world, "n%u group %u applies %llu after %llu", host->index, g + 1,
             (unsigned long long)entry->index, (unsigned long long)machine->index);
    machine->index = entry->index;
    machine->chain = mix(mix(machine->chain, entry->term), entry->data.size);
    for (size_t i = 0; i < entry->data.size; i++)
        machine->chain = mix(machine->chain, entry->data.data[i]);
    world->stats->applied++;
    if (entry->index > world->committed[g]) {
        world->committed[g] = entry->index;
        *chain = (struct chain){entry->term, machine->chain};
        if (entry->index >= INDEX_MAX) fail(world, "more entries than this world can judge");
    } else if (chain->hash != machine->chain) {
        fail(world, "n%u group %u applies something else at %llu than was committed there",
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
        fail(world, "n%u group %u restores a state that was never committed", host->index, g + 1);
}

static void on_role(struct world *world, struct host *host, uint32_t g,
                    const struct raft_output *out)
{
    uint32_t *leader = &world->leaders[g][out->role.term % 512];

    if (out->role.role != RAFT_LEADER) return;
    if (*leader != 0 && *leader != host->index + 1)
        fail(world, "group %u term %llu has two leaders, n%u and n%u", g + 1,
             (unsigned long long)out->role.term, *leader - 1, host->index);
    *leader = host->index + 1;
}

static void step(struct world *world, struct host *host, const struct groups_input *input);

static void give(struct world *world, struct host *host, uint64_t group,
                 const struct raft_input *input)
{
    struct groups_input groups_input = {.type = GROUPS_IN_RAFT};
    groups_input.raft.group = group;
    groups_input.raft.input = input;
    step(world, host, &groups_input);
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
    give(world, host, g + 1, &input);
    mn_buf_unref(input.snapshot.data);
}

static void step(struct world *world, struct host *host, const struct groups_input *input)
{
    struct mn_arena arena = {0};
    struct groups_outbox outbox = {.arena = &arena};
    uint64_t wants_snapshot = 0;

    world->stats->steps++;
    groups_step(host->groups, now(world), input, &outbox);
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
        first.snapshot.config.members[i].id = id_of(i);
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
    status = groups_open(host->groups, now(world), g + 1, &first);
    if (status != MN_OK)
        fail(world, "n%u group %u does not open: %s", host->index, g + 1, mn_status_text(status));
}

static void start(struct world *world, struct host *host, bool is_new)
{
    struct groups_config config = groups_config_default();
    struct reading reading = {0};
    mn_status status;

    config.raft.self = id_of(host->index);
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
    status = groups_new(&config, now(world), &host->groups);
    MN_ASSERT(status == MN_OK);
    for (uint32_t g = 0; g < world->groups_count; g++)
        open_group(world, host, g, &reading.recovery, is_new);
    raftlog_done(&reading.recovery);
    step(world, host, &(struct groups_input){.type = GROUPS_IN_TICK});
}

static void crash(struct world *world, struct host *host)
{
    if (host->groups == NULL) return;
    groups_free(host->groups);
    host->groups = NULL;
    vlog_crash(&host->log);
    world->stats->crashes++;
    host->up_at = world->time + rng_below(&world->strike, 3 * MN_SEC);
}

/* ---- faults and load ---- */

static bool all_up(const struct world *world)
{
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (world->hosts[i].groups == NULL) return false;
    return true;
}

/* Is some group of the host, or of any other, still to be healed? Two logs that lost something at
 * once may have had the only copies. */
static bool any_wounded(const struct world *world)
{
    for (uint32_t i = 0; i < world->hosts_count; i++)
        for (uint32_t g = 0; g < world->groups_count && world->hosts[i].groups != NULL; g++)
            if (raft_view(groups_raft(world->hosts[i].groups, g + 1)).is_wounded) return true;
    return false;
}

const char *const groups_decision_names[GROUPS_DECISIONS] = {"crash", "pause", "cut-one-way",
                                                             "cut",   "heal",  "op"};

static void propose(struct world *world, uint32_t g)
{
    struct raft_input input = {.type = RAFT_IN_PROPOSE};
    uint32_t first = rng_below(&world->strike, world->hosts_count);

    for (uint32_t k = 0; k < world->hosts_count; k++) {
        struct host *host = &world->hosts[(first + k) % world->hosts_count];
        if (host->groups == NULL || host->paused_until > world->time) continue;
        if (raft_view(groups_raft(host->groups, g + 1)).role != RAFT_LEADER) continue;
        input.propose.data = mn_buf_new(8 + rng_below(&world->strike, 200));
        memset(input.propose.data->bytes, 0, input.propose.data->size);
        mn_store_u64(input.propose.data->bytes, ++world->stats->proposals);
        give(world, host, g + 1, &input);
        mn_buf_unref(input.propose.data);
        return;
    }
}

/* Most of the load is in a few groups, so that the others rest. */
static void load(struct world *world)
{
    uint32_t most =
        rng_below(&world->strike, 4) == 0 ? world->groups_count : 1 + world->groups_count / 8;

    propose(world, rng_below(&world->strike, most));
}

static void decide(struct world *world, enum groups_decision kind, uint64_t seed)
{
    struct rng *rng = &world->strike;
    struct host *host;
    uint32_t a, b;
    bool is_lossy = false;
    uint32_t loss;

    story_note(world->options->notes, world->time, kind, 0, seed);
    story_rng(rng, seed);
    a = rng_below(rng, world->hosts_count);
    b = rng_below(rng, world->hosts_count);
    host = &world->hosts[a];
    switch (kind) {
    case GROUPS_CRASH:
        loss = rng_below(rng, 8);
        is_lossy = all_up(world) && !any_wounded(world);
        crash(world, host);
        host->must_rot = is_lossy && loss < 2;
        host->must_wipe = is_lossy && loss == 2;
        break;
    case GROUPS_PAUSE: host->paused_until = world->time + rng_below(rng, MN_SEC); break;
    case GROUPS_CUT_ONE_WAY:
        world->cut[a][b] = true;
        world->stats->cuts++;
        break;
    case GROUPS_CUT:
        world->cut[a][b] = world->cut[b][a] = true;
        world->stats->cuts++;
        break;
    case GROUPS_HEAL: memset(world->cut, 0, sizeof world->cut); break;
    case GROUPS_OP: load(world); break;
    case GROUPS_DECISIONS: break;
    }
}

static void decide_told(struct world *world)
{
    const struct story *story = world->options->story;

    while (world->told_count < story->count && story->items[world->told_count].at <= world->time) {
        const struct story_decision *decision = &story->items[world->told_count++];
        if (!world->is_quiet || decision->kind == GROUPS_OP)
            decide(world, (enum groups_decision)decision->kind, decision->seed);
    }
}

/* Healing is as likely as both ways of cutting. */
static void decide_fault(struct world *world)
{
    static const enum groups_decision kinds[] = {GROUPS_CRASH, GROUPS_PAUSE, GROUPS_CUT_ONE_WAY,
                                                 GROUPS_CUT,   GROUPS_HEAL,  GROUPS_HEAL};

    decide(world, kinds[rng_below(&world->fault, 6)], rng_u64(&world->fault));
}

/* ---- time ---- */

static void deliver(struct world *world)
{
    MN_LIST_FOR_EACH_SAFE (item, &world->packets) {
        struct packet *packet = MN_CONTAINER(item, struct packet, list);
        struct groups_input input = {.type = GROUPS_IN_PACKET};
        struct host *host = &world->hosts[packet->to];
        if (packet->at > world->time) continue;
        if (host->groups != NULL && host->paused_until > world->time) continue; /* it waits */
        mn_list_remove(item);
        input.packet.from = id_of(packet->from);
        input.packet.bytes = mn_buf_span(packet->buf);
        if (host->groups != NULL && !world->cut[packet->from][packet->to])
            step(world, host, &input);
        mn_buf_unref(packet->buf);
        mn_free(packet);
    }
}

static void turn_host(struct world *world, struct host *host)
{
    struct groups_input durable = {.type = GROUPS_IN_DURABLE};

    if (host->groups == NULL) {
        if (host->up_at <= world->time) start(world, host, false);
        return;
    }
    if (host->paused_until > world->time) return;
    if (host->synced_at <= world->time) {
        host->synced_at = MN_TIME_NEVER;
        durable.durable.write = vlog_synced(&host->log);
        if (durable.durable.write > 0) step(world, host, &durable);
        vlog_clean(&host->log);
    }
    write_log(world, host);
    if (groups_deadline(host->groups) <= now(world).mono)
        step(world, host, &(struct groups_input){.type = GROUPS_IN_TICK});
    write_log(world, host);
}

static void turn(struct world *world)
{
    world->time += TICK / 4;
    deliver(world);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        turn_host(world, &world->hosts[i]);
    if (world->time % (50 * MN_MS) != 0) return;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (world->hosts[i].groups != NULL) groups_check(world->hosts[i].groups);
}

static void run_until(struct world *world, mn_time until, bool has_load)
{
    mn_time fault_at = world->time, load_at = world->time;

    while (world->time < until && !world->has_failed) {
        turn(world);
        if (world->options->is_told) {
            decide_told(world);
            continue;
        }
        if (!world->is_quiet && fault_at <= world->time) {
            decide_fault(world);
            fault_at = world->time + rng_below(&world->fault, 600 * MN_MS);
        }
        if (has_load && load_at <= world->time) {
            decide(world, GROUPS_OP, rng_u64(&world->work));
            load_at = world->time + rng_below(&world->work, 20 * MN_MS);
        }
    }
}

/* ---- the end ---- */

static void check_group(struct world *world, uint32_t g)
{
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        const struct host *host = &world->hosts[i];
        struct raft_view view = raft_view(groups_raft(host->groups, g + 1));
        if (view.is_wounded) fail(world, "n%u group %u is not healed", i, g + 1);
        if (host->machines[g].index != world->committed[g])
            fail(world, "n%u group %u has applied %llu of %llu", i, g + 1,
                 (unsigned long long)host->machines[g].index,
                 (unsigned long long)world->committed[g]);
    }
}

static void check_rest(struct world *world)
{
    for (uint32_t i = 0; i < world->hosts_count && !world->has_failed; i++) {
        struct groups_stats stats = groups_stats(world->hosts[i].groups);
        if (stats.resting_count != world->groups_count)
            fail(world, "n%u: only %u of %u idle groups rest", i, stats.resting_count,
                 world->groups_count);
    }
}

/* While all groups rest a host loses its log, and is back before anybody misses it, or later. It
 * has no vote to ask for, and nobody writes anything: its groups must wake all the same. */
static void wipe_one(struct world *world)
{
    struct host *host = &world->hosts[rng_below(&world->strike, world->hosts_count)];

    crash(world, host);
    host->must_wipe = true;
    host->up_at = world->time + rng_below(&world->strike,
                                          rng_below(&world->strike, 2) == 0 ? 50 * MN_MS : MN_SEC);
    run_until(world, world->time + 4 * MN_SEC, false);
    for (uint32_t g = 0; g < world->groups_count && !world->has_failed; g++)
        check_group(world, g);
    check_rest(world);
}

static void check_end(struct world *world)
{
    uint64_t before[GROUPS_MAX], packets;

    story_rng(&world->strike, world->options->story->seed);
    for (uint32_t g = 0; g < world->groups_count; g++) {
        before[g] = world->committed[g];
        propose(world, g);
    }
    run_until(world, world->time + 3 * MN_SEC, false);
    for (uint32_t g = 0; g < world->groups_count && !world->has_failed; g++) {
        if (world->committed[g] <= before[g]) fail(world, "group %u has no leader", g + 1);
        check_group(world, g);
    }
    packets = world->stats->packets;
    run_until(world, world->time + MN_SEC, false);
    world->stats->idle_packets += world->stats->packets - packets;
    check_rest(world);
    if (!world->has_failed) wipe_one(world);
    for (uint32_t i = 0; i < world->hosts_count && !world->has_failed; i++)
        world->stats->messages += groups_stats(world->hosts[i].groups).messages_sent;
}

static void world_init(struct world *world, const struct groups_sim_options *options)
{
    uint8_t seed[RNG_SEED_SIZE] = {0};
    struct rng root;

    mn_store_u64(seed, options->story->seed);
    rng_init(&root, seed);
    rng_fork(&root, &world->net);
    rng_fork(&root, &world->disk);
    rng_fork(&root, &world->fault);
    rng_fork(&root, &world->work);
    rng_done(&root);
    mn_list_init(&world->packets);
    world->hosts_count = rng_below(&world->work, 2) == 0 ? 3 : 5;
    if (options->story->hosts_count > 0) world->hosts_count = options->story->hosts_count;
    if (world->hosts_count > HOSTS_MAX) world->hosts_count = HOSTS_MAX;
    if (options->notes != NULL) options->notes->hosts_count = world->hosts_count;
    world->groups_count = options->groups_count;
    if (world->groups_count == 0) world->groups_count = 1 + rng_below(&world->work, 24);
    if (world->groups_count > GROUPS_MAX) world->groups_count = GROUPS_MAX;
    world->loss_permille = rng_below(&world->net, 3) == 0 ? rng_below(&world->net, 200) : 0;
    if (options->story->left_out & 1) world->loss_permille = 0;
    world->hash = 0xcbf29ce484222325U;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        world->hosts[i].index = i;
        vlog_init(&world->hosts[i].log, &world->disk);
    }
}

static void world_done(struct world *world)
{
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        groups_free(world->hosts[i].groups);
        vlog_wipe(&world->hosts[i].log);
    }
    MN_LIST_FOR_EACH_SAFE (item, &world->packets) {
        mn_buf_unref(MN_CONTAINER(item, struct packet, list)->buf);
        mn_free(MN_CONTAINER(item, struct packet, list));
    }
    mn_arena_done(&world->arena);
}

bool groups_sim_run(const struct groups_sim_options *options, struct groups_sim_stats *stats,
                    uint64_t *hash, mn_time *at, char failure[256])
{
    struct world *world = mn_alloc(sizeof *world);
    bool is_good;

    world->options = options;
    world->stats = stats;
    world->failure = failure;
    world_init(world, options);
    stats->groups += world->groups_count;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        start(world, &world->hosts[i], true);
    run_until(world, options->story->faults_for, true);
    world->is_quiet = true;
    world->loss_permille = 0;
    memset(world->cut, 0, sizeof world->cut);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        world->hosts[i].paused_until = 0;
        if (world->hosts[i].groups == NULL) world->hosts[i].up_at = world->time;
    }
    run_until(world, world->time + options->story->quiet_for, true);
    if (!world->has_failed) check_end(world);
    *hash = world->hash;
    *at = world->time;
    is_good = !world->has_failed;
    world_done(world);
    mn_free(world);
    return is_good;
}
