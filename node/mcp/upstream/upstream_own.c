#include "node/mcp/upstream/upstream_own.h"

#include "node/mcp/upstream/upstream_aside.h"
#include "node/mcp/upstream/upstream_message.h"
#include "node/mcp/upstream/upstream_request.h"
#include "node/mcp/upstream/upstream_watch.h"
#include "node/mcp/wire/aside.h"
#include "proto/base/check.h"
#include "proto/pb.h"

#define ASK_TIMEOUT (10 * MN_SEC) /* calls wait as long for it */

/* A resource, in lease->aside.own. */
struct own {
    struct mn_map_entry by_uri;
    struct mn_span uri;                     /* behind this struct */
    bool is_asked;                          /* in this session */
    bool is_in_force, was_in_force, is_new; /* new: scratch, of the newest wish */
    bool is_missed;                         /* it was updated, and nobody heard */
};

static struct own *own_next(const struct upstream *lease, struct own *at)
{
    struct mn_map_entry *entry = mn_map_next(&lease->aside.own, at == NULL ? NULL : &at->by_uri);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct own, by_uri);
}

static struct own *own_find(const struct upstream *lease, struct mn_span uri)
{
    struct mn_map_entry *entry = mn_map_find(&lease->aside.own, uri);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct own, by_uri);
}

/* ---- to the client ---- */

static void own_tell(struct upstream *lease, struct own *own, struct mn_span uri)
{
    Meshnode__Gateway__Aside aside = MESHNODE__GATEWAY__ASIDE__INIT;
    struct mn_writer params = {0};
    char method[] = ASIDE_UPDATED;

    own->is_missed = lease->aside.hearer == NULL;
    if (own->is_missed) return;
    mn_writer_str(&params, "{\"uri\":");
    json_write_string(&params, uri);
    mn_writer_str(&params, "}");
    aside.method = method;
    aside.params = pb_bytes(mn_buf_span(params.buf));
    upstream_aside_emit(lease, &aside);
    mn_writer_drop(&params);
}

/* ---- to the server ---- */

static void own_ask(struct upstream *lease, struct own *own, bool is_on)
{
    const char *method = is_on ? "resources/subscribe" : "resources/unsubscribe";
    struct upstream_request *request;

    if (lease->state != UPSTREAM_READY) return; /* all is asked for once it is */
    if (is_on ? upstream_watch_is_early(lease) : !own->is_asked) return;
    own->is_asked = is_on;
    request = upstream_request_new(lease, UPSTREAM_REQUEST_SIDE, ASK_TIMEOUT);
    if (is_on) request->payload = mn_buf_copy(own->uri);
    upstream_request_carry(request, upstream_message_uri(lease, request->id, method, own->uri),
                           method);
}

/* ---- what is wanted ---- */

struct mn_span upstream_own_pack(struct mn_arena *arena, char **uris, size_t count)
{
    size_t all = 0, size = 0;
    uint8_t *text;

    if (count > ASIDE_URIS_MAX) count = ASIDE_URIS_MAX;
    for (size_t i = 0; i < count; i++)
        all += strlen(uris[i]) + 1;
    if (all == 0) return mn_span(NULL, 0);
    if (all > ASIDE_URIS_SIZE_MAX) all = ASIDE_URIS_SIZE_MAX;
    text = mn_arena_alloc(arena, all);
    for (size_t i = 0; i < count; i++) {
        size_t more = strlen(uris[i]) + 1;
        if (more == 1 || more > all - size) continue;
        memcpy(text + size, uris[i], more);
        size += more;
    }
    return mn_span(text, size);
}

/* The first of them; [packed] is what is behind it. */
static struct mn_span own_unpack(struct mn_span *packed)
{
    struct mn_span uri = mn_span_str((const char *)packed->data);

    *packed = mn_span(packed->data + uri.size + 1, packed->size - uri.size - 1);
    return uri;
}

static void own_want(struct upstream *lease, struct mn_span uri)
{
    struct own *own = own_find(lease, uri);

    if (own == NULL) {
        own = mn_alloc(sizeof *own + uri.size);
        own->uri = mn_span(own + 1, uri.size);
        memcpy(own + 1, uri.data, uri.size);
        mn_map_insert(&lease->aside.own, &own->by_uri, own->uri);
        MN_PROBE("upstream: a client's own session has its subscription");
        own_ask(lease, own, true);
    }
    own->is_new = true;
}

static void own_free(struct upstream *lease, struct own *own)
{
    mn_map_remove(&lease->aside.own, &own->by_uri);
    mn_free(own);
}

void upstream_own_wish(struct upstream *lease, struct mn_span packed)
{
    struct own *next;

    while (packed.size > 0)
        own_want(lease, own_unpack(&packed));
    for (struct own *own = own_next(lease, NULL); own != NULL; own = next) {
        next = own_next(lease, own);
        if (!own->is_new) {
            own_ask(lease, own, false);
            own_free(lease, own);
        } else {
            own->is_new = false;
        }
    }
}

/* ---- what the server says ---- */

void upstream_own_renew(struct upstream *lease)
{
    for (struct own *own = own_next(lease, NULL); own != NULL; own = own_next(lease, own)) {
        own->is_in_force = own->is_asked = false;
        own_ask(lease, own, true);
    }
}

void upstream_own_ask(struct upstream *lease)
{
    for (struct own *own = own_next(lease, NULL); own != NULL; own = own_next(lease, own))
        if (!own->is_asked) own_ask(lease, own, true);
}

bool upstream_own_waits(const struct upstream *lease)
{
    for (struct own *own = own_next(lease, NULL); own != NULL; own = own_next(lease, own))
        if (!own->is_asked) return true;
    return false;
}

void upstream_own_heard(struct upstream *lease)
{
    for (struct own *own = own_next(lease, NULL); own != NULL; own = own_next(lease, own))
        if (own->is_in_force) own_tell(lease, own, own->uri);
}

void upstream_own_caught_up(struct upstream *lease)
{
    for (struct own *own = own_next(lease, NULL); own != NULL; own = own_next(lease, own))
        if (own->is_missed) own_tell(lease, own, own->uri);
}

void upstream_own_on_subscribed(struct upstream *lease, struct mn_span uri)
{
    struct own *own = own_find(lease, uri);

    if (own == NULL) return;
    own->is_in_force = true;
    if (own->was_in_force) own_tell(lease, own, uri); /* something may have been missed */
    own->was_in_force = true;
}

void upstream_own_on_updated(struct upstream *lease, struct mn_span uri)
{
    struct own *own = own_find(lease, uri);

    if (own != NULL) {
        own_tell(lease, own, uri);
        return;
    }
    while ((own = own_next(lease, own)) != NULL) /* perhaps a part of what it subscribed to */
        if (uri.size > own->uri.size && memcmp(uri.data, own->uri.data, own->uri.size) == 0)
            own_tell(lease, own, own->uri);
}

void upstream_own_end(struct upstream *lease)
{
    struct own *own;

    while ((own = own_next(lease, NULL)) != NULL)
        own_free(lease, own);
}
