/* The disks of hosts: what is written, and when it is synced; what is left after a crash, and what
 * does not read back. */
#include "proto/base/check.h"
#include "sim/raft/raft_sim.h"

static void write_free(struct raft_write *write)
{
    mn_list_remove(&write->list);
    for (uint32_t i = 0; i < write->persist.entries_count; i++)
        mn_buf_unref(write->persist.entries[i].buf);
    mn_buf_unref(write->snapshot.data);
    mn_free((void *)(uintptr_t)write->persist.entries);
    mn_free(write);
}

/* Only some of its entries reached the disk, and half of the next one: see raft_disk_read(). */
static bool write_tear(struct raft_world *world, struct raft_write *write)
{
    uint32_t left = write->persist.entries_count;

    if (left == 0 || write->persist.is_reset || write->persist.snapshot != NULL) return false;
    left = rng_below(&world->rng_disk, left);
    while (write->persist.entries_count > left)
        mn_buf_unref(write->persist.entries[--write->persist.entries_count].buf);
    return true;
}

static struct raft_entry *disk_entries(struct raft_disk *disk)
{
    return (struct raft_entry *)(uintptr_t)disk->now.entries;
}

static void disk_cut(struct raft_disk *disk, uint32_t count)
{
    while (disk->now.entries_count > count)
        mn_buf_unref(disk_entries(disk)[--disk->now.entries_count].buf);
}

static void disk_add(struct raft_disk *disk, const struct raft_entry *entry)
{
    if (disk->now.entries_count == disk->capacity) {
        disk->capacity = disk->capacity == 0 ? 64 : 2 * disk->capacity;
        disk->now.entries =
            mn_realloc(disk_entries(disk), disk->capacity * sizeof *disk->now.entries);
    }
    disk_entries(disk)[disk->now.entries_count++] = *entry;
    mn_buf_ref(entry->buf);
}

static void disk_forget_front(struct raft_disk *disk, uint64_t upto)
{
    struct raft_entry *entries = disk_entries(disk);
    uint32_t gone = 0;

    while (gone < disk->now.entries_count && entries[gone].index <= upto)
        mn_buf_unref(entries[gone++].buf);
    if (gone == 0) return;
    disk->now.entries_count -= gone;
    memmove(entries, entries + gone, disk->now.entries_count * sizeof *entries);
}

static uint64_t disk_last(const struct raft_disk *disk)
{
    const struct raft_recovered *now = &disk->now;

    return now->entries_count == 0 ? now->snapshot.index
                                   : now->entries[now->entries_count - 1].index;
}

static void disk_note_head(struct raft_disk *disk, const struct raft_persist *persist)
{
    const struct raft_recovered *now = &disk->now;

    if (persist->term == now->term && mn_id_equal(&persist->vote, &now->vote)) return;
    disk->heads[disk->heads_count++ % RAFT_DISK_HEADS] =
        (struct raft_disk_head){now->term, now->commit, now->vote, now->is_wounded};
}

static void disk_apply(struct raft_disk *disk, struct raft_write *write)
{
    const struct raft_persist *persist = &write->persist;

    disk_note_head(disk, persist);
    disk->is_head_synced = false;
    disk->now.term = persist->term;
    disk->now.vote = persist->vote;
    disk->now.commit = persist->commit;
    disk->now.is_wounded = persist->is_wounded;
    disk->now.damage = RAFT_DAMAGE_NONE; /* is_wounded says it now */
    if (persist->is_reset) disk_cut(disk, 0);
    if (persist->snapshot != NULL) {
        mn_buf_unref(disk->now.snapshot.data);
        disk->now.snapshot = write->snapshot;
        mn_buf_ref(disk->now.snapshot.data);
        disk_forget_front(disk, write->snapshot.index);
    }
    for (uint32_t i = 0; i < persist->entries_count; i++) {
        const struct raft_entry *entry = &persist->entries[i];
        if (entry->index <= disk->now.snapshot.index) continue;
        if (disk->now.entries_count > 0 && entry->index >= disk->now.entries[0].index &&
            entry->index - disk->now.entries[0].index < disk->now.entries_count)
            disk_cut(disk, (uint32_t)(entry->index - disk->now.entries[0].index));
        if (disk->synced >= entry->index) disk->synced = entry->index - 1;
        disk_add(disk, entry);
    }
    if (disk->synced > disk_last(disk)) disk->synced = disk_last(disk);
}

static void disk_synced(struct raft_world *world, struct raft_event *event);

static void disk_begin(struct raft_host *host)
{
    struct raft_world *world = host->world;
    struct raft_write *last = MN_CONTAINER(host->disk.pending.prev, struct raft_write, list);
    mn_time sync = 100 + rng_below(&world->rng_disk, 2000);
    struct raft_event *event;

    if (world->time < host->disk.slow_until)
        sync = 50 * MN_MS + rng_below(&world->rng_disk, 400000);
    host->disk.is_busy = true;
    event = raft_world_at(world, world->time + sync, disk_synced, host);
    event->boot = host->boot;
    event->number = last->persist.write;
}

static void disk_release(struct raft_host *host, uint64_t upto)
{
    MN_LIST_FOR_EACH_SAFE (item, &host->parked) {
        struct raft_parked *parked = MN_CONTAINER(item, struct raft_parked, list);
        if (parked->write > upto) continue;
        raft_net_send(host, parked->to, parked->buf);
        mn_list_remove(item);
        mn_buf_unref(parked->buf);
        mn_free(parked);
    }
}

static void disk_synced(struct raft_world *world, struct raft_event *event)
{
    struct raft_host *host = event->host;
    struct raft_input input = {.type = RAFT_IN_PERSISTED};

    (void)world;
    input.persisted.write = event->number;
    while (!mn_list_is_empty(&host->disk.pending)) {
        struct raft_write *write = MN_CONTAINER(host->disk.pending.next, struct raft_write, list);
        if (write->persist.write > event->number) break;
        input.persisted.mark = write->persist.mark;
        disk_apply(&host->disk, write);
        write_free(write);
    }
    host->disk.is_busy = false;
    host->disk.synced = disk_last(&host->disk);
    host->disk.is_head_synced = true;
    disk_release(host, event->number);
    if (!mn_list_is_empty(&host->disk.pending)) disk_begin(host);
    raft_world_input(host, &input);
}

void raft_disk_write(struct raft_host *host, const struct raft_persist *persist)
{
    struct raft_write *write = mn_alloc(sizeof *write);
    size_t size = persist->entries_count * sizeof *persist->entries;

    write->persist = *persist;
    if (persist->snapshot != NULL) {
        write->snapshot = *persist->snapshot;
        mn_buf_ref(write->snapshot.data);
        write->persist.snapshot = &write->snapshot;
    }
    write->persist.entries = size == 0 ? NULL : mn_alloc(size);
    for (uint32_t i = 0; i < persist->entries_count; i++) {
        ((struct raft_entry *)(uintptr_t)write->persist.entries)[i] = persist->entries[i];
        mn_buf_ref(persist->entries[i].buf);
    }
    mn_list_push_back(&host->disk.pending, &write->list);
    raft_plan_on_write(host, persist);
    if (!host->disk.is_busy) disk_begin(host);
}

/* ---- reading back ---- */

/* The newest records are lost with what they said of terms and votes: an earlier one counts again,
 * and entries of terms that it does not know are lost, too. */
static bool disk_lose_head(struct raft_host *host)
{
    struct raft_disk *disk = &host->disk;
    uint32_t back = 1 + rng_below(&host->world->rng_disk, RAFT_DISK_HEADS), kept = 0;
    const struct raft_disk_head *head;

    if (back > disk->heads_count) back = disk->heads_count;
    if (back == 0 || !disk->is_head_synced) return false;
    head = &disk->heads[(disk->heads_count - back) % RAFT_DISK_HEADS];
    if (head->term < disk->now.snapshot.term) return false; /* that record holds it, and counts */
    while (kept < disk->now.entries_count && disk->now.entries[kept].term <= head->term)
        kept++;
    disk_cut(disk, kept);
    disk->now.term = head->term;
    disk->now.vote = head->vote;
    disk->now.commit = head->commit;
    disk->now.is_wounded = head->is_wounded;
    disk->heads_count = 0;
    return true;
}

/* Reads the log back, up to what does not read; what that is follows from where it stands and from
 * what was known to be synced. */
void raft_disk_read(struct raft_host *host, enum raft_unread unread)
{
    struct raft_disk *disk = &host->disk;
    struct raft_world *world = host->world;
    uint64_t last = disk_last(disk), bad = disk->is_torn ? last + 1 : 0;

    if (unread == RAFT_UNREAD_ENTRY && disk->now.entries_count > 0) {
        bad = disk->now.entries[rng_below(&world->rng_disk, disk->now.entries_count)].index;
        if (rng_below(&world->rng_disk, 2) == 0) bad = last; /* where it looks like a torn one */
    }
    if (bad != 0) disk->now.damage = raft_damage_judge(bad, disk->synced + 1, bad < last);
    if (bad != 0 && bad <= last) disk_cut(disk, (uint32_t)(bad - disk->now.entries[0].index));
    if (unread == RAFT_UNREAD_HEAD && disk_lose_head(host)) disk->now.damage = RAFT_DAMAGE_CORRUPT;
    if (disk->now.damage == RAFT_DAMAGE_CORRUPT) world->stats.corruptions++;
    if (disk->now.damage == RAFT_DAMAGE_TORN) {
        MN_PROBE("raftsim: a torn record is cut off");
        disk->now.damage = RAFT_DAMAGE_NONE;
    }
    disk->is_torn = false;
    disk->synced = disk_last(disk); /* it is synced before it is used */
    disk->is_head_synced = true;
}

/* Takes back what it said was durable. */
static void disk_lie(struct raft_host *host)
{
    uint32_t lost = rng_below(&host->world->rng_disk, 4), count = host->disk.now.entries_count;

    disk_cut(&host->disk, count > lost ? count - lost : 0);
}

/* Of what was not synced, the oldest writes may have reached the disk. */
void raft_disk_crash(struct raft_host *host)
{
    struct raft_world *world = host->world;
    uint32_t count = 0, kept;

    MN_LIST_FOR_EACH (entry, &host->disk.pending) {
        count++;
    }
    kept = rng_below(&world->rng_disk, 2) == 0 ? 0 : rng_below(&world->rng_disk, count + 1);
    while (!mn_list_is_empty(&host->disk.pending)) {
        struct raft_write *write = MN_CONTAINER(host->disk.pending.next, struct raft_write, list);
        if (kept == 1 && raft_plan_tears(world)) host->disk.is_torn = write_tear(world, write);
        if (kept > 0) disk_apply(&host->disk, write);
        kept -= kept > 0;
        write_free(write);
    }
    host->disk.is_busy = false;
    if (world->options.has_lying_disks) disk_lie(host);
}

void raft_disk_done(struct raft_disk *disk)
{
    disk_cut(disk, 0);
    mn_free(disk_entries(disk));
    mn_buf_unref(disk->now.snapshot.data);
}
