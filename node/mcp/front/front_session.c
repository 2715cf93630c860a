/* Legacy sessions and their ids. An id is sealed: it says itself that a node of this mesh made it,
 * for whom and for which endpoint. What the session is stands in its record, which any node finds
 * by the digest of the id (front_record.c).
 *
 * An ended session must not come back: its node remembers the ids of the newest SESSIONS_ENDED_MAX
 * that were deleted; it and those that kept the record have a mark of it, which outlives them. */
#include "crypto/digest.h"
#include "node/mcp/front/front_parts.h"
#include "node/mcp/front/front_reply.h"
#include "node/mcp/front/front_told.h"
#include "proto/base/check.h"

#define SESSIONS_ENDED_MAX 4096
#define RANDOM_SIZE 32 /* bytes that tell a session from all others */

/* A session that was deleted. */
struct ended {
    struct mn_map_entry by_id;
    struct mn_list link;
    char id[FRONT_SESSION_ID_MAX];
};

static const char *const versions[] = {"2025-03-26", "2025-06-18", "2025-11-25", "2024-11-05"};

#define VERSIONS_COUNT (sizeof versions / sizeof *versions)

const char *front_session_version(struct mn_span version)
{
    for (size_t i = 0; i < VERSIONS_COUNT; i++)
        if (mn_span_is(version, versions[i])) return versions[i];
    return NULL;
}

/* ---- ids ---- */

static mn_id session_context(const struct front_exchange *exchange)
{
    return sealed_context_list(exchange->service, mn_span_str("session"));
}

static struct mn_span session_seal(struct front *front, const struct front_exchange *exchange)
{
    mn_id context = session_context(exchange);
    uint8_t random[RANDOM_SIZE];
    struct mn_span id;

    rng_bytes(&front->rng, random, sizeof random);
    id = front_seal(front, SEALED_SESSION, &exchange->principal, &context, FRONT_SESSION_LIFE,
                    mn_span(random, sizeof random));
    MN_ASSERT(id.size > 0 && id.size < FRONT_SESSION_ID_MAX);
    return id;
}

/* ---- sessions ---- */

static struct mn_span session_keep(uint8_t **to, struct mn_span text)
{
    uint8_t *copy = *to;

    if (text.size > 0) memcpy(copy, text.data, text.size);
    *to += text.size;
    return mn_span(copy, text.size);
}

static struct front_session *session_add(struct front *front, const struct front_exchange *exchange,
                                         struct mn_span id, const char *version,
                                         struct mn_span info, struct mn_span capabilities)
{
    struct front_session *session = mn_alloc(sizeof *session + exchange->service.size + info.size +
                                             capabilities.size + id.size + 1);
    uint8_t *to = (uint8_t *)(session + 1);

    front_session_handle(id, session->handle);
    digest_one(DIGEST_SESSION, mn_span(session->handle, sizeof session->handle), session->alias,
               sizeof session->alias);
    session->principal = exchange->principal;
    session->has_token = exchange->has_token;
    front_token_use(front, session->has_token);
    session->version = version;
    session->service = session_keep(&to, exchange->service);
    session->client_info = session_keep(&to, info);
    session->client_capabilities = session_keep(&to, capabilities);
    session->id = (const char *)session_keep(&to, id).data; /* a NUL is behind it */
    mn_list_init(&session->calls);
    front_subscriptions_init(front, &session->subscriptions);
    mn_list_init(&session->tasks);
    mn_list_init(&session->theirs);
    mn_list_init(&session->kept);
    mn_list_init(&session->held);
    mn_list_init(&session->servers);
    mn_list_init(&session->questions);
    mn_list_init(&session->orphans);
    mn_list_init(&session->in_look);
    session->log_level = LOGLEVEL_INFO;
    session->known.client = front_about_client(front, session->client_capabilities);
    for (int kind = 0; kind < NAMES_LISTS; kind++) {
        session->known.wants[kind] = true;
        front_stream_know(front, session->service, &session->known, (enum names_kind)kind);
    }
    mn_map_insert(&front->sessions, &session->by_id, mn_span_str(session->id));
    mn_map_insert(&front->sessions_by_handle, &session->by_handle,
                  mn_span(session->handle, sizeof session->handle));
    mn_trace(front->trace, front->now.mono, MN_EV_SESSION_OPENED, NULL, 0, 0, version);
    return session;
}

struct front_session *front_session_open(struct front *front, const struct front_exchange *exchange,
                                         const char *version, struct mn_span info,
                                         struct mn_span capabilities)
{
    return session_add(front, exchange, session_seal(front, exchange), version, info, capabilities);
}

void front_session_handle(struct mn_span id, uint8_t ret[FRONT_DIGEST_SIZE])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, FRONT_DIGEST_SIZE);
    digest_variable(&digest, id);
    digest_end(&digest, ret);
}

bool front_session_is_ours(struct front *front, struct front_exchange *exchange, struct mn_span id)
{
    mn_id context = session_context(exchange);
    struct mn_span plain;

    if (mn_map_find(&front->ended, id) != NULL) return false;
    exchange->unsealed =
        front_unseal(front, SEALED_SESSION, &exchange->principal, &context, id, &plain);
    return exchange->unsealed == MN_OK;
}

/* Whatever it knew of the lists was at another node: it is told once that they changed. */
static void session_forget_lists(struct front_session *session)
{
    for (int kind = 0; kind < NAMES_LISTS; kind++)
        memset(session->known.digests[kind], 0, sizeof session->known.digests[kind]);
}

struct front_session *front_session_again(struct front *front,
                                          const struct front_exchange *exchange, struct mn_span id,
                                          const char *version, struct mn_span info,
                                          struct mn_span capabilities)
{
    struct front_session *session = session_add(front, exchange, id, version, info, capabilities);

    MN_PROBE("front: a session of another node goes on here, with its record");
    session_forget_lists(session);
    return session;
}

void front_session_forget(struct front *front, struct mn_span id)
{
    struct ended *ended = mn_alloc(sizeof *ended);

    memcpy(ended->id, id.data, id.size);
    mn_map_insert(&front->ended, &ended->by_id, mn_span(ended->id, id.size));
    mn_list_push_back(&front->ended_order, &ended->link);
    if (front->ended.count > SESSIONS_ENDED_MAX) {
        ended = MN_CONTAINER(front->ended_order.next, struct ended, link);
        mn_map_remove(&front->ended, &ended->by_id);
        mn_list_remove(&ended->link);
        mn_free(ended);
    }
}

void front_session_done(struct front *front)
{
    for (struct mn_list *link; (link = mn_list_take(&front->ended_order)) != NULL;)
        mn_free(MN_CONTAINER(link, struct ended, link));
    mn_map_done(&front->ended);
}
