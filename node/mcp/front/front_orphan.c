/* Calls of legacy sessions whose entry node is lost. A call whose stream has lasted for a moment is
 * noted in its session's record: where it runs, and what its client calls it. The node that the
 * client goes on at finds the note, and when the client asks for the stream, asks the serving node
 * for the call (upstream_orphan.h): what comes then goes out as if it had begun here. Answers of
 * such calls are in the record, too, as far as they are small, since nobody knows whether a client
 * got what was sent to it last. */
#include "crypto/digest.h"
#include "node/mcp/front/front_asked.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"
#include "proto/gateway.pb-c.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"

#define ORPHANS_MAX 32u             /* of a session: those that are saved, and those that came */
#define ORPHANS_SIZE ((size_t)8192) /* bytes of what is saved about them */
#define CLAIM_TIME (5 * MN_SEC) /* a node that comes back, or this one, may not know the others */
#define CLAIM_RETRY (300 * MN_MS)

/* A call that came through another node, and that nobody has asked for yet. */
struct orphan {
    struct mn_list in_session;
    uint64_t stream;
    const struct front_method *method;
    mn_id node;
    uint8_t handle[FRONT_DIGEST_SIZE];
    struct mn_span id, progress, service, uri, own;
};

static void orphan_free(struct front_session *session, struct orphan *orphan)
{
    mn_list_remove(&orphan->in_session);
    session->orphans_count--;
    mn_free(orphan);
}

void front_orphan_done(struct front_session *session)
{
    while (!mn_list_is_empty(&session->orphans))
        orphan_free(session, MN_CONTAINER(session->orphans.next, struct orphan, in_session));
}

/* ---- noting ---- */

void front_orphan_handle(const struct front_session *session, uint64_t ticket,
                         uint8_t ret[FRONT_DIGEST_SIZE])
{
    uint8_t numbers[2 * sizeof(uint64_t)];
    struct digest digest;

    for (size_t i = 0; i < sizeof(uint64_t); i++) {
        numbers[i] = (uint8_t)(session->generation >> 8 * i);
        numbers[sizeof(uint64_t) + i] = (uint8_t)(ticket >> 8 * i);
    }
    /* Who serves one call of a session cannot name the others of it. */
    digest_begin(&digest, DIGEST_ORPHAN, FRONT_DIGEST_SIZE);
    digest_fixed(&digest, mn_span(session->handle, sizeof session->handle));
    digest_fixed(&digest, mn_span(numbers, sizeof numbers));
    digest_end(&digest, ret);
}

void front_orphan_note(struct front *front, struct front_exchange *exchange)
{
    exchange->is_noted = true;
    MN_LIST_FOR_EACH (link, &exchange->calls) {
        struct front_call *call = MN_CONTAINER(link, struct front_call, in_exchange);
        call->is_noted = true;
        call->stream = exchange->stream;
    }
    if (!mn_list_is_empty(&exchange->calls)) front_orphan_save(front, exchange->legacy);
}

void front_orphan_save(struct front *front, struct front_session *session)
{
    if (!session->is_elsewhere) front_record_save(front, session);
}

/* Some more of [all]: false when it is full, and [part] is left out. */
static bool orphan_add(struct front *front, Meshnode__Record__Session *all, size_t *size,
                       const struct orphan *part)
{
    Meshnode__Record__Running *running;

    *size += 96 + part->id.size + part->progress.size + part->service.size + part->uri.size +
             part->own.size;
    if (*size > ORPHANS_SIZE || all->n_running == ORPHANS_MAX) return false;
    running = mn_arena_alloc(&front->scratch, sizeof *running);
    meshnode__record__running__init(running);
    running->stream = part->stream;
    running->id = pb_bytes(part->id);
    running->progress = pb_bytes(part->progress);
    running->method = (char *)(uintptr_t)part->method->name;
    running->service = pb_bytes(part->service);
    running->node = pb_id_bytes(&part->node);
    running->orphan = pb_bytes(mn_span(part->handle, sizeof part->handle));
    running->uri = pb_bytes(part->uri);
    running->own = pb_bytes(part->own);
    all->running[all->n_running++] = running;
    return true;
}

void front_orphan_pack(struct front *front, const struct front_session *session,
                       Meshnode__Record__Session *record)
{
    size_t size = 0;

    record->running =
        mn_arena_alloc(&front->scratch, ORPHANS_MAX * sizeof(Meshnode__Record__Running *));
    MN_LIST_FOR_EACH (link, &session->calls) {
        const struct front_call *call = MN_CONTAINER(link, struct front_call, in_session);
        struct orphan *part;
        if (!call->is_noted) continue;
        part = mn_arena_alloc(&front->scratch, sizeof *part); /* so that [node] stays */
        part->stream = call->stream;
        part->method = call->method;
        part->node = call->node;
        memcpy(part->handle, call->handle, sizeof part->handle);
        part->id = call->id;
        part->progress = call->progress;
        part->service = call->service;
        part->uri = call->uri;
        part->own = call->own;
        if (!orphan_add(front, record, &size, part)) return;
    }
    MN_LIST_FOR_EACH (link, &session->orphans) {
        if (!orphan_add(front, record, &size, MN_CONTAINER(link, struct orphan, in_session)))
            return;
    }
}

/* ---- a session that came from another node ---- */

static struct mn_span orphan_keep(uint8_t **to, ProtobufCBinaryData bytes)
{
    struct mn_span copy = {*to, bytes.len};

    if (bytes.len > 0) memcpy(*to, bytes.data, bytes.len);
    *to += bytes.len;
    return copy;
}

static bool orphan_runs_here(const struct front_session *session, ProtobufCBinaryData handle)
{
    MN_LIST_FOR_EACH (link, &session->calls) {
        const struct front_call *call = MN_CONTAINER(link, struct front_call, in_session);
        if (memcmp(call->handle, handle.data, sizeof call->handle) == 0) return true;
    }
    return false;
}

/* Both go out to the client as they are. */
static bool orphan_is_sound(struct front *front, const Meshnode__Record__Running *running)
{
    return front_replay_is_id(front, pb_span(running->id)) &&
           (running->progress.len == 0 || front_replay_is_id(front, pb_span(running->progress)));
}

static void orphan_read(struct front *front, struct front_session *session,
                        const Meshnode__Record__Running *running)
{
    const struct front_method *method = front_route_noted(pb_text(running->method));
    size_t size = running->id.len + running->progress.len + running->service.len +
                  running->uri.len + running->own.len;
    struct orphan *orphan;
    uint8_t *to;
    mn_id node;

    if (method == NULL || (method->what != FRONT_CALL && method->what != FRONT_EXTENSION) ||
        running->stream == 0 || running->orphan.len != FRONT_DIGEST_SIZE ||
        pb_id(running->node, &node) != MN_OK || size > ORPHANS_SIZE ||
        !orphan_is_sound(front, running) || session->orphans_count >= ORPHANS_MAX ||
        orphan_runs_here(session, running->orphan) ||
        front_replay_has_answer(session, running->stream, pb_span(running->id)))
        return;
    orphan = mn_alloc(sizeof *orphan + size);
    to = (uint8_t *)(orphan + 1);
    orphan->stream = running->stream;
    orphan->method = method;
    orphan->node = node;
    memcpy(orphan->handle, running->orphan.data, sizeof orphan->handle);
    orphan->id = orphan_keep(&to, running->id);
    orphan->progress = orphan_keep(&to, running->progress);
    orphan->service = orphan_keep(&to, running->service);
    orphan->uri = orphan_keep(&to, running->uri);
    orphan->own = orphan_keep(&to, running->own);
    mn_list_push_back(&session->orphans, &orphan->in_session);
    session->orphans_count++;
}

void front_orphan_read(struct front *front, struct front_session *session,
                       const Meshnode__Record__Session *record)
{
    front_orphan_done(session);
    for (size_t i = 0; i < record->n_running && i < ORPHANS_MAX; i++)
        orphan_read(front, session, record->running[i]);
}

/* ---- taking up ---- */

static struct mn_buf *orphan_payload(const struct front_session *session,
                                     const struct front_method *method,
                                     const uint8_t handle[FRONT_DIGEST_SIZE])
{
    Meshnode__Gateway__Request request = MESHNODE__GATEWAY__REQUEST__INIT;

    request.method = (char *)(uintptr_t)method->name;
    request.params = pb_bytes(mn_span_str("{}"));
    request.is_live = true;
    request.session = pb_bytes(mn_span(session->alias, sizeof session->alias));
    request.principal = pb_id_bytes(&session->principal);
    request.resume = pb_bytes(mn_span(handle, FRONT_DIGEST_SIZE));
    request.orphan = request.resume;
    return pb_pack(&request.base);
}

static struct mn_span orphan_copy(uint8_t **to, struct mn_span text)
{
    return orphan_keep(to, (ProtobufCBinaryData){text.size, (uint8_t *)(uintptr_t)text.data});
}

/* The orphan as a call of this node; [exchange] NULL: nobody hears of it. */
static struct front_call *orphan_take(struct front *front, struct front_exchange *exchange,
                                      struct front_session *session, struct orphan *orphan)
{
    struct front_call *call = mn_alloc(sizeof *call + orphan->id.size + orphan->progress.size +
                                       orphan->service.size + orphan->uri.size + orphan->own.size);
    uint8_t *to = (uint8_t *)(call + 1);

    call->ticket = ++front->ticket_last;
    call->method = orphan->method;
    call->exchange = exchange;
    call->session = session;
    call->is_aggregated = front_about_is_aggregated(session->service);
    call->is_claim = call->is_noted = call->wants_log = true;
    call->stream = orphan->stream;
    call->node = orphan->node;
    memcpy(call->handle, orphan->handle, sizeof call->handle);
    call->id = orphan_copy(&to, orphan->id);
    call->progress = orphan_copy(&to, orphan->progress);
    call->service = orphan_copy(&to, orphan->service);
    call->uri = orphan_copy(&to, orphan->uri);
    call->own = orphan_copy(&to, orphan->own);
    call->payload = orphan_payload(session, orphan->method, orphan->handle);
    call->started = front->now.mono;
    mn_list_init(&call->questions);
    mn_list_init(&call->answered);
    mn_list_init(&call->in_exchange);
    mn_list_init(&call->in_session);
    mn_map_insert(&front->calls, &call->by_ticket, mn_span(&call->ticket, sizeof call->ticket));
    if (exchange != NULL) {
        mn_list_push_back(&exchange->calls, &call->in_exchange);
        exchange->pending_count++;
    }
    mn_list_push_back(&session->calls, &call->in_session);
    front_call_emit(front, call, &call->node, false, mn_span(NULL, 0));
    front->stats.calls_total++;
    orphan_free(session, orphan);
    return call;
}

/* The record may be older than the answer that the client has. */
static bool orphan_is_wanted(const struct front_waiting *waiting, struct mn_span id)
{
    for (uint32_t i = 0; i < waiting->count; i++)
        if (mn_span_equal(waiting->requests[i], id)) return true;
    return waiting->is_more;
}

bool front_orphan_claim(struct front *front, struct front_exchange *exchange,
                        struct front_session *session, uint64_t stream,
                        const struct front_waiting *waiting)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (link, &session->orphans) {
        count += MN_CONTAINER(link, struct orphan, in_session)->stream == stream;
    }
    if (count > 0 && front->calls.count + count > MCP_CALLS_MAX) return false;
    MN_LIST_FOR_EACH_SAFE (link, &session->orphans) {
        struct orphan *orphan = MN_CONTAINER(link, struct orphan, in_session);
        if (orphan->stream != stream) continue;
        if (!orphan_is_wanted(waiting, orphan->id)) {
            MN_PROBE("front: a call of another node is over, and its session's record was older");
            orphan_free(session, orphan);
            continue;
        }
        MN_PROBE("front: a call of another node is taken up");
        exchange->is_noted = true;
        (void)orphan_take(front, exchange, session, orphan);
    }
    return true;
}

/* The link to the serving node is down, or its server is: if it was the link, the call waits there,
 * and this node asks for it as any other would. */
static bool orphan_is_own(const struct front *front, const struct front_call *call,
                          enum call_failure failure)
{
    return failure == CALL_OUTCOME_UNKNOWN && call->is_noted && !call->is_claim &&
           !call->session->is_elsewhere && !mn_id_equal(&call->node, &front->self);
}

bool front_orphan_retry(struct front *front, struct front_call *call, enum call_failure failure)
{
    bool is_certain =
        failure == CALL_UNAVAILABLE || failure == CALL_NOT_FOUND || failure == CALL_BUSY;

    if (orphan_is_own(front, call, failure)) {
        MN_PROBE("front: a call of this node is asked for after its link broke");
        front_question_drop(front, call); /* they come again */
        mn_buf_unref(call->payload);
        call->payload = orphan_payload(call->session, call->method, call->handle);
        call->is_claim = true;
        call->services_count = 0; /* whoever has it has it */
        call->started = front->now.mono;
    } else if (!call->is_claim || !is_certain || front->now.mono - call->started >= CLAIM_TIME) {
        return false;
    }
    MN_PROBE("front: a call of another node is asked for again");
    mn_map_remove(&front->calls, &call->by_ticket);
    call->ticket = ++front->ticket_last;
    mn_map_insert(&front->calls, &call->by_ticket, mn_span(&call->ticket, sizeof call->ticket));
    mn_heap_set(&front->retries, &call->retry, mn_time_after(front->now.mono, CLAIM_RETRY));
    return true;
}

void front_orphan_on_time(struct front *front)
{
    while (mn_heap_deadline(&front->retries) <= front->now.mono) {
        struct front_call *call =
            MN_CONTAINER(mn_heap_peek(&front->retries), struct front_call, retry);
        mn_heap_remove(&front->retries, &call->retry);
        front_call_emit(front, call, &call->node, false, mn_span(NULL, 0));
    }
}

bool front_orphan_cancel(struct front *front, struct front_session *session, struct mn_span id)
{
    MN_LIST_FOR_EACH_SAFE (link, &session->orphans) {
        struct orphan *orphan = MN_CONTAINER(link, struct orphan, in_session);
        if (!mn_span_equal(orphan->id, id) || front->calls.count >= MCP_CALLS_MAX) continue;
        MN_PROBE("front: a call of another node is cancelled");
        orphan_take(front, NULL, session, orphan)->is_doomed = true;
        return true;
    }
    return false;
}
