/* Streams of legacy sessions that can be taken up again. Every event of theirs has an id that names
 * its stream and its place (p3-17: stream 3, a POST's; g4-18: the session's own), and the newest
 * ones are kept. A client that lost a stream asks with Last-Event-ID, gets what it missed of that
 * stream alone, and then its continuation: calls whose answers are still to come go on there. An
 * answer that comes while nobody is connected is kept likewise.
 *
 * The ids of a POST's stream also say what the client calls those of its requests that are not
 * answered yet (p3-17.37.38: the bytes of their ids, here 7 and 8, in hexadecimal; of a batch there
 * may be several, and + stands for those that there is no room for). So a client that comes for an
 * answer which nobody has can be told so, by whatever node, and is not given another one to what it
 * has an answer to, whatever the record of its session said last. */
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"
#include "proto/base/text.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"

#define SESSION_EVENTS_MAX 256
#define SESSION_SIZE_MAX 262144         /* bytes kept for one session */
#define ALL_SIZE_MAX ((size_t)67108864) /* for all; then the session that adds gives up its own */
#define REQUEST_ID_MAX 48u  /* bytes of a request's id that an event's id has room for */
#define REQUESTS_SIZE 3072u /* characters that name them: the client sends them in a header */
#define ID_SIZE (48 + REQUESTS_SIZE)
#define RECORD_ANSWER_MAX 16384u            /* bytes of one answer in the record */
#define RECORD_ANSWERS_SIZE ((size_t)24576) /* of all */
#define RECORD_ANSWERS_MAX 16u
#define RECORD_ANSWERS_LIFE                                               \
    (5 * MN_MINUTE) /* then a client has had its answer, or will not come \
                     */

static const char lost[] = "outcome unknown: the answer is lost with the node that had it, or was "
                           "too large to be kept; the tool may have run";

struct kept {
    struct mn_list link; /* in session->kept, oldest first */
    uint64_t stream, place;
    struct mn_span answers; /* the id of the request on its stream; empty: it is no answer */
    bool is_noted;          /* the request was in the session's record */
    mn_time at;
    struct mn_buf *json;
};

/* Whose event it is, and where it came. */
struct event_id {
    char kind;
    uint64_t stream, place;
    struct front_waiting waiting;
};

static void replay_drop(struct front *front, struct front_session *session, struct kept *kept)
{
    size_t size = kept->json->size + sizeof *kept + kept->answers.size;

    mn_list_remove(&kept->link);
    session->kept_count--;
    session->kept_size -= size;
    front->kept_size -= size;
    mn_buf_unref(kept->json);
    mn_free(kept);
}

static struct kept *replay_oldest(const struct front_session *session)
{
    return MN_CONTAINER(session->kept.next, struct kept, link);
}

void front_replay_done(struct front *front, struct front_session *session)
{
    while (!mn_list_is_empty(&session->kept))
        replay_drop(front, session, replay_oldest(session));
}

/* NULL: it has its id, but cannot be had again. */
static struct kept *replay_keep(struct front *front, struct front_session *session, uint64_t stream,
                                uint64_t place, struct mn_span json, struct mn_span answers)
{
    struct kept *kept;
    size_t size = json.size + sizeof *kept + answers.size;

    if (size > SESSION_SIZE_MAX) return NULL;
    while (session->kept_count > 0 &&
           (session->kept_count >= SESSION_EVENTS_MAX ||
            session->kept_size + size > SESSION_SIZE_MAX || front->kept_size + size > ALL_SIZE_MAX))
        replay_drop(front, session, replay_oldest(session));
    if (front->kept_size + size > ALL_SIZE_MAX) return NULL;
    kept = mn_alloc(sizeof *kept + answers.size);
    if (answers.size > 0) memcpy(kept + 1, answers.data, answers.size);
    kept->answers = mn_span(kept + 1, answers.size);
    kept->stream = stream;
    kept->place = place;
    kept->at = front->now.mono;
    kept->json = mn_buf_copy(json);
    mn_list_push_back(&session->kept, &kept->link);
    session->kept_count++;
    session->kept_size += size;
    front->kept_size += size;
    return kept;
}

/* The next event of a session. */
static void replay_keep_next(struct front *front, struct front_session *session, uint64_t stream,
                             struct mn_span json, struct mn_span answers, bool is_noted)
{
    struct kept *kept = replay_keep(front, session, stream, ++session->place_last, json, answers);

    if (kept != NULL) kept->is_noted = is_noted;
}

/* What the event now sent has in its id of the requests that are not answered. */
struct waiting {
    char text[REQUESTS_SIZE + 3];
    size_t size;
    bool is_more;           /* than there is room for */
    struct mn_span answers; /* what this event answers is left out */
};

static void waiting_add(struct waiting *waiting, struct mn_span request)
{
    if (request.size == 0 || waiting->is_more || mn_span_equal(request, waiting->answers)) return;
    if (request.size > REQUEST_ID_MAX || waiting->size + 1 + 2 * request.size > REQUESTS_SIZE) {
        memcpy(waiting->text + waiting->size, ".+", 3);
        waiting->is_more = true;
        return;
    }
    waiting->text[waiting->size++] = '.';
    mn_hex_encode(request, waiting->text + waiting->size);
    waiting->size += 2 * request.size;
}

static void waiting_begin(struct waiting *waiting, const struct front_exchange *exchange,
                          struct mn_span answers)
{
    struct mn_span id;

    waiting->text[0] = '\0';
    waiting->size = 0;
    waiting->is_more = false;
    waiting->answers = answers;
    if (exchange->session != NULL) return; /* a GET's waits for nothing */
    MN_LIST_FOR_EACH (link, &exchange->calls) {
        waiting_add(waiting, MN_CONTAINER(link, struct front_call, in_exchange)->id);
    }
    for (void *at = NULL; (at = front_record_held(exchange, at, &id)) != NULL;)
        waiting_add(waiting, id);
    for (void *at = NULL; (at = front_taken_next(exchange, at, &id)) != NULL;)
        waiting_add(waiting, id);
}

static struct mn_span replay_id(struct front *front, char kind, uint64_t stream, uint64_t place,
                                const struct waiting *waiting)
{
    return mn_span_str(mn_arena_format(&front->scratch, "%c%llu-%llu%s", kind,
                                       (unsigned long long)stream, (unsigned long long)place,
                                       waiting->text));
}

struct mn_span front_replay_event(struct front *front, struct front_exchange *exchange,
                                  struct mn_span json, struct mn_span answers)
{
    struct front_session *session =
        exchange->session != NULL ? exchange->session : exchange->legacy;
    struct waiting waiting;
    char kind = exchange->session != NULL ? 'g' : 'p';

    if (session == NULL) return mn_span(NULL, 0); /* the modern era has none */
    if (exchange->stream == 0) exchange->stream = ++session->stream_last;
    replay_keep_next(front, session, exchange->stream, json, answers, exchange->is_noted);
    waiting_begin(&waiting, exchange, answers);
    return replay_id(front, kind, exchange->stream, session->place_last, &waiting);
}

bool front_replay_is_known(const struct front_session *session)
{
    return session != NULL && strcmp(session->version, "2025-11-25") == 0;
}

struct mn_span front_replay_place(struct front *front, struct front_exchange *exchange,
                                  struct mn_span answered)
{
    struct front_session *session = exchange->legacy;
    struct waiting waiting;

    if (exchange->stream == 0) exchange->stream = ++session->stream_last;
    waiting_begin(&waiting, exchange, mn_span(NULL, 0));
    waiting_add(&waiting, answered);
    return replay_id(front, 'p', exchange->stream, ++session->place_last, &waiting);
}

void front_replay_late(struct front *front, struct front_call *call, struct mn_span json,
                       bool is_answer)
{
    if (call->session == NULL || call->stream == 0) return;
    replay_keep_next(front, call->session, call->stream, json,
                     is_answer ? call->id : mn_span(NULL, 0), call->is_noted);
}

/* Whether the answer to that request came behind that place of the stream, and is kept. */
static bool replay_has_answer(const struct front_session *session, uint64_t stream, uint64_t place,
                              struct mn_span request)
{
    MN_LIST_FOR_EACH (link, &session->kept) {
        const struct kept *kept = MN_CONTAINER(link, struct kept, link);
        if (kept->stream == stream && kept->place > place && kept->answers.size > 0 &&
            mn_span_equal(kept->answers, request))
            return true;
    }
    return false;
}

bool front_replay_has_answer(const struct front_session *session, uint64_t stream,
                             struct mn_span request)
{
    return replay_has_answer(session, stream, 0, request);
}

/* ---- answers that other nodes keep too ---- */

void front_replay_pack(struct front *front, const struct front_session *session,
                       Meshnode__Record__Session *record)
{
    size_t size = 0;

    record->kept =
        mn_arena_alloc(&front->scratch, RECORD_ANSWERS_MAX * sizeof(Meshnode__Record__Kept *));
    for (struct mn_list *link = session->kept.prev; link != &session->kept; link = link->prev) {
        const struct kept *kept = MN_CONTAINER(link, struct kept, link);
        Meshnode__Record__Kept *part;
        if (kept->answers.size == 0 || !kept->is_noted || kept->json->size > RECORD_ANSWER_MAX)
            continue;
        size += kept->json->size + 32;
        if (size > RECORD_ANSWERS_SIZE || record->n_kept == RECORD_ANSWERS_MAX ||
            front->now.mono - kept->at > RECORD_ANSWERS_LIFE)
            return; /* the older ones are left out, too */
        part = mn_arena_alloc(&front->scratch, sizeof *part);
        meshnode__record__kept__init(part);
        part->stream = kept->stream;
        part->place = kept->place;
        part->json = pb_bytes(mn_buf_span(kept->json));
        record->kept[record->n_kept++] = part;
    }
}

static bool replay_is_kept(const struct front_session *session, uint64_t stream, uint64_t place)
{
    MN_LIST_FOR_EACH (link, &session->kept) {
        const struct kept *kept = MN_CONTAINER(link, struct kept, link);
        if (kept->stream == stream && kept->place == place) return true;
    }
    return false;
}

/* An answer that fits into one line of an event, and to what. */
static bool replay_read_answer(struct front *front, struct mn_span text, struct mn_span *ret)
{
    const struct json_limits flat = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *json, *id;

    if (text.size == 0 || text.size > RECORD_ANSWER_MAX ||
        memchr(text.data, '\n', text.size) != NULL || memchr(text.data, '\r', text.size) != NULL ||
        json_parse_copy(front->parser, text, flat, &front->scratch, &json) != MN_OK ||
        json->type != JSON_OBJECT || (id = json_find_str(json, "id")) == NULL)
        return false;
    *ret = id->raw;
    return id->type == JSON_STRING || id->type == JSON_NUMBER;
}

void front_replay_read(struct front *front, struct front_session *session,
                       const Meshnode__Record__Session *record)
{
    size_t count = record->n_kept < RECORD_ANSWERS_MAX ? record->n_kept : RECORD_ANSWERS_MAX;

    for (size_t i = count; i > 0; i--) { /* the newest is the first */
        const Meshnode__Record__Kept *part = record->kept[i - 1];
        struct mn_span answers;
        struct kept *kept;
        if (part->stream == 0 || !replay_read_answer(front, pb_span(part->json), &answers) ||
            replay_is_kept(session, part->stream, part->place))
            continue;
        kept = replay_keep(front, session, part->stream, part->place, pb_span(part->json), answers);
        if (kept != NULL) kept->is_noted = true;
    }
}

/* ---- clients that come back ---- */

bool front_replay_is_id(struct front *front, struct mn_span text)
{
    const struct json_limits flat = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    const struct json *id;

    return text.size <= JSONRPC_ID_SIZE_MAX &&
           json_parse_copy(front->parser, text, flat, &front->scratch, &id) == MN_OK &&
           (id->type == JSON_STRING || id->type == JSON_NUMBER) && id->raw.size == text.size;
}

/* [request]: digits of ours, but who asks may have made them up. */
static bool replay_parse_request(struct front *front, struct mn_span digits, struct mn_span *ret)
{
    size_t size = digits.size / 2;
    uint8_t *text;

    if (size == 0 || size > REQUEST_ID_MAX) return false;
    text = mn_arena_alloc(&front->scratch, size);
    *ret = mn_span(text, size);
    return mn_hex_decode(digits, text, size) == MN_OK && front_replay_is_id(front, *ret);
}

/* "37.38" of "p3-17.37.38". */
static bool replay_parse_requests(struct front *front, struct mn_span text,
                                  struct front_waiting *ret)
{
    for (size_t at = 0, end; at <= text.size; at = end + 1) {
        const uint8_t *dot = memchr(text.data + at, '.', text.size - at);
        end = dot == NULL ? text.size : (size_t)(dot - text.data);
        if (dot == NULL && end == at + 1 && text.data[at] == '+') {
            ret->is_more = true;
            return true;
        }
        if (ret->count == MCP_BATCH_MAX ||
            !replay_parse_request(front, mn_span(text.data + at, end - at),
                                  &ret->requests[ret->count++]))
            return false;
    }
    return true;
}

/* "p3-17", "p3-17.37". False: it is none of our ids. */
static bool replay_parse(struct front *front, struct mn_span text, struct event_id *ret)
{
    const uint8_t *dot;
    uint64_t *number = &ret->stream;

    *ret = (struct event_id){0};
    if (text.size < 4 || text.size > ID_SIZE) return false;
    ret->kind = (char)text.data[0];
    if (ret->kind != 'p' && ret->kind != 'g') return false;
    dot = memchr(text.data, '.', text.size);
    if (dot != NULL) {
        size_t at = (size_t)(dot - text.data);
        if (!replay_parse_requests(front, mn_span(dot + 1, text.size - at - 1), &ret->waiting))
            return false;
        text.size = at;
    }
    for (size_t i = 1; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '-' && number == &ret->stream)
            number = &ret->place;
        else if (c >= '0' && c <= '9' && *number < UINT64_MAX / 10 - 1)
            *number = *number * 10 + (uint64_t)(c - '0');
        else
            return false;
    }
    return number == &ret->place && ret->stream > 0;
}

/* What was missed, under the ids it had; no new ones are given out. */
static void replay_send(struct front *front, struct front_exchange *exchange,
                        const struct front_session *session, const struct event_id *id)
{
    MN_LIST_FOR_EACH (link, &session->kept) {
        const struct kept *kept = MN_CONTAINER(link, struct kept, link);
        struct waiting waiting;
        if (kept->stream != id->stream || kept->place <= id->place) continue;
        waiting_begin(&waiting, exchange, kept->answers);
        for (struct mn_list *next = link->next; next != &session->kept; next = next->next) {
            const struct kept *later = MN_CONTAINER(next, struct kept, link);
            if (later->stream == id->stream) waiting_add(&waiting, later->answers);
        }
        front_reply_again(front, exchange,
                          replay_id(front, id->kind, kept->stream, kept->place, &waiting),
                          mn_buf_span(kept->json));
    }
}

/* Whether somebody answers that request of the stream, or has. */
static bool replay_is_coming(const struct front_exchange *exchange,
                             const struct front_session *session, const struct event_id *id,
                             struct mn_span request)
{
    MN_LIST_FOR_EACH (link, &exchange->calls) {
        if (mn_span_equal(MN_CONTAINER(link, struct front_call, in_exchange)->id, request))
            return true;
    }
    return replay_has_answer(session, id->stream, id->place, request);
}

/* Of those that the client waits for, what nobody will ever answer. The exchange may end with it.
 */
static void replay_tell_lost(struct front *front, struct front_exchange *exchange,
                             const struct event_id *id, const bool *is_lost)
{
    for (uint32_t i = 0; i < id->waiting.count; i++) {
        if (!is_lost[i]) continue;
        MN_PROBE("front: a client comes for an answer that is lost");
        front_reply_error(front, exchange, 200, id->waiting.requests[i], JSONRPC_INTERNAL,
                          mn_span_str(lost), mn_span_str("{\"reason\":\"outcome_unknown\"}"));
    }
}

/* Its client has come back before its old connection was seen to be gone. */
static void replay_detach(struct front *front, struct front_call *call)
{
    struct front_exchange *before = call->exchange;

    if (before == NULL) return;
    MN_PROBE("front: a stream goes on in another connection, and the old one is still there");
    mn_list_remove(&call->in_exchange);
    call->exchange = NULL;
    MN_ASSERT(before->is_stream && before->pending_count > 0);
    if (--before->pending_count == 0) front_reply_end(front, before);
}

/* Calls that ran on without their client, or with it elsewhere: the newest connection is the one
 * that surely has a reader. */
static void replay_attach(struct front *front, struct front_exchange *exchange,
                          struct front_session *session)
{
    MN_LIST_FOR_EACH (entry, &session->calls) {
        struct front_call *call = MN_CONTAINER(entry, struct front_call, in_session);
        uint64_t stream = call->exchange == NULL ? call->stream : call->exchange->stream;
        if (stream != exchange->stream || call->exchange == exchange || call->is_doomed) continue;
        replay_detach(front, call);
        call->exchange = exchange;
        mn_list_push_back(&exchange->calls, &call->in_exchange);
        exchange->pending_count++;
        exchange->is_noted = exchange->is_noted || call->is_noted;
    }
}

/* The stream of a POST goes on, or is over; of what is over without its answer that is told. */
static void replay_post(struct front *front, struct front_exchange *exchange,
                        struct front_session *session, const struct event_id *id)
{
    bool is_lost[MCP_BATCH_MAX];
    uint32_t lost_count = 0;

    exchange->legacy = session;
    exchange->stream = id->stream;
    exchange->pending_count = 0;
    front_reply_open(front, exchange);
    if (!front_orphan_claim(front, exchange, session, id->stream, &id->waiting)) {
        front_reply_end(front, exchange); /* its client comes again */
        return;
    }
    replay_attach(front, exchange, session);
    MN_PROBE("front: a broken stream is taken up again");
    for (uint32_t i = 0; i < id->waiting.count; i++) {
        is_lost[i] = !replay_is_coming(exchange, session, id, id->waiting.requests[i]);
        lost_count += is_lost[i];
    }
    replay_send(front, exchange, session, id);
    exchange->pending_count += lost_count;
    if (exchange->pending_count == 0)
        front_reply_end(front, exchange);
    else
        replay_tell_lost(front, exchange, id, is_lost);
}

void front_replay_get(struct front *front, struct front_exchange *exchange,
                      struct front_session *session)
{
    struct mn_span text = front_header(exchange, "last-event-id");
    uint64_t exchange_id = exchange->id;
    struct event_id id;

    if (text.data == NULL || !replay_parse(front, text, &id)) {
        front_stream_get(front, exchange, session);
        return;
    }
    if (id.kind == 'p') {
        replay_post(front, exchange, session, &id);
        return;
    }
    front_stream_get(front, exchange, session);
    if (session->stream != NULL && session->stream->id == exchange_id)
        replay_send(front, session->stream, session, &id);
}
