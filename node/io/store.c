#include "node/io/store.h"

#include <errno.h>
#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/memory.h"

/* Sized for a node whose whole state fits in a few megabytes. */
#define STORE_MEMTABLE_SIZE ((size_t)2 << 20)
#define STORE_CACHE_SIZE ((size_t)1 << 20)
#define STORE_WAL_SIZE ((uint64_t)8 << 20)
#define STORE_FILES_MAX 64
#define STORE_CHUNK_SIZE ((size_t)256 << 10) /* bytes of recovered pairs handed over at a time */
#define STORE_CHUNKS_MAX 8                   /* of them that the loop has not taken yet */
#define STORE_TEXT_SIZE 512
#define STORE_ROOM_SIZE ((off_t)256 << 10) /* free space without which we do not begin */

/* One write, or one recovered pair: key_size, value_size, key, value. */
struct store_record {
    uint32_t key_size, value_size;
    bool is_delete;
};

/* Records one after another, on their way between the two threads. */
struct store_batch {
    struct mn_list entry;
    struct mn_writer records;
    uint64_t write;    /* newest write number in it, or that became durable */
    bool is_recovered; /* all pairs were given */
};

struct store {
    struct io *io;
    struct store_config config;
    char *path;
    uv_async_t async;
    uv_thread_t thread;
    struct store_batch *gathering; /* this turn's writes; NULL: none */
    bool is_closing, is_failed;    /* as the loop knows it */

    uv_mutex_t mutex; /* guards what follows */
    uv_cond_t cond;   /* to the thread: writes, or stop; or room for a chunk */
    struct mn_list writes;
    struct mn_list reports;
    uint32_t reports_count;
    bool must_stop;
    enum store_failure failure;
    char failure_text[2 * STORE_TEXT_SIZE];

    rocksdb_t *db; /* the thread's own */
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
};

/* ---- batches ---- */

static struct store_batch *store_batch_new(void)
{
    struct store_batch *batch = mn_alloc(sizeof *batch);
    mn_list_init(&batch->entry);
    return batch;
}

static void store_batch_free(struct store_batch *batch)
{
    if (batch == NULL) return;
    mn_writer_drop(&batch->records);
    mn_free(batch);
}

static void store_batch_add(struct store_batch *batch, struct mn_span key, struct mn_span value)
{
    const struct store_record record = {(uint32_t)key.size, (uint32_t)value.size,
                                        value.data == NULL};
    mn_writer_add(&batch->records, mn_span(&record, sizeof record));
    mn_writer_add(&batch->records, key);
    mn_writer_add(&batch->records, value);
}

/* Steps through the records; false at the end. */
static bool store_batch_next(const struct store_batch *batch, size_t *at,
                             struct store_record *record, struct mn_span *key,
                             struct mn_span *value)
{
    if (*at >= mn_writer_size(&batch->records)) return false;
    const uint8_t *bytes = batch->records.buf->bytes + *at;
    memcpy(record, bytes, sizeof *record);
    *key = mn_span(bytes + sizeof *record, record->key_size);
    *value = mn_span(key->data + key->size, record->value_size);
    *at += sizeof *record + record->key_size + record->value_size;
    return true;
}

static void store_batches_free(struct mn_list *batches)
{
    struct mn_list *entry;
    while ((entry = mn_list_take(batches)) != NULL)
        store_batch_free(MN_CONTAINER(entry, struct store_batch, entry));
}

/* ---- the thread ---- */

static void store_fail(struct store *store, enum store_failure failure, const char *text)
{
    uv_mutex_lock(&store->mutex);
    store->failure = failure;
    snprintf(store->failure_text, sizeof store->failure_text, "%s: %s", store->path, text);
    uv_mutex_unlock(&store->mutex);
    uv_async_send(&store->async);
}

/* Who holds RocksDB's own lock; 0: nobody. */
static pid_t store_lock_holder(const struct store *store)
{
    char name[4096];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(name, sizeof name, "%s/LOCK", store->path);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return 0;
    bool is_held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return is_held ? lock.l_pid : 0;
}

static void store_set_options(struct store *store)
{
    rocksdb_options_t *options = store->options = rocksdb_options_create();
    store->table = rocksdb_block_based_options_create();
    store->cache = rocksdb_cache_create_lru(STORE_CACHE_SIZE);
    rocksdb_block_based_options_set_block_cache(store->table, store->cache);
    rocksdb_options_set_block_based_table_factory(options, store->table);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, STORE_MEMTABLE_SIZE);
    rocksdb_options_set_max_total_wal_size(options, STORE_WAL_SIZE);
    rocksdb_options_set_max_open_files(options, STORE_FILES_MAX);
    rocksdb_options_set_keep_log_file_num(options, 2);
    rocksdb_options_set_max_log_file_size(options, (size_t)1 << 20);
    rocksdb_options_set_info_log_level(options, 2); /* warnings */
    /* A torn tail is a write nobody was told about; damage before it must not be skipped. */
    rocksdb_options_set_wal_recovery_mode(options,
                                          rocksdb_tolerate_corrupted_tail_records_recovery);
}

/* Is there room to write? RocksDB built with assertions, as Debian's is, aborts when the disk is
 * full while it opens. Returns 0 or an errno. */
static int store_find_room(const struct store *store)
{
    char name[4096];
    snprintf(name, sizeof name, "%s/room", store->path);
    if (mkdir(store->path, 0700) != 0 && errno != EEXIST) return errno;
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno;
    int code = posix_fallocate(fd, 0, STORE_ROOM_SIZE);
    close(fd);
    unlink(name);
    return code;
}

static bool store_open(struct store *store)
{
    char *message = NULL;
    int code = store_find_room(store);
    store_set_options(store);
    if (code != 0) {
        store_fail(store, STORE_UNAVAILABLE,
                   code == ENOSPC || code == EDQUOT
                       ? "the disk is full; make room, or choose another directory with --data"
                       : strerror(code));
        return false;
    }
    store->db = rocksdb_open(store->options, store->path, &message);
    if (message == NULL) return true;
    char text[STORE_TEXT_SIZE];
    pid_t holder = store_lock_holder(store);
    if (holder != 0)
        snprintf(text, sizeof text, "in use by process %d", (int)holder);
    else
        snprintf(text, sizeof text, "%s", message);
    rocksdb_free(message);
    store_fail(store, STORE_UNAVAILABLE, text);
    return false;
}

/* Hands a batch to the loop; waits while the loop is far behind. False: told to stop. */
static bool store_report(struct store *store, struct store_batch *batch)
{
    uv_mutex_lock(&store->mutex);
    while (store->reports_count >= STORE_CHUNKS_MAX && !store->must_stop)
        uv_cond_wait(&store->cond, &store->mutex);
    bool must_stop = store->must_stop;
    mn_list_push_back(&store->reports, &batch->entry);
    store->reports_count++;
    uv_mutex_unlock(&store->mutex);
    uv_async_send(&store->async);
    return !must_stop;
}

static bool store_recover_all(struct store *store, rocksdb_iterator_t *iterator)
{
    struct store_batch *batch = store_batch_new();
    for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        size_t key_size, value_size;
        const char *key = rocksdb_iter_key(iterator, &key_size);
        const char *value = rocksdb_iter_value(iterator, &value_size);
        store_batch_add(batch, mn_span(key, key_size), mn_span(value, value_size));
        if (mn_writer_size(&batch->records) < STORE_CHUNK_SIZE) continue;
        if (!store_report(store, batch)) return false;
        batch = store_batch_new();
    }
    char *message = NULL;
    rocksdb_iter_get_error(iterator, &message);
    if (message != NULL) {
        store_fail(store, STORE_BROKEN, message);
        rocksdb_free(message);
        store_batch_free(batch);
        return false;
    }
    batch->is_recovered = true;
    return store_report(store, batch);
}

static bool store_recover(struct store *store)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(options, 0); /* each pair is read once */
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, options);
    bool is_done = store_recover_all(store, iterator);
    rocksdb_iter_destroy(iterator);
    rocksdb_readoptions_destroy(options);
    return is_done;
}

static bool store_commit(struct store *store, struct mn_list *batches)
{
    rocksdb_writebatch_t *writes = rocksdb_writebatch_create();
    struct store_batch *report = store_batch_new();
    MN_LIST_FOR_EACH (entry, batches) {
        const struct store_batch *batch = MN_CONTAINER(entry, struct store_batch, entry);
        struct store_record record;
        struct mn_span key, value;
        size_t at = 0;
        while (store_batch_next(batch, &at, &record, &key, &value)) {
            const char *k = (const char *)key.data, *v = (const char *)value.data;
            if (record.is_delete)
                rocksdb_writebatch_delete(writes, k, key.size);
            else
                rocksdb_writebatch_put(writes, k, key.size, v, value.size);
        }
        MN_ASSERT(batch->write > report->write); /* in the order they were numbered */
        report->write = batch->write;
    }
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(options, 1);
    char *message = NULL;
    rocksdb_write(store->db, options, writes, &message);
    rocksdb_writeoptions_destroy(options);
    rocksdb_writebatch_destroy(writes);
    if (message == NULL) {
        store_report(store, report);
        return true;
    }
    store_fail(store, STORE_BROKEN, message);
    rocksdb_free(message);
    store_batch_free(report);
    return false;
}

/* Takes all that is queued; empty only when told to stop. */
static void store_wait(struct store *store, struct mn_list *ret)
{
    struct mn_list *entry;
    mn_list_init(ret);
    uv_mutex_lock(&store->mutex);
    while (mn_list_is_empty(&store->writes) && !store->must_stop)
        uv_cond_wait(&store->cond, &store->mutex);
    while ((entry = mn_list_take(&store->writes)) != NULL)
        mn_list_push_back(ret, entry);
    uv_mutex_unlock(&store->mutex);
}

static void store_serve(struct store *store)
{
    bool is_good = true;
    while (is_good) {
        struct mn_list batches;
        store_wait(store, &batches);
        if (mn_list_is_empty(&batches)) return;
        is_good = store_commit(store, &batches);
        store_batches_free(&batches);
    }
}

static void store_thread(void *arg)
{
    struct store *store = arg;
    /* Told to stop while reading back: what was handed over is committed all the same. */
    if (store_open(store) && (store_recover(store) || store->failure == 0)) store_serve(store);
    if (store->db != NULL) rocksdb_close(store->db);
    rocksdb_options_destroy(store->options);
    rocksdb_block_based_options_destroy(store->table);
    rocksdb_cache_destroy(store->cache);
}

/* ---- the loop ---- */

static void store_give(struct store *store, const struct store_batch *batch)
{
    struct store_record record;
    struct edge_input input = {.type = EDGE_IN_RECOVER};
    size_t at = 0;
    while (store_batch_next(batch, &at, &record, &input.key, &input.bytes))
        io_input(store->io, &input);
    if (batch->is_recovered)
        input = (struct edge_input){.type = EDGE_IN_RECOVERED};
    else if (batch->write > 0)
        input = (struct edge_input){.type = EDGE_IN_DURABLE, .id = batch->write};
    else
        return;
    io_input(store->io, &input);
}

static void store_on_async(uv_async_t *handle)
{
    struct store *store = handle->data;
    struct mn_list reports, *entry;
    mn_list_init(&reports);
    uv_mutex_lock(&store->mutex);
    while ((entry = mn_list_take(&store->reports)) != NULL)
        mn_list_push_back(&reports, entry);
    store->reports_count = 0;
    bool has_failed = store->failure != 0;
    uv_cond_signal(&store->cond);
    uv_mutex_unlock(&store->mutex);
    while ((entry = mn_list_take(&reports)) != NULL) {
        struct store_batch *batch = MN_CONTAINER(entry, struct store_batch, entry);
        if (!store->is_closing) store_give(store, batch);
        store_batch_free(batch);
    }
    if (!has_failed || store->is_failed || store->is_closing) return;
    store->is_failed = true;
    store->config.failed(store->config.owner, store->failure, store->failure_text);
}

struct store *store_new(struct io *io, const struct store_config *config)
{
    struct store *store = mn_alloc(sizeof *store);
    store->io = io;
    store->config = *config;
    store->path = mn_alloc(strlen(config->path) + 1);
    memcpy(store->path, config->path, strlen(config->path));
    mn_list_init(&store->writes);
    mn_list_init(&store->reports);
    uv_mutex_init(&store->mutex);
    uv_cond_init(&store->cond);
    uv_async_init(io_uv(io), &store->async, store_on_async);
    store->async.data = store;
    int error = uv_thread_create(&store->thread, store_thread, store);
    MN_ASSERT(error == 0);
    return store;
}

void store_do(struct store *store, const struct edge_output *output)
{
    if (store->is_failed || store->is_closing) return;
    if (store->gathering == NULL) store->gathering = store_batch_new();
    store_batch_add(store->gathering, output->key, output->bytes);
    store->gathering->write = output->id;
}

void store_flush(struct store *store)
{
    if (store->gathering == NULL) return;
    uv_mutex_lock(&store->mutex);
    mn_list_push_back(&store->writes, &store->gathering->entry);
    uv_cond_signal(&store->cond);
    uv_mutex_unlock(&store->mutex);
    store->gathering = NULL;
}

static void store_on_closed(uv_handle_t *handle)
{
    struct store *store = handle->data;
    store_batches_free(&store->writes);
    store_batches_free(&store->reports);
    uv_cond_destroy(&store->cond);
    uv_mutex_destroy(&store->mutex);
    mn_free(store->path);
    mn_free(store);
}

void store_close(struct store *store)
{
    if (store == NULL || store->is_closing) return;
    store_flush(store);
    store->is_closing = true;
    uv_mutex_lock(&store->mutex);
    store->must_stop = true;
    uv_cond_signal(&store->cond);
    uv_mutex_unlock(&store->mutex);
    uv_thread_join(&store->thread);
    uv_close((uv_handle_t *)&store->async, store_on_closed);
}
