/* Streams of legacy sessions that can be taken up again. Every event of theirs has an id that names
 * its stream and its place (p3-17: stream 3, a POST's; g4-18: the session's own), and the newest
 * ones are kept. A client that lost a stream asks with Last-Event-ID, gets what it missed of that
 * stream alone, and then its continuation: calls whose answers are still to come go on there. An
 * answer that comes while nobody is connected is kept likewise. */
#include "node/mcp/front_state.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define SESSION_EVENTS_MAX 256
#define SESSION_SIZE_MAX 262144         /* bytes kept for one session */
#define ALL_SIZE_MAX ((size_t)67108864) /* for all; then the session that adds gives up its own */
#define ID_SIZE 48

struct kept {
    struct mn_list link; /* in session->kept, oldest first */
    uint64_t stream, place;
    struct mn_buf *json;
};

static void replay_drop(struct front *front, struct front_session *session, struct kept *kept)
{
    size_t size = kept->json->size + sizeof *kept;

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

static void replay_keep(struct front *front, struct front_session *session, uint64_t stream,
                        struct mn_span json)
{
    struct kept *kept;
    size_t size = json.size + sizeof *kept;

    if (size > SESSION_SIZE_MAX) return; /* it has its id, but cannot be had again */
    while (session->kept_count > 0 &&
           (session->kept_count >= SESSION_EVENTS_MAX ||
            session->kept_size + size > SESSION_SIZE_MAX || front->kept_size + size > ALL_SIZE_MAX))
        replay_drop(front, session, replay_oldest(session));
    if (front->kept_size + size > ALL_SIZE_MAX) return;
    kept = mn_alloc(sizeof *kept);
    kept->stream = stream;
    kept->place = session->place_last;
    kept->json = mn_buf_copy(json);
    mn_list_push_back(&session->kept, &kept->link);
    session->kept_count++;
    session->kept_size += size;
    front->kept_size += size;
}

static struct mn_span replay_id(struct front *front, char kind, uint64_t stream, uint64_t place)
{
    return mn_span_str(mn_arena_format(&front->scratch, "%c%llu-%llu", kind,
                                       (unsigned long long)stream, (unsigned long long)place));
}

struct mn_span front_replay_event(struct front *front, struct front_exchange *exchange,
                                  struct mn_span json)
{
    struct front_session *session =
        exchange->session != NULL ? exchange->session : exchange->legacy;
    char kind = exchange->session != NULL ? 'g' : 'p';

    if (session == NULL) return mn_span(NULL, 0); /* the modern era has none */
    if (exchange->stream == 0) exchange->stream = ++session->stream_last;
    session->place_last++;
    replay_keep(front, session, exchange->stream, json);
    return replay_id(front, kind, exchange->stream, session->place_last);
}

struct mn_span front_replay_first(struct front *front, struct front_exchange *exchange)
{
    struct front_session *session = exchange->legacy;

    /* Older clients choke on an event without data. */
    if (session == NULL || exchange->stream != 0 || strcmp(session->version, "2025-11-25") != 0)
        return mn_span(NULL, 0);
    exchange->stream = ++session->stream_last;
    return replay_id(front, 'p', exchange->stream, ++session->place_last);
}

void front_replay_late(struct front *front, struct front_call *call, struct mn_span json)
{
    if (call->session == NULL || call->stream == 0) return;
    call->session->place_last++;
    replay_keep(front, call->session, call->stream, json);
}

/* "p3-17". False: it is none of our ids. */
static bool replay_parse(struct mn_span id, char *kind, uint64_t *stream, uint64_t *place)
{
    uint64_t *number = stream;

    if (id.size < 4 || id.size > ID_SIZE || (id.data[0] != 'p' && id.data[0] != 'g')) return false;
    *kind = (char)id.data[0];
    *stream = *place = 0;
    for (size_t i = 1; i < id.size; i++) {
        uint8_t c = id.data[i];
        if (c == '-' && number == stream)
            number = place;
        else if (c >= '0' && c <= '9' && *number < UINT64_MAX / 10 - 1)
            *number = *number * 10 + (uint64_t)(c - '0');
        else
            return false;
    }
    return number == place && *stream > 0;
}

/* What was missed, under the ids it had; no new ones are given out. */
static void replay_send(struct front *front, struct front_exchange *exchange,
                        struct front_session *session, char kind, uint64_t stream, uint64_t place)
{
    MN_LIST_FOR_EACH (link, &session->kept) {
        const struct kept *kept = MN_CONTAINER(link, struct kept, link);
        if (kept->stream == stream && kept->place > place)
            front_reply_again(front, exchange, replay_id(front, kind, stream, kept->place),
                              mn_buf_span(kept->json));
    }
}

/* The stream of a POST goes on, or is over. */
static void replay_post(struct front *front, struct front_exchange *exchange,
                        struct front_session *session, uint64_t stream, uint64_t place)
{
    exchange->legacy = session;
    exchange->stream = stream;
    exchange->pending_count = 0;
    front_reply_open(front, exchange);
    replay_send(front, exchange, session, 'p', stream, place);
    MN_LIST_FOR_EACH (entry, &session->calls) {
        struct front_call *call = MN_CONTAINER(entry, struct front_call, in_session);
        if (call->stream != stream || call->exchange != NULL) continue;
        call->exchange = exchange;
        mn_list_push_back(&exchange->calls, &call->in_exchange);
        exchange->pending_count++;
    }
    MN_PROBE("front: a broken stream is taken up again");
    if (exchange->pending_count == 0) front_reply_end(front, exchange);
}

void front_replay_get(struct front *front, struct front_exchange *exchange,
                      struct front_session *session)
{
    struct mn_span id = front_header(exchange, "last-event-id");
    uint64_t stream, place, exchange_id = exchange->id;
    char kind;

    if (id.data == NULL || !replay_parse(id, &kind, &stream, &place)) {
        front_stream_get(front, exchange, session);
        return;
    }
    if (kind == 'p') {
        replay_post(front, exchange, session, stream, place);
        return;
    }
    front_stream_get(front, exchange, session);
    if (session->stream != NULL && session->stream->id == exchange_id)
        replay_send(front, session->stream, session, kind, stream, place);
}
