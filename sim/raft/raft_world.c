/* Time, hosts and the net between them. */
#include <stdio.h>

#include "consensus/raft_wire.h"
#include "proto/base/check.h"
#include "sim/common/trace.h"
#include "sim/raft/raft_sim.h"

#define CLOCK_START MN_SEC
#define WALL_START (1700000000 * MN_SEC)

/* ---- time ---- */

struct raft_event *raft_world_at(struct raft_world *world, mn_time at, raft_action *action,
                                 struct raft_host *host)
{
    struct raft_event *event = mn_alloc(sizeof *event);

    event->action = action;
    event->host = host;
    mn_heap_set(&world->events, &event->due, at < world->time ? world->time : at);
    return event;
}

static void event_free(struct raft_event *event)
{
    mn_buf_unref(event->buf);
    mn_free(event);
}

void raft_world_fail(struct raft_world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    trace_fail(&world->has_failed, world->failure, format, args);
    va_end(args);
}

void raft_world_hash(struct raft_world *world, uint64_t what, struct mn_span bytes)
{
    world->hash = trace_hash(world->hash, world->time, what, bytes);
}

static struct mn_now host_now(const struct raft_host *host)
{
    mn_time passed = host->world->time - host->clock_at;
    mn_time mono = host->clock_mono + passed * host->clock_permille / 1000;

    return (struct mn_now){mono, mono + host->clock_wall};
}

static void host_arm(struct raft_host *host);

void raft_world_set_clock(struct raft_host *host, mn_time leap, uint32_t permille)
{
    host->clock_mono = host_now(host).mono + leap;
    host->clock_at = host->world->time;
    host->clock_permille = permille;
    if (host->raft != NULL) host_arm(host);
}

static void host_tick(struct raft_world *world, struct raft_event *event)
{
    struct raft_host *host = event->host;

    (void)world;
    if (event->number != host->tick_at) return; /* another one was set since */
    host->tick_at = MN_TIME_NEVER;
    raft_world_input(host, &(struct raft_input){.type = RAFT_IN_TICK});
}

static void host_arm(struct raft_host *host)
{
    mn_time deadline = raft_deadline(host->raft), at;
    struct raft_event *event;

    if (deadline < host->clock_mono) deadline = host->clock_mono;
    at = host->clock_at + (deadline - host->clock_mono) * 1000 / host->clock_permille + 1;
    if (at < host->world->time) at = host->world->time;
    if (at == host->tick_at) return;
    host->tick_at = at;
    event = raft_world_at(host->world, at, host_tick, host);
    event->boot = host->boot;
    event->number = at;
}

/* ---- the net ---- */

static void net_deliver(struct raft_world *world, struct raft_event *event)
{
    struct raft_host *host = event->host;
    struct raft_msg msg; /* in the arena until the step is over */

    if (host->raft == NULL || world->cut[event->number][host->index]) return;
    if (raft_msg_decode(mn_buf_span(event->buf), &world->arena, &msg) == MN_OK)
        raft_world_input(host, &(struct raft_input){.type = RAFT_IN_MESSAGE, .msg = &msg});
    else
        raft_world_fail(world, "n%u cannot read what n%u wrote", host->index,
                        (uint32_t)event->number);
    mn_arena_reset(&world->arena);
}

void raft_net_send(struct raft_host *from, uint32_t to, struct mn_buf *buf)
{
    struct raft_world *world = from->world;
    uint32_t copies = 1 + (rng_below(&world->rng_net, 1000) < world->duplicate_permille);

    if (world->cut[from->index][to] || rng_below(&world->rng_net, 1000) < world->loss_permille)
        copies--;
    if (copies > 0 && world->late[from->index][to] > 0 && rng_below(&world->rng_net, 3) == 0)
        copies--;
    for (; copies > 0; copies--) {
        mn_time delay = 300 + rng_below(&world->rng_net, 3000);
        struct raft_event *event;
        if (rng_below(&world->rng_net, 1000) < world->delay_permille)
            delay += rng_below_u64(&world->rng_net, world->delay_max + 1);
        if (world->late[from->index][to] > 0)
            delay += rng_below_u64(&world->rng_net, world->late[from->index][to]);
        event = raft_world_at(world, world->time + delay, net_deliver, &world->hosts[to]);
        event->number = from->index;
        event->buf = mn_buf_ref(buf);
    }
}

/* ---- hosts ---- */

static void host_send(struct raft_host *host, const struct raft_output *out)
{
    struct mn_buf *buf = raft_msg_encode(&out->msg);
    uint32_t to = out->msg.to.bytes[15] - 1u;
    struct raft_parked *parked;

    raft_world_hash(host->world, host->index, mn_buf_span(buf));
    if (out->after_write == 0) {
        raft_net_send(host, to, buf);
        mn_buf_unref(buf);
        return;
    }
    parked = mn_alloc(sizeof *parked);
    parked->write = out->after_write;
    parked->to = to;
    parked->buf = buf;
    mn_list_push_back(&host->parked, &parked->list);
}

static void host_snapshot_done(struct raft_world *world, struct raft_event *event)
{
    struct raft_input input = {.type = RAFT_IN_SNAPSHOT};

    (void)world;
    input.snapshot.index = event->number;
    input.snapshot.data = event->buf;
    raft_world_input(event->host, &input);
}

/* Of the state as it is now; it takes some time to be written, and meanwhile the log goes on. */
static void host_snapshot(struct raft_world *world, struct raft_event *event)
{
    mn_time takes = rng_below(&world->rng_disk, 2) == 0 ? 0 : rng_below(&world->rng_disk, 300000);
    struct raft_event *done =
        raft_world_at(world, world->time + takes, host_snapshot_done, event->host);

    world->stats.snapshots++;
    done->boot = event->boot;
    done->number = event->host->kv.index;
    done->buf = raft_kv_snapshot(&event->host->kv);
}

static void host_apply(struct raft_host *host, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->apply.entries_count; i++) {
        const struct raft_entry *entry = &out->apply.entries[i];
        uint64_t result = raft_kv_apply(&host->kv, entry);
        raft_checks_applied(host, entry);
        raft_client_applied(host, entry, result);
    }
}

static void host_output(struct raft_host *host, const struct raft_output *out)
{
    struct raft_world *world = host->world;

    switch (out->type) {
    case RAFT_OUT_PERSIST:
        raft_checks_persist(host, &out->persist);
        raft_disk_write(host, &out->persist);
        break;
    case RAFT_OUT_SEND:
        raft_checks_sent(host, &out->msg);
        host_send(host, out);
        break;
    case RAFT_OUT_APPLY: host_apply(host, out); break;
    case RAFT_OUT_RESTORE:
        raft_kv_restore(&host->kv, out->restore);
        raft_checks_restored(host, out->restore);
        break;
    case RAFT_OUT_SNAPSHOT_WANTED:
        raft_world_at(world, world->time + 500, host_snapshot, host)->boot = host->boot;
        break;
    case RAFT_OUT_ROLE:
        if (out->role.role == RAFT_LEADER) world->stats.elections++;
        if (out->role.role == RAFT_LEADER) raft_plan_on_leader(host);
        if (world->options.is_verbose)
            printf("%10.6f n%u role %d term %llu\n", (double)world->time / 1e6, host->index,
                   (int)out->role.role, (unsigned long long)out->role.term);
        break;
    case RAFT_OUT_ACCEPTED:
    case RAFT_OUT_REFUSED:
    case RAFT_OUT_READ: raft_client_on_output(host, out); break;
    }
}

void raft_world_input(struct raft_host *host, const struct raft_input *input)
{
    struct raft_outbox outbox = {.arena = &host->world->arena};

    if (host->is_dying) return;
    host->world->stats.steps++;
    if (host->none_at > 0 && raft_memory_is_wanted(input)) {
        raft_memory_try(host, host_now(host), input, host->none_at);
        host->none_at = 0;
        host->is_dying = true;
        raft_plan_on_no_memory(host);
        return;
    }
    raft_step(host->raft, host_now(host), input, &outbox);
    for (uint32_t i = 0; i < outbox.count && !host->is_dying; i++) {
        host_output(host, &outbox.items[i]);
        if (host->outputs_left == 0 || --host->outputs_left > 0) continue;
        if (i + 1 < outbox.count) MN_PROBE("raftsim: no memory in the middle of a step");
        host->is_dying = true;
        raft_plan_on_no_memory(host);
    }
    mn_arena_reset(&host->world->arena);
    if (host->is_dying) return; /* the rest of the world does not know what it has just decided */
    raft_checks_step(host);
    host_arm(host);
}

void raft_world_start(struct raft_host *host, enum raft_unread unread)
{
    struct raft_disk *disk = &host->disk;
    struct raft_world *world = host->world;
    mn_status status;

    if (host->raft != NULL) return;
    raft_disk_read(host, unread);
    host->boot++;
    host->commit_seen = host->term_led = 0;
    host->last_seen = host->first_seen = host->config_seen = 0;
    host->was_wounded = false;
    host->shown_in = host->shown_upto = 0;
    host->complete_upto = host->complete_term = 0;
    host->paused_until = 0;
    host->outputs_left = host->none_at = 0;
    host->is_dying = false;
    host->tick_at = MN_TIME_NEVER;
    rng_bytes(&world->rng_node, host->config.seed, sizeof host->config.seed);
    raft_kv_restore(&host->kv, &disk->now.snapshot);
    raft_checks_restored(host, &disk->now.snapshot);
    status = raft_new(&host->config, &disk->now, host_now(host), &host->raft);
    if (status != MN_OK) {
        raft_world_fail(world, "n%u does not start: %s", host->index, mn_status_text(status));
        return;
    }
    raft_world_input(host, &(struct raft_input){.type = RAFT_IN_TICK});
}

/* The process ends. */
void raft_world_crash(struct raft_host *host)
{
    struct mn_list *item;

    if (host->raft == NULL) return;
    raft_free(host->raft);
    host->raft = NULL;
    raft_disk_crash(host);
    while ((item = mn_list_take(&host->parked)) != NULL) {
        mn_buf_unref(MN_CONTAINER(item, struct raft_parked, list)->buf);
        mn_free(MN_CONTAINER(item, struct raft_parked, list));
    }
    raft_client_lost(host);
}

struct raft_host *raft_world_leader(struct raft_world *world)
{
    struct raft_host *best = NULL;
    uint64_t term = 0;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct raft_host *host = &world->hosts[i];
        struct raft_view view;
        if (host->raft == NULL || host->paused_until > world->time) continue;
        view = raft_view(host->raft);
        if (view.role != RAFT_LEADER || view.term <= term) continue;
        best = host;
        term = view.term;
    }
    return best;
}

/* ---- a run ---- */

static void world_seed(struct raft_world *world)
{
    uint8_t seed[RNG_SEED_SIZE] = {0};
    struct rng root;

    mn_store_u64(seed, world->options.story->seed);
    rng_init(&root, seed);
    rng_fork(&root, &world->rng_net);
    rng_fork(&root, &world->rng_disk);
    rng_fork(&root, &world->rng_fault);
    rng_fork(&root, &world->rng_work);
    rng_fork(&root, &world->rng_node);
    rng_done(&root);
}

/* Small limits, so that every path is taken often. */
static struct raft_config world_config(struct raft_world *world)
{
    struct rng *rng = &world->rng_node;
    struct raft_config config = raft_config_default();

    config.election_timeout = (20 + rng_below(rng, rng_below(rng, 2) == 0 ? 40 : 280)) * MN_MS;
    config.heartbeat_interval = config.election_timeout / 3;
    config.batch_delay = rng_below(rng, rng_below(rng, 2) == 0 ? 1 : 2000);
    config.batch_size = 64 + rng_below(rng, 512);
    config.message_size = 40 + rng_below(rng, rng_below(rng, 2) == 0 ? 8 : 4096); /* one entry */
    config.inflight_count = 1 + rng_below(rng, rng_below(rng, 2) == 0 ? 1 : 16);
    config.inflight_size = 64 + rng_below(rng, 4096);
    config.compact_entries = 5 + rng_below(rng, 60);
    config.keep_entries = rng_below(rng, 20);
    config.keep_size = rng_below(rng, 2) == 0 ? 200 : config.keep_size;
    config.uses_lease = rng_below(rng, 2) == 1;
    switch (rng_below(rng, 4)) {
    case 0:
        /* A log that is always short, and many small messages at once: what is late meets a
         * snapshot that overtook it. */
        config.compact_entries = 1 + rng_below(rng, 4);
        config.keep_entries = rng_below(rng, 2);
        config.message_size = 40 + rng_below(rng, 2048);
        config.inflight_count = 16;
        config.inflight_size = 4096;
        config.batch_delay = 0;
        break;
    case 1:
        /* One in which nothing stays for laggards, who yet catch up in one message. */
        config.compact_entries = 3 + rng_below(rng, 12);
        config.keep_entries = 0;
        config.message_size = 400 + rng_below(rng, 4096);
        break;
    default: break;
    }
    return config;
}

/* Three to five voters that pass the guard rails; the other hosts start with nothing. */
static struct quorum_config world_members(struct raft_world *world)
{
    struct quorum_config members;
    uint32_t voters = 3 + rng_below(&world->rng_node, 3);

    if (voters > world->hosts_count) voters = world->hosts_count;
    do {
        members = (struct quorum_config){.members_count = voters};
        for (uint32_t i = 0; i < voters; i++) {
            members.members[i].id = world->hosts[i].id;
            members.members[i].weight = 1 + rng_below(&world->rng_node, 3);
        }
    } while (quorum_guard(&members, 1) != MN_OK);
    return members;
}

struct raft_world *raft_world_new(const struct raft_options *options)
{
    struct raft_world *world = mn_alloc(sizeof *world);
    struct raft_config config;

    world->options = *options;
    world->hash = TRACE_START;
    world_seed(world);
    raft_checks_init(world);
    config = world_config(world);
    world->hosts_count = 3 + rng_below(&world->rng_node, RAFT_HOSTS_MAX - 2);
    if (options->story->hosts_count > 0) world->hosts_count = options->story->hosts_count;
    if (world->hosts_count > RAFT_HOSTS_MAX) world->hosts_count = RAFT_HOSTS_MAX;
    if (options->notes != NULL) options->notes->hosts_count = world->hosts_count;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct raft_host *host = &world->hosts[i];
        host->world = world;
        host->index = i;
        host->id.bytes[15] = (uint8_t)(i + 1);
        host->clock_permille = 1000;
        host->clock_mono = CLOCK_START;
        host->clock_wall = WALL_START;
        host->config = config;
        host->config.self = host->id;
        mn_list_init(&host->disk.pending);
        mn_list_init(&host->parked);
        mn_list_init(&host->waiting);
    }
    world->committed = world_members(world);
    for (uint32_t i = 0; i < world->committed.members_count; i++)
        world->hosts[i].disk.now.snapshot.config = world->committed;
    return world;
}

void raft_world_free(struct raft_world *world)
{
    struct mn_heap_entry *entry;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct raft_host *host = &world->hosts[i];
        raft_world_crash(host);
        raft_disk_done(&host->disk);
    }
    while ((entry = mn_heap_peek(&world->events)) != NULL) {
        mn_heap_remove(&world->events, entry);
        event_free(MN_CONTAINER(entry, struct raft_event, due));
    }
    mn_heap_done(&world->events);
    raft_checks_done(world);
    mn_arena_done(&world->arena);
    mn_free(world);
}

static void world_one(struct raft_world *world, struct raft_event *event)
{
    struct raft_host *host = event->host;

    if (host != NULL && event->boot != 0 && (event->boot != host->boot || host->raft == NULL)) {
        event_free(event);
        return;
    }
    if (host != NULL && host->raft != NULL && host->paused_until > world->time) {
        mn_heap_set(&world->events, &event->due, host->paused_until);
        return;
    }
    world->stats.events++;
    event->action(world, event);
    event_free(event);
}

static void world_run_until(struct raft_world *world, mn_time until)
{
    while (!world->has_failed) {
        struct mn_heap_entry *first = mn_heap_peek(&world->events);
        if (first == NULL || first->at > until) break;
        world->time = first->at;
        mn_heap_remove(&world->events, first);
        world_one(world, MN_CONTAINER(first, struct raft_event, due));
    }
    if (!world->has_failed) world->time = until;
}

/* A leader that has committed something of its own term. */
static bool world_is_led(struct raft_world *world)
{
    struct raft_host *leader = raft_world_leader(world);
    struct raft_view view;
    struct raft_entry entry;

    if (leader == NULL) return false;
    view = raft_view(leader->raft);
    return !raft_entry_at(leader->raft, view.commit, &entry) || entry.term == view.term;
}

bool raft_world_run(struct raft_world *world)
{
    mn_time faults_end = world->options.story->faults_for,
            end = faults_end + world->options.story->quiet_for;

    for (uint32_t i = 0; i < world->hosts_count; i++)
        raft_world_start(&world->hosts[i], RAFT_UNREAD_NOTHING);
    raft_client_start(world);
    raft_plan_start(world);
    world_run_until(world, faults_end);
    raft_plan_stop(world);
    while (!world->has_failed && !world_is_led(world) && world->time < end)
        world_run_until(world, world->time + 10 * MN_MS);
    world->stats.slowest_leader = world->time - faults_end;
    world_run_until(world, faults_end + world->options.story->quiet_for / 2);
    world->is_load_over = true;
    world_run_until(world, end);
    if (!world->has_failed) raft_checks_end(world);
    return !world->has_failed;
}
