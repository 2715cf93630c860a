#include "node/io/seglog.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>

#include "node/io/seglog_file.h"
#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/memory.h"

#define SEGMENT_DEFAULT ((uint32_t)16 << 20)
#define SEGMENT_LEAST \
    ((uint32_t)4 << 20) /* an entry of 1 MiB and all else that a commit may have */
#define SIZE_DEFAULT ((uint64_t)1 << 30)
#define INLINE_SYNC_MAX (500 * 1000u) /* ns */
#define INLINE_COMMITS_MAX 4          /* in one turn */
#define INLINE_SIZE_MAX ((size_t)256 << 10)
#define BATCHES_MAX 64u /* merged into one sync */
#define RETRY_MS 1000
#define MARK_MS 1000

struct seglog_batch {
    struct mn_list entry;
    struct segcore_batch batch;
};

/* What a worker does: makes a file, or reads one that is cleaned. */
struct seglog_work {
    uv_work_t request;
    struct seglog *seglog;
    uint32_t slot, size;
    int fd, code; /* errno */
    struct seglog_bytes bytes;
    bool is_busy;
};

struct seglog {
    struct io *io;
    struct seglog_config config;
    struct seglog_files files;
    struct segcore *core; /* the loop's, once it is open */
    uv_async_t async;
    uv_timer_t timer;
    uv_thread_t thread;
    bool is_open, is_closing, is_failed, is_full, is_marked;
    int full_code;
    uint32_t handles_open, flying; /* batches with the thread */
    struct seglog_work making, cleaning;
    struct seglog_stats stats;

    uv_mutex_t mutex; /* guards what follows */
    uv_cond_t cond;
    struct mn_list batches, done; /* to the thread, and back */
    bool must_stop, has_opened;
    enum seglog_failure failure;
    char failure_text[SEGLOG_TEXT_SIZE];
    uint32_t sync_ns;
};

static void seglog_fail(struct seglog *seglog, enum seglog_failure failure, const char *text)
{
    uv_mutex_lock(&seglog->mutex);
    seglog->failure = failure;
    snprintf(seglog->failure_text, sizeof seglog->failure_text, "%s", text);
    uv_mutex_unlock(&seglog->mutex);
    uv_async_send(&seglog->async);
}

/* ---- the thread: opening ---- */

/* What is done with a segment while the log opens; false: it cannot, text. */
typedef bool seglog_use(struct seglog *seglog, uint32_t slot, struct mn_span bytes);
typedef bool seglog_wants(const struct segcore *core, uint32_t slot);

static bool seglog_each(struct seglog *seglog, seglog_wants *wants, seglog_use *use)
{
    struct seglog_files *files = &seglog->files;
    struct seglog_bytes bytes = {0};
    bool is_good = true;

    for (uint32_t i = 0; i < SEGLOG_SLOTS_MAX && is_good; i++) {
        if (files->fds[i] < 0 || (wants != NULL && !wants(seglog->core, i))) continue;
        is_good =
            seglog_files_read(files, i, &bytes) && use(seglog, i, mn_span(bytes.data, bytes.size));
    }
    mn_free(bytes.data);
    return is_good;
}

static bool seglog_scan(struct seglog *seglog, uint32_t slot, struct mn_span bytes)
{
    mn_status status = segcore_scan(seglog->core, slot, bytes);

    if (status != MN_CONFIG) return true; /* what cannot be read is judged later */
    snprintf(seglog->files.text, sizeof seglog->files.text,
             "%s/%03u.seg belongs to another log, or has another size than the rest; "
             "restore the files that belong together",
             seglog->files.path, slot);
    return false;
}

static bool seglog_rescue(struct seglog *seglog, uint32_t slot, struct mn_span bytes)
{
    mn_status status = segcore_rescue(seglog->core, slot, bytes);

    (void)status; /* not found: it is judged as gone */
    return true;
}

static bool seglog_load(struct seglog *seglog, uint32_t slot, struct mn_span bytes)
{
    segcore_load(seglog->core, slot, bytes);
    return true;
}

static bool seglog_open(struct seglog *seglog)
{
    bool is_good = seglog_files_open(&seglog->files) && seglog_each(seglog, NULL, seglog_scan) &&
                   seglog_each(seglog, segcore_is_unreadable, seglog_rescue);

    if (is_good) {
        segcore_judge(seglog->core);
        is_good = seglog_each(seglog, segcore_needs, seglog_load);
    }
    if (!is_good) {
        seglog_fail(seglog, SEGLOG_UNAVAILABLE, seglog->files.text);
        return false;
    }
    uv_mutex_lock(&seglog->mutex);
    seglog->has_opened = true;
    uv_mutex_unlock(&seglog->mutex);
    uv_async_send(&seglog->async);
    return true;
}

/* ---- committing: on the thread, or on the loop ---- */

static bool seglog_commit(struct seglog *seglog, struct mn_list *list, uint32_t *ret_ns)
{
    struct segcore_batch *batches[BATCHES_MAX];
    uint32_t count = 0;
    uint64_t began = uv_hrtime(), took;
    bool is_good;

    MN_LIST_FOR_EACH (item, list) {
        MN_ASSERT(count < BATCHES_MAX);
        batches[count++] = &MN_CONTAINER(item, struct seglog_batch, entry)->batch;
    }
    is_good = seglog_files_commit(&seglog->files, batches, count);
    took = uv_hrtime() - began;
    *ret_ns = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    return is_good;
}

/* Takes what is queued; empty only when told to stop. */
static void seglog_wait(struct seglog *seglog, struct mn_list *ret)
{
    struct mn_list *item;

    mn_list_init(ret);
    uv_mutex_lock(&seglog->mutex);
    while (mn_list_is_empty(&seglog->batches) && !seglog->must_stop)
        uv_cond_wait(&seglog->cond, &seglog->mutex);
    for (uint32_t i = 0; i < BATCHES_MAX && (item = mn_list_take(&seglog->batches)) != NULL; i++)
        mn_list_push_back(ret, item);
    uv_mutex_unlock(&seglog->mutex);
}

static void seglog_thread(void *arg)
{
    struct seglog *seglog = arg;

    if (!seglog_open(seglog)) return;
    for (;;) {
        struct mn_list list, *item;
        uint32_t ns;
        seglog_wait(seglog, &list);
        if (mn_list_is_empty(&list)) return;
        bool is_good = seglog_commit(seglog, &list, &ns);
        uv_mutex_lock(&seglog->mutex);
        while ((item = mn_list_take(&list)) != NULL)
            mn_list_push_back(&seglog->done, item);
        seglog->sync_ns = ns;
        uv_mutex_unlock(&seglog->mutex);
        if (!is_good) {
            seglog_fail(seglog, SEGLOG_BROKEN, seglog->files.text);
            return;
        }
        uv_async_send(&seglog->async);
    }
}

/* ---- workers ---- */

static void seglog_after_work(struct seglog *seglog);
static void seglog_on_timer(uv_timer_t *timer);

static void seglog_make(uv_work_t *request)
{
    struct seglog_work *work = MN_CONTAINER(request, struct seglog_work, request);

    work->code = seglog_files_make(work->seglog->files.path, work->slot, work->size, &work->fd);
}

static void seglog_room(struct seglog *seglog, uint32_t code, const char *text)
{
    const struct edge_input input = {
        .type = EDGE_IN_LOG_ROOM, .code = code, .text = mn_span_str(text)};

    seglog->is_full = code == 0;
    if (!seglog->is_closing) io_input(seglog->io, &input);
}

static void seglog_made(uv_work_t *request, int status)
{
    struct seglog_work *work = MN_CONTAINER(request, struct seglog_work, request);
    struct seglog *seglog = work->seglog;

    work->is_busy = false;
    if (status != 0) work->code = ECANCELED;
    if (work->code == 0) {
        seglog->files.fds[work->slot] = work->fd;
        segcore_add_slot(seglog->core, work->slot);
        if (seglog->is_full) seglog_room(seglog, 1, "");
    } else if (!seglog->is_closing) {
        char text[SEGLOG_TEXT_SIZE];
        snprintf(text, sizeof text, "%s: no further segment of %u MiB: %s; make room",
                 seglog->files.path, work->size >> 20, strerror(work->code));
        if (!seglog->is_full) seglog_room(seglog, 0, text);
        uv_timer_start(&seglog->timer, seglog_on_timer, RETRY_MS, 0);
    }
    seglog_after_work(seglog);
}

static void seglog_read(uv_work_t *request)
{
    struct seglog_work *work = MN_CONTAINER(request, struct seglog_work, request);

    work->code = seglog_file_read(work->fd, &work->bytes);
}

static void seglog_was_read(uv_work_t *request, int status)
{
    struct seglog_work *work = MN_CONTAINER(request, struct seglog_work, request);
    struct seglog *seglog = work->seglog;

    work->is_busy = false;
    if (status != 0) work->bytes.size = 0;
    if (segcore_clean(seglog->core, mn_span(work->bytes.data, work->bytes.size)) != MN_OK)
        seglog->stats.damaged++; /* said when the log is read back; the segment stays as it is */
    mn_free(work->bytes.data);
    seglog_after_work(seglog);
}

static uint32_t seglog_free_slot(const struct seglog *seglog)
{
    for (uint32_t i = 0; i < SEGLOG_SLOTS_MAX; i++)
        if (seglog->files.fds[i] < 0) return i;
    MN_ASSERT(false);
    return 0;
}

/* One file ahead, and old ones cleaned, while there is anything in the log. */
static void seglog_provide(struct seglog *seglog)
{
    struct seglog_work *making = &seglog->making, *cleaning = &seglog->cleaning;

    if (seglog->is_closing || seglog->is_failed) return;
    if (!segcore_is_waiting(seglog->core) && segcore_stats(seglog->core).used_count == 0)
        return; /* nothing was ever written */
    if (!making->is_busy && segcore_wants_slot(seglog->core) &&
        !(seglog->is_full && uv_is_active((uv_handle_t *)&seglog->timer))) {
        *making = (struct seglog_work){.seglog = seglog, .is_busy = true, .fd = -1};
        making->slot = seglog_free_slot(seglog);
        making->size = segcore_segment_size(seglog->core);
        uv_queue_work(io_uv(seglog->io), &making->request, seglog_make, seglog_made);
    }
    if (!cleaning->is_busy && segcore_clean_begin(seglog->core, &cleaning->slot)) {
        uint32_t slot = cleaning->slot;
        *cleaning = (struct seglog_work){.seglog = seglog, .is_busy = true, .slot = slot};
        cleaning->fd = seglog->files.fds[slot];
        uv_queue_work(io_uv(seglog->io), &cleaning->request, seglog_read, seglog_was_read);
    }
}

/* ---- the loop ---- */

/* Reports what is durable now; frees the batches. */
static void seglog_report(struct seglog *seglog, struct mn_list *list)
{
    struct edge_input input = {.type = EDGE_IN_LOG_DURABLE};
    struct mn_list *item;

    while ((item = mn_list_take(list)) != NULL) {
        struct seglog_batch *batch = MN_CONTAINER(item, struct seglog_batch, entry);
        if (batch->batch.write > input.id) input.id = batch->batch.write;
        seglog->stats.bytes_written += mn_writer_size(&batch->batch.bytes);
        segcore_durable(seglog->core, &batch->batch);
        mn_free(batch);
    }
    if (input.id > 0 && !seglog->is_closing) io_input(seglog->io, &input);
}

/* Does anything else wait on the loop? */
static bool seglog_is_alone(struct seglog *seglog)
{
    struct pollfd fd = {.fd = uv_backend_fd(io_uv(seglog->io)), .events = POLLIN};

    return poll(&fd, 1, 0) == 0;
}

/* True: it is done, and more may have been appended. */
static bool seglog_commit_inline(struct seglog *seglog, struct mn_list *list)
{
    uint32_t ns;

    if (!seglog_commit(seglog, list, &ns)) {
        seglog->is_failed = true;
        seglog->config.failed(seglog->config.owner, SEGLOG_BROKEN, seglog->files.text);
        return false;
    }
    seglog->stats.sync_us = ns / 1000;
    seglog->sync_ns = ns; /* the thread is idle */
    seglog->stats.commits++;
    seglog->stats.inline_commits++;
    seglog_report(seglog, list);
    return true;
}

static void seglog_hand_over(struct seglog *seglog, struct mn_list *list)
{
    struct mn_list *item;

    uv_mutex_lock(&seglog->mutex);
    while ((item = mn_list_take(list)) != NULL) {
        mn_list_push_back(&seglog->batches, item);
        seglog->flying++;
    }
    uv_cond_signal(&seglog->cond);
    uv_mutex_unlock(&seglog->mutex);
}

void seglog_flush(struct seglog *seglog)
{
    for (int round = 0;; round++) {
        struct seglog_batch *batch;
        struct mn_list list;
        bool is_small;
        if (!seglog->is_open || seglog->is_failed || !segcore_is_waiting(seglog->core)) return;
        batch = mn_alloc(sizeof *batch);
        mn_list_init(&batch->entry);
        mn_list_init(&list);
        if (!segcore_commit(seglog->core, &batch->batch)) {
            mn_free(batch);
            seglog_provide(seglog);
            return;
        }
        mn_list_push_back(&list, &batch->entry);
        is_small = mn_writer_size(&batch->batch.bytes) <= INLINE_SIZE_MAX;
        seglog->is_marked = batch->batch.write == 0; /* only a mark */
        if (seglog->flying > 0 || seglog->is_closing || round >= INLINE_COMMITS_MAX || !is_small ||
            seglog->sync_ns > INLINE_SYNC_MAX || !seglog_is_alone(seglog))
            seglog_hand_over(seglog, &list);
        else if (!seglog_commit_inline(seglog, &list))
            return;
        if (!seglog->is_closing && !uv_is_active((uv_handle_t *)&seglog->timer))
            uv_timer_start(&seglog->timer, seglog_on_timer, MARK_MS, 0);
        seglog_provide(seglog);
    }
}

static void seglog_after_work(struct seglog *seglog)
{
    if (seglog->is_closing) return;
    if (seglog->is_full && segcore_is_waiting(seglog->core) == false &&
        !segcore_wants_slot(seglog->core) && segcore_stats(seglog->core).free_count > 0)
        seglog_room(seglog, 1, "");
    seglog_provide(seglog);
    seglog_flush(seglog);
}

/* A second after the last commit: a mark says that all of it was synced, should its last record
 * become unreadable. Or: try again to get room. */
static void seglog_on_timer(uv_timer_t *timer)
{
    struct seglog *seglog = timer->data;

    if (seglog->is_closing || seglog->is_failed) return;
    if (!seglog->is_marked && seglog->flying == 0 && !segcore_is_waiting(seglog->core))
        segcore_mark(seglog->core);
    seglog_after_work(seglog);
}

/* The share of the disk is used up, and nothing can be cleaned. */
static void seglog_look_for_room(struct seglog *seglog)
{
    struct segcore_stats stats = segcore_stats(seglog->core);
    char text[SEGLOG_TEXT_SIZE];
    bool is_full =
        stats.used_count > 1 && stats.free_count == 0 && !segcore_wants_slot(seglog->core);

    if (is_full == seglog->is_full || seglog->making.is_busy || seglog->cleaning.is_busy) return;
    if (seglog->is_full && segcore_wants_slot(seglog->core)) return; /* the disk is full */
    snprintf(text, sizeof text,
             "%s: the log has its share of %llu MiB; groups must be compacted, or the share raised",
             seglog->files.path, (unsigned long long)(seglog->config.size_max >> 20));
    seglog_room(seglog, !is_full, is_full ? text : "");
}

static void seglog_start(struct seglog *seglog)
{
    struct edge_input input = {.type = EDGE_IN_LOG_RECOVER};
    enum edge_log_damage damage;
    struct mn_arena arena = {0};
    struct segcore_clear clear;
    struct edge_log log;
    uint64_t id;

    while (segcore_give(seglog->core, &arena, &log, &damage)) {
        input.log = &log;
        input.code = damage;
        io_input(seglog->io, &input);
        mn_arena_reset(&arena);
    }
    mn_arena_done(&arena);
    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id) id = uv_hrtime();
    clear = segcore_start(seglog->core, id | 1);
    if (!seglog_files_clear(&seglog->files, &clear)) {
        seglog_fail(seglog, SEGLOG_BROKEN, seglog->files.text);
        return;
    }
    seglog->is_open = true;
    seglog->stats.damaged = segcore_stats(seglog->core).damaged_count;
    seglog->config.recovered(seglog->config.owner);
}

static void seglog_on_async(uv_async_t *handle)
{
    struct seglog *seglog = handle->data;
    struct mn_list done, *item;
    bool has_opened, has_failed;

    mn_list_init(&done);
    uv_mutex_lock(&seglog->mutex);
    while ((item = mn_list_take(&seglog->done)) != NULL) {
        mn_list_push_back(&done, item);
        seglog->flying--;
    }
    has_opened = seglog->has_opened;
    has_failed = seglog->failure != 0;
    seglog->stats.sync_us = seglog->sync_ns / 1000;
    uv_mutex_unlock(&seglog->mutex);
    if (seglog->is_closing || seglog->is_failed) has_opened = false;
    if (has_failed && !seglog->is_closing && !seglog->is_failed) {
        seglog->is_failed = true;
        seglog->config.failed(seglog->config.owner, seglog->failure, seglog->failure_text);
    }
    if (has_failed) {
        while ((item = mn_list_take(&done)) != NULL) {
            segcore_batch_done(&MN_CONTAINER(item, struct seglog_batch, entry)->batch);
            mn_free(MN_CONTAINER(item, struct seglog_batch, entry));
        }
        return;
    }
    if (!mn_list_is_empty(&done)) seglog->stats.commits++;
    seglog_report(seglog, &done);
    if (has_opened && !seglog->is_open) seglog_start(seglog);
    if (!seglog->is_open) return;
    seglog_provide(seglog);
    seglog_look_for_room(seglog);
}

/* ---- life ---- */

struct seglog *seglog_new(struct io *io, const struct seglog_config *config)
{
    struct seglog *seglog = mn_alloc(sizeof *seglog);
    struct segcore_config core = {.segment_size = config->segment_size};
    uint64_t segments;

    if (core.segment_size == 0) core.segment_size = SEGMENT_DEFAULT;
    if (core.segment_size < SEGMENT_LEAST) core.segment_size = SEGMENT_LEAST;
    seglog->io = io;
    seglog->config = *config;
    if (seglog->config.size_max == 0) seglog->config.size_max = SIZE_DEFAULT;
    segments = seglog->config.size_max / core.segment_size;
    core.segments_max = segments < 3                  ? 3
                        : segments > SEGMENT_USED_MAX ? SEGMENT_USED_MAX
                                                      : (uint32_t)segments;
    mn_status status = segcore_new(&core, &seglog->core);
    MN_ASSERT(status == MN_OK); /* options are checked where they are read */
    mn_list_init(&seglog->batches);
    mn_list_init(&seglog->done);
    seglog->is_marked = true;
    seglog_files_init(&seglog->files, config->path);
    seglog->config.path = seglog->files.path;
    uv_mutex_init(&seglog->mutex);
    uv_cond_init(&seglog->cond);
    uv_async_init(io_uv(io), &seglog->async, seglog_on_async);
    uv_timer_init(io_uv(io), &seglog->timer);
    seglog->async.data = seglog->timer.data = seglog;
    seglog->handles_open = 2;
    int error = uv_thread_create(&seglog->thread, seglog_thread, seglog);
    MN_ASSERT(error == 0);
    return seglog;
}

void seglog_do(struct seglog *seglog, const struct edge_output *output)
{
    if (seglog->is_failed || seglog->is_closing) return;
    MN_ASSERT(seglog->is_open); /* nothing is written before what was there is known */
    segcore_append(seglog->core, output->id, output->log);
    seglog->stats.records++;
}

static void seglog_free(struct seglog *seglog)
{
    struct mn_list *item;

    while ((item = mn_list_take(&seglog->done)) != NULL) {
        segcore_batch_done(&MN_CONTAINER(item, struct seglog_batch, entry)->batch);
        mn_free(MN_CONTAINER(item, struct seglog_batch, entry));
    }
    while ((item = mn_list_take(&seglog->batches)) != NULL) {
        segcore_batch_done(&MN_CONTAINER(item, struct seglog_batch, entry)->batch);
        mn_free(MN_CONTAINER(item, struct seglog_batch, entry));
    }
    segcore_free(seglog->core);
    seglog_files_close(&seglog->files);
    uv_cond_destroy(&seglog->cond);
    uv_mutex_destroy(&seglog->mutex);
    mn_free(seglog);
}

/* Workers may still run: their callbacks come before the handles are closed for good. */
static void seglog_on_closed(uv_handle_t *handle)
{
    struct seglog *seglog = handle->data;

    if (--seglog->handles_open > 0) return;
    if (seglog->making.is_busy || seglog->cleaning.is_busy) {
        seglog->handles_open = 1; /* look again in the next turn */
        uv_timer_init(io_uv(seglog->io), &seglog->timer);
        seglog->timer.data = seglog;
        uv_close((uv_handle_t *)&seglog->timer, seglog_on_closed);
        return;
    }
    seglog_free(seglog);
}

void seglog_close(struct seglog *seglog)
{
    if (seglog == NULL || seglog->is_closing) return;
    seglog->is_closing = true;
    if (seglog->is_open && !seglog->is_failed) {
        if (!seglog->is_marked) segcore_mark(seglog->core);
        seglog_flush(seglog);
    }
    uv_mutex_lock(&seglog->mutex);
    seglog->must_stop = true;
    uv_cond_signal(&seglog->cond);
    uv_mutex_unlock(&seglog->mutex);
    uv_thread_join(&seglog->thread);
    uv_timer_stop(&seglog->timer);
    uv_close((uv_handle_t *)&seglog->async, seglog_on_closed);
    uv_close((uv_handle_t *)&seglog->timer, seglog_on_closed);
}

struct seglog_stats seglog_stats(const struct seglog *seglog)
{
    struct seglog_stats stats = seglog->stats;
    struct segcore_stats core;

    if (!seglog->is_open) return stats;
    core = segcore_stats(seglog->core);
    stats.copies = core.copies_count;
    stats.live_size = core.live_size;
    stats.used_size = core.used_size;
    stats.segments_used = core.used_count;
    stats.segments_free = core.free_count;
    stats.groups = core.groups_count;
    return stats;
}
