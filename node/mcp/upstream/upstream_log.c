#include "node/mcp/upstream/upstream_log.h"

#include "node/json/string.h"
#include "proto/base/memory.h"

struct upstream_log_entry {
    struct mn_list link;
    uint64_t sequence;
    mn_time wall;
    uint32_t size;
    char text[];
};

void upstream_log_init(struct upstream_log *log, size_t size_max)
{
    *log = (struct upstream_log){.size_max = size_max};
    mn_list_init(&log->lines);
}

static void upstream_log_drop_oldest(struct upstream_log *log)
{
    struct mn_list *link = mn_list_take(&log->lines);
    struct upstream_log_entry *entry = MN_CONTAINER(link, struct upstream_log_entry, link);
    log->size -= sizeof *entry + entry->size;
    mn_free(entry);
}

void upstream_log_done(struct upstream_log *log)
{
    while (!mn_list_is_empty(&log->lines))
        upstream_log_drop_oldest(log);
}

/* Replaces what no terminal and no JSON text should get; never makes a text longer. */
static uint32_t upstream_log_clean(char *to, struct mn_span text)
{
    uint32_t size = 0;

    while (text.size > 0) {
        size_t taken = json_string_utf8(text);
        if (taken == 0) {
            to[size++] = '?';
            taken = 1;
        } else if (taken == 1 && (text.data[0] < 0x20 || text.data[0] == 0x7f)) {
            to[size++] = text.data[0] == '\t' ? '\t' : ' ';
        } else {
            memcpy(to + size, text.data, taken);
            size += (uint32_t)taken;
        }
        text = mn_span(text.data + taken, text.size - taken);
    }
    return size;
}

static void upstream_log_add(struct upstream_log *log, mn_time wall, struct mn_span text)
{
    struct upstream_log_entry *entry = mn_alloc(sizeof *entry + text.size);

    entry->sequence = ++log->sequence;
    entry->wall = wall;
    entry->size = upstream_log_clean(entry->text, text);
    mn_list_push_back(&log->lines, &entry->link);
    log->size += sizeof *entry + entry->size;
    while (log->size > log->size_max)
        upstream_log_drop_oldest(log);
}

void upstream_log_flush(struct upstream_log *log)
{
    uint32_t size = log->partial_size;

    if (size > 0 && log->partial[size - 1] == '\r') size--;
    if (size > 0) upstream_log_add(log, log->partial_wall, mn_span(log->partial, size));
    log->partial_size = 0;
}

void upstream_log_bytes(struct upstream_log *log, mn_time wall, struct mn_span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] == '\n') {
            upstream_log_flush(log);
            continue;
        }
        if (log->partial_size == 0) log->partial_wall = wall;
        log->partial[log->partial_size++] = (char)bytes.data[i];
        if (log->partial_size == sizeof log->partial) upstream_log_flush(log);
    }
}

void upstream_log_line(struct upstream_log *log, mn_time wall, const char *prefix,
                       struct mn_span text)
{
    struct mn_writer writer = {0};

    mn_writer_str(&writer, prefix);
    mn_writer_str(&writer, ": ");
    if (text.size > UPSTREAM_LOG_LINE_MAX) text.size = UPSTREAM_LOG_LINE_MAX;
    mn_writer_add(&writer, text);
    upstream_log_add(log, wall, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
}

void upstream_log_repeat(const struct upstream_log *from, uint64_t after, struct upstream_log *to,
                         const char *prefix)
{
    MN_LIST_FOR_EACH (link, &from->lines) {
        const struct upstream_log_entry *entry =
            MN_CONTAINER(link, struct upstream_log_entry, link);
        if (entry->sequence > after)
            upstream_log_line(to, entry->wall, prefix, mn_span(entry->text, entry->size));
    }
}

bool upstream_log_next(const struct upstream_log *log, uint64_t after, uint64_t *sequence,
                       mn_time *wall, struct mn_span *text)
{
    MN_LIST_FOR_EACH (link, &log->lines) {
        const struct upstream_log_entry *entry =
            MN_CONTAINER(link, struct upstream_log_entry, link);
        if (entry->sequence <= after) continue;
        *sequence = entry->sequence;
        *wall = entry->wall;
        *text = mn_span(entry->text, entry->size);
        return true;
    }
    return false;
}
