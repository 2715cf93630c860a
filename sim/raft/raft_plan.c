/* What goes wrong. Every run draws a subset of the faults and their rates (swarm testing, Groce et
 * al., 2012). The last good copy of anything is never destroyed: one log at a time is corrupted,
 * and only while the others can do without its vote. */
#include <stdio.h>

#include "proto/base/check.h"
#include "sim/raft/raft_sim.h"

const char *const raft_decision_names[RAFT_DECISIONS] = {
    "loss",      "duplicate", "delay", "cut",      "cut-one-way", "crash",       "pause",
    "slow-disk", "corrupt",   "churn", "transfer", "clock",       "crash-write", "full",
    "torn",      "rot",       "leap",  "memory",   "late",        "unanswered",  "op"};

/* For the details of the decision that is carried out. */
static uint32_t plan_draw(struct raft_world *world, uint32_t bound)
{
    return rng_below(&world->rng_strike, bound);
}

static struct raft_host *plan_host(struct raft_world *world)
{
    struct raft_host *leader = raft_world_leader(world);

    if (leader != NULL && plan_draw(world, 3) == 0) return leader;
    return &world->hosts[plan_draw(world, world->hosts_count)];
}

static void plan_heal(struct raft_world *world, struct raft_event *event)
{
    struct raft_host *host = &world->hosts[event->number];

    for (uint32_t i = 0; i < world->hosts_count; i++)
        world->cut[host->index][i] = world->cut[i][host->index] = 0;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        world->late[host->index][i] = world->late[i][host->index] = 0;
}

static void plan_cut(struct raft_world *world, struct raft_host *host, bool is_one_way)
{
    bool is_out = plan_draw(world, 2) == 0;
    uint32_t spared = plan_draw(world, 2 * world->hosts_count); /* a bridge, half of the time */

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        if (i == spared) continue;
        if (!is_one_way || is_out) world->cut[host->index][i] = 1;
        if (!is_one_way || !is_out) world->cut[i][host->index] = 1;
    }
    raft_world_at(world, world->time + 100 * MN_MS + plan_draw(world, 3000000), plan_heal, NULL)
        ->number = host->index;
}

static void plan_restart(struct raft_world *world, struct raft_event *event)
{
    (void)world;
    raft_world_start(event->host, (enum raft_unread)event->number);
}

static void plan_crash(struct raft_host *host, enum raft_unread unread)
{
    struct raft_world *world = host->world;
    mn_time down = 5 * MN_MS + plan_draw(world, 1500000);

    if (host->raft == NULL) return;
    world->stats.crashes++;
    raft_world_crash(host);
    raft_world_at(world, world->time + down, plan_restart, host)->number = unread;
}

bool raft_plan_tears(struct raft_world *world)
{
    if ((world->faults >> RAFT_FAULT_TORN & 1) == 0) return false;
    world->stats.faults[RAFT_FAULT_TORN]++;
    return true;
}

/* The allocator ends the process (proto/base/memory.h): what the step said after that is not done.
 */
static void plan_no_memory(struct raft_world *world, struct raft_event *event)
{
    world->stats.crashes++;
    raft_world_crash(event->host);
    raft_world_at(world, world->time + 20 * MN_MS, plan_restart, event->host);
}

void raft_plan_on_no_memory(struct raft_host *host)
{
    raft_world_at(host->world, host->world->time, plan_no_memory, host)->boot = host->boot;
}

/* A write that fails is never tried again: the process ends, and comes back when there is room. */
static void plan_full_now(struct raft_world *world, struct raft_event *event)
{
    mn_time until = event->host->disk.full_until;

    if (world->is_quiet) return;
    world->stats.crashes++;
    raft_world_crash(event->host);
    raft_world_at(world, until > world->time ? until : world->time, plan_restart, event->host);
}

static void plan_strike(struct raft_world *world, enum raft_fault fault, uint32_t arg,
                        uint64_t seed);

/* Is everybody well, and can every group in force do without [host]? */
static bool plan_may_corrupt(const struct raft_world *world, const struct raft_host *host)
{
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct raft_view view;
        int member;
        if (world->hosts[i].raft == NULL) return false;
        view = raft_view(world->hosts[i].raft);
        if (view.is_wounded || view.config->is_joint) return false;
        /* Healed, but a crash now would take that back. */
        if (world->hosts[i].disk.now.is_wounded) return false;
        if (world->hosts[i].disk.now.damage != RAFT_DAMAGE_NONE) return false;
        member = quorum_find(view.config, &host->id);
        if (member >= 0 && !quorum_has(view.config, ~(1u << member))) return false;
    }
    return true;
}

/* One member more, one less, promoted, or weighing something else. */
static void plan_churn(struct raft_world *world)
{
    struct raft_host *leader = raft_world_leader(world);
    struct raft_host *host = &world->hosts[plan_draw(world, world->hosts_count)];
    struct quorum_member member = {.id = host->id};
    struct raft_input input = {.type = RAFT_IN_CONFIGURE};
    struct quorum_config wanted;
    int found;

    if (leader == NULL) return;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (world->hosts[i].raft == NULL || raft_view(world->hosts[i].raft).is_wounded) return;
    wanted = *raft_view(leader->raft).config;
    found = quorum_find(&wanted, &host->id);
    if (found >= 0 && plan_draw(world, 3) == 0) {
        quorum_remove(&wanted, &host->id);
    } else {
        member.is_learner = found < 0;
        member.weight = found < 0 ? 0 : 1 + plan_draw(world, 3);
        if (quorum_set(&wanted, &member) != MN_OK) return;
    }
    if (wanted.members_count < 3) return;
    for (uint32_t i = 0, voters = 0; i < wanted.members_count; i++) {
        voters += wanted.members[i].weight > 0;
        if (i + 1 == wanted.members_count && voters < 3) return;
    }
    world->stats.changes++;
    input.configure.config = &wanted;
    raft_world_input(leader, &input);
}

static void plan_deafen(struct raft_world *world, struct raft_event *event)
{
    struct raft_host *host = event->host;

    if (world->is_quiet) return;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        world->cut[i][host->index] = 1;
    raft_world_at(world, world->time + 2 * host->config.election_timeout, plan_heal, NULL)->number =
        host->index;
}

static void plan_transfer(struct raft_world *world)
{
    struct raft_host *leader = raft_world_leader(world);
    struct raft_input input = {.type = RAFT_IN_TRANSFER};

    if (leader == NULL) return;
    if (plan_draw(world, 2) == 0)
        input.transfer.target = world->hosts[plan_draw(world, world->hosts_count)].id;
    raft_world_input(leader, &input);
    if (plan_draw(world, 2) == 0) /* it does not hear that another one leads now */
        raft_world_at(world, world->time + plan_draw(world, 6000), plan_deafen, leader);
}

static void plan_churn_now(struct raft_world *world, struct raft_event *event)
{
    if (world->is_quiet) return;
    story_rng(&world->rng_strike, event->number);
    plan_churn(world);
}

/* Messages between the leader and [host] overtake each other or are lost, so that what it refused,
 * and has accepted since, is acted on when the leader's log has moved on. Meanwhile the
 * configuration changes. */
static void plan_late(struct raft_world *world, struct raft_host *host)
{
    const struct raft_host *leader = raft_world_leader(world);
    mn_time length = 100 * MN_MS + plan_draw(world, 1500000), by;
    uint32_t changes = 1 + plan_draw(world, 8);

    if (leader == NULL || leader == host || host->raft == NULL) return;
    by = 1 + plan_draw(world,
                       plan_draw(world, 2) == 0 ? 5000 : (uint32_t)host->config.election_timeout);
    world->late[leader->index][host->index] = world->late[host->index][leader->index] = by;
    for (; changes > 0; changes--)
        raft_world_at(world, world->time + plan_draw(world, (uint32_t)length), plan_churn_now, NULL)
            ->number = rng_u64(&world->rng_strike);
    raft_world_at(world, world->time + length, plan_heal, NULL)->number = host->index;
}

static void plan_crash_soon(struct raft_world *world, struct raft_event *event)
{
    if (world->is_quiet) return;
    world->stats.crashes++;
    raft_world_crash(event->host);
    raft_world_at(world, world->time + 5 * MN_MS, plan_restart, event->host);
}

/* [host] is writing what it lacked, and nobody hears of it: its leader takes it for the laggard
 * that it was, while its own log and snapshots go on. When the process ends, too, [host] has
 * entries of which it does not know any more that they are committed. */
static void plan_unanswered(struct raft_world *world, struct raft_host *host)
{
    mn_time length = 10 * MN_MS + plan_draw(world, plan_draw(world, 2) == 0 ? 100000 : 500000);

    for (uint32_t i = 0; i < world->hosts_count; i++)
        world->cut[host->index][i] = 1;
    raft_world_at(world, world->time + length, plan_heal, NULL)->number = host->index;
    if (host->raft == NULL || plan_draw(world, 3) == 0) return;
    raft_world_at(world, world->time + 3 * MN_MS + plan_draw(world, 20000), plan_crash_soon, host)
        ->boot = host->boot;
}

static void plan_unanswered_now(struct raft_world *world, struct raft_event *event)
{
    if (world->is_quiet) return;
    plan_strike(world, RAFT_FAULT_UNANSWERED, event->host->index + 1, event->number);
}

/* Of a clock, in permille: any two run within 5% of each other, which leases need, but half of the
 * time hardly more than that. */
static uint32_t plan_rate(struct rng *rng, bool is_far)
{
    if (is_far) return rng_below(rng, 2) == 0 ? 977 : 1023;
    return 977 + rng_below(rng, 47);
}

/* One clock leaps by up to an hour, to either side; timeouts do not depend on it. The other one
 * leaps forward, as when a machine was asleep, and runs at another rate from then on: but with
 * leases only so far as they allow. */
static void plan_leap(struct raft_world *world, struct raft_host *host)
{
    bool is_back = plan_draw(world, 2) == 0, is_far = plan_draw(world, 2) == 0;
    mn_time wall = plan_draw(world, 3600) * MN_SEC, leap = 0;
    uint32_t permille = plan_rate(&world->rng_strike, is_far);

    if (!host->config.uses_lease) {
        permille = 900 + plan_draw(world, 201);
        if (plan_draw(world, 2) == 0)
            leap = rng_below_u64(&world->rng_strike, 5 * host->config.election_timeout);
    }
    host->clock_wall = is_back ? host->clock_wall - wall : host->clock_wall + wall;
    raft_world_set_clock(host, leap, permille);
}

static void plan_pause(struct raft_world *world, struct raft_host *host)
{
    host->paused_until = world->time + 50 * MN_MS + plan_draw(world, 2000000);
}

/* The kernel says so at once when a process is gone. */
static void plan_reset(struct raft_world *world, const struct raft_host *gone)
{
    struct raft_input input = {.type = RAFT_IN_UNREACHABLE, .unreachable.node = gone->id};

    if (plan_draw(world, 2) == 0) return;
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (world->hosts[i].raft != NULL && world->hosts[i].paused_until <= world->time)
            raft_world_input(&world->hosts[i], &input);
}

/* On one side [leader] and all who know of it, on the other [host], which has forgotten, and those
 * who never heard: one of them may lead still. Half of the time only the leader is cut off. */
static void plan_part(struct raft_world *world, const struct raft_host *host,
                      const struct raft_host *leader)
{
    uint64_t term = raft_view(leader->raft).term;
    bool is_alone = plan_draw(world, 2) == 0;
    uint32_t know = 1u << leader->index;

    for (uint32_t i = 0; i < world->hosts_count && !is_alone; i++) {
        const struct raft_host *other = &world->hosts[i];
        if (other == host || other->raft == NULL) continue;
        if (raft_view(other->raft).term >= term) know |= 1u << i;
        if (raft_view(other->raft).role == RAFT_LEADER && other != leader)
            MN_PROBE("raftsim: a vote is forgotten, and an earlier leader leads");
    }
    memset(world->cut, 0, sizeof world->cut);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        if ((know >> i & 1) == 0) continue;
        for (uint32_t k = 0; k < world->hosts_count; k++)
            if ((know >> k & 1) == 0) world->cut[i][k] = world->cut[k][i] = 1;
        raft_world_at(world, world->time + 2 * host->config.election_timeout, plan_heal, NULL)
            ->number = i;
    }
}

/* The newest records are lost. At worst, that is a vote for the newest leader, who is then not
 * heard of for a while, but those who were cut off are, and one of them may still lead. */
static void plan_rot(struct raft_world *world, struct raft_host *host)
{
    const struct raft_host *leader = raft_world_leader(world);
    bool is_worst = plan_draw(world, 2) == 0;

    if (!plan_may_corrupt(world, host)) return;
    if (!is_worst || leader == NULL || leader == host) {
        plan_crash(host, RAFT_UNREAD_HEAD);
        return;
    }
    world->stats.crashes++;
    raft_world_crash(host);
    raft_world_at(world, world->time + MN_MS + plan_draw(world, 5000), plan_restart, host)->number =
        RAFT_UNREAD_HEAD;
    plan_part(world, host, leader);
}

static void plan_do(struct raft_world *world, enum raft_fault fault, struct raft_host *host)
{
    switch (fault) {
    case RAFT_FAULT_CUT: plan_cut(world, host, false); break;
    case RAFT_FAULT_CUT_ONE_WAY: plan_cut(world, host, true); break;
    case RAFT_FAULT_CRASH:
        plan_crash(host, RAFT_UNREAD_NOTHING);
        plan_reset(world, host);
        break;
    case RAFT_FAULT_CRASH_WRITE:
        if (host->raft == NULL) break;
        world->stats.crashes++;
        raft_world_crash(host);
        raft_world_at(world, world->time + MN_MS + plan_draw(world, 50000), plan_restart, host);
        break;
    case RAFT_FAULT_PAUSE: plan_pause(world, host); break;
    case RAFT_FAULT_SLOW_DISK:
        host->disk.slow_until = world->time + plan_draw(world, 4000000);
        break;
    case RAFT_FAULT_FULL: host->disk.full_until = world->time + plan_draw(world, 2000000); break;
    case RAFT_FAULT_CORRUPT:
        if (plan_may_corrupt(world, host)) plan_crash(host, RAFT_UNREAD_ENTRY);
        break;
    case RAFT_FAULT_ROT: plan_rot(world, host); break;
    case RAFT_FAULT_LEAP: plan_leap(world, host); break;
    case RAFT_FAULT_MEMORY: /* within a step, or while what it said is done */
        if (plan_draw(world, 2) == 0)
            host->outputs_left = 1 + plan_draw(world, 40);
        else
            host->none_at = 1 + plan_draw(world, 4);
        break;
    case RAFT_FAULT_LATE: plan_late(world, host); break;
    case RAFT_FAULT_UNANSWERED: plan_unanswered(world, host); break;
    case RAFT_FAULT_CHURN: plan_churn(world); break;
    case RAFT_FAULT_TRANSFER: plan_transfer(world); break;
    case RAFT_FAULT_LOSS:
    case RAFT_FAULT_DUPLICATE:
    case RAFT_FAULT_DELAY:
    case RAFT_FAULT_CLOCK:
    case RAFT_FAULT_TORN:
    case RAFT_OP:
    case RAFT_DECISIONS: break; /* last for the whole run, or are no faults */
    }
}

/* [arg]: the host plus one; 0: drawn. */
static void plan_strike(struct raft_world *world, enum raft_fault fault, uint32_t arg,
                        uint64_t seed)
{
    struct raft_host *host;

    story_note(world->options.notes, world->time, fault, arg, seed);
    story_rng(&world->rng_strike, seed);
    host = arg == 0 ? plan_host(world) : &world->hosts[(arg - 1) % world->hosts_count];
    if (world->options.is_verbose)
        printf("%10.6f n%u: %s\n", (double)world->time / 1e6, host->index,
               raft_decision_names[fault]);
    world->stats.faults[fault]++;
    plan_do(world, fault, host);
}

static void plan_crash_now(struct raft_world *world, struct raft_event *event)
{
    if (world->is_quiet) return;
    plan_strike(world, RAFT_FAULT_CRASH_WRITE, event->host->index + 1, event->number);
}

/* A crash that finds a write under way and a process that is soon back: most of all when a vote or
 * a term is on its way to the disk, while others still wait for the outcome. */
void raft_plan_on_write(struct raft_host *host, const struct raft_persist *persist)
{
    struct raft_world *world = host->world;
    bool is_new_term = persist->term != host->disk.now.term;
    struct raft_event *event;

    if (!world->is_quiet && world->time < host->disk.full_until)
        raft_world_at(world, world->time, plan_full_now, host)->boot = host->boot;
    if (world->is_quiet || world->options.is_told) return; /* it stands in the story if it came */
    if (persist->entries_count > 1 && (world->faults >> RAFT_FAULT_UNANSWERED & 1) != 0 &&
        raft_view(host->raft).role != RAFT_LEADER && rng_below(&world->rng_fault, 4) == 0) {
        event = raft_world_at(world, world->time, plan_unanswered_now, host);
        event->boot = host->boot;
        event->number = rng_u64(&world->rng_fault);
    }
    if ((world->faults >> RAFT_FAULT_CRASH_WRITE & 1) == 0) return;
    if (rng_below(&world->rng_fault, is_new_term ? 10 : 400) != 0) return;
    event = raft_world_at(world, world->time + rng_below(&world->rng_fault, 8000), plan_crash_now,
                          host);
    event->boot = host->boot;
    event->number = rng_u64(&world->rng_fault);
}

static void plan_rot_now(struct raft_world *world, struct raft_event *event)
{
    uint32_t from = (uint32_t)(event->number % 97), victim;

    victim = (event->host->index + 1 + from) % world->hosts_count;
    for (uint32_t i = 0; i < world->hosts_count; i++) { /* preferably one that voted for it */
        uint32_t at = (from + i) % world->hosts_count;
        if (at == event->host->index ||
            !mn_id_equal(&world->hosts[at].disk.now.vote, &event->host->id))
            continue;
        victim = at;
        break;
    }
    if (!world->is_quiet) plan_strike(world, RAFT_FAULT_ROT, victim + 1, event->number);
}

/* Somebody leads since now: who voted for it may forget that. */
void raft_plan_on_leader(struct raft_host *host)
{
    struct raft_world *world = host->world;
    struct raft_event *event;

    if (world->is_quiet || (world->faults >> RAFT_FAULT_ROT & 1) == 0) return;
    if (world->options.is_told) return; /* it stands in the story when it came to that */
    if (rng_below(&world->rng_fault, 3) != 0) return;
    event =
        raft_world_at(world, world->time + rng_below(&world->rng_fault, 5000), plan_rot_now, host);
    event->boot = host->boot;
    event->number = rng_u64(&world->rng_fault);
}

/* Does it come at a time, or last for the whole run? */
static bool plan_is_sudden(enum raft_fault fault)
{
    static const enum raft_fault lasting[] = RAFT_LASTING;

    for (uint32_t i = 0; i < RAFT_LASTING_COUNT; i++)
        if (lasting[i] == fault) return false;
    return fault != RAFT_FAULT_CRASH_WRITE && fault != RAFT_FAULT_UNANSWERED; /* come of a write */
}

static void plan_next(struct raft_world *world, struct raft_event *event)
{
    enum raft_fault fault = (enum raft_fault)rng_below(&world->rng_fault, RAFT_FAULT_COUNT);

    (void)event;
    if (world->is_quiet) return;
    if (rng_below(&world->rng_fault, 3) == 0) fault = RAFT_FAULT_CHURN; /* most often refused */
    if ((world->faults >> fault & 1) != 0 && plan_is_sudden(fault))
        plan_strike(world, fault, 0, rng_u64(&world->rng_fault));
    raft_world_at(world, world->time + rng_below_u64(&world->rng_fault, world->fault_every),
                  plan_next, NULL);
}

static void plan_told(struct raft_world *world, struct raft_event *event)
{
    const struct story_decision *decision = &world->options.story->items[event->number];

    if (decision->kind == RAFT_OP)
        raft_client_begin(world, decision->arg % RAFT_CLIENTS, decision->seed);
    else if (!world->is_quiet)
        plan_strike(world, (enum raft_fault)decision->kind, decision->arg, decision->seed);
}

/* What lasts for the whole run. */
static void plan_start_lasting(struct raft_world *world)
{
    static const enum raft_fault lasting[] = RAFT_LASTING;
    struct rng *rng = &world->rng_fault;
    uint32_t loss, duplicate;
    bool is_far = rng_below(rng, 2) == 0;
    mn_time delay;

    world->faults = rng_u32(rng);
    world->fault_every = 20 * MN_MS + rng_below(rng, 300000);
    for (uint32_t i = 0; i < RAFT_LASTING_COUNT; i++)
        if (world->options.story->left_out >> i & 1) world->faults &= ~(1u << lasting[i]);
    loss = rng_below(rng, 300);
    duplicate = rng_below(rng, 200);
    delay = rng_below(rng, rng_below(rng, 2) == 0 ? 1000000 : 60000);
    world->delay_permille = rng_below(rng, 2) == 0 ? 50 : 400;
    if (world->faults >> RAFT_FAULT_LOSS & 1) world->loss_permille = loss;
    if (world->faults >> RAFT_FAULT_DUPLICATE & 1) world->duplicate_permille = duplicate;
    if (world->faults >> RAFT_FAULT_DELAY & 1) world->delay_max = delay;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        uint32_t permille = plan_rate(rng, is_far);
        if (world->faults >> RAFT_FAULT_CLOCK & 1)
            raft_world_set_clock(&world->hosts[i], 0, permille);
    }
    for (uint32_t fault = 0; fault < RAFT_FAULT_COUNT; fault++)
        if (!plan_is_sudden((enum raft_fault)fault) && fault != RAFT_FAULT_TORN)
            world->stats.faults[fault] += world->faults >> fault & 1;
}

void raft_plan_start(struct raft_world *world)
{
    const struct story *story = world->options.story;

    plan_start_lasting(world);
    if (!world->options.is_told) {
        raft_world_at(world, world->time + MN_SEC, plan_next, NULL);
        return;
    }
    for (uint32_t i = 0; i < story->count; i++)
        raft_world_at(world, story->items[i].at, plan_told, NULL)->number = i;
}

void raft_plan_stop(struct raft_world *world)
{
    world->is_quiet = true;
    world->loss_permille = world->duplicate_permille = 0;
    world->delay_max = 0;
    memset(world->cut, 0, sizeof world->cut);
    memset(world->late, 0, sizeof world->late);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        world->hosts[i].paused_until = 0;
        world->hosts[i].disk.slow_until = world->hosts[i].disk.full_until = 0;
        if (!world->hosts[i].is_dying) world->hosts[i].outputs_left = world->hosts[i].none_at = 0;
        raft_world_start(&world->hosts[i], RAFT_UNREAD_NOTHING);
    }
}
