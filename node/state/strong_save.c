/* strong_save.c: the map as bytes, piece by piece: for a snapshot, which keeps them, or for what
 * replicas compare, which only hashes them. What is to be encoded is fixed at the beginning by
 * copying pointers, not what they point to: a command that changes or removes an entry which is
 * still to be encoded leaves the old one to the save (strong_retire()). So the most that is held
 * besides the map is the map as it was, once for each of the two. */
#include "node/state/strong_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"
#include "proto/state.pb-c.h"

#define ROWS_MAX 256u /* encoded at once */

struct strong_save_session {
    mn_id client;
    uint64_t seq;
    struct strong_reply reply;
};

/* ---- life ---- */

static void save_open(struct strong_save *save, const struct strong *strong)
{
    uint32_t i = 0;

    *save = (struct strong_save){.rev = strong->rev};
    save->entries_count = strong->entries_count;
    save->sessions_count = strong->sessions.count;
    save->leases_count = strong->leases_count;
    save->entries = mn_alloc((strong->entries_count + 1) * sizeof *save->entries);
    save->sessions = mn_alloc((strong->sessions.count + 1) * sizeof *save->sessions);
    save->leases = mn_alloc((strong->leases_count + 1) * sizeof *save->leases);
    if (strong->entries_count > 0)
        memcpy(save->entries, strong->entries, strong->entries_count * sizeof *save->entries);
    if (strong->leases_count > 0)
        memcpy(save->leases, strong->leases, strong->leases_count * sizeof *save->leases);
    MN_LIST_FOR_EACH (item, &strong->used) {
        const struct strong_session *session = MN_CONTAINER(item, struct strong_session, in_used);
        save->sessions[i].client = session->client;
        save->sessions[i].seq = session->seq;
        save->sessions[i++].reply = session->reply;
    }
}

/* Room for all of it, as the map is now. */
static void save_reserve(struct strong_save *save, const struct strong *strong)
{
    /* Heads of pairs take up to 40 bytes, but mostly fewer. */
    mn_writer_reserve(&save->writer,
                      strong->total + 24u * strong->entries_count + 40u * save->sessions_count);
}

static void save_free_retired(const struct strong_save *save, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        struct strong_entry *entry = save->entries[i];
        if (entry->holders == 0 || --entry->holders > 0) continue;
        mn_buf_unref(entry->key);
        mn_buf_unref(entry->value);
        mn_free(entry);
    }
}

/* Of entries that are encoded it knows nothing any more. */
static void save_close(struct strong_save *save)
{
    save_free_retired(save, save->entries_at, save->entries_count);
    mn_buf_unref(save->last_key);
    mn_writer_drop(&save->writer);
    mn_free(save->entries);
    mn_free(save->sessions);
    mn_free(save->leases);
}

/* ---- bytes: format and rev, pairs, sessions, leases; parts of a message are a message ---- */

static void write_head(struct strong_save *save, Meshnode__State__Snapshot *pb)
{
    pb->format = STRONG_FORMAT;
    pb->rev = save->rev;
    save->has_head = true;
}

static void write_pairs(struct strong_save *save, Meshnode__State__Snapshot *pb, size_t size,
                        struct mn_arena *arena)
{
    Meshnode__State__Pair *pairs = mn_arena_alloc(arena, ROWS_MAX * sizeof *pairs);
    uint32_t count = 0;
    size_t used = 0;

    pb->pairs = mn_arena_alloc(arena, ROWS_MAX * sizeof *pb->pairs);
    while (count < ROWS_MAX && used < size && save->entries_at < save->entries_count) {
        const struct strong_entry *entry = save->entries[save->entries_at++];
        Meshnode__State__Pair *pair = pb->pairs[count] = &pairs[count];
        meshnode__state__pair__init(pair);
        pair->key = pb_bytes(mn_buf_span(entry->key));
        pair->value = pb_bytes(mn_buf_span(entry->value));
        pair->rev = entry->rev;
        pair->created = entry->created;
        pair->lease = entry->lease;
        used += entry->key->size + entry->value->size;
        count++;
    }
    pb->n_pairs = count;
}

static void write_sessions(struct strong_save *save, Meshnode__State__Snapshot *pb,
                           struct mn_arena *arena)
{
    Meshnode__State__Session *sessions = mn_arena_alloc(arena, ROWS_MAX * sizeof *sessions);
    Meshnode__State__Reply *replies = mn_arena_alloc(arena, ROWS_MAX * sizeof *replies);
    uint32_t count = 0;

    pb->sessions = mn_arena_alloc(arena, ROWS_MAX * sizeof *pb->sessions);
    while (count < ROWS_MAX && save->sessions_at < save->sessions_count) {
        const struct strong_save_session *from = &save->sessions[save->sessions_at++];
        Meshnode__State__Session *session = pb->sessions[count] = &sessions[count];
        Meshnode__State__Reply *reply = &replies[count];
        meshnode__state__session__init(session);
        meshnode__state__reply__init(reply);
        session->client = pb_id_bytes(&from->client);
        session->seq = from->seq;
        session->reply = reply;
        reply->status = from->reply.status;
        reply->rev = from->reply.rev;
        reply->number = from->reply.number;
        count++;
    }
    pb->n_sessions = count;
}

static void write_leases(struct strong_save *save, Meshnode__State__Snapshot *pb,
                         struct mn_arena *arena)
{
    Meshnode__State__Lease *leases = mn_arena_alloc(arena, ROWS_MAX * sizeof *leases);
    uint32_t count = 0;

    pb->leases = mn_arena_alloc(arena, ROWS_MAX * sizeof *pb->leases);
    while (count < ROWS_MAX && save->leases_at < save->leases_count) {
        const struct strong_lease *from = &save->leases[save->leases_at++];
        Meshnode__State__Lease *lease = pb->leases[count] = &leases[count];
        meshnode__state__lease__init(lease);
        lease->id = from->id;
        lease->ttl_ms = from->ttl_ms;
        lease->renewals = from->renewals;
        count++;
    }
    pb->n_leases = count;
}

static bool save_is_done(const struct strong_save *save)
{
    return save->has_head && save->entries_at == save->entries_count &&
           save->sessions_at == save->sessions_count && save->leases_at == save->leases_count;
}

/* Entries since [from] are encoded. */
static void save_passed(struct strong_save *save, uint32_t from)
{
    if (from == save->entries_at) return;
    mn_buf_unref(save->last_key);
    save->last_key = mn_buf_ref(save->entries[save->entries_at - 1]->key);
    save_free_retired(save, from, save->entries_at);
}

/* Encodes until [size] bytes are there, or one row more. */
static bool save_write(struct strong_save *save, size_t size)
{
    size_t until = mn_writer_size(&save->writer) + size;
    struct mn_arena arena = {0};

    while (!save_is_done(save) && mn_writer_size(&save->writer) < until) {
        Meshnode__State__Snapshot pb = MESHNODE__STATE__SNAPSHOT__INIT;
        uint32_t from = save->entries_at;
        struct mn_buf *part;
        if (!save->has_head)
            write_head(save, &pb);
        else if (save->entries_at < save->entries_count)
            write_pairs(save, &pb, until - mn_writer_size(&save->writer), &arena);
        else if (save->sessions_at < save->sessions_count)
            write_sessions(save, &pb, &arena);
        else
            write_leases(save, &pb, &arena);
        part = pb_pack(&pb.base);
        mn_writer_add(&save->writer, mn_buf_span(part));
        mn_buf_unref(part);
        save_passed(save, from);
        mn_arena_reset(&arena);
    }
    mn_arena_done(&arena);
    return save_is_done(save);
}

/* ---- for others ---- */

struct mn_buf *strong_snapshot(const struct strong *strong)
{
    struct strong_save save;
    struct mn_buf *buf;
    bool is_done;

    save_open(&save, strong);
    save_reserve(&save, strong);
    is_done = save_write(&save, SIZE_MAX / 2);
    MN_ASSERT(is_done);
    buf = mn_writer_done(&save.writer);
    save_close(&save);
    return buf;
}

void strong_save_begin(struct strong *strong)
{
    MN_ASSERT(strong->save == NULL);
    strong->save = mn_alloc(sizeof *strong->save);
    save_open(strong->save, strong);
    save_reserve(strong->save, strong);
}

bool strong_is_saving(const struct strong *strong)
{
    return strong->save != NULL;
}

struct mn_span strong_save_next(struct strong *strong, size_t size)
{
    struct strong_save *save = strong->save;
    size_t before = mn_writer_size(&save->writer);

    MN_ASSERT(size > 0 && !save_is_done(save));
    save_write(save, size);
    return mn_span(save->writer.buf->bytes + before, mn_writer_size(&save->writer) - before);
}

struct mn_buf *strong_save_end(struct strong *strong)
{
    struct mn_buf *buf;

    if (!save_is_done(strong->save)) return NULL;
    buf = mn_writer_done(&strong->save->writer);
    strong_save_drop(strong);
    return buf;
}

void strong_save_drop(struct strong *strong)
{
    if (strong->save == NULL) return;
    save_close(strong->save);
    mn_free(strong->save);
    strong->save = NULL;
}

/* ---- what replicas compare ---- */

void strong_verify_begin(struct strong *strong)
{
    if (strong->verify != NULL) {
        MN_PROBE("strong: a second VERIFY while the first is being hashed");
        strong_verify_next(strong, SIZE_MAX / 2);
    }
    MN_ASSERT(strong->verify == NULL);
    strong->verify = mn_alloc(sizeof *strong->verify);
    save_open(strong->verify, strong);
    digest_begin(&strong->hashed, DIGEST_STATE, STRONG_DIGEST_SIZE);
}

bool strong_is_verifying(const struct strong *strong)
{
    return strong->verify != NULL;
}

void strong_verify_next(struct strong *strong, size_t size)
{
    struct strong_save *save = strong->verify;
    bool is_done = save_write(save, size);
    uint32_t at;

    if (save->writer.buf != NULL) digest_fixed(&strong->hashed, mn_buf_span(save->writer.buf));
    mn_writer_drop(&save->writer);
    if (!is_done) return;
    at = strong->digests_count++ % STRONG_DIGESTS_MAX;
    digest_end(&strong->hashed, strong->digests[at].bytes);
    strong->digests[at].rev = save->rev;
    strong_verify_drop(strong);
}

void strong_verify_drop(struct strong *strong)
{
    if (strong->verify == NULL) return;
    save_close(strong->verify);
    mn_free(strong->verify);
    strong->verify = NULL;
}

mn_status strong_digest(const struct strong *strong, uint64_t rev, uint8_t ret[STRONG_DIGEST_SIZE])
{
    if (strong->verify != NULL && strong->verify->rev == rev) return MN_NOT_YET;
    for (uint32_t i = 0; i < STRONG_DIGESTS_MAX; i++) {
        if (rev == 0 || strong->digests[i].rev != rev) continue;
        memcpy(ret, strong->digests[i].bytes, STRONG_DIGEST_SIZE);
        return MN_OK;
    }
    return MN_NOT_FOUND;
}

/* ---- entries that a save still needs ---- */

static bool save_needs(const struct strong_save *save, const struct strong_entry *entry)
{
    if (save == NULL || entry->rev > save->rev) return false;
    return save->last_key == NULL ||
           mn_span_compare(mn_buf_span(entry->key), mn_buf_span(save->last_key)) > 0;
}

bool strong_is_saved(const struct strong *strong, const struct strong_entry *entry)
{
    return save_needs(strong->save, entry) || save_needs(strong->verify, entry);
}

void strong_retire(struct strong *strong, struct strong_entry *entry)
{
    MN_ASSERT(strong_is_saved(strong, entry) && entry->holders == 0);
    entry->holders = (uint8_t)(save_needs(strong->save, entry) + save_needs(strong->verify, entry));
}
