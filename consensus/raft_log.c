/* Entries in memory: a growing array whose front moves when the log is compacted. */
#include "consensus/raft_internal.h"

#include <string.h>

#include "proto/base/check.h"

void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term)
{
    *log = (struct raft_log){.base_index = base_index, .base_term = base_term};
    log->synced = log->saved = base_index;
}

void raft_log_done(struct raft_log *log)
{
    for (uint32_t i = 0; i < log->count; i++)
        mn_buf_unref(log->slots[log->start + i].data);
    mn_free(log->slots);
    log->slots = NULL;
    log->start = log->count = log->capacity = 0;
}

uint64_t raft_log_last(const struct raft_log *log)
{
    return log->base_index + log->count;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
    return log->count == 0 ? log->base_term : log->slots[log->start + log->count - 1].term;
}

const struct raft_slot *raft_log_slot(const struct raft_log *log, uint64_t index)
{
    MN_ASSERT(index > log->base_index && index <= raft_log_last(log));
    return &log->slots[log->start + (index - log->base_index - 1)];
}

bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *ret)
{
    if (index < log->base_index || index > raft_log_last(log)) return false;
    *ret = index == log->base_index ? log->base_term : raft_log_slot(log, index)->term;
    return true;
}

bool raft_log_matches(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t own;

    return raft_log_term(log, index, &own) && own == term;
}

uint64_t raft_log_end(const struct raft_log *log, uint64_t index)
{
    if (index <= log->base_index) return log->base_end;
    return raft_log_slot(log, index)->end;
}

/* Room for one more at the end: the front is moved down before memory is taken. */
static void raft_log_make_room(struct raft_log *log)
{
    if (log->start + log->count < log->capacity) return;
    if (log->start > log->capacity / 2) {
        memmove(log->slots, log->slots + log->start, log->count * sizeof *log->slots);
        log->start = 0;
        return;
    }
    log->capacity = log->capacity == 0 ? 16 : 2 * log->capacity;
    log->slots = mn_realloc(log->slots, log->capacity * sizeof *log->slots);
}

void raft_log_append(struct raft_log *log, uint64_t term, enum raft_entry_kind kind,
                     struct mn_buf *data)
{
    uint64_t end = raft_log_end(log, raft_log_last(log));

    MN_ASSERT(term >= raft_log_last_term(log));
    raft_log_make_room(log);
    log->slots[log->start + log->count] =
        (struct raft_slot){.term = term, .end = end + data->size, .kind = kind, .data = data};
    log->count++;
}

void raft_log_truncate(struct raft_log *log, uint64_t from)
{
    MN_ASSERT(from > log->base_index && from <= raft_log_last(log));
    while (raft_log_last(log) >= from) {
        log->count--;
        mn_buf_unref(log->slots[log->start + log->count].data);
    }
    log->generation++;
    if (log->synced >= from) log->synced = from - 1;
    if (log->saved >= from) log->saved = from - 1;
}

void raft_log_compact(struct raft_log *log, uint64_t upto)
{
    MN_ASSERT(upto <= raft_log_last(log));
    while (log->base_index < upto) {
        struct raft_slot *slot = &log->slots[log->start];
        log->base_index++;
        log->base_term = slot->term;
        log->base_end = slot->end;
        mn_buf_unref(slot->data);
        log->start++;
        log->count--;
    }
    if (log->saved < log->base_index) log->saved = log->base_index;
}

void raft_log_reset(struct raft_log *log, uint64_t base_index, uint64_t base_term)
{
    uint64_t generation = log->generation + 1;

    raft_log_done(log);
    raft_log_init(log, base_index, base_term);
    log->generation = generation;
    log->synced = 0; /* not even the snapshot below it is durable yet */
}

uint64_t raft_log_find(const struct raft_log *log, uint64_t index, uint64_t term)
{
    if (index > raft_log_last(log)) index = raft_log_last(log);
    while (index > log->base_index && raft_log_slot(log, index)->term > term)
        index--;
    return index < log->base_index ? log->base_index : index;
}

struct raft_entry *raft_log_copy(const struct raft_log *log, uint64_t from, uint64_t upto,
                                 size_t size, struct mn_arena *arena, uint32_t *ret_count)
{
    uint64_t begin = raft_log_end(log, from - 1);
    struct raft_entry *entries;
    uint32_t count = 0, most;

    *ret_count = 0;
    if (from > upto) return NULL;
    most = (uint32_t)(upto - from + 1);
    entries = mn_arena_alloc(arena, most * sizeof *entries);
    while (count < most) {
        const struct raft_slot *slot = raft_log_slot(log, from + count);
        if (count > 0 && slot->end - begin > size) break;
        entries[count] = (struct raft_entry){.index = from + count,
                                             .term = slot->term,
                                             .kind = slot->kind,
                                             .data = mn_buf_span(slot->data),
                                             .buf = slot->data};
        count++;
    }
    *ret_count = count;
    return entries;
}
