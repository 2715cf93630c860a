/* Arbitrary changes to the files of a log that is read back. The input: u8 how many writes, then
 * triples u16 position, u8 value (the lowest bit: which of two files), put
 * over what was written; then all is read, and a log that goes on must be whole. */
#include <stdlib.h>

#include "node/seglog/segcore.h"
#include "proto/base/check.h"

#define SEGMENT ((uint32_t)64 << 10)
#define FILES 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t files[FILES][SEGMENT];

static struct segcore *make(void)
{
    const struct segcore_config config = {0, SEGMENT, 4};
    struct segcore *core;

    MN_ASSERT(segcore_new(&config, &core) == MN_OK);
    return core;
}

static void commit(struct segcore *core, uint32_t *slots)
{
    struct segcore_batch batch;

    while (segcore_wants_slot(core) && *slots < FILES)
        segcore_add_slot(core, (*slots)++);
    if (!segcore_commit(core, &batch)) return;
    for (uint32_t i = 0; i < batch.pieces_count; i++) {
        const struct segcore_piece *piece = &batch.pieces[i];
        segcore_stamp(&batch, i, piece->offset);
        memcpy(files[piece->slot] + piece->offset, piece->bytes, piece->size);
    }
    segcore_durable(core, &batch);
}

static void write_some(struct segcore *core, uint32_t count, uint32_t *slots)
{
    uint8_t value[700] = {0};

    for (uint32_t i = 0; i < count; i++) {
        struct edge_log_entry entry = {i / 3 + 1, 1, 1, mn_span(value, (i * 37) % sizeof value)};
        struct edge_log_snapshot snapshot = {
            .index = i / 3, .term = 1, .config = mn_span_str("c"), .data = mn_span(value, 300)};
        struct edge_log piece = {.group = 2, .is_piece = true, .piece = mn_span(value, 400)};
        struct edge_log log = {.group = i % 3 + 1, .term = 1, .entries = &entry};
        log.entries_count = 1;
        if (i % 20 == 19) log.snapshot = &snapshot;
        piece.is_first = i % 30 == 3;
        if (i % 10 == 3) segcore_append(core, 2 * i + 1, &piece);
        segcore_append(core, 2 * i + 2, &log);
        commit(core, slots);
    }
}

static void read_back(struct segcore *core)
{
    enum edge_log_damage damage;
    struct mn_arena arena = {0};
    mn_status status[FILES];
    struct edge_log log;

    for (uint32_t i = 0; i < FILES; i++)
        status[i] = segcore_scan(core, i, mn_span(files[i], SEGMENT));
    for (uint32_t i = 0; i < FILES; i++)
        if (status[i] == MN_MALFORMED)
            status[i] = segcore_rescue(core, i, mn_span(files[i], SEGMENT));
    segcore_judge(core);
    for (uint32_t i = 0; i < FILES; i++)
        if (segcore_needs(core, i)) segcore_load(core, i, mn_span(files[i], SEGMENT));
    while (segcore_give(core, &arena, &log, &damage)) {
        for (uint32_t i = 1; i < log.entries_count; i++)
            MN_ASSERT(log.entries[i].index == log.entries[i - 1].index + 1);
        mn_arena_reset(&arena);
    }
    mn_arena_done(&arena);
    segcore_check(core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segcore *core;
    struct segcore_clear clear;
    uint32_t slots = 0;

    if (size == 0) return 0;
    memset(files, 0, sizeof files);
    core = make();
    clear = segcore_start(core, 5);
    MN_ASSERT(clear.size == 0);
    write_some(core, data[0], &slots);
    segcore_free(core);
    for (size_t at = 1; at + 3 <= size; at += 3) {
        uint32_t position = (uint32_t)(data[at] << 8 | data[at + 1]);
        files[position & 1][(position >> 1) * 2 % SEGMENT] = data[at + 2];
    }
    core = make();
    read_back(core);
    clear = segcore_start(core, 5);
    if (clear.size > 0) memset(files[clear.slot] + clear.offset, 0, clear.size);
    slots = FILES;
    segcore_append(core, 1, &(struct edge_log){.group = 9, .term = 1});
    commit(core, &slots);
    segcore_check(core);
    segcore_free(core);
    return 0;
}
