/* What goes wrong with hosts, their disks and the net, and when. */
#include "proto/base/check.h"
#include "sim/bft/bft_world.h"

const char *const bft_decision_names[BFT_DECISIONS] = {"loss",    "duplicates",  "delay",  "cut",
                                                       "crash",   "pause",       "replay", "junk",
                                                       "restore", "crash-write", "lie",    "op"};

static uint32_t plan_draw(struct bft_world *world, uint32_t bound)
{
    return bft_draw(&world->rng_strike, bound);
}

static void plan_heal(struct bft_world *world, struct bft_event *event)
{
    for (uint32_t i = 0; i < world->hosts_count; i++)
        world->cut[event->number][i] = world->cut[i][event->number] = 0;
}

static void plan_cut(struct bft_world *world, uint32_t host)
{
    uint32_t way = plan_draw(world, 3);

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        if (plan_draw(world, 4) == 0) continue;
        if (way != 0) world->cut[host][i] = 1;
        if (way != 1) world->cut[i][host] = 1;
    }
    bft_world_at(world, world->time + 50 * MN_MS + plan_draw(world, 1500000), plan_heal, NULL)
        ->number = host;
}

/* A disk as it was at some time before: the validator must only look on from now on. Only while
 * the liars leave room for one more that says nothing. */
static void plan_restore(struct bft_world *world, struct bft_host *host)
{
    uint64_t silent = world->liars_weight;
    uint32_t kept;

    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (world->hosts[i].is_restored) silent += world->hosts[i].weight;
    if (host->is_liar || host->is_restored || host->core == NULL) return;
    if (3 * (silent + host->weight) >= world->total) return;
    bft_host_crash(host);
    host->is_restored = true;
    kept = plan_draw(world, host->durable_count + 1);
    while (host->durable_count > kept) {
        bft_record_free(MN_CONTAINER(host->durable.prev, struct bft_record, list));
        host->durable_count--;
    }
    bft_host_start(host);
}

static void plan_replay(struct bft_world *world, bool is_junk)
{
    uint32_t at = plan_draw(world, BFT_OLD);
    struct mn_buf *buf = mn_buf_ref(world->old[at].buf);

    if (buf == NULL) return;
    if (is_junk && buf->size > 0) {
        struct mn_buf *other = mn_buf_copy(mn_buf_span(buf));
        for (uint32_t i = plan_draw(world, 4); i < 4; i++)
            other->bytes[plan_draw(world, other->size)] ^= (uint8_t)(1u << plan_draw(world, 8));
        mn_buf_unref(buf);
        buf = other;
    }
    bft_net_send(world, world->old[at].from, plan_draw(world, world->hosts_count), buf);
    mn_buf_unref(buf);
}

static void plan_crash(struct bft_world *world, struct bft_host *host, uint32_t most)
{
    bft_host_crash(host);
    bft_world_at(world, world->time + MN_MS + plan_draw(world, most), bft_host_restart, host);
}

static void plan_do(struct bft_world *world, enum bft_fault fault, struct bft_host *host)
{
    switch (fault) {
    case BFT_FAULT_CUT: plan_cut(world, host->index); break;
    case BFT_FAULT_CRASH: plan_crash(world, host, 800000); break;
    case BFT_FAULT_CRASH_WRITE: plan_crash(world, host, 50000); break;
    case BFT_FAULT_PAUSE:
        host->paused_until = world->time + 50 * MN_MS + plan_draw(world, 1000000);
        break;
    case BFT_FAULT_REPLAY: plan_replay(world, false); break;
    case BFT_FAULT_JUNK: plan_replay(world, true); break;
    case BFT_FAULT_RESTORE: plan_restore(world, host); break;
    case BFT_FAULT_LIE:
        if (host->core != NULL && host->is_liar && !world->has_failed) world->scenario->lie(host);
        break;
    case BFT_OP:
        if (world->scenario->propose != NULL) world->scenario->propose(world);
        break;
    case BFT_FAULT_LOSS:
    case BFT_FAULT_DUPLICATE:
    case BFT_FAULT_DELAY:
    case BFT_DECISIONS: break; /* last for the whole run */
    }
}

void bft_world_decide(struct bft_world *world, uint32_t kind, uint32_t arg, uint64_t seed)
{
    struct bft_host *host;

    story_note(world->options.notes, world->time, kind, arg, seed);
    story_rng(&world->rng_strike, seed);
    host = &world->hosts[arg == 0 ? plan_draw(world, world->hosts_count)
                                  : (arg - 1) % world->hosts_count];
    if (kind < BFT_FAULT_COUNT) world->stats.faults[kind]++;
    if (world->options.is_verbose && kind != BFT_FAULT_LIE)
        printf("%10.6f n%u: %s\n", (double)world->time / 1e6, host->index,
               bft_decision_names[kind]);
    plan_do(world, (enum bft_fault)kind, host);
}

static void plan_next(struct bft_world *world, struct bft_event *event)
{
    uint32_t fault = bft_draw(&world->rng_fault, BFT_FAULT_CRASH_WRITE);

    (void)event;
    if (world->is_quiet) return;
    if ((world->faults >> fault & 1) != 0 && fault > BFT_FAULT_DELAY)
        bft_world_decide(world, fault, 0, rng_u64(&world->rng_fault));
    bft_world_at(world, world->time + bft_draw(&world->rng_fault, world->fault_every), plan_next,
                 NULL);
}

/* A crash that finds a record on its way to the disk, and a process that is soon back. */
static void plan_crash_now(struct bft_world *world, struct bft_event *event)
{
    if (!world->is_quiet)
        bft_world_decide(world, BFT_FAULT_CRASH_WRITE, event->host->index + 1, event->number);
}

void bft_plan_on_write(struct bft_host *host)
{
    struct bft_world *world = host->world;
    struct bft_event *event;

    if (world->is_quiet || (world->faults >> BFT_FAULT_CRASH & 1) == 0) return;
    if (world->options.is_told) return; /* it stands in the story when it came to that */
    if (bft_draw(&world->rng_fault, 12) != 0) return;
    event =
        bft_world_at(world, world->time + bft_draw(&world->rng_fault, 3000), plan_crash_now, host);
    event->boot = host->boot;
    event->number = rng_u64(&world->rng_fault);
}

static void plan_told(struct bft_world *world, struct bft_event *event)
{
    const struct story_decision *decision = &world->options.story->items[event->number];

    if (!world->is_quiet || decision->kind >= BFT_FAULT_LIE)
        bft_world_decide(world, decision->kind, decision->arg, decision->seed);
}

/* What lasts for the whole run. */
static void plan_start_lasting(struct bft_world *world)
{
    struct rng *rng = &world->rng_fault;
    uint32_t loss, duplicate, delay;
    mn_time delay_max;

    world->faults = rng_u32(rng) & ~(world->options.story->left_out & 7u);
    loss = bft_draw(rng, 400);
    duplicate = bft_draw(rng, 300);
    delay_max = bft_draw(rng, 1500000);
    delay = bft_draw(rng, 1000);
    if (world->faults >> BFT_FAULT_LOSS & 1) world->loss_permille = loss;
    if (world->faults >> BFT_FAULT_DUPLICATE & 1) world->duplicate_permille = duplicate;
    if (world->faults >> BFT_FAULT_DELAY & 1) {
        world->delay_max = delay_max;
        world->delay_permille = delay;
    }
    for (uint32_t fault = 0; fault < BFT_LASTING_COUNT; fault++)
        world->stats.faults[fault] += world->faults >> fault & 1;
}

void bft_plan_start(struct bft_world *world)
{
    const struct story *story = world->options.story;

    _Static_assert(BFT_FAULT_DELAY + 1 == BFT_LASTING_COUNT, "they come first");
    plan_start_lasting(world);
    world->fault_every = 2000 + bft_draw(&world->rng_fault, 60000);
    if (!world->options.is_told)
        bft_world_at(world, bft_draw(&world->rng_fault, 20000), plan_next, NULL);
    for (uint32_t i = 0; world->options.is_told && i < story->count; i++)
        bft_world_at(world, story->items[i].at, plan_told, NULL)->number = i;
}

void bft_plan_stop(struct bft_world *world)
{
    world->is_quiet = true;
    world->loss_permille = world->duplicate_permille = 0;
    world->delay_max = 0;
    memset(world->cut, 0, sizeof world->cut);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        world->hosts[i].paused_until = 0;
        bft_host_start(&world->hosts[i]);
    }
}
