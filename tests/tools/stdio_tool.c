/* mcp-tool-stdio: the tools of tool.h over standard input and output, one JSON message per line.
 * usage: mcp-tool-stdio [--era legacy|modern|both] [--count-file FILE] [--tools N] */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/list.h"
#include "tests/tools/tool.h"

#define LINE_MAX_SIZE (16u * 1024 * 1024)

struct pending {
    struct mn_list entry;
    struct tool_later later;
    uint64_t step, due_ms; /* UINT64_MAX: never */
};

static struct tool tool;
static struct mn_list pendings = {&pendings, &pendings};
static struct mn_writer output;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t due_after(const struct tool_later *later)
{
    return later->ms == UINT64_MAX ? UINT64_MAX : now_ms() + later->ms;
}

static void defer(const struct tool_later *later)
{
    struct pending *pending = mn_alloc(sizeof *pending);
    pending->later = *later;
    pending->due_ms = due_after(later);
    mn_list_push_back(&pendings, &pending->entry);
}

static void cancel(const char *id)
{
    MN_LIST_FOR_EACH_SAFE (entry, &pendings) {
        struct pending *pending = MN_CONTAINER(entry, struct pending, entry);
        if (strcmp(pending->later.id, id) != 0) continue;
        mn_list_remove(entry);
        mn_free(pending);
    }
}

static void handle(struct mn_span line)
{
    struct tool_later later;
    while (line.size > 0 && line.data[line.size - 1] <= ' ')
        line.size--;
    if (line.size == 0) return;
    switch (tool_handle(&tool, line, &output, &later)) {
    case TOOL_ANSWER: mn_writer_str(&output, "\n"); break;
    case TOOL_LATER: defer(&later); break;
    case TOOL_CANCEL: cancel(later.id); break;
    case TOOL_NOTHING: break;
    }
}

/* Does what is due; returns the milliseconds to the next, -1: nothing. */
static int run_pendings(void)
{
    uint64_t next = UINT64_MAX, now = now_ms();
    MN_LIST_FOR_EACH_SAFE (entry, &pendings) {
        struct pending *pending = MN_CONTAINER(entry, struct pending, entry);
        if (pending->due_ms <= now) {
            bool is_last = ++pending->step >= pending->later.steps;
            if (pending->later.token[0] != '\0' && pending->later.steps > 1) {
                tool_write_progress(&pending->later, pending->step, &output);
                mn_writer_str(&output, "\n");
            }
            pending->due_ms = due_after(&pending->later);
            if (is_last) {
                tool_write_later(&pending->later, &output);
                mn_writer_str(&output, "\n");
                mn_list_remove(entry);
                mn_free(pending);
                continue;
            }
        }
        if (pending->due_ms < next) next = pending->due_ms;
    }
    if (next == UINT64_MAX) return -1;
    return next <= now ? 0 : (int)(next - now < 60000 ? next - now : 60000);
}

static void flush(void)
{
    if (mn_writer_size(&output) == 0) return;
    struct mn_buf *buf = mn_writer_done(&output);
    for (size_t at = 0; at < buf->size;) {
        ssize_t size = write(STDOUT_FILENO, buf->bytes + at, buf->size - at);
        if (size <= 0) exit(EXIT_SUCCESS); /* nobody reads any more */
        at += (size_t)size;
    }
    mn_buf_unref(buf);
}

/* Takes the complete lines out of [bytes]; returns how many of them are left over. */
static size_t take_lines(uint8_t *bytes, size_t size)
{
    size_t start = 0;
    for (uint8_t *end; (end = memchr(bytes + start, '\n', size - start)) != NULL;) {
        handle(mn_span(bytes + start, (size_t)(end - bytes) - start));
        start = (size_t)(end - bytes) + 1;
    }
    memmove(bytes, bytes + start, size - start);
    return size - start;
}

int main(int argc, char **argv)
{
    if (!tool_init(&tool, argc, argv, NULL, NULL)) {
        fprintf(
            stderr,
            "usage: mcp-tool-stdio [--era legacy|modern|both] [--count-file FILE] [--tools N]\n");
        return 64;
    }
    size_t size = 0, capacity = 65536;
    uint8_t *bytes = mn_alloc(capacity);
    for (;;) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        int wait_ms = run_pendings();
        flush();
        if (poll(&input, 1, wait_ms) <= 0) continue;
        if (size == capacity) {
            if (capacity >= LINE_MAX_SIZE) return 65;
            capacity *= 2;
            bytes = mn_realloc(bytes, capacity);
        }
        ssize_t got = read(STDIN_FILENO, bytes + size, capacity - size);
        if (got <= 0) break;
        size = take_lines(bytes, size + (size_t)got);
    }
    mn_free(bytes);
    tool_done(&tool);
    return EXIT_SUCCESS;
}
