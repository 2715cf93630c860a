/* Legacy sessions beyond the death of their node. What a session is, as far as its id has no room
 * for it (the client's capabilities as it said them) or it changes (log level, subscriptions), is a
 * record that other nodes keep too (records.h). Whatever changes it is answered only once they do.
 *
 * A client that comes here with the id of a session we do not have waits until others were asked
 * for the record. If nobody has it, the client hears that its session is gone, and starts over:
 * without its subscriptions it would go on as if nothing ever changed. The requests of a session
 * that is being looked for are kept as they came, and served then. Records are in the node's store,
 * so that sessions outlive all nodes that keep them, if those come back.
 *
 * Of the events that can be had again only answers of calls that lasted are in the record, beside
 * the calls that still run (front_orphan.c); the others stay where they were sent. Each node that
 * takes a session over is one generation further, and numbers its streams and events from there: an
 * id of an earlier node's event is never taken for one of ours. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_tasks.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"
#include "proto/base/text.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"

#define SUBSCRIPTIONS_SAVED 256u           /* of one session */
#define SUBSCRIPTIONS_SIZE ((size_t)32768) /* bytes of their URIs */
#define TASKS_SIZE ((size_t)24576)         /* bytes of their ids and progress tokens, */
#define TASK_OVERHEAD 16                   /* and of what else is said of each */
#define GENERATION_SHIFT 32
#define CHANCE_BITS 12          /* of a generation; before them it counts nodes */
#define COUNT_BITS 16           /* an event's id has room for so many */
#define MARK_PREFIX "ended/"    /* in the store all of these come */
#define KEPT_PREFIX "sessions/" /* before all of these */

/* An answer that waits until the session is kept. */
struct held {
    struct mn_list in_session, in_exchange;
    struct front_exchange *exchange; /* NULL: the client went away */
    struct mn_span id, result;
};

/* A session that is being looked for. */
struct adoption {
    struct mn_map_entry by_key;
    struct records_key key;
    struct mn_list waiting; /* exchange->in_adoption */
    char id[FRONT_SESSION_ID_MAX];
};

static struct mn_span key_span(const struct records_key *key)
{
    return mn_span(key->bytes, sizeof key->bytes);
}

static struct records_key record_key(const struct front_session *session)
{
    struct records_key key;

    _Static_assert(sizeof session->handle == sizeof key.bytes, "a handle is a key");
    memcpy(key.bytes, session->handle, sizeof key.bytes);
    return key;
}

static void record_step(struct front *front, const struct records_input *input)
{
    records_step(front->records, front->now, input, &front->records_outbox);
}

static struct front_session *record_session(struct front *front, const struct records_key *key)
{
    struct mn_map_entry *entry = mn_map_find(&front->sessions_by_handle, key_span(key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct front_session, by_handle);
}

/* ---- writing ---- */

static void record_pack_tasks(struct front *front, const struct front_session *session,
                              Meshnode__Record__Session *record)
{
    struct front_kept_task task;
    size_t size = 0;

    record->tasks = mn_arena_alloc(&front->scratch, FRONT_TASKS_KEPT * sizeof(char *));
    record->task_tokens =
        mn_arena_alloc(&front->scratch, FRONT_TASKS_KEPT * sizeof *record->task_tokens);
    record->task_numbers =
        mn_arena_alloc(&front->scratch, FRONT_TASKS_KEPT * sizeof *record->task_numbers);
    record->task_is_quiet =
        mn_arena_alloc(&front->scratch, FRONT_TASKS_KEPT * sizeof *record->task_is_quiet);
    for (void *at = NULL; (at = front_task_next(session, at, &task)) != NULL;) {
        size += task.id.size + task.token.size + TASK_OVERHEAD;
        if (size > TASKS_SIZE) break;
        record->tasks[record->n_tasks++] =
            (char *)(uintptr_t)mn_arena_copy(&front->scratch, task.id).data;
        record->task_tokens[record->n_task_tokens++] = pb_bytes(task.token);
        record->task_numbers[record->n_task_numbers++] = task.number;
        record->task_is_quiet[record->n_task_is_quiet++] = task.is_quiet;
    }
}

static struct mn_buf *record_pack(struct front *front, const struct front_session *session)
{
    Meshnode__Record__Session record = MESHNODE__RECORD__SESSION__INIT;
    size_t size = 0;
    struct mn_span uri = {0};
    void *at = NULL;

    record.version = (char *)(uintptr_t)session->version;
    record.principal = pb_id_bytes(&session->principal);
    record.service = pb_bytes(session->service);
    record.client_info = pb_bytes(session->client_info);
    record.client_capabilities = pb_bytes(session->client_capabilities);
    record.log_level = (char *)(uintptr_t)loglevel_name(session->log_level);
    record.generation = session->generation;
    record.subscriptions = mn_arena_alloc(&front->scratch, SUBSCRIPTIONS_SAVED * sizeof(char *));
    while (record.n_subscriptions < SUBSCRIPTIONS_SAVED &&
           (at = front_subscribe_next(session, at, &uri)) != NULL) {
        size += uri.size;
        if (size > SUBSCRIPTIONS_SIZE) break;
        record.subscriptions[record.n_subscriptions++] =
            (char *)(uintptr_t)mn_arena_copy(&front->scratch, uri).data;
    }
    record_pack_tasks(front, session, &record);
    front_aside_pack(front, session, &record);
    front_theirs_pack(front, session, &record);
    front_orphan_pack(front, session, &record);
    front_replay_pack(front, session, &record);
    return pb_pack(&record.base);
}

void front_record_save(struct front *front, struct front_session *session)
{
    struct records_input input = {.type = RECORDS_IN_PUT, .key = record_key(session)};
    struct mn_buf *body = record_pack(front, session);

    MN_ASSERT(body->size <= RECORDS_BODY_MAX); /* each part is bounded */
    input.put = mn_buf_span(body);
    record_step(front, &input);
    mn_buf_unref(body);
}

static void held_free(struct held *held)
{
    mn_list_remove(&held->in_session);
    mn_list_remove(&held->in_exchange);
    mn_free(held);
}

void front_record_reply(struct front *front, struct front_exchange *exchange,
                        struct front_session *session, struct mn_span id, struct mn_span result)
{
    struct held *held = mn_alloc(sizeof *held + id.size + result.size);
    uint8_t *to = (uint8_t *)(held + 1);

    held->exchange = exchange;
    held->id = mn_span(to, id.size);
    memcpy(to, id.data, id.size);
    held->result = mn_span(to + id.size, result.size);
    memcpy(to + id.size, result.data, result.size);
    mn_list_push_back(&session->held, &held->in_session);
    mn_list_push_back(&exchange->held, &held->in_exchange);
    front_record_save(front, session);
}

/* What was held back is said. */
static void record_release_answers(struct front *front, struct front_session *session)
{
    while (!mn_list_is_empty(&session->held)) {
        struct held *held = MN_CONTAINER(session->held.next, struct held, in_session);
        struct front_exchange *exchange = held->exchange;
        struct mn_span id = mn_arena_copy(&front->scratch, held->id);
        struct mn_span result = mn_arena_copy(&front->scratch, held->result);
        held_free(held);
        if (exchange != NULL) front_reply_result(front, exchange, id, result);
    }
}

void *front_record_held(const struct front_exchange *exchange, void *at, struct mn_span *id)
{
    struct mn_list *link = at == NULL ? exchange->held.next : ((struct mn_list *)at)->next;

    if (link == &exchange->held) return NULL;
    *id = MN_CONTAINER(link, struct held, in_exchange)->id;
    return link;
}

void front_record_leave(struct front *front, struct front_exchange *exchange)
{
    if (exchange->is_ending) mn_map_remove(&front->endings, &exchange->by_ending);
    while (!mn_list_is_empty(&exchange->held)) {
        struct held *held = MN_CONTAINER(exchange->held.next, struct held, in_exchange);
        held->exchange = NULL;
        mn_list_remove(&held->in_exchange);
    }
    mn_list_remove(&exchange->in_adoption);
}

void front_record_done(struct front *front, struct front_session *session)
{
    struct records_input input = {.type = RECORDS_IN_RELEASE, .key = record_key(session)};

    if (front->outbox != NULL) {
        record_release_answers(front, session);
        record_step(front, &input);
    }
    while (!mn_list_is_empty(&session->held))
        held_free(MN_CONTAINER(session->held.next, struct held, in_session));
}

void front_record_end(struct front *front, struct front_session *session)
{
    record_step(front, &(struct records_input){.type = RECORDS_IN_END, .key = record_key(session)});
}

void front_record_delete(struct front *front, struct front_exchange *exchange,
                         struct front_session *session)
{
    exchange->is_ending = true;
    exchange->ending = record_key(session);
    mn_map_insert(&front->endings, &exchange->by_ending, key_span(&exchange->ending));
    front_record_end(front, session);
}

/* ---- reading ---- */

/* Only for whom it was made, as its id; and as this node would have written it. */
static const Meshnode__Record__Session *record_read(struct front *front, struct mn_span body,
                                                    const mn_id *principal, struct mn_span service)
{
    const Meshnode__Record__Session *record =
        pb_unpack(&meshnode__record__session__descriptor, &front->scratch, body);
    mn_id whose;

    if (record == NULL || pb_id(record->principal, &whose) != MN_OK) return NULL;
    if (!mn_id_equal(&whose, principal) || !mn_span_equal(pb_span(record->service), service))
        return NULL;
    if (record->client_info.len > FRONT_CLIENT_INFO_MAX ||
        record->client_capabilities.len > AUDIENCE_DECLARED_MAX ||
        record->n_subscriptions > SUBSCRIPTIONS_SAVED)
        return NULL;
    return front_session_version(pb_text(record->version)) == NULL ? NULL : record;
}

static bool record_wants(const Meshnode__Record__Session *record, struct mn_span uri)
{
    for (size_t i = 0; i < record->n_subscriptions; i++)
        if (mn_span_equal(pb_text(record->subscriptions[i]), uri)) return true;
    return false;
}

/* Its task [i]. */
static struct front_kept_task record_task(struct front *front,
                                          const Meshnode__Record__Session *record, size_t i)
{
    struct front_kept_task task = {.id = pb_text(record->tasks[i])};
    struct mn_span token = mn_span(NULL, 0);

    if (i < record->n_task_tokens) token = pb_span(record->task_tokens[i]);
    if (token.size > 0 && front_replay_is_id(front, token)) task.token = token;
    if (i < record->n_task_numbers) task.number = record->task_numbers[i];
    task.is_quiet = i < record->n_task_is_quiet && record->task_is_quiet[i];
    return task;
}

/* The session is as the record says. Of what was subscribed here and is not in it, nothing stays.
 */
static void record_apply(struct front *front, struct front_session *session,
                         const Meshnode__Record__Session *record)
{
    enum loglevel level = loglevel_parse(pb_text(record->log_level));
    struct mn_span uri;
    void *at = NULL;

    if (level != LOGLEVEL_NONE) session->log_level = level;
    while ((at = front_subscribe_next(session, at, &uri)) != NULL) {
        if (record_wants(record, uri)) continue;
        front_subscribe_forget(front, session, uri);
        at = NULL; /* from the beginning: the list is another one now */
    }
    for (size_t i = 0; i < record->n_subscriptions; i++)
        front_subscribe_again(front, session, pb_text(record->subscriptions[i]));
    for (size_t i = 0; i < record->n_tasks && i < FRONT_TASKS_KEPT; i++) {
        struct front_kept_task task = record_task(front, record, i);
        front_task_remember(front, session, &task);
    }
    front_aside_read(front, session, record);
    front_theirs_read(session, record);
    front_replay_read(front, session, record);
    front_orphan_read(front, session, record);
}

/* The session is of a generation later than that of the record, and numbers from there. A record
 * may be the last but one: chance tells its heirs apart. */
static void record_number(struct front *front, struct front_session *session,
                          const Meshnode__Record__Session *record)
{
    uint64_t count = (record->generation >> CHANCE_BITS) + 1;

    session->generation =
        (count % (1u << COUNT_BITS)) << CHANCE_BITS | rng_below(&front->rng, 1u << CHANCE_BITS);
    session->stream_last = session->place_last = session->generation << GENERATION_SHIFT;
}

uint64_t front_record_moves(const struct front_session *session)
{
    return 1 + (session->generation >> CHANCE_BITS);
}

/* ---- a session of another node ---- */

bool front_record_is_elsewhere(const struct front *front, const struct front_session *session)
{
    return session->is_elsewhere ||
           mn_map_find(&front->adoptions, mn_span(session->handle, sizeof session->handle)) != NULL;
}

bool front_record_adopt(struct front *front, struct front_exchange *exchange, struct mn_span id)
{
    struct records_input input = {.type = RECORDS_IN_ASK};
    struct mn_map_entry *entry;
    struct adoption *adoption;

    if (id.size >= FRONT_SESSION_ID_MAX || !front_session_is_ours(front, exchange, id) ||
        front->bodies_size + front->body.size > MCP_BODIES_MAX)
        return false;
    front_session_handle(id, input.key.bytes);
    entry = mn_map_find(&front->adoptions, key_span(&input.key));
    if (entry == NULL) {
        adoption = mn_alloc(sizeof *adoption);
        adoption->key = input.key;
        memcpy(adoption->id, id.data, id.size);
        mn_list_init(&adoption->waiting);
        mn_map_insert(&front->adoptions, &adoption->by_key, key_span(&adoption->key));
        record_step(front, &input);
    } else {
        adoption = MN_CONTAINER(entry, struct adoption, by_key);
    }
    mn_list_push_back(&adoption->waiting, &exchange->in_adoption);
    front_http_keep_body(front, exchange);
    return true;
}

/* Serves what was kept until the session was found, as if it came now. */
static void adoption_serve(struct front *front, struct front_exchange *exchange)
{
    mn_list_remove(&exchange->in_adoption);
    if (exchange->verb != FRONT_VERB_POST) {
        front_legacy_verb(front, exchange);
        return;
    }
    exchange->pending_count = 0;
    front_http_serve_body(front, exchange);
}

/* This node has the word now. False: there is no such session, or no room for it. */
static bool adoption_take_over(struct front *front, const struct front_exchange *exchange,
                               const struct adoption *adoption, const struct records_output *found)
{
    const Meshnode__Record__Session *record = NULL;
    struct front_session *session = record_session(front, &found->key);

    if (found->is_found && !found->is_ended)
        record = record_read(front, found->body, &exchange->principal, exchange->service);
    if (session == NULL && record == NULL) {
        MN_PROBE("front: nobody has the record of a session, and its client starts over");
        return false;
    }
    if (session != NULL) { /* its client was away for a while */
        if (record != NULL) {
            record_number(front, session, record);
            record_apply(front, session, record);
        }
        session->is_elsewhere = false;
        front_record_save(front, session);
        return true;
    }
    if (!front_legacy_make_room(front)) return false;
    session = front_session_again(
        front, exchange, mn_span_str(adoption->id), front_session_version(pb_text(record->version)),
        pb_span(record->client_info), pb_span(record->client_capabilities));
    front_legacy_touch(front, session);
    record_number(front, session, record);
    record_apply(front, session, record);
    front_record_save(front, session);
    return true;
}

/* Now the session is here, or it is nowhere: whoever waits is served. */
static void adoption_end(struct front *front, struct adoption *adoption)
{
    struct mn_list waiting;

    mn_map_remove(&front->adoptions, &adoption->by_key);
    mn_list_init(&waiting);
    for (struct mn_list *link; (link = mn_list_take(&adoption->waiting)) != NULL;)
        mn_list_push_back(&waiting, link);
    mn_free(adoption);
    while (!mn_list_is_empty(&waiting)) {
        struct front_exchange *exchange =
            MN_CONTAINER(waiting.next, struct front_exchange, in_adoption);
        exchange->was_adopted = true; /* looked for once: it is not looked for again */
        adoption_serve(front, exchange);
    }
}

static struct adoption *adoption_find(struct front *front, const struct records_key *key)
{
    struct mn_map_entry *entry = mn_map_find(&front->adoptions, key_span(key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct adoption, by_key);
}

/* A session that was found is served once others know that it is here: STORED comes for it. */
static void record_on_found(struct front *front, const struct records_output *found)
{
    struct adoption *adoption = adoption_find(front, &found->key);
    struct front_session *session = record_session(front, &found->key);

    if (adoption == NULL) return;
    if (found->is_ended) {
        if (session != NULL)
            front_legacy_end(front, session, "ended elsewhere");
        else
            front_session_forget(front, mn_span_str(adoption->id));
        adoption_end(front, adoption);
    } else if (mn_list_is_empty(&adoption->waiting) ||
               !adoption_take_over(
                   front, MN_CONTAINER(adoption->waiting.next, struct front_exchange, in_adoption),
                   adoption, found)) {
        adoption_end(front, adoption);
    }
}

/* Others know that it has ended. Its client may not have waited, or its token has ended with it. */
static void record_on_ended(struct front *front, const struct records_key *key)
{
    struct mn_map_entry *entry = mn_map_find(&front->endings, key_span(key));

    if (entry == NULL) return;
    front_reply_empty(front, MN_CONTAINER(entry, struct front_exchange, by_ending), 200);
}

static void record_on_stored(struct front *front, const struct records_output *stored)
{
    struct adoption *adoption = adoption_find(front, &stored->key);
    struct front_session *session = record_session(front, &stored->key);

    if (stored->is_ended) record_on_ended(front, &stored->key);
    if (session == NULL) return;
    record_release_answers(front, session);
    if (adoption != NULL && !session->is_elsewhere) adoption_end(front, adoption);
}

/* ---- what the records say ---- */

static void record_on_relayed(struct front *front, const struct records_output *relayed)
{
    struct front_session *session = record_session(front, &relayed->key);

    if (session != NULL) front_relay_on_word(front, session, relayed->body, relayed->age);
}

/* The client used the session at another node meanwhile, and changed or ended it there. */
static void record_on_newer(struct front *front, const struct records_output *newer)
{
    struct front_session *session = record_session(front, &newer->key);
    const Meshnode__Record__Session *record;

    if (session == NULL) return;
    if (newer->is_ended) {
        front_legacy_end(front, session, "ended elsewhere");
        return;
    }
    record = record_read(front, newer->body, &session->principal, session->service);
    if (record == NULL) return;
    record_apply(front, session, record);
    session->is_elsewhere = true;
    record_step(front, &(struct records_input){.type = RECORDS_IN_RELEASE, .key = newer->key});
}

/* ---- in the node's store: marks of ended sessions, and records ---- */

static bool key_has(struct mn_span key, const char *prefix)
{
    size_t size = strlen(prefix);

    return key.size == size + 2 * RECORDS_KEY_SIZE && memcmp(key.data, prefix, size) == 0;
}

bool front_record_is_key(struct mn_span key)
{
    return key_has(key, MARK_PREFIX) || key_has(key, KEPT_PREFIX);
}

bool front_record_is_kept(const struct front *front, struct mn_span id)
{
    struct records_key key;

    front_session_handle(id, key.bytes);
    return records_has(front->records, &key);
}

/* [value] empty: nothing is kept under that key any more. */
static void record_write(struct front *front, const char *prefix, const struct records_key *key,
                         struct mn_span value)
{
    struct mn_arena *arena;
    struct edge_output *write;
    char hex[2 * RECORDS_KEY_SIZE + 1];

    if (front->writes_count == NULL) return;
    arena = front->outbox->edge->arena;
    mn_hex_encode(key_span(key), hex);
    write = edge_emit(front->outbox->edge, EDGE_OUT_WRITE, ++*front->writes_count);
    write->key = mn_span_str(mn_arena_format(arena, "%s%s", prefix, hex));
    if (value.size > 0) write->bytes = mn_arena_copy(arena, value);
}

/* "VERSION MS": until then somebody may come with the id. */
static void record_mark(struct front *front, const struct records_output *mark)
{
    const char *text = "";

    if (mark->is_ended)
        text = mn_arena_format(
            &front->scratch, "%llu %llu", (unsigned long long)mark->version,
            (unsigned long long)(mn_wall_ms(front->now) + FRONT_SESSION_LIFE / MN_MS));
    record_write(front, MARK_PREFIX, &mark->key, mn_span_str(text));
}

/* A number and one byte behind it; SIZE_MAX: it is none. */
static size_t mark_number(struct mn_span text, size_t at, uint64_t *ret)
{
    size_t begin = at;

    for (*ret = 0; at < text.size && at - begin < 19; at++) {
        if (text.data[at] < '0' || text.data[at] > '9') break;
        *ret = 10 * *ret + (uint64_t)(text.data[at] - '0');
    }
    return at == begin ? SIZE_MAX : at;
}

static void recover_mark(struct front *front, struct records_input *input, struct mn_span value)
{
    struct records_output gone = {.type = RECORDS_OUT_MARK, .key = input->key};
    size_t at = mark_number(value, 0, &input->mark);
    uint64_t until_ms = 0;

    input->type = RECORDS_IN_MARK;
    if (at != SIZE_MAX) at = mark_number(value, at + 1, &until_ms);
    if (at == value.size && until_ms > mn_wall_ms(front->now))
        record_step(front, input);
    else
        record_mark(front, &gone); /* no id of its time is good any more */
}

void front_record_recover(struct front *front, struct mn_span key, struct mn_span value)
{
    struct records_input input = {.type = RECORDS_IN_KEPT};
    bool is_mark = key_has(key, MARK_PREFIX);
    const char *prefix = is_mark ? MARK_PREFIX : KEPT_PREFIX;
    size_t size = strlen(prefix);

    if (!front_record_is_key(key) || mn_hex_decode(mn_span(key.data + size, 2 * RECORDS_KEY_SIZE),
                                                   input.key.bytes, RECORDS_KEY_SIZE) != MN_OK)
        return;
    if (is_mark) {
        recover_mark(front, &input, value);
        return;
    }
    input.kept = value;
    record_step(front, &input);
}

static void record_send(struct front *front, const struct records_output *output)
{
    struct mcp_carries *carries = front->outbox->carries;

    if (carries == NULL) { /* nobody is told; then nobody answers either */
        mn_buf_unref(output->buf);
        return;
    }
    mcp_carry(carries, &output->to, output->buf);
}

void front_record_run(struct front *front)
{
    struct records_outbox *outbox = &front->records_outbox;

    for (uint32_t i = 0; i < outbox->count; i++) {
        struct records_output output = outbox->items[i]; /* the array may move */
        switch (output.type) {
        case RECORDS_OUT_SEND: record_send(front, &output); break;
        case RECORDS_OUT_STORED: record_on_stored(front, &output); break;
        case RECORDS_OUT_FOUND: record_on_found(front, &output); break;
        case RECORDS_OUT_NEWER: record_on_newer(front, &output); break;
        case RECORDS_OUT_RELAYED: record_on_relayed(front, &output); break;
        case RECORDS_OUT_MARK: record_mark(front, &output); break;
        case RECORDS_OUT_KEEP: record_write(front, KEPT_PREFIX, &output.key, output.body); break;
        }
    }
    outbox->items = NULL;
    outbox->count = outbox->capacity = 0;
    mn_arena_reset(outbox->arena);
}

void front_record_on_nodes(struct front *front, const mn_id *nodes, uint32_t count)
{
    struct records_input input = {.type = RECORDS_IN_NODES};

    input.nodes.items = nodes;
    input.nodes.count = count;
    record_step(front, &input);
}

void front_record_on_message(struct front *front, const mn_id *from, struct mn_span bytes)
{
    struct records_input input = {.type = RECORDS_IN_MESSAGE};

    input.message.from = *from;
    input.message.bytes = bytes;
    record_step(front, &input);
}

void front_record_on_time(struct front *front)
{
    if (records_deadline(front->records) > front->now.mono) return;
    record_step(front, &(struct records_input){.type = RECORDS_IN_TICK});
}

void front_record_free(struct front *front)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&front->adoptions, NULL)) != NULL) {
        mn_map_remove(&front->adoptions, entry);
        mn_free(MN_CONTAINER(entry, struct adoption, by_key));
    }
    mn_map_done(&front->adoptions);
    mn_map_done(&front->endings);
    records_free(front->records);
    mn_arena_done(&front->records_arena);
}
