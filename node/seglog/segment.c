#include "node/seglog/segment.h"

#include "proto/base/check.h"
#include "proto/base/crc.h"

#define MAGIC "mnlog-1\n"
#define HEADER_FIXED 48u /* bytes before the list of segments in use */
#define HEADER_ROW 12u
#define DATA_FIXED 48u
#define DATA_SNAPSHOT 40u
#define DATA_ENTRY 16u

enum { FLAG_WOUNDED = 1, FLAG_RESET = 2, FLAG_SNAPSHOT = 4, FLAG_SNAPSHOT_DATA = 8 };

_Static_assert(HEADER_FIXED + SEGMENT_USED_MAX * HEADER_ROW <= SEGMENT_HEADER_SIZE, "fits");
_Static_assert(SEGMENT_BODY_MAX >= DATA_FIXED + DATA_SNAPSHOT + EDGE_LOG_CONFIG_MAX + DATA_ENTRY +
                                       EDGE_LOG_ENTRY_MAX - 64,
               "an entry fits with a snapshot's configuration");

/* ---- header: 0 magic, 8 crc of the rest, 12 size, 16 log id, 24 sequence, 32 used_count ---- */

void segment_header_encode(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_SIZE])
{
    MN_ASSERT(header->used_count <= SEGMENT_USED_MAX);
    memset(to, 0, SEGMENT_HEADER_SIZE);
    memcpy(to, MAGIC, 8);
    mn_store_u32(to + 12, header->size);
    mn_store_u64(to + 16, header->log_id);
    mn_store_u64(to + 24, header->sequence);
    mn_store_u32(to + 32, header->used_count);
    for (uint32_t i = 0; i < header->used_count; i++) {
        mn_store_u32(to + HEADER_FIXED + i * HEADER_ROW, header->used[i].slot);
        mn_store_u64(to + HEADER_FIXED + i * HEADER_ROW + 4, header->used[i].sequence);
    }
    mn_store_u32(to + 8, mn_crc32c(0, mn_span(to + 12, SEGMENT_HEADER_SIZE - 12)));
}

mn_status segment_header_decode(struct mn_span bytes, struct segment_header *ret)
{
    const uint8_t *from = bytes.data;

    if (bytes.size < SEGMENT_HEADER_SIZE || memcmp(from, MAGIC, 8) != 0) return MN_MALFORMED;
    if (mn_load_u32(from + 8) != mn_crc32c(0, mn_span(from + 12, SEGMENT_HEADER_SIZE - 12)))
        return MN_MALFORMED;
    *ret = (struct segment_header){.size = mn_load_u32(from + 12),
                                   .log_id = mn_load_u64(from + 16),
                                   .sequence = mn_load_u64(from + 24),
                                   .used_count = mn_load_u32(from + 32)};
    if (ret->sequence == 0 || ret->used_count > SEGMENT_USED_MAX) return MN_MALFORMED;
    if (ret->size < SEGMENT_SIZE_MIN || ret->size > SEGMENT_SIZE_MAX) return MN_MALFORMED;
    for (uint32_t i = 0; i < ret->used_count; i++) {
        ret->used[i].slot = mn_load_u32(from + HEADER_FIXED + i * HEADER_ROW);
        ret->used[i].sequence = mn_load_u64(from + HEADER_FIXED + i * HEADER_ROW + 4);
    }
    return MN_OK;
}

/* ---- frames ---- */

void segment_frame_write(uint8_t *to, const struct segment_frame *frame, size_t body_size)
{
    uint32_t size = segment_frame_size(body_size);

    memset(to, 0, SEGMENT_FRAME_SIZE);
    memset(to + SEGMENT_FRAME_SIZE + body_size, 0, size - SEGMENT_FRAME_SIZE - body_size);
    mn_store_u32(to + 4, mn_crc32c(0, mn_span(to + SEGMENT_FRAME_SIZE, body_size)));
    mn_store_u64(to + 24, frame->group);
    mn_store_u64(to + 32, frame->number);
    mn_store_u64(to + 40, frame->last);
    mn_store_u32(to + 48, (uint32_t)body_size);
    to[52] = (uint8_t)frame->type;
    to[53] = frame->is_copy;
    mn_store_u64(to + 56, frame->first);
}

static uint32_t segment_frame_crc(const uint8_t *frame, uint64_t log_id)
{
    return mn_crc32c((uint32_t)(log_id >> 32 ^ log_id), mn_span(frame + 4, SEGMENT_FRAME_SIZE - 4));
}

void segment_frame_place(uint8_t *frame, struct segment_use use, uint32_t offset, uint32_t synced)
{
    mn_store_u64(frame + 8, use.sequence);
    mn_store_u32(frame + 16, offset);
    mn_store_u32(frame + 20, synced);
    mn_store_u32(frame, segment_frame_crc(frame, use.log_id));
}

uint32_t segment_frame_length(const uint8_t *frame)
{
    return segment_frame_size(mn_load_u32(frame + 48));
}

static bool segment_frame_is_valid(const struct segment_frame *frame, size_t body_size, size_t room)
{
    bool has_group =
        frame->type == SEGMENT_DATA || frame->type == SEGMENT_CHUNK || frame->type == SEGMENT_END;

    if (frame->type < SEGMENT_DATA || frame->type > SEGMENT_FOOTER) return false;
    if ((frame->group != 0) != has_group || (frame->number != 0) != has_group) return false;
    if (frame->type != SEGMENT_FOOTER && body_size > SEGMENT_BODY_MAX) return false;
    if (frame->synced > frame->offset || frame->synced < SEGMENT_HEADER_SIZE) return false;
    if (frame->first != 0 && (frame->type != SEGMENT_DATA || frame->first > frame->last))
        return false;
    return body_size <= room - SEGMENT_FRAME_SIZE && segment_frame_size(body_size) <= room;
}

enum segment_find segment_frame_read(struct mn_span segment, struct segment_use use, size_t offset,
                                     struct segment_frame *ret)
{
    const uint8_t *from = segment.data + offset;
    size_t body_size;

    if (offset > segment.size || segment.size - offset < SEGMENT_FRAME_SIZE) return SEGMENT_NOTHING;
    if (mn_load_u64(from + 8) != use.sequence || mn_load_u32(from + 16) != offset)
        return SEGMENT_NOTHING;
    if (mn_load_u32(from) != segment_frame_crc(from, use.log_id)) return SEGMENT_NOTHING;
    body_size = mn_load_u32(from + 48);
    *ret = (struct segment_frame){.sequence = use.sequence,
                                  .offset = (uint32_t)offset,
                                  .synced = mn_load_u32(from + 20),
                                  .group = mn_load_u64(from + 24),
                                  .number = mn_load_u64(from + 32),
                                  .last = mn_load_u64(from + 40),
                                  .type = (enum segment_type)from[52],
                                  .is_copy = from[53] != 0,
                                  .first = mn_load_u64(from + 56),
                                  .size = segment_frame_size(body_size)};
    if (!segment_frame_is_valid(ret, body_size, segment.size - offset)) return SEGMENT_NOTHING;
    ret->body = mn_span(from + SEGMENT_FRAME_SIZE, body_size);
    if (mn_crc32c(0, ret->body) == mn_load_u32(from + 4)) return SEGMENT_GOOD;
    ret->body = mn_span(NULL, 0);
    return SEGMENT_HEAD;
}

/* ---- data: 0 term, 8 commit, 16 vote, 32 entries_count, 36 flags, 40 basis ---- */

static void segment_snapshot_encode(struct mn_writer *writer,
                                    const struct edge_log_snapshot *snapshot, uint64_t chunks)
{
    uint8_t *to = mn_writer_take(writer, DATA_SNAPSHOT);

    MN_ASSERT(snapshot->config.size <= EDGE_LOG_CONFIG_MAX);
    mn_store_u64(to, snapshot->index);
    mn_store_u64(to + 8, snapshot->term);
    mn_store_u64(to + 16, snapshot->is_ahead ? snapshot->ahead_size : snapshot->data.size);
    mn_store_u64(to + 24, chunks);
    mn_store_u32(to + 32, snapshot->is_ahead ? snapshot->ahead_crc : mn_crc32c(0, snapshot->data));
    mn_store_u32(to + 36, (uint32_t)snapshot->config.size);
    mn_writer_add(writer, snapshot->config);
}

void segment_data_encode(struct mn_writer *writer, const struct edge_log *log, bool is_first,
                         uint64_t chunks, uint32_t from, uint32_t count)
{
    const struct edge_log_snapshot *snapshot = is_first ? log->snapshot : NULL;
    bool has_data = snapshot != NULL && (snapshot->is_ahead || snapshot->data.data != NULL);
    uint8_t *to = mn_writer_take(writer, DATA_FIXED);

    memset(to, 0, DATA_FIXED);
    mn_store_u64(to, log->term);
    mn_store_u64(to + 8, log->commit);
    memcpy(to + 16, log->vote.bytes, 16);
    mn_store_u32(to + 32, count);
    to[36] =
        (uint8_t)((log->is_wounded ? FLAG_WOUNDED : 0) |
                  (is_first && log->is_reset ? FLAG_RESET : 0) |
                  (snapshot != NULL ? FLAG_SNAPSHOT : 0) | (has_data ? FLAG_SNAPSHOT_DATA : 0));
    if (snapshot != NULL) segment_snapshot_encode(writer, snapshot, chunks);
    for (uint32_t i = from; i < from + count; i++) {
        const struct edge_log_entry *entry = &log->entries[i];
        MN_ASSERT(entry->data.size <= EDGE_LOG_ENTRY_MAX && entry->kind > 0 && entry->kind < 256);
        to = mn_writer_take(writer, DATA_ENTRY);
        mn_store_u64(to, entry->term);
        mn_store_u32(to + 8, (uint32_t)entry->data.size);
        mn_store_u32(to + 12, entry->kind);
        mn_writer_add(writer, entry->data);
    }
}

void segment_data_seal(uint8_t *frame, uint64_t basis)
{
    uint8_t *body = frame + SEGMENT_FRAME_SIZE;

    mn_store_u64(body + 40, basis);
    mn_store_u32(frame + 4, mn_crc32c(0, mn_span(body, mn_load_u32(frame + 48))));
}

static mn_status segment_snapshot_decode(struct mn_span *rest, struct segment_data *ret)
{
    const uint8_t *from = rest->data;
    uint32_t config_size;

    if (rest->size < DATA_SNAPSHOT) return MN_MALFORMED;
    ret->snapshot.index = mn_load_u64(from);
    ret->snapshot.term = mn_load_u64(from + 8);
    ret->snapshot.size = mn_load_u64(from + 16);
    ret->snapshot.chunks = mn_load_u64(from + 24);
    ret->snapshot.crc = mn_load_u32(from + 32);
    config_size = mn_load_u32(from + 36);
    if (config_size > EDGE_LOG_CONFIG_MAX || config_size > rest->size - DATA_SNAPSHOT)
        return MN_MALFORMED;
    if (ret->snapshot.size > EDGE_LOG_SNAPSHOT_MAX) return MN_TOO_BIG;
    ret->snapshot.config = mn_span(from + DATA_SNAPSHOT, config_size);
    *rest = mn_span(from + DATA_SNAPSHOT + config_size, rest->size - DATA_SNAPSHOT - config_size);
    return MN_OK;
}

mn_status segment_data_decode(struct mn_span body, struct segment_data *ret)
{
    struct segment_data data = {0};
    struct edge_log_entry entry;
    uint8_t flags;
    mn_status status;

    if (body.size < DATA_FIXED) return MN_MALFORMED;
    data.term = mn_load_u64(body.data);
    data.commit = mn_load_u64(body.data + 8);
    memcpy(data.vote.bytes, body.data + 16, 16);
    data.entries_count = mn_load_u32(body.data + 32);
    flags = body.data[36];
    data.basis = mn_load_u64(body.data + 40);
    data.is_wounded = (flags & FLAG_WOUNDED) != 0;
    data.is_reset = (flags & FLAG_RESET) != 0;
    data.has_snapshot = (flags & FLAG_SNAPSHOT) != 0;
    data.has_snapshot_data = (flags & FLAG_SNAPSHOT_DATA) != 0;
    body = mn_span(body.data + DATA_FIXED, body.size - DATA_FIXED);
    if (data.has_snapshot) {
        status = segment_snapshot_decode(&body, &data);
        if (status != MN_OK) return status;
    }
    data.entries = body;
    *ret = data;
    for (uint32_t i = 0; i < ret->entries_count; i++)
        if (!segment_data_next(&data, &entry)) return MN_MALFORMED;
    return data.entries.size == 0 ? MN_OK : MN_MALFORMED;
}

bool segment_data_next(struct segment_data *data, struct edge_log_entry *ret)
{
    const uint8_t *from = data->entries.data;
    size_t size, rest;

    if (data->entries_count == 0 || data->entries.size < DATA_ENTRY) return false;
    rest = data->entries.size - DATA_ENTRY;
    size = mn_load_u32(from + 8);
    if (size > rest || size > EDGE_LOG_ENTRY_MAX) return false;
    *ret = (struct edge_log_entry){.term = mn_load_u64(from),
                                   .kind = mn_load_u32(from + 12),
                                   .data = mn_span(from + DATA_ENTRY, size)};
    data->entries = mn_span(from + DATA_ENTRY + size, rest - size);
    data->entries_count--;
    return ret->kind > 0 && ret->kind < 256;
}

/* ---- rows of a footer ---- */

void segment_row_encode(const struct segment_row *row, uint8_t to[SEGMENT_ROW_SIZE])
{
    memset(to, 0, SEGMENT_ROW_SIZE);
    mn_store_u64(to, row->group);
    mn_store_u64(to + 8, row->number);
    mn_store_u64(to + 16, row->first);
    mn_store_u64(to + 24, row->last);
    mn_store_u32(to + 32, row->count);
}

struct segment_row segment_row_decode(const uint8_t from[SEGMENT_ROW_SIZE])
{
    return (struct segment_row){.group = mn_load_u64(from),
                                .number = mn_load_u64(from + 8),
                                .first = mn_load_u64(from + 16),
                                .last = mn_load_u64(from + 24),
                                .count = mn_load_u32(from + 32)};
}
