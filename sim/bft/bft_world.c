/* Time, hosts, their disks, and the net between them. */
#include <stdio.h>

#include "proto/base/check.h"
#include "sim/bft/bft_world.h"
#include "sim/common/trace.h"

#define CLOCK_START MN_SEC
#define SPINS_MAX 100000u /* events at one time */
/* What began before the faults ended may still take so long: a message, a pause, a slow sync. */
#define SETTLE (1600 * MN_MS)
#define WALL_START (1700000000 * MN_SEC)

uint32_t bft_draw(struct rng *rng, uint32_t bound)
{
    return rng_below(rng, bound);
}

/* ---- time ---- */

struct bft_event *bft_world_at(struct bft_world *world, mn_time at, bft_action *action,
                               struct bft_host *host)
{
    struct bft_event *event = mn_alloc(sizeof *event);

    event->action = action;
    event->host = host;
    mn_heap_set(&world->events, &event->due, at < world->time ? world->time : at);
    return event;
}

static void event_free(struct bft_event *event)
{
    mn_buf_unref(event->buf);
    mn_free(event);
}

void bft_world_fail(struct bft_world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    trace_fail(&world->has_failed, world->failure, format, args);
    va_end(args);
}

void bft_world_hash(struct bft_world *world, uint64_t what, struct mn_span bytes)
{
    world->hash = trace_hash(world->hash, world->time, what, bytes);
}

struct mn_now bft_now(const struct bft_host *host)
{
    return (struct mn_now){CLOCK_START + host->world->time, WALL_START + host->world->time};
}

static void host_tick(struct bft_world *world, struct bft_event *event)
{
    struct bft_host *host = event->host;

    if (event->number != host->tick_at) return; /* another one was set since */
    host->tick_at = MN_TIME_NEVER;
    world->scenario->tick(host);
    bft_host_arm(host);
}

void bft_host_arm(struct bft_host *host)
{
    mn_time deadline = host->world->scenario->deadline(host), at;
    struct bft_event *event;

    if (deadline == MN_TIME_NEVER) return;
    at = deadline < CLOCK_START ? 0 : deadline - CLOCK_START;
    if (at < host->world->time) at = host->world->time;
    if (at == host->tick_at) return;
    host->tick_at = at;
    event = bft_world_at(host->world, at, host_tick, host);
    event->boot = host->boot;
    event->number = at;
}

/* ---- the net ---- */

static void net_deliver(struct bft_world *world, struct bft_event *event)
{
    struct bft_host *host = event->host;

    if (host->core == NULL || world->cut[event->number][host->index]) return;
    world->stats.messages++;
    world->scenario->message(host, (uint32_t)event->number, mn_buf_span(event->buf));
    bft_host_arm(host);
}

static void net_remember(struct bft_world *world, uint32_t from, uint32_t to, struct mn_buf *buf)
{
    uint32_t at = world->old_next++ % BFT_OLD;

    mn_buf_unref(world->old[at].buf);
    world->old[at].buf = mn_buf_ref(buf);
    world->old[at].from = from;
    world->old[at].to = to;
}

void bft_net_send(struct bft_world *world, uint32_t from, uint32_t to, struct mn_buf *buf)
{
    uint32_t copies = 1 + (rng_below(&world->rng_net, 1000) < world->duplicate_permille);

    if (world->cut[from][to] || rng_below(&world->rng_net, 1000) < world->loss_permille) copies--;
    for (; copies > 0; copies--) {
        mn_time delay = 300 + rng_below(&world->rng_net, 8000);
        struct bft_event *event;
        if (rng_below(&world->rng_net, 1000) < world->delay_permille)
            delay += rng_below_u64(&world->rng_net, world->delay_max + 1);
        event = bft_world_at(world, world->time + delay, net_deliver, &world->hosts[to]);
        event->number = from;
        event->buf = mn_buf_ref(buf);
    }
}

void bft_host_send(struct bft_host *host, uint32_t to, struct mn_buf *buf)
{
    struct bft_world *world = host->world;

    bft_world_hash(world, host->index, mn_buf_span(buf));
    if (bft_draw(&world->rng_net, 16) == 0)
        net_remember(world, host->index, to == UINT32_MAX ? 0 : to, buf);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        if (i != host->index && (to == UINT32_MAX || to == i))
            bft_net_send(world, host->index, i, buf);
}

/* ---- the disk ---- */

void bft_record_free(struct bft_record *record)
{
    mn_list_remove(&record->list);
    mn_buf_unref(record->buf);
    mn_free(record);
}

static void disk_forget(struct bft_host *host, const mn_id *key)
{
    if (mn_id_is_zero(key)) return;
    MN_LIST_FOR_EACH_SAFE (item, &host->durable) {
        struct bft_record *record = MN_CONTAINER(item, struct bft_record, list);
        if (!mn_id_equal(&record->key, key)) continue;
        bft_record_free(record);
        host->durable_count--;
    }
}

static void disk_apply(struct bft_host *host, struct bft_record *record)
{
    disk_forget(host, &record->key);
    if (record->buf == NULL) {
        bft_record_free(record);
        return;
    }
    mn_list_remove(&record->list);
    mn_list_push_back(&host->durable, &record->list);
    host->durable_count++;
}

static void disk_begin(struct bft_host *host);

static void disk_synced(struct bft_world *world, struct bft_event *event)
{
    struct bft_host *host = event->host;

    while (!mn_list_is_empty(&host->pending)) {
        struct bft_record *record = MN_CONTAINER(host->pending.next, struct bft_record, list);
        if (record->write > event->number) break;
        disk_apply(host, record);
    }
    host->is_syncing = false;
    if (!mn_list_is_empty(&host->pending)) disk_begin(host);
    world->scenario->durable(host, event->number);
    bft_host_arm(host);
}

static void disk_begin(struct bft_host *host)
{
    struct bft_world *world = host->world;
    struct bft_record *last = MN_CONTAINER(host->pending.prev, struct bft_record, list);
    mn_time sync = 100 + rng_below(&world->rng_disk, 3000);
    struct bft_event *event;

    if (!world->is_quiet && rng_below(&world->rng_disk, 50) == 0)
        sync += rng_below(&world->rng_disk, 400000);
    host->is_syncing = true;
    event = bft_world_at(world, world->time + sync, disk_synced, host);
    event->boot = host->boot;
    event->number = last->write;
}

void bft_host_persist(struct bft_host *host, uint64_t write, const mn_id *key,
                      struct mn_buf *record)
{
    struct bft_record *item = mn_alloc(sizeof *item);

    item->write = write;
    if (key != NULL) item->key = *key;
    item->buf = mn_buf_ref(record);
    mn_list_push_back(&host->pending, &item->list);
    bft_plan_on_write(host);
    if (!host->is_syncing) disk_begin(host);
}

const struct mn_span *bft_host_records(struct bft_host *host, uint32_t *ret_count)
{
    struct mn_span *spans =
        mn_arena_alloc(&host->world->arena, (host->durable_count + 1) * sizeof *spans);
    uint32_t count = 0;

    MN_LIST_FOR_EACH (item, &host->durable) {
        spans[count++] = mn_buf_span(MN_CONTAINER(item, struct bft_record, list)->buf);
    }
    *ret_count = count;
    return spans;
}

/* ---- life ---- */

void bft_host_start(struct bft_host *host)
{
    if (host->core != NULL) return;
    host->boot++;
    host->tick_at = MN_TIME_NEVER;
    host->paused_until = 0;
    host->world->scenario->start(host);
    mn_arena_reset(&host->world->arena);
    bft_host_arm(host);
}

/* The process ends. Of what was not synced, the oldest records may have reached the disk, and half
 * of the next one. */
void bft_host_crash(struct bft_host *host)
{
    struct bft_world *world = host->world;
    uint32_t kept = bft_draw(&world->rng_disk, 3);

    if (host->core == NULL) return;
    world->stats.crashes++;
    world->scenario->stop(host);
    host->core = NULL;
    host->is_syncing = false;
    while (!mn_list_is_empty(&host->pending)) {
        struct bft_record *record = MN_CONTAINER(host->pending.next, struct bft_record, list);
        bool is_torn = kept == 1 && bft_draw(&world->rng_disk, 2) == 0;
        if (kept == 0) {
            bft_record_free(record);
            continue;
        }
        kept--;
        if (is_torn && record->buf != NULL && mn_id_is_zero(&record->key)) {
            struct mn_buf *half = mn_buf_copy(
                mn_span(record->buf->bytes, bft_draw(&world->rng_disk, record->buf->size + 1)));
            mn_buf_unref(record->buf);
            record->buf = half;
            world->stats.torn++;
        }
        disk_apply(host, record);
    }
}

void bft_host_restart(struct bft_world *world, struct bft_event *event)
{
    (void)world;
    bft_host_start(event->host);
}

/* ---- a run ---- */

static void world_seed(struct bft_world *world)
{
    uint8_t seed[RNG_SEED_SIZE] = {0};
    struct rng root;

    mn_store_u64(seed, world->options.story->seed);
    rng_init(&root, seed);
    rng_fork(&root, &world->rng_net);
    rng_fork(&root, &world->rng_disk);
    rng_fork(&root, &world->rng_fault);
    rng_fork(&root, &world->rng_liar);
    rng_fork(&root, &world->rng_work);
    rng_done(&root);
}

/* Liars until one more would reach a third of the weight. */
static void world_draw_liars(struct bft_world *world)
{
    if (bft_draw(&world->rng_liar, 8) == 0) return; /* everybody is honest */
    for (uint32_t tries = 0; tries < 4 * world->hosts_count; tries++) {
        struct bft_host *host = &world->hosts[bft_draw(&world->rng_liar, world->hosts_count)];
        if (host->is_liar || 3 * (world->liars_weight + host->weight) >= world->total) continue;
        host->is_liar = true;
        world->liars_weight += host->weight;
    }
}

struct bft_world *bft_world_new(const struct bft_scenario *scenario,
                                const struct bft_options *options)
{
    struct bft_world *world = mn_alloc(sizeof *world);

    world->scenario = scenario;
    world->options = *options;
    world->hash = TRACE_START;
    world_seed(world);
    world->hosts_count = 4 + bft_draw(&world->rng_work, BFT_HOSTS_MAX - 3);
    if (options->story->hosts_count > 0) world->hosts_count = options->story->hosts_count;
    if (world->hosts_count > BFT_HOSTS_MAX) world->hosts_count = BFT_HOSTS_MAX;
    if (options->notes != NULL) options->notes->hosts_count = world->hosts_count;
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct bft_host *host = &world->hosts[i];
        uint8_t seed[SIGN_SEED_SIZE];
        host->world = world;
        host->index = i;
        host->weight = 1 + bft_draw(&world->rng_work, 5);
        world->total += host->weight;
        rng_bytes(&world->rng_work, seed, sizeof seed);
        sign_key_init(&host->key, seed);
        mn_list_init(&host->durable);
        mn_list_init(&host->pending);
    }
    world_draw_liars(world);
    return world;
}

void bft_world_free(struct bft_world *world)
{
    struct mn_heap_entry *entry;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct bft_host *host = &world->hosts[i];
        bft_host_crash(host);
        while (!mn_list_is_empty(&host->durable))
            bft_record_free(MN_CONTAINER(host->durable.next, struct bft_record, list));
    }
    world->scenario->finish(world);
    while ((entry = mn_heap_peek(&world->events)) != NULL) {
        mn_heap_remove(&world->events, entry);
        event_free(MN_CONTAINER(entry, struct bft_event, due));
    }
    for (uint32_t i = 0; i < BFT_OLD; i++)
        mn_buf_unref(world->old[i].buf);
    mn_heap_done(&world->events);
    mn_arena_done(&world->arena);
    mn_free(world);
}

static void world_one(struct bft_world *world, struct bft_event *event)
{
    struct bft_host *host = event->host;

    if (host != NULL && event->boot != 0 && (event->boot != host->boot || host->core == NULL)) {
        event_free(event);
        return;
    }
    if (host != NULL && host->core != NULL && host->paused_until > world->time) {
        mn_heap_set(&world->events, &event->due, host->paused_until);
        return;
    }
    world->stats.events++;
    event->action(world, event);
    event_free(event);
    mn_arena_reset(&world->arena);
}

static void world_run_until(struct bft_world *world, mn_time until, bool stops_when_done)
{
    uint32_t spins = 0;

    while (!world->has_failed) {
        struct mn_heap_entry *first = mn_heap_peek(&world->events);
        if (first == NULL || first->at > until) break;
        spins = first->at == world->time ? spins + 1 : 0;
        if (spins > SPINS_MAX) bft_world_fail(world, "time stands still: a deadline is never met");
        world->time = first->at;
        mn_heap_remove(&world->events, first);
        world_one(world, MN_CONTAINER(first, struct bft_event, due));
        if (stops_when_done && world->scenario->is_done(world)) return;
    }
    if (!world->has_failed) world->time = until;
}

bool bft_world_run(struct bft_world *world)
{
    world->scenario->begin(world);
    bft_plan_start(world);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        bft_host_start(&world->hosts[i]);
    world_run_until(world, world->options.story->faults_for, false);
    bft_plan_stop(world);
    world_run_until(world, world->options.story->faults_for + SETTLE, false);
    if (world->has_failed) return false;
    world->scenario->quiet(world);
    world_run_until(world, world->options.story->faults_for + world->options.story->quiet_for,
                    true);
    if (!world->has_failed) world->scenario->end(world);
    return !world->has_failed;
}
