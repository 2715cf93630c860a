#include "sim/groups/groups_world.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/base/check.h"
#include "sim/common/trace.h"

void world_fail(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    trace_fail(&world->has_failed, world->failure, format, args);
    va_end(args);
}

struct mn_now world_now(const struct world *world)
{
    return (struct mn_now){START + world->time, START + world->time};
}

uint64_t world_mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3U;
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
        host_give(world, host, g + 1, &input);
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
        host_crash(world, host);
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
        input.packet.from = host_id(packet->from);
        input.packet.bytes = mn_buf_span(packet->buf);
        if (host->groups != NULL && !world->cut[packet->from][packet->to])
            host_step(world, host, &input);
        mn_buf_unref(packet->buf);
        mn_free(packet);
    }
}

static void turn(struct world *world)
{
    world->time += TICK / 4;
    deliver(world);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        host_turn(world, &world->hosts[i]);
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
        if (view.is_wounded) world_fail(world, "n%u group %u is not healed", i, g + 1);
        if (host->machines[g].index != world->committed[g])
            world_fail(world, "n%u group %u has applied %llu of %llu", i, g + 1,
                       (unsigned long long)host->machines[g].index,
                       (unsigned long long)world->committed[g]);
    }
}

static void check_rest(struct world *world)
{
    for (uint32_t i = 0; i < world->hosts_count && !world->has_failed; i++) {
        struct groups_stats stats = groups_stats(world->hosts[i].groups);
        if (stats.resting_count != world->groups_count)
            world_fail(world, "n%u: only %u of %u idle groups rest", i, stats.resting_count,
                       world->groups_count);
    }
}

/* While all groups rest a host loses its log, and is back before anybody misses it, or later. It
 * has no vote to ask for, and nobody writes anything: its groups must wake all the same. */
static void wipe_one(struct world *world)
{
    struct host *host = &world->hosts[rng_below(&world->strike, world->hosts_count)];

    host_crash(world, host);
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
        if (world->committed[g] <= before[g]) world_fail(world, "group %u has no leader", g + 1);
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
        host_start(world, &world->hosts[i], true);
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
