#include "sim/common/vlog.h"

#include "proto/base/check.h"

#define SECTOR 512u
#define SECTORS (VLOG_SEGMENT / SECTOR)

struct vlog_file {
    uint8_t synced[VLOG_SEGMENT], cached[VLOG_SEGMENT];
    bool is_dirty[SECTORS];
};

void vlog_init(struct vlog *vlog, struct rng *rng)
{
    *vlog = (struct vlog){.rng = rng};
}

static void vlog_forget(struct vlog *vlog)
{
    segcore_batch_done(&vlog->batch);
    vlog->is_writing = false;
    segcore_free(vlog->core);
    vlog->core = NULL;
}

void vlog_wipe(struct vlog *vlog)
{
    vlog_forget(vlog);
    for (uint32_t i = 0; i < VLOG_FILES; i++) {
        mn_free(vlog->files[i]);
        vlog->files[i] = NULL;
    }
}

/* ---- files ---- */

static struct mn_span vlog_bytes(const struct vlog *vlog, uint32_t slot)
{
    return mn_span(vlog->files[slot]->cached, VLOG_SEGMENT);
}

static void vlog_put(struct vlog_file *file, uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    memcpy(file->cached + offset, bytes, size);
    for (uint32_t s = offset / SECTOR; s <= (offset + size - 1) / SECTOR; s++)
        file->is_dirty[s] = true;
}

/* [keeps]: of 256 dirty sectors so many are kept; 256: a sync. */
static void vlog_settle(struct vlog *vlog, struct vlog_file *file, uint32_t keeps)
{
    for (uint32_t s = 0; s < SECTORS; s++) {
        size_t at = (size_t)s * SECTOR;
        if (!file->is_dirty[s]) continue;
        file->is_dirty[s] = false;
        if (keeps >= 256 || rng_below(vlog->rng, 256) < keeps)
            memcpy(file->synced + at, file->cached + at, SECTOR);
        else
            memcpy(file->cached + at, file->synced + at, SECTOR);
    }
}

/* ---- start ---- */

void vlog_start(struct vlog *vlog,
                void (*give)(void *context, const struct edge_log *log,
                             enum edge_log_damage damage),
                void *context)
{
    const struct segcore_config config = {0, VLOG_SEGMENT, VLOG_FILES};
    mn_status status = segcore_new(&config, &vlog->core);
    enum edge_log_damage damage;
    struct mn_arena arena = {0};
    struct segcore_clear clear;
    struct edge_log log;

    MN_ASSERT(status == MN_OK && !vlog->is_writing);
    for (uint32_t i = 0; i < VLOG_FILES; i++)
        if (vlog->files[i] != NULL) status = segcore_scan(vlog->core, i, vlog_bytes(vlog, i));
    for (uint32_t i = 0; i < VLOG_FILES; i++)
        if (vlog->files[i] != NULL && segcore_is_unreadable(vlog->core, i))
            status = segcore_rescue(vlog->core, i, vlog_bytes(vlog, i));
    (void)status; /* of the last file; what it means is judged from all of them */
    segcore_judge(vlog->core);
    for (uint32_t i = 0; i < VLOG_FILES; i++)
        if (vlog->files[i] != NULL && segcore_needs(vlog->core, i))
            segcore_load(vlog->core, i, vlog_bytes(vlog, i));
    while (segcore_give(vlog->core, &arena, &log, &damage)) {
        give(context, &log, damage);
        mn_arena_reset(&arena);
    }
    mn_arena_done(&arena);
    clear = segcore_start(vlog->core, rng_u64(vlog->rng) | 1);
    if (clear.size == 0) return;
    MN_PROBE("sim: a torn tail of the log is cleared");
    memset(vlog->files[clear.slot]->cached + clear.offset, 0, clear.size);
    memset(vlog->files[clear.slot]->synced + clear.offset, 0, clear.size);
}

/* ---- writing ---- */

void vlog_append(struct vlog *vlog, uint64_t write, const struct edge_log *log)
{
    segcore_append(vlog->core, write, log);
}

static void vlog_provide(struct vlog *vlog)
{
    if (vlog->is_full || !segcore_wants_slot(vlog->core)) return;
    for (uint32_t i = 0; i < VLOG_FILES; i++) {
        if (vlog->files[i] != NULL) continue;
        vlog->files[i] = mn_alloc(sizeof *vlog->files[i]);
        segcore_add_slot(vlog->core, i);
        return;
    }
}

bool vlog_write(struct vlog *vlog)
{
    uint32_t begun[VLOG_FILES] = {0}; /* where the unsynced part of a file begins */

    if (vlog->is_writing || !segcore_is_waiting(vlog->core)) return false;
    vlog_provide(vlog);
    if (!segcore_commit(vlog->core, &vlog->batch)) return false;
    for (uint32_t i = 0; i < vlog->batch.pieces_count; i++) {
        const struct segcore_piece *piece = &vlog->batch.pieces[i];
        if (begun[piece->slot] == 0) begun[piece->slot] = piece->offset;
        segcore_stamp(&vlog->batch, i, begun[piece->slot]);
        vlog_put(vlog->files[piece->slot], piece->offset, piece->bytes, piece->size);
        if (piece->kind == SEGCORE_FRAMES) continue;
        vlog_settle(vlog, vlog->files[piece->slot], 256);
        begun[piece->slot] = 0;
    }
    vlog->is_writing = true;
    return true;
}

uint64_t vlog_synced(struct vlog *vlog)
{
    uint64_t write = vlog->batch.write;

    MN_ASSERT(vlog->is_writing);
    for (uint32_t i = 0; i < VLOG_FILES; i++)
        if (vlog->files[i] != NULL) vlog_settle(vlog, vlog->files[i], 256);
    segcore_durable(vlog->core, &vlog->batch);
    vlog->is_writing = false;
    return write;
}

void vlog_clean(struct vlog *vlog)
{
    uint32_t slot;

    if (!segcore_clean_begin(vlog->core, &slot)) return;
    mn_status status = segcore_clean(vlog->core, vlog_bytes(vlog, slot));
    MN_ASSERT(status == MN_OK); /* nothing rots while the host runs */
}

/* ---- ends ---- */

void vlog_crash(struct vlog *vlog)
{
    uint32_t keeps = rng_below(vlog->rng, 257);

    if (vlog->core == NULL) return;
    vlog_forget(vlog);
    for (uint32_t i = 0; i < VLOG_FILES; i++)
        if (vlog->files[i] != NULL) vlog_settle(vlog, vlog->files[i], keeps);
}

void vlog_close(struct vlog *vlog)
{
    if (vlog->core == NULL) return;
    if (vlog->is_writing) vlog_synced(vlog);
    while (vlog_write(vlog))
        vlog_synced(vlog);
    segcore_mark(vlog->core);
    if (vlog_write(vlog)) vlog_synced(vlog);
    vlog_forget(vlog);
}

bool vlog_rot(struct vlog *vlog)
{
    uint32_t first = rng_below(vlog->rng, VLOG_FILES);

    MN_ASSERT(vlog->core == NULL);
    for (uint32_t k = 0; k < VLOG_FILES; k++) {
        struct vlog_file *file = vlog->files[(first + k) % VLOG_FILES];
        uint32_t at;
        if (file == NULL) continue;
        at = rng_below(vlog->rng, rng_below(vlog->rng, 4) == 0 ? 64 : VLOG_SEGMENT);
        for (uint32_t i = 0; i < VLOG_SEGMENT && file->synced[at] == 0; i++)
            at = (at + 1) % VLOG_SEGMENT; /* where something was written */
        file->synced[at] ^= (uint8_t)(1u << rng_below(vlog->rng, 8));
        file->cached[at] = file->synced[at];
        return true;
    }
    return false;
}
