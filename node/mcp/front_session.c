/* Legacy sessions and their ids. An id is sealed and says itself what the session is: revision,
 * endpoint, who the client is and what it can do. So a session survives even the death of all nodes
 * that kept its record (front_record.c), and lacks then what was said later: the log level,
 * subscriptions to resources; and of what the client said about itself, all but the names of its
 * capabilities.
 *
 * An ended session must not come back: its node remembers the ids of the newest SESSIONS_ENDED_MAX
 * that were deleted; it and those that kept the record have a mark of it, which outlives them. */
#include "crypto/digest.h"
#include "node/mcp/front_state.h"
#include "proto/base/check.h"

#define SESSION_FORMAT 1
#define SESSIONS_ENDED_MAX 4096
#define SHOWN_NAME_MAX 40 /* bytes of the client's name and version that the id has room for */
#define SHOWN_VERSION_MAX 20

struct session_head {
    uint8_t format, version, flags, random[16];
};

_Static_assert(sizeof(struct session_head) == 19, "no padding");

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

/* ---- what the client can do, as bits ---- */

enum flag {
    FLAG_SAMPLING = 1,
    FLAG_SAMPLING_TOOLS = 2,
    FLAG_SAMPLING_CONTEXT = 4,
    FLAG_ELICITATION = 8,
    FLAG_ELICITATION_FORM = 16,
    FLAG_ELICITATION_URL = 32,
    FLAG_ROOTS = 64,
    FLAG_ROOTS_CHANGED = 128
};

static const struct {
    uint8_t flag, member_flag, other_flag;
    const char *name, *member, *other, *value;
} groups[] = {
    {FLAG_SAMPLING, FLAG_SAMPLING_TOOLS, FLAG_SAMPLING_CONTEXT, "sampling", "tools", "context",
     "{}"},
    {FLAG_ELICITATION, FLAG_ELICITATION_FORM, FLAG_ELICITATION_URL, "elicitation", "form", "url",
     "{}"},
    {FLAG_ROOTS, FLAG_ROOTS_CHANGED, 0, "roots", "listChanged", NULL, "true"},
};

#define GROUPS_COUNT (sizeof groups / sizeof *groups)

static uint8_t session_flags(struct front *front, struct mn_span capabilities)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    const struct json *all;
    uint8_t flags = 0;

    if (capabilities.size == 0 ||
        json_parse_copy(front->parser, capabilities, limits, &front->scratch, &all) != MN_OK)
        return 0;
    for (size_t i = 0; i < GROUPS_COUNT; i++) {
        const struct json *group = json_find_str(all, groups[i].name);
        const struct json *member = json_find_str(group, groups[i].member);
        if (!json_is(group, JSON_OBJECT)) continue;
        flags |= groups[i].flag;
        if (member != NULL && member->type != JSON_FALSE) flags |= groups[i].member_flag;
        if (groups[i].other != NULL && json_find_str(group, groups[i].other) != NULL)
            flags |= groups[i].other_flag;
    }
    return flags;
}

static struct mn_span session_capabilities(struct front *front, uint8_t flags)
{
    struct mn_writer writer = {0};
    struct mn_span text;

    mn_writer_str(&writer, "{");
    for (size_t i = 0; i < GROUPS_COUNT; i++) {
        bool has_member = (flags & groups[i].member_flag) != 0;
        if ((flags & groups[i].flag) == 0) continue;
        mn_writer_format(&writer, "%s\"%s\":{", mn_writer_size(&writer) > 1 ? "," : "",
                         groups[i].name);
        if (has_member) mn_writer_format(&writer, "\"%s\":%s", groups[i].member, groups[i].value);
        if ((flags & groups[i].other_flag) != 0)
            mn_writer_format(&writer, "%s\"%s\":%s", has_member ? "," : "", groups[i].other,
                             groups[i].value);
        mn_writer_str(&writer, "}");
    }
    mn_writer_str(&writer, "}");
    text = mn_arena_copy(&front->scratch, mn_buf_span(writer.buf));
    mn_writer_drop(&writer);
    return text;
}

/* ---- ids ---- */

static mn_id session_context(const struct front_exchange *exchange)
{
    return sealed_context_list(exchange->service, mn_span_str("session"));
}

static void session_add_text(struct mn_writer *plain, struct mn_span text, size_t size_max)
{
    uint8_t size;

    if (text.size > size_max) text.size = size_max;
    size = (uint8_t)text.size;
    mn_writer_add(plain, mn_span(&size, 1));
    mn_writer_add(plain, text);
}

static struct mn_span session_seal(struct front *front, const struct front_exchange *exchange,
                                   const char *version, struct mn_span info,
                                   struct mn_span capabilities)
{
    struct session_head head = {.format = SESSION_FORMAT,
                                .flags = session_flags(front, capabilities)};
    const struct json_limits limits = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
    mn_id context = session_context(exchange);
    const struct json *about = NULL;
    struct mn_writer plain = {0};
    struct mn_span id;

    while (strcmp(versions[head.version], version) != 0)
        head.version++;
    rng_bytes(&front->rng, head.random, sizeof head.random);
    if (info.size > 0 &&
        json_parse_copy(front->parser, info, limits, &front->scratch, &about) != MN_OK)
        about = NULL;
    mn_writer_add(&plain, mn_span(&head, sizeof head));
    session_add_text(&plain, json_text(json_find_str(about, "name")), SHOWN_NAME_MAX);
    session_add_text(&plain, json_text(json_find_str(about, "version")), SHOWN_VERSION_MAX);
    id = front_seal(front, SEALED_SESSION, &exchange->principal, &context, FRONT_SESSION_LIFE,
                    mn_buf_span(plain.buf));
    mn_writer_drop(&plain);
    MN_ASSERT(id.size > 0 && id.size < FRONT_SESSION_ID_MAX);
    return id;
}

static bool session_take_text(struct mn_span *plain, struct mn_span *ret)
{
    size_t size;

    if (plain->size == 0) return false;
    size = plain->data[0];
    if (size + 1 > plain->size) return false;
    *ret = mn_span(plain->data + 1, size);
    *plain = mn_span(plain->data + 1 + size, plain->size - 1 - size);
    return true;
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
    struct front_session *session =
        mn_alloc(sizeof *session + exchange->service.size + info.size + capabilities.size);
    uint8_t *to = (uint8_t *)(session + 1);

    memcpy(session->id, id.data, id.size);
    front_session_handle(id, session->handle);
    session->principal = exchange->principal;
    session->version = version;
    session->service = session_keep(&to, exchange->service);
    session->client_info = session_keep(&to, info);
    session->client_capabilities = session_keep(&to, capabilities);
    mn_list_init(&session->calls);
    mn_list_init(&session->subscriptions);
    mn_list_init(&session->kept);
    mn_list_init(&session->held);
    mn_list_init(&session->servers);
    session->log_level = LOGLEVEL_INFO;
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
    struct mn_span id = session_seal(front, exchange, version, info, capabilities);

    return session_add(front, exchange, id, version, info, capabilities);
}

void front_session_handle(struct mn_span id, uint8_t ret[FRONT_DIGEST_SIZE])
{
    struct digest digest;

    digest_begin(&digest, DIGEST_TOOL, FRONT_DIGEST_SIZE);
    digest_variable(&digest, id);
    digest_end(&digest, ret);
}

bool front_session_is_ours(struct front *front, const struct front_exchange *exchange,
                           struct mn_span id)
{
    mn_id context = session_context(exchange);
    struct mn_span plain;

    return mn_map_find(&front->ended, id) == NULL &&
           front_unseal(front, SEALED_SESSION, &exchange->principal, &context, id, &plain);
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

struct front_session *front_session_adopt(struct front *front,
                                          const struct front_exchange *exchange, struct mn_span id)
{
    struct mn_span plain, name, version, text;
    mn_id context = session_context(exchange);
    struct session_head head;
    struct mn_writer info = {0};
    struct front_session *session;

    if (id.size >= FRONT_SESSION_ID_MAX || mn_map_find(&front->ended, id) != NULL ||
        !front_unseal(front, SEALED_SESSION, &exchange->principal, &context, id, &plain) ||
        plain.size < sizeof head)
        return NULL;
    memcpy(&head, plain.data, sizeof head);
    plain = mn_span(plain.data + sizeof head, plain.size - sizeof head);
    if (head.format != SESSION_FORMAT || head.version >= VERSIONS_COUNT ||
        !session_take_text(&plain, &name) || !session_take_text(&plain, &version))
        return NULL;
    MN_PROBE("front: a session of another node goes on here, by its id alone");
    mn_writer_str(&info, "{\"name\":");
    json_write_string(&info, name);
    mn_writer_str(&info, ",\"version\":");
    json_write_string(&info, version);
    mn_writer_str(&info, "}");
    text = session_capabilities(front, head.flags);
    session = session_add(front, exchange, id, versions[head.version], mn_buf_span(info.buf), text);
    mn_writer_drop(&info);
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
