#include "tests/seglog/disk.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/crc.h"

#define PAST_MAX 100000u

void disk_init(struct disk *disk, uint64_t seed)
{
    uint8_t bytes[RNG_SEED_SIZE] = {0};

    memset(disk, 0, sizeof *disk);
    mn_store_u64(bytes, seed);
    rng_init(&disk->rng, bytes);
    disk->slots_max = 8;
    for (uint32_t i = 0; i < DISK_GROUPS; i++)
        disk->past[i] = mn_alloc(PAST_MAX * sizeof *disk->past[i]);
}

void disk_done(struct disk *disk)
{
    disk_stop(disk);
    for (uint32_t i = 0; i < DISK_SLOTS; i++) {
        mn_free(disk->files[i].synced);
        mn_free(disk->files[i].cached);
    }
    for (uint32_t i = 0; i < DISK_GROUPS; i++)
        mn_free(disk->past[i]);
    mn_arena_done(&disk->arena);
}

/* ---- files ---- */

static void file_write(struct disk_file *file, uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    ck_assert_uint_le(offset + size, DISK_SEGMENT);
    memcpy(file->cached + offset, bytes, size);
    for (uint32_t s = offset / 512; s <= (offset + size - 1) / 512; s++)
        file->dirty[s] = true;
}

static void file_sync(struct disk_file *file)
{
    for (uint32_t s = 0; s < DISK_SEGMENT / 512; s++)
        if (file->dirty[s]) {
            memcpy(file->synced + s * 512, file->cached + s * 512, 512);
            file->dirty[s] = false;
        }
}

static void file_crash(struct disk *disk, struct disk_file *file)
{
    for (uint32_t s = 0; s < DISK_SEGMENT / 512; s++)
        if (file->dirty[s]) {
            if (rng_below(&disk->rng, 2) == 0)
                memcpy(file->synced + s * 512, file->cached + s * 512, 512);
            file->dirty[s] = false;
        }
    memcpy(file->cached, file->synced, DISK_SEGMENT);
}

/* ---- the model ---- */

uint64_t disk_hash(const struct disk_group *group)
{
    uint64_t hash = 0xcbf29ce484222325U;
#define MIX(value) hash = (hash ^ (uint64_t)(value)) * 0x100000001b3U
    if (!group->exists) return 0;
    MIX(group->term);
    MIX(group->commit);
    MIX(group->is_wounded);
    MIX(group->has_snapshot ? group->snapshot_index + 1 : 0);
    MIX(group->snapshot_term);
    for (uint32_t i = 0; i < group->snapshot_size; i++)
        MIX((uint8_t)group->snapshot[i]);
    for (uint64_t index = group->snapshot_index + 1; index <= group->last; index++) {
        MIX(group->terms[index % DISK_ENTRIES]);
        MIX(group->values[index % DISK_ENTRIES]);
        MIX(group->sizes[index % DISK_ENTRIES]);
    }
#undef MIX
    return hash;
}

static void model_wrote(struct disk *disk, uint32_t g)
{
    ck_assert_uint_lt(disk->past_count[g], PAST_MAX);
    disk->past[g][disk->past_count[g]++] =
        (struct disk_past){disk->write, disk_hash(&disk->groups[g])};
}

bool disk_is_right(const struct disk *disk, uint32_t g)
{
    uint64_t hash = disk_hash(&disk->groups[g]);

    for (uint32_t i = disk->past_count[g]; i > 0; i--) {
        if (disk->past[g][i - 1].hash == hash) return true;
        if (disk->past[g][i - 1].write <= disk->durable) return false;
    }
    return hash == 0;
}

void disk_accept(struct disk *disk)
{
    disk->durable = ++disk->write;
    for (uint32_t g = 0; g < DISK_GROUPS; g++)
        model_wrote(disk, g);
}

static void append(struct disk *disk, uint32_t g, struct edge_log *log)
{
    struct disk_group *group = &disk->groups[g];

    log->group = g + 1;
    group->exists = !log->is_end;
    if (log->is_end) *group = (struct disk_group){0};
    log->term = group->term;
    log->commit = group->commit;
    log->is_wounded = group->is_wounded;
    log->vote.bytes[0] = (uint8_t)group->term;
    segcore_append(disk->core, ++disk->write, log);
    segcore_check(disk->core);
    model_wrote(disk, g);
    mn_arena_reset(&disk->arena);
}

static void add_entries(struct disk *disk, uint32_t g, struct edge_log *log, uint64_t first,
                        uint32_t count, uint32_t size)
{
    struct disk_group *group = &disk->groups[g];
    struct edge_log_entry *entries = mn_arena_alloc(&disk->arena, count * sizeof *entries);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = first + i;
        uint8_t value = (uint8_t)rng_u32(&disk->rng),
                *data = mn_arena_alloc(&disk->arena, size + 1);
        memset(data, value, size);
        entries[i] = (struct edge_log_entry){index, group->term, 1, mn_span(data, size)};
        group->terms[index % DISK_ENTRIES] = group->term;
        group->values[index % DISK_ENTRIES] = size == 0 ? 0 : value;
        group->sizes[index % DISK_ENTRIES] = (uint16_t)size;
    }
    if (count > 0) group->last = first + count - 1;
    log->entries = entries;
    log->entries_count = count;
}

void disk_put(struct disk *disk, uint32_t g, uint32_t count, uint32_t size)
{
    struct edge_log log = {0};

    add_entries(disk, g, &log, disk->groups[g].last + 1, count, size);
    append(disk, g, &log);
}

static void snapshot_at(struct disk *disk, uint32_t g, struct edge_log *log, uint64_t index)
{
    struct disk_group *group = &disk->groups[g];
    struct edge_log_snapshot *snapshot = mn_arena_alloc(&disk->arena, sizeof *snapshot);

    group->has_snapshot = true;
    group->snapshot_index = index;
    group->snapshot_term = group->term;
    group->snapshot_size = rng_below(&disk->rng, sizeof group->snapshot);
    memset(group->snapshot, (int)rng_below(&disk->rng, 255), group->snapshot_size);
    if (group->last < index) group->last = index;
    disk->ahead[g].is_on = false; /* the log lets go of its pieces */
    *snapshot = (struct edge_log_snapshot){
        .index = index,
        .term = group->term,
        .config = mn_span_str("config"),
        .data = mn_arena_copy(&disk->arena, mn_span(group->snapshot, group->snapshot_size))};
    log->snapshot = snapshot;
}

void disk_snapshot(struct disk *disk, uint32_t g)
{
    struct edge_log log = {0};

    snapshot_at(disk, g, &log, disk->groups[g].last);
    append(disk, g, &log);
}

/* Values of its own for each byte, so that a piece in the wrong place shows. */
void disk_piece(struct disk *disk, uint32_t g, uint32_t size)
{
    struct disk_ahead *ahead = &disk->ahead[g];
    struct edge_log log = {.is_piece = true};

    if (!ahead->is_on) {
        log.is_first = true;
        *ahead = (struct disk_ahead){
            .is_on = true, .index = disk->groups[g].last, .term = disk->groups[g].term};
    }
    for (uint32_t i = ahead->size; i < ahead->size + size; i++)
        ahead->bytes[i] = (char)rng_u32(&disk->rng);
    log.piece = mn_span(ahead->bytes + ahead->size, size);
    ahead->crc = mn_crc32c(ahead->crc, log.piece);
    ahead->size += size;
    append(disk, g, &log);
}

void disk_ahead_end(struct disk *disk, uint32_t g)
{
    struct disk_group *group = &disk->groups[g];
    struct disk_ahead *ahead = &disk->ahead[g];
    struct edge_log_snapshot snapshot = {.index = ahead->index,
                                         .term = ahead->term,
                                         .config = mn_span_str("config"),
                                         .is_ahead = true,
                                         .ahead_size = ahead->size,
                                         .ahead_crc = ahead->crc};
    struct edge_log log = {.snapshot = &snapshot};

    if (!ahead->is_on || ahead->index < group->snapshot_index || ahead->index > group->last) return;
    ahead->is_on = false;
    disk->aheads++;
    group->has_snapshot = true;
    group->snapshot_index = ahead->index;
    group->snapshot_term = ahead->term;
    group->snapshot_size = ahead->size;
    memcpy(group->snapshot, ahead->bytes, ahead->size);
    append(disk, g, &log);
}

void disk_end(struct disk *disk, uint32_t g)
{
    disk->ahead[g].is_on = false;
    append(disk, g, &(struct edge_log){.is_end = true});
}

/* Begins, goes on with, gives up or ends a snapshot in pieces. */
static void do_ahead(struct disk *disk, uint32_t g)
{
    struct disk_ahead *ahead = &disk->ahead[g];

    if (ahead->size <= 1500 && rng_below(&disk->rng, 4) > 0)
        disk_piece(disk, g, 1 + rng_below(&disk->rng, 500));
    else if (rng_below(&disk->rng, 8) > 0)
        disk_ahead_end(disk, g);
    if (ahead->size > 1500) ahead->is_on = false;
}

void disk_do(struct disk *disk)
{
    uint32_t g = rng_below(&disk->rng, DISK_GROUPS), what = rng_below(&disk->rng, 100);
    struct disk_group *group = &disk->groups[g];
    uint64_t open = group->last - group->snapshot_index, first = group->last + 1;
    struct edge_log log = {0};

    if (group->exists && rng_below(&disk->rng, 4) == 0) {
        do_ahead(disk, g);
        return;
    }
    if (what < 10) group->term++;
    if (what < 15) group->is_wounded = !group->is_wounded;
    group->commit = group->snapshot_index;
    if (what == 99) {
        disk_end(disk, g);
        return;
    }
    if (what < 30 || open > DISK_ENTRIES - 16)
        snapshot_at(disk, g, &log, group->snapshot_index + rng_below_u64(&disk->rng, open + 1));
    if (what == 30) { /* from a leader, over a log that does not match */
        log.is_reset = true;
        group->last = 0;
        snapshot_at(disk, g, &log, group->snapshot_index + 20);
    }
    if (what > 20 && what < 95) {
        open = group->last - group->snapshot_index;
        if (what > 85) first = group->snapshot_index + 1 + rng_below_u64(&disk->rng, open + 1);
        if (first > group->last + 1 || what == 30) first = group->last + 1;
        add_entries(disk, g, &log, first, 1 + rng_below(&disk->rng, 4),
                    rng_below(&disk->rng, rng_below(&disk->rng, 8) == 0 ? 2000 : 200));
    }
    append(disk, g, &log);
}

/* ---- the log ---- */

static void add_slot(struct disk *disk)
{
    for (uint32_t i = 0; i < disk->slots_max; i++) {
        if (disk->files[i].cached != NULL) continue;
        disk->files[i].cached = mn_alloc(DISK_SEGMENT);
        disk->files[i].synced = mn_alloc(DISK_SEGMENT);
        segcore_add_slot(disk->core, i);
        return;
    }
    ck_abort_msg("no slot left");
}

static void write_batch(struct disk *disk, struct segcore_batch *batch, bool is_synced)
{
    uint32_t synced[DISK_SLOTS] = {0};

    for (uint32_t i = 0; i < batch->pieces_count; i++) {
        struct segcore_piece *piece = &batch->pieces[i];
        struct disk_file *file = &disk->files[piece->slot];
        bool is_last = i + 1 == batch->pieces_count;
        if (synced[piece->slot] == 0) synced[piece->slot] = piece->offset;
        segcore_stamp(batch, i, synced[piece->slot]);
        file_write(file, piece->offset, piece->bytes, piece->size);
        if (is_last ? !is_synced : piece->kind == SEGCORE_FRAMES) continue;
        disk->syncs++;
        file_sync(file);
        synced[piece->slot] = 0;
    }
}

bool disk_commit(struct disk *disk)
{
    struct segcore_batch batch;

    if (segcore_wants_slot(disk->core)) add_slot(disk);
    if (!segcore_commit(disk->core, &batch)) return false;
    write_batch(disk, &batch, true);
    if (batch.write > disk->durable) disk->durable = batch.write;
    segcore_durable(disk->core, &batch);
    segcore_check(disk->core);
    return true;
}

void disk_commit_torn(struct disk *disk)
{
    struct segcore_batch batch;

    if (segcore_wants_slot(disk->core)) add_slot(disk);
    if (!segcore_commit(disk->core, &batch)) return;
    write_batch(disk, &batch, false);
    segcore_batch_done(&batch);
}

void disk_clean(struct disk *disk)
{
    uint32_t slot;

    if (!segcore_clean_begin(disk->core, &slot)) return;
    disk->cleans++;
    ck_assert_int_eq(segcore_clean(disk->core, mn_span(disk->files[slot].cached, DISK_SEGMENT)),
                     MN_OK);
}

void disk_stop(struct disk *disk)
{
    segcore_free(disk->core);
    disk->core = NULL;
    for (uint32_t i = 0; i < DISK_SLOTS; i++)
        if (disk->files[i].cached != NULL) file_sync(&disk->files[i]);
}

void disk_crash(struct disk *disk)
{
    segcore_free(disk->core);
    disk->core = NULL;
    for (uint32_t i = 0; i < DISK_SLOTS; i++)
        if (disk->files[i].cached != NULL) file_crash(disk, &disk->files[i]);
}

static void take(struct disk *disk, const struct edge_log *log, enum edge_log_damage damage)
{
    struct disk_group *group;

    disk->given_count++;
    if (log->group == 0) {
        ck_assert_int_eq(damage, EDGE_LOG_CORRUPT);
        disk->has_lost_groups = true;
        return;
    }
    ck_assert_uint_le(log->group, DISK_GROUPS);
    group = &disk->groups[log->group - 1];
    if (damage != EDGE_LOG_SOUND) disk->damage[log->group - 1] = damage;
    group->exists = true;
    group->term = log->term;
    group->commit = log->commit;
    group->is_wounded = log->is_wounded;
    ck_assert_uint_eq(log->vote.bytes[0], (uint8_t)log->term);
    if (log->snapshot != NULL) {
        group->has_snapshot = true;
        group->snapshot_index = group->last = log->snapshot->index;
        group->snapshot_term = log->snapshot->term;
        group->snapshot_size = (uint32_t)log->snapshot->data.size;
        memcpy(group->snapshot, log->snapshot->data.data, group->snapshot_size);
        ck_assert(mn_span_is(log->snapshot->config, "config"));
    }
    for (uint32_t i = 0; i < log->entries_count; i++) {
        const struct edge_log_entry *entry = &log->entries[i];
        ck_assert_uint_eq(entry->index, group->last + 1);
        group->last = entry->index;
        group->terms[entry->index % DISK_ENTRIES] = entry->term;
        group->sizes[entry->index % DISK_ENTRIES] = (uint16_t)entry->data.size;
        group->values[entry->index % DISK_ENTRIES] = entry->data.size == 0 ? 0 : *entry->data.data;
    }
}

static void scan(struct disk *disk)
{
    bool is_bad[DISK_SLOTS] = {false};

    for (uint32_t i = 0; i < DISK_SLOTS; i++) {
        mn_status status;
        if (disk->files[i].cached == NULL) continue;
        status = segcore_scan(disk->core, i, mn_span(disk->files[i].cached, DISK_SEGMENT));
        is_bad[i] = status == MN_MALFORMED;
    }
    for (uint32_t i = 0; i < DISK_SLOTS; i++)
        if (is_bad[i]) {
            mn_status status =
                segcore_rescue(disk->core, i, mn_span(disk->files[i].cached, DISK_SEGMENT));
            ck_assert(status == MN_OK || status == MN_NOT_FOUND);
        }
    segcore_judge(disk->core);
    for (uint32_t i = 0; i < DISK_SLOTS; i++)
        if (disk->files[i].cached != NULL && segcore_needs(disk->core, i))
            segcore_load(disk->core, i, mn_span(disk->files[i].cached, DISK_SEGMENT));
}

void disk_start(struct disk *disk)
{
    const struct segcore_config config = {0, DISK_SEGMENT, disk->slots_max};
    enum edge_log_damage damage;
    struct segcore_clear clear;
    struct edge_log log;

    ck_assert_int_eq(segcore_new(&config, &disk->core), MN_OK);
    memset(disk->groups, 0, sizeof disk->groups);
    memset(disk->damage, 0, sizeof disk->damage);
    memset(disk->ahead, 0, sizeof disk->ahead); /* whoever wrote them is gone */
    disk->has_lost_groups = false;
    disk->given_count = 0;
    scan(disk);
    while (segcore_give(disk->core, &disk->arena, &log, &damage)) {
        take(disk, &log, damage);
        mn_arena_reset(&disk->arena);
    }
    clear = segcore_start(disk->core, rng_u64(&disk->rng));
    if (clear.size > 0) {
        uint8_t *zeros = mn_alloc(clear.size);
        file_write(&disk->files[clear.slot], clear.offset, zeros, clear.size);
        file_sync(&disk->files[clear.slot]);
        mn_free(zeros);
    }
    segcore_check(disk->core);
}
