/* What survives a crash. The real driver commits writes in order, in synced batches that are
 * atomic; so a crash loses some of the newest writes, never one in the middle. */
#include "proto/base/memory.h"
#include "sim/mesh/sim.h"

struct sim_pair {
    struct mn_map_entry entry;
    struct mn_buf *key, *value;
};

struct sim_write {
    struct mn_list list;
    uint64_t number;
    struct mn_buf *key, *value; /* value NULL: delete */
};

void sim_disk_init(struct sim_host *host)
{
    mn_map_init(&host->disk.pairs, host->index);
    mn_list_init(&host->disk.pending);
}

static void pair_free(struct sim_pair *pair)
{
    mn_buf_unref(pair->key);
    mn_buf_unref(pair->value);
    mn_free(pair);
}

static void write_free(struct sim_write *write)
{
    mn_list_remove(&write->list);
    mn_buf_unref(write->key);
    mn_buf_unref(write->value);
    mn_free(write);
}

void sim_disk_wipe(struct sim_host *host)
{
    struct sim_disk *disk = &host->disk;
    struct mn_map_entry *entry;

    sim_cancel(host->sim, &disk->sync);
    while (!mn_list_is_empty(&disk->pending))
        write_free(MN_CONTAINER(disk->pending.next, struct sim_write, list));
    while ((entry = mn_map_next(&disk->pairs, NULL)) != NULL) {
        mn_map_remove(&disk->pairs, entry);
        pair_free(MN_CONTAINER(entry, struct sim_pair, entry));
    }
}

void sim_disk_done(struct sim_host *host)
{
    sim_disk_wipe(host);
    mn_map_done(&host->disk.pairs);
}

static void disk_apply(struct sim_disk *disk, struct sim_write *write)
{
    struct mn_map_entry *entry = mn_map_find(&disk->pairs, mn_buf_span(write->key));
    struct sim_pair *pair;

    if (entry != NULL) {
        mn_map_remove(&disk->pairs, entry);
        pair_free(MN_CONTAINER(entry, struct sim_pair, entry));
    }
    if (write->value == NULL) return;
    pair = mn_alloc(sizeof *pair);
    pair->key = mn_buf_ref(write->key);
    pair->value = mn_buf_ref(write->value);
    mn_map_insert(&disk->pairs, &pair->entry, mn_buf_span(pair->key));
}

/* Writes all that waits; the number of the newest. */
static uint64_t disk_flush(struct sim_host *host)
{
    uint64_t upto = 0;

    while (!mn_list_is_empty(&host->disk.pending)) {
        struct sim_write *write = MN_CONTAINER(host->disk.pending.next, struct sim_write, list);
        disk_apply(&host->disk, write);
        upto = write->number;
        write_free(write);
    }
    return upto;
}

void sim_disk_close(struct sim_host *host)
{
    sim_cancel(host->sim, &host->disk.sync);
    disk_flush(host);
}

static void disk_synced(struct sim *sim, void *context)
{
    struct sim_host *host = context;
    uint64_t upto = disk_flush(host);

    (void)sim;
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_DURABLE, .id = upto});
}

void sim_disk_do(struct sim_host *host, const struct edge_output *output)
{
    struct sim *sim = host->sim;
    struct sim_write *write = mn_alloc(sizeof *write);

    write->number = output->id;
    write->key = mn_buf_copy(output->key);
    if (output->bytes.data != NULL) write->value = mn_buf_copy(output->bytes);
    if (mn_list_is_empty(&host->disk.pending)) {
        mn_time sync = 200 + rng_below(&sim->rng_disk, 2000);
        if (rng_below(&sim->rng_disk, 50) == 0) sync *= 50; /* a slow moment */
        sim_at(sim, &host->disk.sync, sim->time + sync, disk_synced, host);
    }
    mn_list_push_back(&host->disk.pending, &write->list);
    sim_host_writes(host);
}

/* Keeps a random number of the oldest unsynced writes: the kernel may have got that far. */
void sim_disk_crash(struct sim_host *host)
{
    struct sim *sim = host->sim;
    uint32_t count = 0, kept;

    sim_cancel(sim, &host->disk.sync);
    MN_LIST_FOR_EACH (entry, &host->disk.pending) {
        count++;
    }
    kept = count == 0 ? 0 : rng_below(&sim->rng_disk, count + 1);
    while (!mn_list_is_empty(&host->disk.pending)) {
        struct sim_write *write = MN_CONTAINER(host->disk.pending.next, struct sim_write, list);
        if (kept > 0) {
            disk_apply(&host->disk, write);
            kept--;
        } else {
            host->disk.lost_writes++;
        }
        write_free(write);
    }
}

void sim_disk_recover(struct sim_host *host)
{
    struct sim_disk *disk = &host->disk;
    struct mn_span last = mn_span(NULL, 0);
    uint32_t given = 0;

    /* Key order, as the real store gives them: pick the next larger one each time. */
    while (given < disk->pairs.count) {
        struct sim_pair *next = NULL;
        for (struct mn_map_entry *e = mn_map_next(&disk->pairs, NULL); e != NULL;
             e = mn_map_next(&disk->pairs, e)) {
            struct sim_pair *pair = MN_CONTAINER(e, struct sim_pair, entry);
            if (given > 0 && mn_span_compare(pair->entry.key, last) <= 0) continue;
            if (next == NULL || mn_span_compare(pair->entry.key, next->entry.key) < 0) next = pair;
        }
        last = next->entry.key;
        given++;
        sim_host_input(host, &(struct edge_input){.type = EDGE_IN_RECOVER,
                                                  .key = mn_buf_span(next->key),
                                                  .bytes = mn_buf_span(next->value)});
    }
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_RECOVERED});
}
